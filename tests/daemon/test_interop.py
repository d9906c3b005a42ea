"""The two first implementations in one network with us.

Each is modelled with its bugs (prototypes.py). In every network: neither would have died by
anything that reached it, none is drawn into an endless exchange, and what one writes is read by
all, the other kind included, although the two cannot live in one network without us.
"""

import contextlib
import socket
import time

import pytest

import wire
from daemon import SLOWNESS, eventually
from prototypes import STORM, Clojure, Ruby

LONG_KEY = "a key that is longer than thirty-one bytes"


def check_alive(*prototypes):
    for prototype in prototypes:
        assert prototype.deaths == [], f"{prototype.text} would have died: {prototype.deaths}"
        assert prototype.busiest < STORM, f"{prototype.busiest} datagrams in a second"
        assert prototype.heard > 0


def in_all(prototypes, key, vector, within_s):
    eventually(lambda: all(p.vector(key) == vector for p in prototypes), within_s, 0.05)


# -- the models: what they would have died of, as it was seen with the originals

RUBY_DIES = {
    "nothing": b"", "no map": b"\x05", "a byte too many": wire.encode("a", {0: 1}) + b"\0",
    "the byte that is never used": b"\xc1", "an aggregate": wire.encode("a*", {}),
    "a broken pattern": wire.encode("(%", {}), "no vector": b"\x82\xa3key\xa1a\xa3ttl\x03",
    "no ttl": wire.encode("known", {0: 1}, ttl=None), "too long": wire.encode("a" * 1500, {0: 1}),
}
CLOJURE_DIES = {
    "nothing": b"", "no map": b"\x05", "str8": b"\x82\xa3key\xd9\x01a\xa6vector\x81\x00\x01",
    "bin": b"\x82\xa3key\xc4\x01a\xa6vector\x81\x00\x01", "no key": b"\x81\xa3foo\x80",
    "a broken pattern": wire.encode("(%", {}), "a text": wire.encode("a", {0: "x"}),
    "a peer without a port": wire.encode("n:foo", {0: 1}),
}


@pytest.mark.parametrize("kind, name", [(Ruby, name) for name in RUBY_DIES] + [
    (Clojure, name) for name in CLOJURE_DIES])
def test_the_models_die_of_what_the_originals_died_of(kind, name):
    with kind() as prototype, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(wire.encode("known", {0: 5}), prototype.address)
        eventually(lambda: prototype.vector("known") == {0: 5})
        assert prototype.deaths == []
        sender.sendto((RUBY_DIES if kind is Ruby else CLOJURE_DIES)[name], prototype.address)
        eventually(lambda: prototype.deaths)


def test_two_ruby_models_storm_when_nobody_protects_them():
    with Ruby(updates=False) as first, Ruby(updates=False) as second:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
            for victim, other in ((first, second), (second, first)):
                stamp = {0: int(time.time())}
                liar.sendto(wire.encode(f"n:{other.text}", stamp, ttl=50), victim.address)
            first.socket.sendto(wire.encode("hll", {0: 1}, ttl=50), second.address)
            eventually(lambda: max(first.busiest, second.busiest) > STORM, 5)


def data_frame(peer):
    """The next message that is not about a peer, in hex."""
    while b"n:" in (frame := peer.socket.recv(1500)):
        pass
    return frame.hex()


def test_a_ruby_model_answers_and_passes_on_as_the_original():
    with Ruby(updates=False) as ruby, wire.Peer(ruby) as a, wire.Peer(ruby) as b:
        for peer in (a, b):
            peer.say("hello", {0: 1}, ttl=1)
        eventually(lambda: len(ruby.peers()) == 2)
        a.send(bytes.fromhex("83a36b6579a3666f6fa6766563746f728200050307a374746c0a"))
        assert data_frame(b) == "83a36b6579a3666f6fa6766563746f728200050307a374746c09"
        a.send(bytes.fromhex("83a36b6579a3666f6fa6766563746f7283000803020501a374746c0a"))
        assert data_frame(a) == "83a36b6579a3666f6fa6766563746f72810307a374746c09"
        assert data_frame(b) == "83a36b6579a3666f6fa6766563746f728200080501a374746c09"


# -- with us


def test_ruby_alone_with_us_is_told_what_it_asks_and_what_changes(node):
    node.post("/keys/before", {"0": 5})
    node.post(f"/keys/{LONG_KEY.replace(' ', '%20')}", {"0": 5})
    with Ruby(seeds=[node]) as ruby:
        eventually(lambda: node.peers().get(ruby.text) == "alive")
        node.post("/keys/after", {str(i): i + 1 for i in range(300)})
        in_all([ruby], "after", {i: i + 1 for i in range(300)}, 10)
        eventually(lambda: node.vector("hll") and node.vector("hll") == ruby.vector("hll"))
        check_alive(ruby)


