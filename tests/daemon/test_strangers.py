"""Addresses that nobody vouches for: what they get, what they cost, and what they keep others from.

With `trust none` loopback is as strange as any other address, and all of 127.0.0.0/8 may be sent
from: every attack here comes from addresses that are not its sender's.
"""

import select
import socket
import threading
import time

import msgpack
import pytest

import extended_from_manual as manual
import wire
from daemon import SLOWNESS, endpoint_text, eventually, udp_socket

HEADER = 28  # IPv4 and UDP
FLOOR = 128 + HEADER  # one such datagram a second for whoever sent less
STRANGE = ("--set", "trust=none")


class Traffic:
    """A socket at an address of its own, and what went out and came back, headers counted."""

    def __init__(self, host="127.9.9.9", port=0):
        self.socket = udp_socket(host, port)
        self.sent = []
        self.came = []
        self.began = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def text(self):
        return endpoint_text(self.socket.getsockname())

    def send(self, datagram, to):
        self.sent.append(len(datagram) + HEADER)
        self.socket.sendto(datagram, to.address)

    def listen(self, for_s):
        limit = time.monotonic() + for_s
        while (left := limit - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self.came.append(len(self.socket.recv(65536)) + HEADER)

    def check(self):
        """No more came back than went out, but for what everybody may have."""
        seconds = int(time.monotonic() - self.began) + 1
        assert sum(self.came) <= sum(self.sent) + seconds * FLOOR, (self.sent, self.came)
        assert len(self.came) <= len(self.sent) + seconds, (self.sent, self.came)


def presence(text, now=None):
    now = int(now or time.time())
    return {1: now * 2**16 + 1, 2: 4 * now, 4: now * 2**16 + 7, 5: now * 2**16}


def forge(datagrams, to):
    """Send each datagram from an address of its own, about fifty networks in all."""
    for number, datagram in enumerate(datagrams):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.bind((f"127.{1 + number % 50}.{number // 12500}.{1 + number // 50 % 250}", 0))
            made.sendto(datagram, to.address)


def one_view(members):
    """Each holds each of the others alive, and nobody else."""
    texts = {member.text for member in members}
    for member in members:
        if {text for text, state in member.peers().items() if state == "alive"} != (
            texts - {member.text}
        ):
            return False
    return True


def sent(member):
    """Datagrams of all kinds."""
    stats = member.stats()
    kinds = ("plain", "hello", "probe", "ack", "push", "sync")
    return sum(stats[f"sent_{kind}"] for kind in kinds)


def within(seconds):
    return seconds * SLOWNESS


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request):
    """Where daemons gossip."""
    return request.param


def stranger_to(node):
    return Traffic("127.9.9.9" if node.host == "127.0.0.1" else node.host)


@pytest.fixture
def node(start, host):
    """A daemon that has much to tell."""
    node = start(*STRANGE, host=host)
    node.post("/keys", {f"k{number:04}": {"0": number + 1} for number in range(1000)})
    node.post("/keys/sketch", {str(index): 1 + index % 60 for index in range(4096)})
    return node


@pytest.fixture
def three(cluster):
    return cluster(3, *STRANGE)


QUESTIONS = {
    "sketch": wire.encode("sketch", ttl=3),
    "search": wire.encode("k%", ttl=3),
    "all": wire.encode("%", ttl=3),
    "join": wire.encode("k*", ttl=3),
    "peers": wire.encode("n:%", ttl=3),
    "empty": wire.encode("sketch", {0: 0}, ttl=3, full=True),
    "full": wire.encode("k0001", {7: 1}, ttl=3, full=True),
    "extended": msgpack.packb({"key": "", "vector": {}, "ttl": 0, "x": {"q": 7, "?": 7}}),
}


@pytest.mark.parametrize("host", ["127.0.0.1"], indirect=True)
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_question_draws_no_more_than_it_brings(node, question):
    with stranger_to(node) as stranger:
        for _ in range(3):
            stranger.send(question, node)
            stranger.listen(0.5)
        stranger.listen(2)
        stranger.check()


@pytest.mark.parametrize("host", ["::1"], indirect=True)
def test_questions_of_an_ipv6_host_draw_no_more_than_they_bring(node):
    """Each from a port of its own: to all of them together goes what may go to one network."""
    strangers = [stranger_to(node) for _ in QUESTIONS]
    for _ in range(3):
        for stranger, question in zip(strangers, QUESTIONS.values()):
            stranger.send(question, node)
            stranger.listen(0.05)
    strangers[0].listen(1)
    seconds = int(time.monotonic() - strangers[0].began) + 1
    came = 0
    for stranger in strangers:
        stranger.listen(0.05)
        came += sum(stranger.came) - sum(stranger.sent)
        stranger.socket.close()
    assert came <= seconds * FLOOR


def test_an_introduction_draws_no_more_than_it_brings(node):
    with stranger_to(node) as stranger:
        key = f"n:{stranger.text}"
        first = wire.encode(key, presence(stranger.text), ttl=0, full=True)
        x = {"i": manual.peer_id(key), "q": 9, "t": bytes(6)}
        hello = {"key": key, "vector": presence(stranger.text), "full": True, "ttl": 0, "x": x}
        asked = {"key": "", "vector": {}, "ttl": 0, "x": {**x, "w": bytes(range(8)) * 100}}
        for datagram in (first, msgpack.packb(hello), msgpack.packb(asked)) * 3:
            stranger.send(datagram, node)
            stranger.listen(0.3)
        stranger.listen(2)
        assert stranger.came, "a stranger is told how to become a peer"
        stranger.check()
        assert stranger.text not in node.peers()


