"""The extended level as vignette(7) has it, against a daemon: see extended_from_manual.py."""

import random

import pytest

import daemon as daemons
import extended_from_manual as manual
from extended_from_manual import D, M, ROOT

FOO = {0: 5, 1: 11, 5: 3}


@pytest.fixture
def node(start):
    """A daemon to which loopback is as strange as any other address."""
    return start("--set", "trust=none")


@pytest.fixture
def peer(node):
    with manual.Peer(node) as made:
        yield made.join()


# -- Functions and packed items


def test_functions_give_the_manuals_test_vectors():
    foo = manual.key_hash("foo")
    both = {"foo": FOO, "bar": {7: 1}}
    found = [
        foo,
        manual.key_hash("n:127.0.0.1:6001"),
        manual.cluster_id("blue"),
        manual.mix(0, 0),
        manual.mix(1, 2),
        manual.mix(manual.C1, 7),
        manual.element(foo, 0, 5),
        manual.vector_digest("foo", FOO),
        manual.contribution("foo", FOO),
        manual.vector_digest("foo", {0: 2**64 - 1, 2**64 - 1: 1}),
        manual.set_digest(both),
        manual.salted(manual.set_digest(both), 9),
    ]
    assert [f"{number:x}" for number in found] == [
        "dde38bd48eae7414", "67c5246711f17993", "df589da9", "d6cb8892a926a943",
        "5f5cb5b60b9f4210", "186004d46ef87808", "c87418c03d87078f", "d3c1e3fcfc1ac1c5",
        "4ed792c97ab1b88e", "e402494e1182c0bc", "a7132a0617b7f54e", "c653f446",
    ]


def test_packed_items_are_the_manuals_examples():
    sparse = bytes.fromhex("01 0005 02ac02 fc0101")
    assert manual.unpack(sparse) == {0: 5, 3: 300, 256: 1}
    assert manual.pack_sparse({0: 5, 3: 300, 256: 1}) == sparse
    dense = bytes.fromhex("02 030205 820400 43 04c801")
    assert manual.unpack(dense) == {258: 7, 259: 4, 260: 200, 261: 5}
    assert manual.pack_dense({258: 7, 259: 4, 260: 200, 261: 5}) == dense


def test_packed_items_come_back_as_they_went():
    chance = random.Random(1)
    for _ in range(50):
        top = 2 ** chance.choice([1, 6, 33, 64])
        vector = {
            chance.choice([0, 3, 2**40, 2**56 - 1]) * 256 + chance.randrange(256):
                chance.randrange(1, top)
            for _ in range(chance.randrange(1, 300))
        }
        assert manual.unpack(manual.pack_sparse(vector)) == vector
        assert manual.unpack(manual.pack_dense(vector)) == vector


# -- Joining


def test_a_peer_that_echoes_its_token_is_a_member(node, peer):
    daemons.eventually(lambda: node.peers().get(peer.text) == "alive")
    found = next(p for p in node.get("/peers").json()["peers"] if p["address"] == peer.text)
    assert found["protocol"] == 1


def test_a_peer_that_echoes_a_wrong_token_gets_no_data(node):
    node.post("/keys/foo", FOO)
    with manual.Peer(node) as stranger:
        stranger.answer = lambda message: stranger.hello(e=bytes(6), t=stranger.token)
        stranger.introduce()
        stranger.hear(lambda x, _: "t" in x)
        stranger.say(q=stranger.next_q(), w=manual.key_hash("foo").to_bytes(8, "little"))
        told = {item.key for x in stranger.listen(1.0) for item in x["b"]}
        assert told <= {stranger.key}, "more than what it holds of that very address"


def test_a_sender_that_is_not_known_is_asked_for_a_hello(node):
    with manual.Peer(node) as stranger:
        stranger.say(q=7)
        x = stranger.hear(lambda x, _: "?" in x)
        assert x["?"] == stranger.id


# -- Delegated push


def digits_shared(one, other):
    """How many digits of base 4 two 64-bit ids have in common, from the top."""
    return next(n for n in range(33) if n == 32 or (one ^ other) >> 62 - 2 * n)


def level_between(node, peer):
    return digits_shared(manual.key_hash(f"n:{node.text}"), manual.key_hash(peer.key))


def peer_elsewhere(node, peer):
    """A peer in another sibling subtree of the node's: neither covers the other."""
    while True:
        other = manual.Peer(node)
        shared = digits_shared(manual.key_hash(peer.key), manual.key_hash(other.key))
        if shared <= level_between(node, peer):
            return other
        other.close()


