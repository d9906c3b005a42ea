"""Nodes among themselves, and every rule of the plain wire against a real daemon.

    joining            started with two seeds as README says, who knows whom, restart, good-bye
    dissemination      how soon an update is elsewhere
    plain messages     what goes back, what goes on, what is asked, what is dropped
    presence           who counts as a peer, how a stamp is read, what is never said
"""

import statistics
import struct
import time

import msgpack
import pytest

import wire
from daemon import at_most, eventually


# -- nodes among themselves


def test_three_nodes_as_in_the_readme_know_each_other(start):
    first = start()
    second = start(seeds=[first])
    third = start(seeds=[first, second])
    for node in (first, second, third):
        others = {other.text for other in (first, second, third)} - {node.text}
        eventually(
            lambda node=node, others=others: node.peers() == dict.fromkeys(others, "alive")
        )
        eventually(lambda node=node: node.get("/ready").status == 200)


def test_an_update_is_readable_everywhere_within_a_fifth_of_a_second(cluster, chance):
    nodes = cluster(3)
    times = []
    for round_number in range(15):
        writer, *readers = chance.sample(nodes, 3)
        begin = time.monotonic()
        answer = writer.post(f"/keys/update:{round_number}", {"0": round_number + 1})
        assert answer.status == 201
        for reader in readers:
            eventually(
                lambda reader=reader, n=round_number: reader.vector(f"update:{n}") == {0: n + 1},
                within_s=5,
                every_s=0.002,
            )
        times.append(time.monotonic() - begin)
    assert statistics.median(times) < at_most(0.2), times


def test_updates_at_all_nodes_at_once_become_the_same_maximum(cluster):
    nodes = cluster(3)
    expected = {}
    for step in range(120):
        node = nodes[step % 3]
        key, index, value = f"key{step % 7}", step % 11, (step * 7919) % 1000 + 1
        node.post(f"/keys/{key}", {str(index): value})
        expected.setdefault(key, {})
        expected[key][index] = max(expected[key].get(index, 0), value)
    for node in nodes:
        eventually(lambda node=node: node.keys() == expected)
    assert len({node.digest() for node in nodes}) == 1


def test_a_deletion_is_everywhere_and_known_to_who_joins_late(start):
    first = start()
    second = start(seeds=[first])
    eventually(lambda: first.peers() == {second.text: "alive"})
    first.post("/keys/foo", {"0": 5})
    eventually(lambda: second.get("/keys/foo").status == 200)
    assert second.request("DELETE", "/keys/foo").status == 200
    eventually(lambda: first.get("/keys/foo").status == 404)
    late = start(seeds=[first])
    eventually(lambda: late.stats()["tombstones"] == 1)
    late.post("/keys/foo", {"1": 1})
    for node in (first, second, late):
        eventually(lambda node=node: node.vector("foo") == {1: 1})
        assert node.stats()["tombstones"] == 0


