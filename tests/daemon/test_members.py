"""What members keep from being done to each other, over real sockets.

Attackers are validated peers of 127.0.0.1, which the daemons trust, or say that they are: they
answer no probe, ask for many, tell clocks that are wrong, or speak under a member's address.
"""

import itertools
import socket
import threading
import time
import types

import pytest

import daemon as daemons
import extended_from_manual as manual
import wire

FAR = 5_980_000_000  # in 2159
NOTICED_S = 9


def joined(members):
    """Each daemon that runs holds each other one alive, on the extended level."""
    def are():
        live = [member for member in members if member.is_running]
        for member in live:
            found = {p["address"]: p for p in member.get("/peers").json()["peers"]}
            for other in live:
                peer = found.get(other.text)
                if other is not member and (
                    peer is None or peer["state"] != "alive" or peer["protocol"] != 1
                ):
                    return False
        return True

    daemons.eventually(are, NOTICED_S)


class Crowd:
    """Fakes that say who they are and that they live, to all daemons, and answer no probe."""

    def __init__(self, targets, count, ask=None):
        self.ask = ask
        self.peers = [manual.Peer(target) for target in targets for _ in range(count)]
        self.is_over = False
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join()
        for peer in self.peers:
            peer.close()

    def run(self):
        for peer in self.peers:
            peer.socket.setblocking(False)
            peer.introduce()
        while not self.is_over:
            for peer in self.peers:
                while self.hear(peer):
                    pass
            if self.ask is not None:
                self.ask(self.peers)
            time.sleep(0.01)

    def hear(self, peer):
        """Answer what came, if anything did, to where it came from."""
        try:
            datagram, source = peer.socket.recvfrom(65536)
        except BlockingIOError:
            return False
        first, peer.daemon = peer.daemon, types.SimpleNamespace(address=source)
        self.answer(peer, manual.read(datagram).get("x", {}))
        peer.daemon = first
        return True

    def answer(self, peer, x):
        """Echo tokens and refute what is said of us, to whoever asks."""
        slandered = False
        for item in x.get("b", []):
            if item.key == peer.key and item.vector.get(2, 0) > 4 * peer.start:
                peer.start = (item.vector[2] >> 2) + 1
                slandered = True
        if "t" in x or "?" in x or slandered:
            peer.hello(t=peer.token, **({"e": x["t"]} if "t" in x else {}))


class Liars(Crowd):
    """Members that ack whatever they are asked, also that they reached whom they never tried."""

    def answer(self, peer, x):
        peer.answer({"x": x})


@pytest.fixture
def four(cluster):
    members = cluster(4, "--set", "trust=127.0.0.0/8")
    joined(members)
    time.sleep(3)  # each has probed each other
    return members


def noticed(members, victim):
    """Seconds until all others hold it dead."""
    victim.kill()
    begin = time.monotonic()
    for member in members:
        if member is not victim:
            daemons.eventually(
                lambda member=member: member.peers().get(victim.text) == "dead", NOTICED_S)
    return time.monotonic() - begin


def test_a_death_is_noticed_among_thirty_that_never_answer(four):
    with Crowd(four[:1], 30):
        daemons.eventually(lambda: all(
            sum(state in ("alive", "suspect") for state in member.peers().values()) >= 33
            for member in four), 20)
        time.sleep(10)
        noticed(four, four[3])
        joined(four)


def test_a_death_is_noticed_though_a_helper_lies(four):
    with Liars(four[:1], 1):
        daemons.eventually(lambda: all(
            sum(state == "alive" for state in member.peers().values()) == 4
            for member in four), 20)
        time.sleep(8)  # it is probed, and so is known to all
        noticed(four, four[3])


def test_a_death_is_noticed_while_a_peer_asks_for_1000_probes_a_second(four):
    gone = [f"n:127.0.0.1:{port}" for port in range(1, 9)]
    wishes = itertools.cycle(gone)

    def ask(peers):
        for peer in peers:
            for _ in range(10):
                peer.say(q=peer.next_q(), p=next(wishes))

    with Crowd(four[:3], 1, ask) as crowd:
        time.sleep(1)
        for peer in crowd.peers:  # members that nobody can reach
            for key in gone:
                peer.say(d=0, b=[[key, {1: (peer.start << 16) + 1, 2: 4 * peer.start}]])
        time.sleep(5)
        noticed(four, four[3])
        joined(four)


def test_ports_of_one_host_do_not_evict_a_member_for_ever(four):
    victim = four[3]
    key = f"n:{victim.text}"
    with Crowd(four[:1], 17) as crowd:
        daemons.eventually(lambda: len(four[0].peers()) >= 20)
        for peer in crowd.peers:
            peer.start = FAR
            peer.hello(t=peer.token)  # it is asked to prove itself, and does
        time.sleep(1)
        victim.kill()  # it does not hear what is said of it
        for peer in crowd.peers:
            left = {2: 4 * FAR + 3, 3: FAR}
            peer.say(q=peer.next_q(), d=0, b=[[key, left]])
            peer.socket.sendto(wire.encode(key, left, ttl=3), four[0].address)
        time.sleep(1)
    victim.restart()
    joined(four)


def forge(source, target, datagram):
    """Send from a port that another process holds, as whoever is on the way can."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        header = b"".join(
            part.to_bytes(2, "big") for part in (source, target, 8 + len(datagram), 0))
        raw.sendto(header + datagram, ("127.0.0.1", 0))


def may_forge():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except PermissionError:
        return False
    return True


@pytest.mark.skipif(not may_forge(), reason="raw sockets need CAP_NET_RAW")
def test_a_forged_level_0_makes_no_member_plain(four):
    victim = four[3]
    later = int(time.time()) + 80000
    plain = wire.encode(f"n:{victim.text}", {1: later << 16, 2: 4 * later}, ttl=0, full=True)
    for member in four[:3]:
        forge(victim.port, member.port, plain)
    with manual.Peer(four[0]) as liar:
        liar.join()
        liar.push(d=0, b=[[f"n:{victim.text}", {1: later << 16}]])
    time.sleep(1)
    joined(four)
    noticed(four, victim)  # it is probed