def test_an_update_is_pushed_with_the_level_below_our_subtree(node, peer):
    node.post("/keys/foo", FOO)
    x, item = peer.hear_item("foo")
    assert item.vector == FOO
    assert x["d"] == level_between(node, peer) + 1
    assert not [x for x in peer.listen(0.5) if x["b"]], "sent again though it was acked"


def test_a_push_is_sent_again_until_it_is_acked(node, peer):
    answer, peer.answer = peer.answer, lambda message: None
    node.post("/keys/foo", FOO)
    peer.hear_item("foo")
    peer.hear_item("foo")
    peer.answer = answer
    peer.hear_item("foo")
    assert not [x for x in peer.listen(0.5) if x["b"]]


def test_a_push_is_acked_stored_and_passed_on_below_its_level(node, peer):
    with peer_elsewhere(node, peer) as other:
        other.join()
        daemons.eventually(lambda: node.get("/peers").json()["alive"] == 2)
        level = level_between(node, other)
        cases = ((0, True), (level, True), (level + 1, False), (255, False))
        for turn, (d, is_passed_on) in enumerate(cases):
            key = f"foo {turn}"
            peer.push(d=d, b=[[key, FOO]])
            assert node.vector(key) == FOO
            heard = [i for x in other.listen(0.5) for i in x["b"] if i.key == key]
            assert bool(heard) == is_passed_on, d


def test_what_raised_nothing_is_passed_on_once_in_a_while(node, peer):
    with peer_elsewhere(node, peer) as other:
        other.join()
        daemons.eventually(lambda: node.get("/peers").json()["alive"] == 2)
        for d in (255, 0, 0):
            peer.push(d=d, b=[["foo", FOO]])
        heard = [i for x in other.listen(0.5) for i in x["b"] if i.key == "foo"]
        assert heard == [manual.Item("foo", FOO, False, 0)]


def test_larger_elements_ride_back_with_the_ack(node, peer):
    node.post("/keys/foo", FOO)
    peer.hear_item("foo")
    x = peer.push(d=40, b=[["foo", manual.pack_sparse({0: 9, 1: 2})]])
    assert x["b"] == [manual.Item("foo", {1: 11}, False, 0)]
    assert x.get("d", 255) == 255


def test_dense_items_of_a_sketch_are_pushed_and_taken(node, peer):
    chance = random.Random(2)
    sketch = {i: chance.choice([1, 1, 2, 2, 3, 4, 5, 9, 30]) for i in range(16384)}
    node.post("/keys/sketch", {str(i): value for i, value in sketch.items()})
    found, kinds = {}, set()
    while len(found) < len(sketch):
        x, _ = peer.hear_item("sketch")
        for item in x["b"]:
            found.update(item.vector)
            kinds.add(item.kind)
    assert found == sketch
    assert 2 in kinds
    for start in range(0, 16384, 1024):
        part = {i: sketch[i] + 1 for i in range(start, start + 1024)}
        peer.push(b=[["sketch", manual.pack_dense(part)]])
    daemons.eventually(
        lambda: node.vector("sketch") == {i: value + 1 for i, value in sketch.items()}
    )


# -- Probes and anti-entropy


def sets(node):
    """What the node holds, by set."""
    members = {}
    for key, vector in node.keys("limit=10000&vectors=1&prefix=n:").items():
        members[key] = {index: value for index, value in vector.items() if index}
    return members, node.keys()


def salted_sets(node, salt):
    return b"".join(
        manual.salted(manual.set_digest(keys), salt).to_bytes(4, "little")
        for keys in sets(node)
    )


def test_a_probe_of_the_daemon_tells_its_two_digests(node, peer):
    node.post("/keys/foo", FOO)
    daemons.eventually(lambda: node.peers().get(peer.text) == "alive")
    peer.listen(1.0)
    x = peer.hear(lambda x, _: "r" in x and "q" in x)
    assert x["r"] == salted_sets(node, x["q"])


def test_a_probe_is_acked_with_digests_salted_by_it(node, peer):
    node.post("/keys/foo", FOO)
    peer.listen(1.0)
    x = peer.push(r=bytes(8))
    assert x["r"] == salted_sets(node, x["a"][0])


def test_a_peer_that_answers_is_probed_for_another_and_one_that_does_not_in_vain(node, peer):
    with manual.Peer(node) as other:
        other.join()
        daemons.eventually(lambda: node.get("/peers").json()["alive"] == 2)
        other.hear(lambda x, _: "r" in x and "q" in x)
        q = peer.next_q()
        peer.say(q=q, p=other.key)
        assert not [x for x in peer.listen(0.1) if q in x.get("a", [])], "acked for the other"
        other.listen(0.3)
        peer.hear(lambda x, _: q in x.get("a", []))
    q = peer.next_q()
    peer.say(q=q, p=other.key)
    x = peer.hear(lambda x, _: x.get("n") == q or q in x.get("a", []))
    assert x["n"] == q


