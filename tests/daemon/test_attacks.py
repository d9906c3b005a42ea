"""Attacks over real sockets, on daemons that trust nobody.

All of 127.0.0.0/8 is loopback, so an attacker has as many true source addresses as it likes; of
IPv6 it has one, with as many ports. While it does its worst the node answers /health, keeps within
its memory and serves its members; soon after it has stopped every view is right. What can be
attacked by forged source addresses too, and every combination with other faults, is the simulator's
(tests/sim/attack.h).
"""

import http.client
import random
import socket
import threading
import time

import msgpack
import pytest

import extended_from_manual as manual
import wire
from daemon import SLOWNESS, SPACIOUSNESS, at_most, eventually

STRANGE = ("--set", "trust=none")
VIEWS_S = 9  # until all is right after an attack
HEALTH_S = 0.1  # the 99th percentile of /health
MEMORY = 64 << 20  # max-memory
MEMORY_BESIDE = 48 << 20  # what the process and its queues may need beside the store
FAR = 5_990_000_000  # unix seconds in the year 2159
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
EDGES = [0, 1, 255, 256, *(2**n + d for n in (32, 53, 63) for d in (-1, 0, 1)), 2**64 - 1]


class Witness:
    """Asks a daemon for its health all the time, and how much memory it has."""

    def __init__(self, node):
        self.node = node
        self.took_s = []
        self.bytes_most = 0
        self.wrong = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def ask(self):
        begin = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.node.http_port, timeout=30)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()
        self.took_s.append(time.monotonic() - begin)
        self.bytes_most = max(self.bytes_most, self.node.memory_bytes())

    def watch(self):
        try:
            while not self.ended.wait(0.005):
                self.ask()
        except (OSError, AssertionError, http.client.HTTPException) as wrong:
            self.wrong = wrong

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        while kind is None and self.wrong is None and len(self.took_s) < 100:
            time.sleep(0.01)
        self.ended.set()
        self.thread.join()
        if kind is not None:
            return
        assert self.wrong is None, f"no health: {self.wrong!r}"
        assert self.node.is_running
        took_s = sorted(self.took_s)
        p99_s = took_s[len(took_s) * 99 // 100]
        print(f"/health: p99 {p99_s:.4f} s, longest {took_s[-1]:.4f} s of {len(took_s)}; "
              f"{self.bytes_most >> 20} MiB")
        assert p99_s <= at_most(HEALTH_S)
        assert SPACIOUSNESS > 1 or self.bytes_most <= MEMORY + MEMORY_BESIDE


def seen(node, query=""):
    """(state, protocol level) of its peers by address."""
    peers = node.get(f"/peers{query}").json()["peers"]
    return {peer["address"]: (peer["state"], peer["protocol"]) for peer in peers}


def are_right(nodes):
    """Every daemon that runs is an extended member to all others."""
    running = [node for node in nodes if node.is_running]
    return all(
        seen(one).get(other.text) == ("alive", 1)
        for one in running for other in running if one is not other
    )


def stays_right(nodes, for_s):
    limit = time.monotonic() + for_s * SLOWNESS
    while time.monotonic() < limit:
        assert are_right(nodes), [seen(node) for node in nodes]
        time.sleep(0.05)


@pytest.fixture
def strange(cluster):
    """Daemons that know each other and trust nobody."""
    return lambda count, **rest: cluster(
        count, *STRANGE, "--set", f"max-memory={MEMORY}", **rest
    )


@pytest.fixture
def lone(start):
    return start(*STRANGE, "--set", f"max-memory={MEMORY}")


class Liar(manual.Peer):
    """An extended peer that tells a clock of its own."""

    clock = None

    def presence(self):
        found = super().presence()
        if self.clock is not None:
            found[0] = self.clock
        return found


# -- Membership


@HOSTS
def test_sockets_of_one_host_move_no_clock_and_evict_nobody(strange, host):
    nodes = strange(3, host=host)
    victim = nodes[2]
    liars = [Liar(node) for node in nodes[:2] for _ in range(17)]
    for liar in liars:
        liar.join()
    for liar in liars:
        liar.clock = FAR
        liar.say(b=[[liar.key, {0: FAR, 1: FAR << 16 | 1}]], d=0)
        liar.hello(e=b"", t=liar.token)
        liar.introduce()
        liar.say(b=[[f"n:{victim.text}", {1: FAR << 16, 2: FAR << 2 | 3, 3: FAR}]], d=0)
    for liar in liars:
        liar.close()
    eventually(lambda: are_right(nodes), VIEWS_S)
    victim.kill()
    victim.restart()
    eventually(lambda: are_right(nodes), VIEWS_S)
    stays_right(nodes, 0.5)


@HOSTS
def test_the_level_of_a_member_falls_by_its_own_word_alone(strange, host):
    nodes = strange(3, host=host)
    with manual.Peer(nodes[0]) as host:
        host.join()
        for ahead_s in (1, 100, 86400, 170000):
            level = (int(time.time()) + ahead_s) << 16
            for node in nodes[1:]:
                host.push(b=[[f"n:{node.text}", {1: level}]], d=0)
                host.push(b=[[f"n:{node.text}", {1: level, 2: level >> 14}]], d=0)
        stays_right(nodes, 1)


@HOSTS
def test_words_of_a_host_end_no_member(strange, host):
    nodes = strange(3, host=host)
    with manual.Peer(nodes[0]) as host:
        host.join()
        for word in (1, 2, 3):
            for ahead_s in (0, 1000, 86000):
                now_s = int(time.time()) + ahead_s
                confirmed = {slot: now_s for slot in range(16, 24)}
                said = {2: now_s << 2 | word, 3: now_s, **confirmed}
                host.push(b=[[f"n:{nodes[2].text}", said]], d=0)
        eventually(lambda: are_right(nodes), VIEWS_S)
        stays_right(nodes, 1)


def test_three_hosts_in_trust_agree_on_a_slander_and_end_nobody(cluster):
    nodes = cluster(3, "--set", "trust=127.0.0.0/8")
    victim = nodes[2]
    hosts = [manual.Peer(node, f"127.0.0.{number}") for node in nodes for number in (11, 12, 13)]
    for host in hosts:
        host.join()
    for word in (1, 2, 3):
        for ahead_s in (0, 1000, 86000, 172000):
            told_s = int(time.time()) + ahead_s
            confirmed = {slot: told_s for slot in range(16, 24)}
            said = {2: told_s << 2 | word, 3: told_s, **confirmed}
            for host in hosts:
                host.say(b=[[f"n:{victim.text}", said]], d=0)
    eventually(lambda: are_right(nodes), VIEWS_S)
    stays_right(nodes, 1)
    for host in hosts:
        host.close()


# -- Sources without number


def loopback(number):
    return f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}"