def test_a_node_that_joins_late_gets_all_there_was(start):
    first = start()
    lines = "".join(
        '{"key":"key%05d","vector":{"%d":%d}}\n' % (i, i % 300, i + 1) for i in range(5000)
    )
    answer = first.post("/keys", lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200
    second = start(seeds=[first])
    eventually(lambda: second.digest() == first.digest(), within_s=20, every_s=0.1)
    assert second.stats()["keys"] == 5000


def test_a_node_that_is_killed_is_noticed_and_one_that_returns_is_taken_back(cluster):
    first, second, third = cluster(3, "--set", "probe-interval=100ms")
    third.kill()
    eventually(lambda: first.peers()[third.text] in ("suspect", "dead"), 8)
    first.post("/keys/meanwhile", {"0": 1})
    third.restart()
    for node in (first, second):
        eventually(lambda node=node: node.peers()[third.text] == "alive", 10)
    eventually(lambda: third.vector("meanwhile") == {0: 1}, 10)


def test_a_node_that_stops_cleanly_has_left_and_nobody_suspects_it(cluster):
    first, second, third = cluster(3)
    begin = time.monotonic()
    assert third.stop() == 0
    assert time.monotonic() - begin < at_most(2)
    for node in (first, second):
        eventually(lambda node=node: node.peers()[third.text] == "left", 2)
        assert node.stats()["suspicions"] == 0


def test_a_partner_that_is_not_there_yet_is_joined_when_it_comes(start):
    late = start()
    port = late.port
    late.stop()
    early = start(seeds=[f"127.0.0.1:{port}"])
    assert early.get("/ready").status == 503
    late.restart()
    eventually(lambda: early.peers().get(late.text) == "alive", 4)
    eventually(lambda: early.get("/ready").status == 200)


def test_nodes_of_clusters_with_other_names_do_not_mix(start):
    red = start("--set", "cluster=red")
    blue = start("--set", "cluster=blue", seeds=[red])
    blue.post("/keys/secret", {"0": 1})
    time.sleep(1.0)
    assert red.vector("secret") == {}
    assert "alive" not in red.peers().values()


# -- plain messages: what goes back


def test_larger_elements_go_back_to_the_sender_and_smaller_ones_rise(node):
    node.post("/keys/foo", {"0": 5, "1": 11, "5": 3})
    with wire.Peer(node) as peer:
        peer.say("foo", {0: 8, 1: 7, 5: 3})
        key, vector, ttl, full = peer.hear_key("foo")[:4]
        assert (vector, ttl) == ({1: 11}, 2)
    assert node.vector("foo") == {0: 8, 1: 11, 5: 3}


def test_an_empty_vector_asks_for_all(node):
    node.post("/keys/foo", {"0": 5, "9": "18446744073709551615"})
    with wire.Peer(node) as peer:
        peer.say("foo", {}, ttl=2)
        key, vector, ttl, full = peer.hear_key("foo")[:4]
        assert (vector, ttl, full) == ({0: 5, 9: 2**64 - 1}, 1, True)
        peer.send(msgpack.packb({"key": "foo", "ttl": 5}))  # no vector at all
        assert peer.hear_key("foo")[1] == {0: 5, 9: 2**64 - 1}


def test_a_full_vector_is_answered_with_what_it_does_not_list(node):
    node.post("/keys/foo", {"0": 5, "7": 2, "9": 3})
    with wire.Peer(node) as peer:
        peer.say("foo", {0: 5, 7: 1})
        assert peer.hear_key("foo")[1] == {7: 2}
        peer.say("foo", {0: 5, 7: 1}, full=True)
        assert peer.hear_key("foo")[1] == {7: 2, 9: 3}


def test_equal_vectors_are_answered_with_silence(node):
    node.post("/keys/foo", {"0": 5})
    with wire.Peer(node) as peer:
        peer.say("foo", {0: 5}, full=True)
        assert peer.quiet("foo", 0.5) == []


def test_an_unknown_key_is_answered_with_silence(node):
    with wire.Peer(node) as peer:
        peer.say("unheard-of", {})
        assert peer.quiet("unheard-of", 0.5) == []


def test_a_big_vector_comes_back_in_several_messages_that_join_to_all_of_it(node):
    everything = {i * 3: i + 1000 for i in range(1000)}
    node.post("/keys/big", {str(i): v for i, v in everything.items()})
    with wire.Peer(node) as peer:
        peer.say("big", {})
        joined = {}
        eventually(
            lambda: joined.update(
                pair for message in peer.quiet("big", 0.05) for pair in message[1].items()
            ) or joined == everything,
            10,
        )
        assert len([message for message in peer.heard if message[0] == "big"]) > 5
        assert all(message[3] for message in peer.heard if message[0] == "big")


@pytest.mark.parametrize("ttl, answered", [(0, None), (1, None), (2, 1), (3, 2), (4, 3), (50, 3),
                                           (51, 3), (2**64 - 1, 3), (None, 3)])
def test_the_answer_has_one_hop_less_and_three_at_most(shared, ttl, answered):
    shared.post("/keys/hops", {"0": 5})
    with wire.Peer(shared) as peer:
        peer.say("hops", {}, ttl=ttl)
        if answered is None:
            assert peer.quiet("hops", 0.4) == []
        else:
            assert peer.hear_key("hops")[2] == answered


# -- plain messages: what goes on


def test_what_raised_goes_on_to_other_plain_peers_and_only_that(node):
    node.post("/keys/foo", {"0": 5, "1": 5})
    with wire.Peer(node) as sender, wire.Peer(node) as other:
        other.say("hello", {0: 1})
        eventually(lambda: node.peers().get(other.text) == "alive")
        sender.say("foo", {0: 9, 1: 3, 2: 4}, ttl=10)
        key, vector, ttl, full = other.hear_key("foo")[:4]
        assert (vector, ttl) == ({0: 9, 2: 4}, 3)
        assert [message[1] for message in sender.quiet("foo", 0.3)] == [{1: 5}]


def test_with_one_hop_left_an_update_is_taken_and_not_passed_on(node):
    with wire.Peer(node) as sender, wire.Peer(node) as other:
        other.say("hello", {0: 1})
        eventually(lambda: node.peers().get(other.text) == "alive")
        for ttl in (0, 1):
            sender.say(f"foo{ttl}", {0: 9}, ttl=ttl)
            eventually(lambda ttl=ttl: node.vector(f"foo{ttl}") == {0: 9})
            assert other.quiet(f"foo{ttl}", 0.4) == []


def test_an_update_by_http_goes_to_plain_peers(node):
    with wire.Peer(node) as peer:
        peer.say("hello", {0: 1})
        eventually(lambda: node.peers().get(peer.text) == "alive")
        node.post("/keys/news", {"3": 14})
        assert peer.hear_key("news")[1] == {3: 14}


def test_to_at_most_eight_plain_peers_goes_all_and_to_more_only_some(node):
    peers = [wire.Peer(node) for _ in range(8)]
    try:
        for peer in peers:
            peer.say("hello", {0: 1})
        eventually(lambda: list(node.peers().values()) == ["alive"] * 8)
        node.post("/keys/eight", {"0": 1})
        for peer in peers:
            peer.hear_key("eight")
        peers += [wire.Peer(node) for _ in range(4)]
        for peer in peers[8:]:
            peer.say("hello", {0: 1})
        eventually(lambda: list(node.peers().values()) == ["alive"] * 12)
        node.post("/keys/twelve", {"0": 1})
        time.sleep(0.5)
        assert sum(bool(peer.quiet("twelve", 0.02)) for peer in peers) == 4
    finally:
        for peer in peers:
            peer.close()


def test_a_key_unseen_before_and_not_full_is_asked_for(node):
    with wire.Peer(node) as sender, wire.Peer(node) as other:
        other.say("hello", {0: 1}, full=True)
        eventually(lambda: node.peers().get(other.text) == "alive")
        sender.say("piece", {0: 1})
        other.hear(lambda key, vector, *_: key == "piece" and not vector)
        sender.say("whole", {0: 1}, full=True)
        assert other.hear_key("whole")[1] == {0: 1}
        assert [m for m in other.listen(0.4) if m[0] == "whole" and not m[1]] == []


def test_questions_for_keys_unseen_before_are_limited(node):
    with wire.Peer(node) as sender:
        sender.say("hello", {0: 1}, full=True)
        for i in range(200):
            sender.say(f"flood{i}", {0: 1})
        asked = [m for m in sender.listen(2.0) if m[0].startswith("flood") and not m[1]]
        assert 1 <= len(asked) <= 20, len(asked)
        eventually(lambda: node.stats()["keys"] == 201)


# -- questions


def test_a_search_answers_each_key_that_matches_with_what_is_larger(node):
    for key, vector in {"foo1": {"0": 5}, "foo2": {"0": 1, "1": 4}, "xfoo": {"0": 9}}.items():
        node.post(f"/keys/{key}", vector)
    with wire.Peer(node) as peer:
        peer.say("foo%", {0: 1})
        found = {message[0]: message[1] for message in peer.listen(1.0)}
        found = {key: vector for key, vector in found.items() if "foo" in key}
        assert found == {"foo1": {0: 5}, "foo2": {1: 4}}
    assert "foo%" not in node.keys()


def test_a_search_stops_at_search_max(start):
    node = start("--set", "search-max=3")
    for i in range(10):
        node.post(f"/keys/foo{i}", {"0": 1})
    with wire.Peer(node) as peer:
        peer.say("foo%", {})
        found = {message[0] for message in peer.listen(1.5) if "foo" in message[0]}
        assert found == {"foo0", "foo1", "foo2"}


def test_a_pattern_never_stores_whatever_it_brings(node):
    with wire.Peer(node) as peer:
        for key in ("a*", "b%", "*", "%", "a%b*", "n:*", "n:%"):
            peer.say(key, {0: 7, 1: 8})
        peer.say("end", {0: 1})
        eventually(lambda: node.vector("end") == {0: 1})
    assert node.keys() == {"end": {0: 1}}


def test_a_search_for_peers_tells_of_live_ones(cluster):
    nodes = cluster(3)
    with wire.Peer(nodes[0]) as peer:
        peer.say("n:%", {}, ttl=5)
        wanted = {f"n:{node.text}" for node in nodes}
        eventually(
            lambda: peer.listen(0.1) is not None
            and wanted <= {message[0] for message in peer.heard},
            3,
        )


# -- what is taken and what is dropped


def head(size=2):
    return bytes([0x80 | size])


FOO = b"\xa3foo"
KEY = b"\xa3key"
VECTOR = b"\xa6vector"

ACCEPTED = {
    "key last": (head() + VECTOR + b"\x81\x00\x05" + KEY + FOO, {0: 5}),
    "map of 16 bits": (b"\xde\x00\x02" + KEY + FOO + VECTOR + b"\x81\x00\x05", {0: 5}),
    "map of 32 bits": (b"\xdf\0\0\0\x02" + KEY + FOO + VECTOR + b"\xdf\0\0\0\x01\x00\x05", {0: 5}),
    "key as str8": (head() + KEY + b"\xd9\x03foo" + VECTOR + b"\x81\x00\x05", {0: 5}),
    "key as str16": (head() + KEY + b"\xda\x00\x03foo" + VECTOR + b"\x81\x00\x05", {0: 5}),
    "key as str32": (head() + KEY + b"\xdb\0\0\0\x03foo" + VECTOR + b"\x81\x00\x05", {0: 5}),
    "key as bin8": (head() + KEY + b"\xc4\x03foo" + VECTOR + b"\x81\x00\x05", {0: 5}),
    "names as bin": (head() + b"\xc4\x03key" + FOO + b"\xc4\x06vector" + b"\x81\x00\x05", {0: 5}),
    "widest numbers": (
        head() + KEY + FOO + VECTOR + b"\x81\xcf" + struct.pack(">Q", 3) + b"\xcf"
        + struct.pack(">Q", 2**64 - 1), {3: 2**64 - 1}),
    "largest index": (
        head() + KEY + FOO + VECTOR + b"\x81\xcf" + b"\xff" * 8 + b"\x01", {2**64 - 1: 1}),
    "signed forms": (head() + KEY + FOO + VECTOR + b"\x81\xd0\x03\xd3\0\0\0\0\0\0\0\x07", {3: 7}),
    "an index twice": (head() + KEY + FOO + VECTOR + b"\x83\x00\x05\x00\x09\x00\x02", {0: 9}),
    "zeros": (head() + KEY + FOO + VECTOR + b"\x82\x00\x05\x01\x00", {0: 5}),
    "indices in any order": (head() + KEY + FOO + VECTOR + b"\x83\x09\x01\x02\x01\x05\x01",
                             {2: 1, 5: 1, 9: 1}),
    "unknown fields": (
        head(5) + b"\xa1z\x93\x01\xc0\xcb" + b"\0" * 8 + KEY + FOO + b"\xa1y\xc7\x01\x05a"
        + VECTOR + b"\x81\x00\x05" + b"\x07\xc3", {0: 5}),
    "a large ttl": (head(3) + KEY + FOO + b"\xa3ttl\xcf" + b"\xff" * 8 + VECTOR + b"\x81\x00\x05",
                    {0: 5}),
    "full false": (head(3) + KEY + FOO + b"\xa4full\xc2" + VECTOR + b"\x81\x00\x05", {0: 5}),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_every_form_of_a_message_is_taken(shared, name):
    datagram, vector = ACCEPTED[name]
    key = f"form:{name}".encode()
    datagram = datagram.replace(b"\x03foo", bytes([len(key)]) + key, 1)
    datagram = datagram.replace(FOO, b"\xda" + struct.pack(">H", len(key)) + key, 1)
    assert wire.judge(datagram)[:2] == (key.decode(), vector)
    with wire.Peer(shared) as peer:
        peer.send(datagram)
        eventually(lambda: shared.vector(key.decode()) == vector)


REFUSED = {
    "empty": b"",
    "no map": b"\x93\x01\x02\x03",
    "a number": b"\x07",
    "the byte that is never used": head() + KEY + FOO + VECTOR + b"\x81\x00\xc1",
    "cut short": head() + KEY + FOO + VECTOR + b"\x81\x00",
    "bytes after it": head() + KEY + FOO + VECTOR + b"\x81\x00\x05\x00",
    "no key": head(1) + VECTOR + b"\x81\x00\x05",
    "key is nil": head() + KEY + b"\xc0" + VECTOR + b"\x81\x00\x05",
    "key is a number": head() + KEY + b"\x05" + VECTOR + b"\x81\x00\x05",
    "key is empty": head() + KEY + b"\xa0" + VECTOR + b"\x81\x00\x05",
    "key of 256 bytes": head() + KEY + b"\xda\x01\x00" + b"a" * 256 + VECTOR + b"\x81\x00\x05",
    "key with a NUL": head() + KEY + b"\xa4fo\x00o" + VECTOR + b"\x81\x00\x05",
    "key that is not UTF-8": head() + KEY + b"\xa3f\xff\xfe" + VECTOR + b"\x81\x00\x05",
    "key in overlong UTF-8": head() + KEY + b"\xa3f\xc0\xaf" + VECTOR + b"\x81\x00\x05",
    "key twice": head(3) + KEY + FOO + KEY + FOO + VECTOR + b"\x81\x00\x05",
    "vector twice": head(3) + KEY + FOO + VECTOR + b"\x81\x00\x05" + VECTOR + b"\x80",
    "vector is an array": head() + KEY + FOO + VECTOR + b"\x91\x05",
    "vector is nil": head() + KEY + FOO + VECTOR + b"\xc0",
    "a negative value": head() + KEY + FOO + VECTOR + b"\x81\x00\xff",
    "a negative index": head() + KEY + FOO + VECTOR + b"\x81\xff\x05",
    "a float": head() + KEY + FOO + VECTOR + b"\x81\x00\xcb\x40\x14" + b"\0" * 6,
    "a text for a value": head() + KEY + FOO + VECTOR + b"\x81\x00\xa15",
    "a text for an index": head() + KEY + FOO + VECTOR + b"\x81\xa10\x05",
    "nil for a value": head() + KEY + FOO + VECTOR + b"\x81\x00\xc0",
    "true for a value": head() + KEY + FOO + VECTOR + b"\x81\x00\xc3",
    "one good element and a bad one": head() + KEY + FOO + VECTOR + b"\x82\x00\x05\x01\xff",
    "a negative ttl": head(3) + KEY + FOO + b"\xa3ttl\xff" + VECTOR + b"\x81\x00\x05",
    "a fractional ttl": head(3) + KEY + FOO + b"\xa3ttl\xca\x40\x20\0\0" + VECTOR + b"\x81\x00\x05",
    "a text for ttl": head(3) + KEY + FOO + b"\xa3ttl\xa13" + VECTOR + b"\x81\x00\x05",
    "a number for full": head(3) + KEY + FOO + b"\xa4full\x01" + VECTOR + b"\x81\x00\x05",
    "a count that lies": head() + KEY + FOO + VECTOR + b"\xdf\xff\xff\xff\xff\x00\x05",
    "a length that lies": head() + KEY + b"\xdb\xff\xff\xff\xfffoo" + VECTOR + b"\x81\x00\x05",
    "too deep": head(3) + b"\xa1z" + b"\x91" * 700 + b"\xc0" + KEY + FOO + VECTOR + b"\x81\x00\x05",
}


def dropped(node):
    return sum(count for name, count in node.stats().items() if name.startswith("dropped_"))


@pytest.mark.parametrize("name", REFUSED)
def test_whatever_else_comes_is_dropped_whole_and_counted(shared, name):
    datagram = REFUSED[name]
    with pytest.raises(wire.Refused):
        wire.judge(datagram)
    before = dropped(shared)
    with wire.Peer(shared) as peer:
        peer.send(datagram)
        eventually(lambda: dropped(shared) == before + 1)
    assert shared.vector("foo") == {}


def test_a_datagram_of_the_largest_size_is_taken(node):
    vector = {i: 2**63 + i for i in range(5450)}
    datagram = wire.encode("wide", vector, full=True)
    assert 60000 < len(datagram) <= 65507
    with wire.Peer(node) as peer:
        peer.send(datagram)
        eventually(lambda: node.vector("wide") == vector)


def test_what_was_received_is_never_passed_on_as_it_came(node):
    """Odd forms go in, the one form that both prototypes take comes out (checked by Peer)."""
    with wire.Peer(node) as sender, wire.Peer(node) as other:
        other.say("hello", {0: 1})
        eventually(lambda: node.peers().get(other.text) == "alive")
        key = "k" * 40
        sender.send(
            b"\x84\xa1z\xc0\xc4\x03key\xc4\x28" + key.encode() + b"\xa6vector\xdf\0\0\0\x01"
            + b"\xcf" + struct.pack(">Q", 5) + b"\xd3" + struct.pack(">q", 7) + b"\xa3ttl\xcd\0\x05"
        )
        assert other.hear_key(key)[1:3] == ({5: 7}, 3)


# -- presence


def test_whoever_sends_is_a_peer_and_is_told_who_we_are(node):
    with wire.Peer(node) as peer:
        peer.say("hello", {0: 1})
        vector = peer.hear_key(f"n:{node.text}", 8)[1]
        assert vector == {0: 10**7}, "the oldest stamp: it has told none"
        peer.say(f"n:{node.text}", {0: int(time.time()) // 60 - 2})
        vector = peer.hear_key(f"n:{node.text}", 8)[1]
        assert -3 <= vector[0] - time.time() // 60 <= -1, "what it told, and the time since"
        assert node.peers() == {peer.text: "alive"}


@pytest.mark.parametrize("unit", [1 / 60, 1, 1e3, 1e6, 1e9])
def test_a_stamp_is_read_in_whatever_unit_and_kept_in_minutes(node, unit):
    now = time.time()
    with wire.Peer(node) as peer:
        peer.say(f"n:{peer.text}", {0: int(now * unit)})
        eventually(lambda: node.peers().get(peer.text) == "alive")
        stamp = node.vector(f"n:{peer.text}")[0]
        assert abs(stamp - now // 60) <= 1


def test_a_stamp_ahead_of_its_time_is_cut_to_now(node):
    with wire.Peer(node) as peer, wire.Peer(node) as other:
        other.say("hello", {0: 1})
        peer.say(f"n:{peer.text}", {0: int(time.time() // 60) + 100000})
        eventually(lambda: len(node.peers()) == 2)
        assert node.vector(f"n:{peer.text}")[0] <= time.time() // 60
        other.listen(1.0)  # what is said of it is checked by Peer


@pytest.mark.parametrize("name", [
    "n:", "n:foo", "n:localhost:7005", "n::7005", "n:127.0.0.1", "n:127.0.0.1:", "n:127.0.0.1:0",
    "n:127.0.0.1:65536", "n:127.0.0.1:07005", "n:0.0.0.0:7005", "n:255.255.255.255:7005",
    "n:224.0.0.1:7005", "n:169.254.1.1:7005", "n:[::]:7005", "n:[ff02::1]:7005", "n:[fe80::1]:7005",
    "n:127.0.0.1:7005:9", "n:127.0.0.1:7005 ", "x\nn:127.0.0.1:7005",
])
def test_what_no_peer_can_be_is_ordinary_data_and_never_a_peer(shared, name):
    before = set(shared.peers())
    with wire.Peer(shared) as peer:
        peer.say(name, {0: int(time.time() // 60)})
        peer.say("n:after", {0: 1})
        eventually(lambda: shared.vector("n:after"))
        assert set(shared.peers()) - before <= {peer.text}


def test_two_plain_peers_that_disagree_on_stamps_cause_no_exchange_without_end(node):
    with wire.Peer(node) as first, wire.Peer(node) as second:
        now = int(time.time())
        for stamp in (now // 60, now // 60 + 1, now, now * 1000):
            first.say(f"n:{second.text}", {0: stamp})
            second.say(f"n:{first.text}", {0: stamp})
        heard = first.listen(3.0)
        heard += second.listen(0.1)
        assert len(heard) < 30, heard


def test_our_own_key_in_any_state_is_outbid(node):
    with wire.Peer(node) as peer:
        own = f"n:{node.text}"
        word = node.vector(own)[2]
        for state in (1, 2, 3):
            forged = (node.vector(own)[2] >> 2 << 2) + state
            peer.say(own, {2: forged, 3: int(time.time())})
            eventually(lambda forged=forged: node.vector(own)[2] > forged)
            assert node.vector(own)[2] & 3 == 0
        assert node.vector(own)[2] > word
        far = (int(time.time()) + 400 * 86400) << 2 | 2
        peer.say(own, {2: far})
        peer.say("end", {0: 1})
        eventually(lambda: node.vector("end"))
        assert node.vector(own)[2] < far


def test_an_address_that_is_not_trusted_speaks_for_itself_alone(start):
    node = start("--set", "trust=none")
    with wire.Peer(node) as peer:
        stamp = {0: int(time.time() // 60), 2: int(time.time()) << 2}
        peer.say("n:127.0.0.1:7005", stamp)
        peer.say("end", {0: 1})
        eventually(lambda: node.vector("end"))
        assert "127.0.0.1:7005" not in node.peers()


def test_a_silent_plain_peer_is_silent_and_gets_no_updates(start):
    node = start("--set", "silent-after=1s")
    with wire.Peer(node) as peer:
        peer.say("hello", {0: 1})
        eventually(lambda: node.peers().get(peer.text) == "alive")
        eventually(lambda: node.peers().get(peer.text) == "silent", 6)
        peer.listen(0.2)
        node.post("/keys/news", {"0": 1})
        assert peer.quiet("news", 0.7) == []
        peer.say("hello", {0: 2})
        eventually(lambda: node.peers().get(peer.text) == "alive")
