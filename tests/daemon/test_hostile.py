"""Ten thousand datagrams that nobody should send.

Some are random, some are mutated from valid messages, extended ones too. The node answers
/health all the while, stores nothing from any that the reference decoder (wire.py) refuses and from
the others exactly what they say, and does not fill its log. The seed is printed when a test fails.
"""

import socket
import time

import msgpack
import pytest

import wire
from daemon import SLOWNESS, at_most, eventually

COUNT = 10000
KEYS = ["foo", "bar", "k" * 40, "k" * 255, "é", "a/b", "hll", "x y"]


def valid(chance):
    """A valid plain message, in one of the forms that encoders write."""
    width = chance.choice([0, 1, 1, 2, 3, 8, 20])
    vector = {
        chance.choice([0, 1, 5, 127, 128, 300, 2**32, 2**64 - 1, chance.randrange(2**64)]):
        chance.choice([0, 1, 7, 255, 65536, 2**63, 2**64 - 1, chance.randrange(2**64)])
        for _ in range(width)
    }
    message = {"key": chance.choice(KEYS), "vector": vector}
    if chance.random() < 0.7:
        message["ttl"] = chance.choice([0, 1, 2, 50, 51, 2**40])
    if chance.random() < 0.3:
        message["full"] = chance.random() < 0.5
    if chance.random() < 0.2:
        message[chance.choice(["z", "who", "q" * 40])] = chance.choice(
            [None, [1, [2, [3]]], {"a": {"b": 1}}, 1.5, b"\xff", "text", True])
    items = list(message.items())
    chance.shuffle(items)
    return msgpack.packb(dict(items), use_bin_type=chance.random() < 0.5)