def say_from(number, datagram, node):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((loopback(number), 0))
        sender.sendto(datagram, node.address)
        return "%s:%d" % sender.getsockname()


def test_thousands_of_addresses_become_no_members(strange):
    nodes = strange(3)
    known = set(seen(nodes[0]))
    wide = {block * 256: 1 for block in range(2000)}
    with Witness(nodes[0]):
        for number in range(3000):
            text = loopback(number)
            stamp = wire.encode(f"n:{text}:6000", {0: int(time.time()) // 60})
            say_from(number, stamp if number % 2 else wire.encode("hll", {number: 1}), nodes[0])
            if number % 10 == 0:
                time.sleep(0.001)  # the witness is a thread of the same interpreter
        begin = nodes[0].stats()
        nodes[0].post("/keys/wide", wide)
        eventually(lambda: nodes[2].vector("wide") == wide, VIEWS_S)
        end = nodes[0].stats()
        alive = set(seen(nodes[0], "?state=alive"))
        assert alive <= known, f"{len(alive - known)} strangers are members"
        assert end["sent_plain"] - begin["sent_plain"] <= 3000, "strangers are told of it"
        assert nodes[0].get("/ready").status == 200
    eventually(lambda: are_right(nodes), VIEWS_S)


def test_an_asker_gets_no_more_than_it_sends(lone):
    for number in range(300):
        lone.post(f"/keys/key{number}", {str(index): 1 for index in range(20)})
    for question in (b"\x83\xa3key\xa1%\xa6vector\x80\xa3ttl\x02", wire.encode("key1"),
                     wire.encode("key%"), wire.encode("*"), wire.encode("n:%")):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind(("127.9.9.9", 0))
            asker.settimeout(0.1)
            begin = time.monotonic()
            asker.sendto(question, lone.address)
            got = 0
            while time.monotonic() - begin < 0.5 * SLOWNESS:
                try:
                    got += len(asker.recv(65536)) + 28
                except TimeoutError:
                    pass
            floor = 156 * (2 + time.monotonic() - begin)
            assert got <= len(question) + 28 + floor, f"{question}: {got} bytes"


# -- Work


def blocks(chance, count):
    """A map of elements in blocks of their own, whose indices fall from an edge."""
    index = chance.choice(EDGES) or 2**64 - 1
    pairs = []
    for _ in range(count):
        pairs.append((index, chance.choice(EDGES)))
        index = (index - 1 - chance.randrange(2**chance.choice([1, 8, 16, 40]))) % 2**64
    return pairs


def frame(key, pairs):
    """A plain message with its elements in the order that is given."""
    packer = msgpack.Packer(use_bin_type=False, autoreset=False)
    packer.pack_map_header(3)
    packer.pack("key")
    packer.pack(key)
    packer.pack("vector")
    packer.pack_map_header(len(pairs))
    for index, value in pairs:
        packer.pack(index)
        packer.pack(value)
    packer.pack("ttl")
    packer.pack(3)
    return packer.bytes()


def test_elements_in_random_blocks_hold_up_nobody(strange):
    chance = random.Random(9)
    nodes = strange(2)
    big = [frame("one", blocks(chance, 3600)) for _ in range(20)]
    big += [frame(f"own:{number}", blocks(chance, 3600)) for number in range(60)]
    assert max(map(len, big)) <= 65507
    with Witness(nodes[0]), wire.Peer(nodes[0]) as peer:
        before = nodes[0].stats()["received_plain"]
        for number, datagram in enumerate(big, 1):
            peer.send(datagram)
            # Its receive queue holds a handful of these.
            eventually(lambda: nodes[0].stats()["received_plain"] - before >= number, 20)
        nodes[0].post("/keys/ours", {"0": 7})
        eventually(lambda: nodes[1].vector("ours") == {0: 7}, VIEWS_S)
    eventually(lambda: are_right(nodes), VIEWS_S)


def wide_key(node, count=60000):
    for first in range(0, count, 20000):
        wide = {block * 256: 1 for block in range(first, min(first + 20000, count))}
        answer = node.post("/keys/wide", wide)
        assert answer.status in (200, 201), answer
    return manual.key_hash("wide").to_bytes(8, "little")


def test_wants_and_questions_for_a_wide_key_hold_up_nobody(lone):
    wanted = wide_key(lone)
    digests = b"".join(b"\x00" + bytes(4) for _ in range(2))
    with Witness(lone), manual.Peer(lone) as host:
        host.join()
        for number in range(10):
            host.say(q=host.next_q(), w=wanted * 135)
            host.say(q=host.next_q(),
                     B=[[manual.D, int.from_bytes(wanted, "little"), False, digests]] * 45)
            for asker in range(10):
                say_from(70000 + 10 * number + asker, wire.encode("wide"), lone)
                say_from(80000 + 10 * number + asker, wire.encode("*w*i*d*e*"), lone)
            host.listen(0.05)
        host.listen(1.0)
    assert lone.vector("wide")[0] == 1


def test_tiny_datagrams_to_be_acked_starve_no_member(strange):
    nodes = strange(3)
    sources = []
    for number in range(300):
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        source.bind((loopback(90000 + number), 0))
        text = "%s:%d" % source.getsockname()
        sources.append((source, manual.peer_id(f"n:{text}")))
    try:
        with Witness(nodes[0]):
            for number in range(30000):
                source, name = sources[number % len(sources)]
                source.sendto(msgpack.packb(
                    {"key": "", "vector": {}, "ttl": 0, "x": {"i": name, "q": number}}
                ), nodes[0].address)
                if number % 10 == 0:
                    time.sleep(0.0002)
                if number % 10000 == 5000:
                    key = f"ours{number}"
                    nodes[0].post(f"/keys/{key}", {"0": 1})
                    eventually(lambda key=key: nodes[2].vector(key) == {0: 1}, VIEWS_S)
        assert are_right(nodes)
    finally:
        for source, _ in sources:
            source.close()