def test_a_descent_finds_the_one_key_that_is_missing_here(node, peer):
    keys = {f"key{n}": {0: n + 1} for n in range(600)}
    node.post("/keys", keys)
    peer.listen(2.5)
    missing = "key77"
    ours = {key: vector for key, vector in keys.items() if key != missing}
    x = peer.ask(lambda q: {"v": [[D, *ROOT, manual.tree(ours, *ROOT, q)]]},
                 lambda x, _: "r" not in x and ("v" in x or "L" in x))
    wanted = manual.key_hash(missing)
    ((_, bits, nibbles, _),) = x.get("v", []) + x.get("L", [])
    assert manual.in_prefix(wanted, bits, nibbles) and nibbles == 1
    if "v" in x:  # its tree there: the same question one level below
        assert x["v"][0][3] == manual.tree(keys, bits, nibbles, x.get("q", 0))
        x = peer.ask(lambda q: {"v": [[D, bits, nibbles, manual.tree(ours, bits, nibbles, q)]]},
                     lambda x, _: "L" in x)
    ((_, bits, nibbles, packed),) = x["L"]
    theirs = manual.read_leaves(packed)
    assert packed == manual.leaves(keys, bits, nibbles, x.get("q", 0))
    assert set(theirs) - {manual.key_hash(key) for key in ours} == {wanted}
    peer.say(q=peer.next_q(), w=wanted.to_bytes(8, "little"))
    x, item = peer.hear_item(missing)
    assert item.vector == keys[missing]
    assert x.get("d", 255) == 255


def test_a_leaf_list_is_answered_with_what_it_lacks_and_a_question(node, peer):
    node.post("/keys", {"here": {0: 1}, "both": {0: 2}})
    peer.listen(1.5)
    ours = {"both": {0: 2}, "there": {0: 3}}
    q = peer.next_q()
    peer.say(q=q, L=[[D, *ROOT, manual.leaves(ours, *ROOT, q)]])
    heard = [x for x in peer.listen(1.0)]
    items = [item for x in heard for item in x["b"]]
    assert [(item.key, item.vector) for item in items] == [("here", {0: 1})]
    assert [x["w"] for x in heard if "w" in x] == [manual.key_hash("there").to_bytes(8, "little")]


def test_block_digests_find_the_block_that_differs(node, peer):
    theirs = {i: 3 for i in range(2000)}
    node.post("/keys/large", theirs)
    peer.listen(2.5)
    ours = {**theirs, 700: 2}
    q = peer.next_q()
    peer.say(q=q, L=[[D, *ROOT, manual.leaves({"large": ours}, *ROOT, q)]])
    x = peer.hear(lambda x, _: "B" in x)
    ((which, found, more, packed),) = x["B"]
    assert (which, found, more) == (D, manual.key_hash("large"), False)
    digests = manual.block_digests("large", theirs)
    assert packed == manual.pack_blocks(digests, x.get("q", 0))
    q = peer.next_q()
    digests = manual.block_digests("large", ours)
    peer.say(q=q, B=[[D, found, False, manual.pack_blocks(digests, q)]])
    _, item = peer.hear_item("large")
    assert item.vector == {i: 3 for i in range(512, 768)}


def test_a_probe_carries_an_audit_that_the_manual_explains(start):
    node = start("--set", "trust=none", "--set", "probe-interval=100ms")
    keys = {f"key{n}": {0: n + 1} for n in range(60)}
    node.post("/keys", keys)
    with manual.Peer(node) as peer:
        peer.join()
        seen = set()
        while seen != {M, D}:
            x = peer.hear(lambda x, _: "r" in x and "v" in x, 10)
            ((which, bits, nibbles, packed),) = x["v"]
            assert packed == manual.audit(sets(node)[which], bits, nibbles, x["q"])
            seen.add(which)


def test_an_audit_that_differs_is_answered_with_the_leaves_of_that_child(node, peer):
    keys = {f"key{n}": {0: n + 1} for n in range(60)}
    node.post("/keys", keys)
    peer.listen(1.5)

    def question(q):
        theirs = bytearray(manual.audit(keys, *ROOT, q))
        theirs[4 * 7] ^= 1
        return {"r": salted_sets(node, q), "v": [[D, *ROOT, bytes(theirs)]]}

    x = peer.ask(question, lambda x, _: "L" in x)
    ((which, bits, nibbles, packed),) = x["L"]
    assert (which, bits, nibbles) == (D, 7 << 60, 1)
    assert packed == manual.leaves(keys, bits, nibbles, x.get("q", 0))