def mutated(chance, datagram):
    data = bytearray(datagram)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[min(at, len(data) - 1)] = chance.randrange(256)
            case 2:
                del data[at:]
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                data += data[at : at + 20]
            case 5:
                data[at:at] = chance.choice(
                    [b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xc0", b"\x91" * 40, b"\xa3key", b"\xa1x"])
            case _:
                del data[at : at + chance.randrange(1, 5)]
    return bytes(data)


def datagrams(chance):
    for _ in range(COUNT):
        kind = chance.random()
        if kind < 0.1:
            yield chance.randbytes(chance.choice([0, 1, 2, 10, 100, 1400]))
        elif kind < 0.3:
            yield valid(chance)
        else:
            yield mutated(chance, valid(chance))


def verdict(datagram):
    try:
        return wire.judge(datagram)
    except wire.Refused:
        return None


def has_extension(datagram):
    """Whether it has an `x` that is a map, or what else the reference has no opinion on."""
    try:
        pairs = wire.unpack(datagram)
    except wire.Undecided:
        return True
    except wire.Refused:
        return False
    return isinstance(pairs, wire.Pairs) and any(
        name == b"x" and isinstance(value, wire.Pairs) for name, value in pairs
    )


def send_all(node, messages):
    """Send at a pace that the node's receive queue follows; it must be healthy meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        for number, datagram in enumerate(messages):
            sender.sendto(datagram, node.address)
            if number % 200 == 199:
                begin = time.monotonic()
                assert node.get("/health").status == 200
                assert time.monotonic() - begin < at_most(0.25)
    received = len(messages)
    eventually(lambda: sum(
        count for name, count in node.stats().items()
        if name.startswith("dropped_") or name.startswith("received_") and "bytes" not in name
    ) >= received, 10)


def dropped(node):
    return sum(count for name, count in node.stats().items() if name.startswith("dropped_"))


def busiest_second(log):
    """The most lines within one second of the log."""
    seconds = [line[:19] for line in log.splitlines()]
    return max(map(seconds.count, set(seconds)))


def test_ten_thousand_datagrams_change_exactly_what_the_valid_ones_say(start, chance):
    node = start("-v")
    messages = [m for m in datagrams(chance) if not has_extension(m)]
    expected, refused = {}, 0
    for datagram in messages:
        said = verdict(datagram)
        if said is None:
            refused += 1
            continue
        key, vector = said[:2]
        if "%" in key or "*" in key or key.startswith("n:"):
            continue
        for index, value in vector.items():
            mine = expected.setdefault(key, {})
            mine[index] = max(mine.get(index, 0), value)
    assert refused > COUNT / 10 and len(messages) - refused > COUNT / 10
    send_all(node, messages)
    assert dropped(node) == refused
    found = {key: vector for key, vector in node.keys().items() if not key.startswith("n:")}
    assert found == expected
    assert busiest_second(node.log()) <= 21


LAST = 2**64 - 1


@pytest.mark.parametrize("pairs", [
    ((LAST, 1), (LAST - 1, 1)),
    ((LAST, 1), (LAST - 1, 1), (LAST - 2, 1)),
    ((LAST, LAST), (0, LAST), (LAST, 1), (LAST - 256, 2)),
    ((2**63, 1), (2**63 - 1, 1), (2**32, 1), (2**32 - 1, 1), (256, 1), (255, 1), (0, 1)),
])
@pytest.mark.parametrize("key", ["known", "unseen"])
def test_falling_indices_are_joined_up_to_the_largest_one(node, key, pairs):
    """A pair that falls from the largest index once ended the node, or spoilt a new vector."""
    if key == "known":
        node.post("/keys/known", {"7": 7})
    body = b"".join(b"\xcf" + index.to_bytes(8, "big") + b"\xcf" + value.to_bytes(8, "big")
                    for index, value in pairs)
    datagram = (b"\x82\xa3key" + msgpack.packb(key) + b"\xa6vector"
                + bytes([0x80 + len(pairs)]) + body)
    send_all(node, [datagram] * 3)
    expected = {index: max(v for i, v in pairs if i == index) for index, _ in pairs}
    found = node.vector(key)
    found.pop(7, None)
    assert node.is_running and found == expected


def captured(cluster, chance):
    """Extended datagrams as nodes send them, with what can be seen from outside: a hello each."""
    del chance
    nodes = cluster(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(1.5 * SLOWNESS)
        text = f"127.0.0.1:{listener.getsockname()[1]}"
        now = int(time.time())
        own = {1: now << 16 | 1, 2: now << 2, 4: now << 16 | 7}
        found = []
        for node in nodes:
            message = {"key": f"n:{text}", "vector": own, "full": True, "ttl": 1}
            listener.sendto(msgpack.packb(message), node.address)
            try:
                while len(found) < 20:
                    found.append(listener.recv(65536))
            except TimeoutError:
                pass
    return nodes, [datagram for datagram in found if b"\xa1x" in datagram]


def test_mutated_extended_datagrams_harm_nobody(cluster, chance):
    nodes, seeds = captured(cluster, chance)
    assert seeds, "no extended datagram was seen"
    nodes[0].post("/keys/known", {"0": 5})
    digest = nodes[0].digest()
    item = {"b": [["forged", {0: 1}, True], ["packed", b"\x01\x00\x05"]], "q": 7, "d": 0}
    tree = {"v": [[1, 0, 0, b"\0" * 64]], "L": [[1, 0, 0, b"\0" * 12]], "w": b"\0" * 8,
            "B": [[1, 5, False, b"\0" * 5]], "a": [1, 2], "W": 255, "F": 1, "n": 1, "p": "n:x"}
    seeds += [msgpack.packb({"key": "", "vector": {}, "ttl": 0, "x": x}) for x in (item, tree)]
    messages = [mutated(chance, chance.choice(seeds)) for _ in range(COUNT // 2)]
    messages += [
        msgpack.packb({"key": "", "vector": {}, "ttl": 0,
                       "x": {chance.choice("iqlrtedbvLBwpnWFa?"): chance.choice(
                           [0, 2**32, -1, None, [], [[]], {}, b"", b"\0" * 6, b"\xff" * 900, "x",
                            1.5, [[1, 2**64 - 1, 16, b"\xff" * 64]], [2**32 - 1] * 50])
                           for _ in range(chance.randrange(1, 5))}})
        for _ in range(COUNT // 4)
    ]
    send_all(nodes[0], messages)
    names = set(nodes[0].keys())
    sent = b"".join(messages)
    assert all(name.encode() in sent or name == "known" for name in names), names
    assert nodes[0].vector("known")[0] >= 5 and digest
    eventually(lambda: nodes[0].peers()[nodes[1].text] == "alive", 10)
    eventually(lambda: nodes[0].digest() == nodes[1].digest(), 20, 0.1)
    assert busiest_second(nodes[0].log()) <= 21


def test_strangers_cannot_fill_more_than_max_keys_and_max_memory(start, chance):
    node = start("--set", "max-keys=500", "--set", "max-memory=2m")
    node.post("/keys/known", {"0": 1})
    messages = [
        wire.encode(f"{chance.randrange(2**40):x}", {i * 300: 2**50 for i in range(40)}, full=True)
        for _ in range(4000)
    ] + [wire.encode("known", {0: 9}, full=True)]
    send_all(node, messages)
    stats = node.stats()
    assert stats["keys"] <= 500 and stats["memory_bytes"] <= 2 << 20
    assert stats["refused_keys"] + stats["memory_refused"] > 0
    assert node.vector("known") == {0: 9}
    assert "refused" in node.log() or eventually(lambda: "refused" in node.log(), 3)


def test_keys_that_collide_in_an_unkeyed_hash_slow_nothing_down(node, chance):
    """Look-up hashes are keyed with a secret of the process: chosen keys are like any."""
    def collide(count):  # the same djb2 for all: "Aa" and "BB" differ by nothing
        return ["".join(("Aa", "BB")[n >> bit & 1] for bit in range(14)) for n in range(count)]

    def time_of(keys):
        begin = time.monotonic()
        lines = "".join('{"key":"%s","vector":{"0":1}}\n' % key for key in keys)
        answer = node.post("/keys", lines, headers={"Content-Type": "application/x-ndjson"})
        assert answer.json()["changed"] == len(keys)
        return time.monotonic() - begin

    chosen = time_of(collide(1 << 14))
    common = time_of([f"{chance.randrange(2**100):028x}" for _ in range(1 << 14)])
    assert chosen < 5 * common + at_most(0.2), (chosen, common)


def test_a_flood_from_one_address_leaves_others_served(node):
    datagram = wire.encode("flood", {0: 1}, full=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        limit = time.monotonic() + 1.5
        times = []
        while time.monotonic() < limit:
            for _ in range(500):
                sender.sendto(datagram, node.address)
            begin = time.monotonic()
            assert node.get("/health").status == 200
            times.append(time.monotonic() - begin)
    assert sorted(times)[int(len(times) * 0.95)] < at_most(0.1)
    assert node.vector("flood") == {0: 1}
