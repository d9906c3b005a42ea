"""Daemons in places of their own, what they were told, and what they must come to.

Network gives places, members (daemons) and the judgement that all tests share: what a daemon
acknowledged is a ledger, and in the end every member has exactly the join of it, and all have one
view of who is alive.
"""

import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "daemon"))

import daemon as daemons  # noqa: E402
import switch as switches  # noqa: E402

APART = os.environ.get("VIGNETTE_NETWORK_APART") == "yes"
PORT = 6001
OWN_PLACES = switches.OWN_PLACES
CLONE_NEWNS = 0x00020000
MS_REC_PRIVATE = 0x4000 | 0x40000
MS_BIND = 0x1000
eventually = daemons.eventually


class Not(str):
    """Why something does not hold yet: false, and shown when a wait is over."""

    def __bool__(self):
        return False


class LoopbackPlace:
    """Where there are no namespaces: an address of loopback, not that of another run's."""

    NETWORK = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}"

    def __init__(self, number):
        self.number = number
        self.address = f"{self.NETWORK}.{number}"

    def enter(self):
        pass

    def socket(self, port=0):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((self.address, port))
        return made


class Member(daemons.Daemon):
    """A daemon in a place. HTTP goes over a socket in the file system, which crosses namespaces."""

    def __init__(self, folder, place, *arguments, seeds=(), port=PORT, environment=None, files=()):
        self.place = place
        self.environment = environment or {}
        self.files = files  # (what is seen, instead of what)
        web = f"{folder}/http-{place.number}-{time.monotonic_ns()}"
        super().__init__(
            folder, "-H", f"unix:{web}", *arguments, seeds=seeds, port=f"{place.address}:{port}"
        )
        self.host = place.address

    def start(self, environment=None, descriptors=None):
        del environment, descriptors

        def prepare():
            self.place.enter()
            if self.files:
                switches.check(switches.LIBC.unshare(CLONE_NEWNS))
                switches.check(switches.LIBC.mount(None, b"/", None, MS_REC_PRIVATE, None))
            for seen, instead in self.files:
                switches.check(
                    switches.LIBC.mount(
                        os.fsencode(seen), os.fsencode(instead), None, MS_BIND, None
                    )
                )
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                preexec_fn=prepare,
            )
        self.pid = self.process.pid

    def start_again(self):
        """The same command once more, not awaited, with a log of its own."""
        self.log_path = self.log_path.with_name(f"daemon-{time.monotonic_ns()}.log")
        self.start()

    def restart(self):
        self.start_again()
        return self.await_ready()

    def peer(self, other):
        """What it says of another: a dict, empty where it knows none."""
        text = other if isinstance(other, str) else other.text
        for peer in self.get("/peers").json()["peers"]:
            if peer["address"] == text:
                return peer
        return {}

    def state(self, other):
        return self.peer(other).get("state")

    def alive(self):
        return {text for text, state in self.peers().items() if state == "alive"}

    def stat(self, name):
        return self.stats()[name]


class Ledger:
    """What daemons acknowledged: no less and nothing else may be read in the end."""

    def __init__(self):
        self.keys = {}

    def note(self, key, vector):
        mine = self.keys.setdefault(key, {})
        for index, value in vector.items():
            mine[int(index)] = max(mine.get(int(index), 0), int(value))

    def write(self, member, key, vector):
        body = {str(index): value for index, value in vector.items()}
        answer = member.post(f"/keys/{key}", body)
        assert answer.status in (200, 201), answer
        self.note(key, vector)

    def write_many(self, member, keys):
        """A bulk update: all of it is acknowledged at once."""
        body = {
            key: {str(index): value for index, value in vector.items()}
            for key, vector in keys.items()
        }
        answer = member.post("/keys", json.dumps(body), checked=False)
        assert answer.status in (200, 201), answer
        for key, vector in keys.items():
            self.note(key, vector)

    def differs(self, member):
        """Where a member is not what was acknowledged, in a few words; empty where it is."""
        found = {}
        after = ""
        while True:
            page = member.get(f"/keys?limit=10000&vectors=1{after}", checked=False).json()
            for item in page["keys"]:
                found[item["key"]] = {int(i): int(v) for i, v in item["vector"].items()}
            if "next" not in page:
                break
            after = "&after=" + page["next"]
        wrong = {
            key: (found.get(key), self.keys.get(key))
            for key in found.keys() | self.keys.keys()
            if found.get(key) != self.keys.get(key)
        }
        some = dict(list(wrong.items())[:5])
        return f"{member.text} has (is, should be): {some}" if wrong else ""