def test_three_ruby_nodes_learn_of_each_other_through_us(node):
    with contextlib.ExitStack() as stack:
        rubies = [stack.enter_context(Ruby(seeds=[node])) for _ in range(3)]
        eventually(lambda: len(node.peers()) == 3)
        node.post("/keys/news", {"1": 2})
        in_all(rubies, "news", {1: 2}, 5)
        eventually(lambda: all(len(r.peers()) >= 2 for r in rubies), 10)
        time.sleep(3)
        check_alive(*rubies)


def test_a_ruby_node_with_a_clock_ahead_starts_no_storm_through_us(node):
    with Ruby(seeds=[node]) as first, Ruby(seeds=[node]) as second, wire.Peer(node) as liar:
        eventually(lambda: len(node.peers()) >= 2)
        now = int(time.time())
        for victim in (first, second):
            for stamp in (now // 60 + 1, now // 60 + 60, now, now * 1000):
                liar.say(f"n:{victim.text}", {0: stamp}, ttl=50)
        liar.listen(4)
        check_alive(first, second)
        assert node.stats()["sent_plain"] < 300


def test_clojure_hears_in_bursts_and_so_finds_the_quiet_it_needs(node):
    with Clojure(seeds=[node]) as clojure:
        eventually(lambda: node.peers().get(clojure.text) == "alive", 6)
        clojure.set("theirs", {0: 5})
        for i in range(8):
            node.post(f"/keys/ours{i}", {"0": i + 1})
            time.sleep(0.1)
        eventually(lambda: node.vector("theirs") == {0: 5}, 15)
        eventually(lambda: all(clojure.vector(f"ours{i}") == {0: i + 1} for i in range(8)), 15)
        check_alive(clojure)


@pytest.mark.parametrize("count", [1, 3])
def test_both_kinds_in_one_network_live_and_agree(cluster, count):
    nodes = cluster(count)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(Ruby(seeds=[nodes[0]]))
        second = stack.enter_context(Ruby(seeds=[nodes[-1]], updates=False))
        clojure = stack.enter_context(Clojure(seeds=[nodes[count // 2]]))
        prototypes = (first, second, clojure)
        eventually(lambda: all(
            set(node.peers()) >= {p.text for p in prototypes} for node in nodes
        ), 15)
        clojure.set(LONG_KEY, {1: 2, 3: 4})
        nodes[-1].post("/keys/from-http", {"0": 7, "9007199254740993": "9007199254740993"})
        with wire.Peer(nodes[0]) as peer:
            peer.say("from-wire", {0: 2**64 - 1}, full=True)
        in_all(prototypes, "from-http", {0: 7, 2**53 + 1: 2**53 + 1}, 20)
        in_all(prototypes, "from-wire", {0: 2**64 - 1}, 20)
        eventually(lambda: first.vector(LONG_KEY) == {1: 2, 3: 4}, 25)
        for node in nodes:
            eventually(lambda node=node: node.vector(LONG_KEY) == {1: 2, 3: 4}, 5)
            assert len(node.vector("hll")) > 1
        check_alive(*prototypes)
        assert not any(key == f"n:{first.text}" for key in clojure.store)
        assert not any(key == f"n:{clojure.text}" for key in first.store)


def test_poison_that_one_peer_sends_reaches_no_prototype(node):
    """Each of these kills a prototype when it arrives; we drop it, or say it in a safe form."""
    with Ruby(seeds=[node]) as ruby, Clojure(seeds=[node]) as clojure, wire.Peer(node) as peer:
        eventually(lambda: {ruby.text, clojure.text} <= set(node.peers()), 6)
        for datagram in (b"", b"\xc1", b"\x07", b"\x80", b"\x81\xa1", b"\x83\xa3key\x05"):
            peer.send(datagram)
        for key in ("n:", "n:foo", "n:host:7005", "n:127.0.0.1:0", "n:[::1]:7005", "a*", "(%", "[%",
                    "x\nn:bad", "n:255.255.255.255:7005", "n:127.0.0.1:99999", "tab\tkey"):
            peer.say(key, {0: int(time.time() // 60)}, ttl=50)
        peer.say("wide", {i: 2**60 + i for i in range(3000)}, full=True)
        for fields in ({}, {"ttl": None}):
            peer.say(LONG_KEY, {0: 1}, **fields)
        peer.say("zeros", {0: 0, 1: 0})
        peer.say("last", {0: 1})
        eventually(lambda: ruby.vector("last") == {0: 1}, 20)
        eventually(lambda: clojure.vector(LONG_KEY) == {0: 1}, 25)
        check_alive(ruby, clojure)
        for prototype in (ruby, clojure):
            bad = [k for k in prototype.store if "\n" in k or "*" in k or "\t" in k]
            assert bad == []


def test_a_prototype_that_went_deaf_does_not_keep_us_busy(node):
    with Ruby(seeds=[node]) as ruby:
        eventually(lambda: node.peers().get(ruby.text) == "alive")
        ruby.deaths.append("on purpose")
        for i in range(20):
            node.post(f"/keys/k{i}", {"0": 1})
        before = node.stats()["sent_plain"]
        time.sleep(3)
        assert node.stats()["sent_plain"] - before < 40 * SLOWNESS