def test_an_update_does_not_go_to_strangers(node):
    with stranger_to(node) as stranger:
        stranger.send(wire.encode("hello", {1: 1}, ttl=3), node)
        eventually(lambda: node.vector("hello"))
        node.post("/keys", {f"news{number}": {"0": 1} for number in range(300)})
        stranger.listen(2)
        stranger.check()
        assert stranger.text not in node.peers()


def test_a_plain_peer_that_is_not_trusted_gets_what_it_sends(node):
    with wire.Peer(node) as peer:
        peer.say("k0007", {0: 3, 900: 1})
        assert peer.hear_key("k0007")[1] == {0: 8}
        peer.say("k0007", {}, padding="x" * 100)
        assert peer.hear(lambda key, vector, *_: key == "k0007" and len(vector) == 2)
        assert node.vector("k0007") == {0: 8, 900: 1}
        assert peer.text not in node.peers()


def test_two_that_trust_nobody_join_within_two_seconds(start, host):
    first = start(*STRANGE, host=host)
    began = time.monotonic()
    second = start(*STRANGE, seeds=[first], host=host)
    eventually(lambda: one_view([first, second]), 3)
    assert time.monotonic() - began < within(2)


def test_seven_that_trust_nobody_have_one_view_within_nine_seconds(cluster):
    members = cluster(7, *STRANGE)
    eventually(lambda: one_view(members), 9)


def test_forged_addresses_become_no_members_and_keep_nobody_out(three, start):
    forge([wire.encode("word", {1: 1}, ttl=3)] * 7000, three[0])
    assert sum(len(member.peers()) for member in three) == 6
    began = time.monotonic()
    joiner = start(*STRANGE, seeds=[three[0]])
    eventually(lambda: one_view([*three, joiner]), 5)
    assert time.monotonic() - began < within(5)
    before = sent(three[0])
    three[0].post("/keys", {f"news{number}": {"0": 1} for number in range(300)})
    eventually(lambda: joiner.vector("news299"), 5)
    assert sent(three[0]) - before < 600


def test_a_newcomer_joins_while_forged_introductions_come(three, start):
    """Each of them is answered, as far as the strangers' share goes."""
    ending = threading.Event()

    def flood():
        number = 0
        while not ending.is_set():
            host = f"127.{1 + number % 200}.{number // 200 % 200}.{1 + number // 40000 % 200}"
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
                made.bind((host, 0))
                text = "%s:%d" % made.getsockname()
                datagram = wire.encode(f"n:{text}", presence(text), ttl=2, full=True)
                made.sendto(datagram, three[0].address)
            number += 1
            if number % 20 == 0:
                ending.wait(0.01)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        began = time.monotonic()
        joiner = start(*STRANGE, seeds=[three[0]])
        eventually(lambda: one_view([*three, joiner]), 6)
        assert time.monotonic() - began < within(5)
        began = time.monotonic()
        assert three[0].get("/health").status == 200
        assert time.monotonic() - began < within(0.5)
    finally:
        ending.set()
        thread.join()
    eventually(lambda: one_view([*three, joiner]), 9)


def test_acks_to_strangers_leave_the_rate_to_members(three, start):
    """Tiny datagrams that want an ack, from 300 addresses, as fast as they can be sent."""
    sources = []
    for number in range(300):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((f"127.{1 + number % 50}.7.{1 + number // 50}", 0))
        key = manual.peer_id("n:%s:%d" % made.getsockname())
        x = {"i": key, "q": number}
        sources.append((made, msgpack.packb({"key": "", "vector": {}, "ttl": 0, "x": x})))
    ending = threading.Event()

    def flood():
        while not ending.is_set():
            for made, datagram in sources:
                try:
                    made.sendto(datagram, three[0].address)
                except OSError:
                    pass
            ending.wait(0.001)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        joiner = start(*STRANGE, seeds=[three[0]])
        for number in range(5):
            three[0].post(f"/keys/under{number}", {"0": 1})
            eventually(lambda number=number: three[1].vector(f"under{number}"), 2)
        eventually(lambda: one_view([*three, joiner]), 5)
    finally:
        ending.set()
        thread.join()
        for made, _ in sources:
            made.close()
    assert sum(member.stats()["deaths"] for member in three) == 0
    eventually(lambda: one_view([*three, joiner]), 9)


def test_a_forged_presence_is_reflected_once(cluster):
    members = cluster(5, *STRANGE)
    with Traffic("127.7.7.7") as victim:
        vector = presence(victim.text)
        victim.send(wire.encode(f"n:{victim.text}", vector, ttl=3, full=True), members[0])
        victim.listen(5)
        assert len(victim.came) <= 1 and sum(victim.came) <= sum(victim.sent)
        assert all(victim.text not in member.peers() for member in members)


def test_what_a_member_makes_up_takes_no_place_from_who_is_there(start):
    """A validated peer tells of 9,000 addresses. A newcomer joins all the same."""
    member = start(*STRANGE)
    with manual.Peer(member) as liar:
        liar.join()
        now = int(time.time())
        for first in range(0, 9000, 15):
            items = []
            for number in range(first, first + 15):
                host = f"127.100.{number // 250}.{1 + number % 250}"
                items.append([f"n:{host}:9", {1: now * 2**16 + 1, 2: 4 * now}])
            liar.say(d=255, b=items)
            liar.take(lambda *_: False, 0.002)
        joiner = start(*STRANGE, seeds=[member])
        eventually(lambda: member.peers().get(joiner.text) == "alive", 5)
        eventually(lambda: joiner.peers().get(member.text) == "alive", 5)
        told = member.stats()["peers_new"]
    assert 2800 < told < 3200, told  # half of what all who tell of some may have