class Network:
    """One test's network. Everything that it started ends with it."""

    def __init__(self, folder):
        self.folder = folder
        self.members = []  # all that were ever started
        self.ledger = Ledger()
        self.stopped = set()
        self.apart = switches.Switch() if APART else None

    @property
    def switch(self):
        """The switch; a test that asks for it is skipped where there is none."""
        if self.apart is None:
            pytest.skip("no network namespaces here, so no switch that cuts and loses")
        return self.apart

    def place(self, number):
        if self.apart is None:
            return LoopbackPlace(number)
        known = self.apart.places.get(f"10.9.0.{number}")
        return known or self.apart.place(number)

    def start(self, number, *arguments, seeds=(), **rest):
        place = number if not isinstance(number, int) else self.place(number)
        member = self.unready(place, *arguments, seeds=seeds, **rest)
        return member.await_ready()

    def unready(self, place, *arguments, **rest):
        place = self.place(place) if isinstance(place, int) else place
        member = Member(self.folder, place, *arguments, **rest)
        self.members.append(member)
        return member

    def cluster(self, count, *arguments, **rest):
        """So many members that all know each other; the first is everybody's seed."""
        members = [self.start(1, *arguments, **rest)]
        for number in range(2, count + 1):
            members.append(self.start(number, *arguments, seeds=[members[0]], **rest))
        eventually(lambda: one_view(members), 10)
        return members

    def agree(self, members, within_s=8):
        """All have one view and equal stores in time, and these are what was acknowledged."""
        eventually(lambda: one_view(members) and equal(members), within_s, every_s=0.05)
        for member in members:
            assert not self.ledger.differs(member), self.ledger.differs(member)

    def hold(self, member):
        """Let it stand still, and go on at the latest when the test ends."""
        self.stopped.add(member.pid)
        os.kill(member.pid, 19)

    def release(self, member):
        os.kill(member.pid, 18)
        self.stopped.discard(member.pid)

    def end(self, show):
        for member in self.members:
            if member.pid in self.stopped:
                self.release(member)
        for member in self.members:
            if member.is_running:
                member.signal(15)
        for member in self.members:
            if member.is_running:
                member.process.wait(10 * daemons.SLOWNESS)
        errors = list(self.apart.errors) if self.apart else []
        if self.apart:
            self.apart.close()
        for path in sorted(self.folder.glob("daemon-*.log")):
            text = path.read_text(errors="replace")
            if show:
                print(f"-- {path.name}\n{text[-20000:]}", file=sys.stderr)
            assert daemons.SANITIZER.search(text) is None, text
        for member in self.members:
            assert member.process.returncode in (0, -9), (
                f"{member.text} ended with {member.process.returncode}:\n{member.log()}"
            )
        assert not errors, errors[:10]


def is_own(text):
    """Whether an address is of a test's own, which is in nobody's way."""
    return int(text.rsplit(":", 1)[0].rsplit(".", 1)[1]) >= OWN_PLACES


def one_view(members):
    """Whether each member holds exactly the others alive."""
    for member in members:
        wanted = {other.text for other in members if other is not member}
        alive = {text for text in member.alive() if not is_own(text)}
        if alive != wanted:
            return Not(f"{member.text} holds alive {sorted(alive)}, of all {member.peers()}")
    return True


def equal(members):
    digests = {member.text: member.digest() for member in members}
    return True if len(set(digests.values())) == 1 else Not(digests)


def all_hold(members, other, *states):
    """Whether each member has the other in one of the states."""
    for member in members:
        if member.state(other) not in states:
            return Not(f"{member.text} holds {other}: {member.state(other)}")
    return True


def has_everywhere(members, key, vector):
    for member in members:
        if member.vector(key) != vector:
            return Not(f"{member.text} has {member.vector(key)}")
    return True


def warnings(member, word):
    """Lines of its log that say a word."""
    return [line for line in member.log().splitlines() if word in line]
