"""The extended level, written from vignette(7) and from nothing else.

Functions, packed items and datagrams as the manual's sections of these names have them, so that a
difference between it and the daemon shows as a test that fails. Everything that comes is judged as
strictly as the manual allows: what it does not say is refused.
"""

import collections
import os
import select
import time

import msgpack

import wire
from daemon import PATIENCE, endpoint_text, udp_socket

MASK = 2**64 - 1
C1 = 0x9E3779B97F4A7C15
C2 = 0xD1B54A32D192ED03
C3 = 0xBF58476D1CE4E5B9
C4 = 0x94D049BB133111EB

M, D = 0, 1  # the two sets: presence, and all else
DATAGRAM_BYTES_MAX = 1168
ROOT = (0, 0)  # the empty prefix: bits, nibbles
BLOCK = 256


# -- Functions


def rotated(word, by):
    return (word << by | word >> (64 - by)) & MASK


def siphash(data, secret=bytes(16)):
    """SipHash-2-4 (Aumasson and Bernstein, 2012)."""
    k0, k1 = (int.from_bytes(secret[at : at + 8], "little") for at in (0, 8))
    a, b = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    c, d = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rounds(a, b, c, d, count):
        for _ in range(count):
            a, c = (a + b) & MASK, (c + d) & MASK
            b, d = rotated(b, 13) ^ a, rotated(d, 16) ^ c
            a = rotated(a, 32)
            c, a = (c + b) & MASK, (a + d) & MASK
            b, d = rotated(b, 17) ^ c, rotated(d, 21) ^ a
            c = rotated(c, 32)
        return a, b, c, d

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        a, b, c, d = rounds(a, b, c, d ^ word, 2)
        a ^= word
    a, b, c, d = rounds(a, b, c ^ 255, d, 4)
    return a ^ b ^ c ^ d


def mix(a, b):
    c = b * C4 & MASK
    p = (a ^ C1) * (c ^ C2)
    return p >> 64 ^ p & MASK ^ a ^ rotated(c, 32)


def cluster_id(name):
    return siphash(name.encode()) & 0xFFFFFFFF if name else 0


def key_hash(key, cluster=0):
    return siphash(key.encode(), cluster.to_bytes(4, "little") + bytes(12))


def peer_id(key, cluster=0):
    return key_hash(key, cluster) & 0xFFFFFFFF


def element(hash_of_key, index, value):
    return mix((hash_of_key + index * C3) & MASK, value)


def vector_digest(key, vector):
    hash_of_key = key_hash(key)
    return sum(element(hash_of_key, *pair) for pair in vector.items()) & MASK


def block_digests(key, vector):
    """Digest by block number."""
    found = collections.defaultdict(int)
    for index, value in vector.items():
        found[index // BLOCK] += element(key_hash(key), index, value)
    return {number: digest & MASK for number, digest in sorted(found.items())}


def contribution(key, vector):
    return mix(key_hash(key), vector_digest(key, vector))


def set_digest(keys):
    return sum(contribution(*pair) for pair in keys.items()) & MASK


def salted(digest, salt):
    return mix(digest, salt) & 0xFFFFFFFF


# -- Packed items


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes(found) + bytes([number])


class Cursor:
    """Reads a bin from its beginning to its end."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    @property
    def is_over(self):
        return self.at == len(self.data)

    def take(self, count):
        assert len(self.data) - self.at >= count, "ends early"
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                assert byte or shift == 7, "a varint that is not in its shortest form"
                assert number <= MASK, "a varint above 64 bits"
                return number


def unpack_sparse(cursor):
    vector, index = {}, -1
    while not vector or not cursor.is_over:
        index += 1 + cursor.varint()
        value = cursor.varint()
        assert index <= MASK and value, "no element"
        vector[index] = value
    return vector


def unpack_segment(cursor, number_before):
    """(number of the block, value by offset) of one segment."""
    head = cursor.varint()
    number = number_before + 1 + head // 2
    assert number < 2**56, "no block has that number"
    first, last = (cursor.byte(), cursor.byte()) if head % 2 else (0, 255)
    assert first <= last and (head % 2 == 0 or (first, last) != (0, 255))
    shape = cursor.byte()
    width = shape & 127
    base = cursor.varint()
    assert width <= 64 and base + 2**width - 1 <= MASK
    count = cursor.byte() + 1 if shape & 128 else 0
    covered = last - first + 1
    codes = int.from_bytes(cursor.take((covered * width + 7) // 8), "little")
    values = {}
    for offset in range(first, last + 1):
        values[offset] = base + (codes & (1 << width) - 1)
        codes >>= width
    assert codes == 0, "bits behind the last code"
    before = first - 1
    for _ in range(count):
        offset = cursor.byte()
        assert before < offset <= last, "exceptions that do not rise within their range"
        values[offset] = cursor.varint()
        before = offset
    return number, values


def unpack_dense(cursor):
    vector, number = {}, -1
    while number < 0 or not cursor.is_over:
        number, values = unpack_segment(cursor, number)
        vector.update(
            (number * BLOCK + offset, value) for offset, value in values.items() if value
        )
    return vector


def unpack(packed):
    cursor = Cursor(packed)
    kind = cursor.byte()
    assert kind in (1, 2), f"kind {kind}"
    return unpack_sparse(cursor) if kind == 1 else unpack_dense(cursor)


def pack_sparse(vector):
    packed, before = b"\1", -1
    for index, value in sorted(vector.items()):
        packed += varint(index - before - 1) + varint(value)
        before = index
    return packed


def pack_dense(vector):
    """Codes as wide as the widest value wants, from the lowest; one exception where it is alone."""
    packed, before = b"\2", -1
    for number in sorted({index // BLOCK for index in vector}):
        values = {i % BLOCK: v for i, v in vector.items() if i // BLOCK == number}
        first, last = min(values), max(values)
        is_part = (first, last) != (0, 255)
        largest = max(values, key=values.get)
        rest = [values.get(o, 0) for o in range(first, last + 1) if o != largest] or [0]
        base, width = min(rest), (max(rest) - min(rest)).bit_length()
        codes = 0
        for offset in range(last, first - 1, -1):
            code = 0 if offset == largest else values.get(offset, 0) - base
            codes = codes << width | code
        packed += varint(2 * (number - before - 1) + is_part)
        packed += bytes([first, last]) if is_part else b""
        packed += bytes([width | 128]) + varint(base) + b"\0"
        packed += codes.to_bytes(((last - first + 1) * width + 7) // 8, "little")
        packed += bytes([largest]) + varint(values[largest])
        before = number
    return packed


# -- Trees


def in_prefix(hash_of_key, bits, nibbles):
    return nibbles == 0 or hash_of_key >> 64 - 4 * nibbles == bits >> 64 - 4 * nibbles


def below(keys, bits, nibbles):
    """Those of a set below a prefix: {key: vector}, ascending by hash."""
    found = [(key_hash(key), key) for key in keys if in_prefix(key_hash(key), bits, nibbles)]
    return {key: keys[key] for _, key in sorted(found)}


def child(bits, nibbles, number):
    return bits | number << 60 - 4 * nibbles, nibbles + 1


def tree(keys, bits, nibbles, salt):
    """The 16 salted digests below a prefix."""
    return b"".join(
        salted(set_digest(below(keys, *child(bits, nibbles, n))), salt).to_bytes(4, "little")
        for n in range(16)
    )


def audit(keys, bits, nibbles, salt):
    """Sums that no two keys can hide in: each contribution is salted by itself."""
    return b"".join(
        (sum(
            salted(contribution(*pair), salt)
            for pair in below(keys, *child(bits, nibbles, n)).items()
        ) & 0xFFFFFFFF).to_bytes(4, "little")
        for n in range(16)
    )


def leaves(keys, bits, nibbles, salt):
    return b"".join(
        key_hash(key).to_bytes(8, "little")
        + salted(vector_digest(key, vector), salt).to_bytes(4, "little")
        for key, vector in below(keys, bits, nibbles).items()
    )


def read_leaves(packed):
    """Salted digest by hash."""
    assert len(packed) % 12 == 0
    hashes = [int.from_bytes(packed[at : at + 8], "little") for at in range(0, len(packed), 12)]
    assert hashes == sorted(set(hashes)), "hashes that do not rise"
    return {
        found: int.from_bytes(packed[at + 8 : at + 12], "little")
        for found, at in zip(hashes, range(0, len(packed), 12))
    }


def pack_blocks(digests, salt):
    packed, before = b"", -1
    for number, digest in sorted(digests.items()):
        packed += varint(number - before - 1) + salted(digest, salt).to_bytes(4, "little")
        before = number
    return packed


def read_blocks(packed):
    cursor, found, number = Cursor(packed), {}, -1
    while not cursor.is_over:
        number += 1 + cursor.varint()
        found[number] = int.from_bytes(cursor.take(4), "little")
    return found


# -- Extended datagrams

Item = collections.namedtuple("Item", "key vector full kind")


def is_u(value, bits):
    return type(value) is int and 0 <= value < 2**bits


def is_bin(value, size):
    return type(value) is bytes and len(value) == size


def is_prefix(entry, nibbles_max):
    return (
        len(entry) == 4
        and entry[0] in (M, D)
        and is_u(entry[1], 64)
        and is_u(entry[2], 5)
        and entry[2] <= nibbles_max
        and entry[1] & (1 << 64 - 4 * entry[2]) - 1 == 0
    )


FORMS = {
    "i": lambda x: is_u(x, 32),
    "?": lambda x: is_u(x, 32),
    "q": lambda x: is_u(x, 32),
    "a": lambda x: all(is_u(number, 32) for number in x),
    "r": lambda x: is_bin(x, 8),
    "t": lambda x: is_bin(x, 6),
    "e": lambda x: is_bin(x, 6),
    "d": lambda x: is_u(x, 8),
    "b": lambda x: all(len(item) in (2, 3) for item in x),
    "v": lambda x: all(is_prefix(entry, 15) and is_bin(entry[3], 64) for entry in x),
    "L": lambda x: all(is_prefix(e, 16) and read_leaves(e[3]) is not None for e in x),
    "B": lambda x: all(
        len(e) == 4 and e[0] in (M, D) and is_u(e[1], 64) and type(e[2]) is bool
        and read_blocks(e[3])
        for e in x
    ),
    "w": lambda x: type(x) is bytes and len(x) % 8 == 0,
    "p": lambda x: type(x) is str and x.startswith("n:"),
    "n": lambda x: is_u(x, 32),
    "c": lambda x: is_u(x, 32),
    "m": lambda x: is_u(x, 32),
    "M": lambda x: is_u(x, 32),
    "W": lambda x: is_u(x, 8),
    "l": lambda x: is_u(x, 32),
    "F": lambda x: is_u(x, 8),
}


def read_item(item):
    key, vector, *full = item
    assert type(key) is str and 1 <= len(key.encode()) <= 255
    assert full in ([], [True], [False])
    kind = 0
    if type(vector) is bytes:
        kind, vector = vector[0], unpack(vector)
    assert all(is_u(index, 64) and is_u(value, 64) for index, value in vector.items())
    return Item(key, vector, bool(full and full[0]), kind)


def read(datagram):
    """The message, its x judged and its items unpacked."""
    message = msgpack.unpackb(datagram, raw=False, strict_map_key=False)
    if "x" not in message:
        return message
    assert len(datagram) <= DATAGRAM_BYTES_MAX
    assert list(message) in (["key", "vector", "full", "ttl", "x"], ["key", "vector", "ttl", "x"])
    assert message["ttl"] == 0
    if message["key"]:
        assert message["full"] is True and message["vector"][1] & 255 == 1
    else:
        assert message["vector"] == {} and "full" not in message
    x = message["x"]
    for name, value in x.items():
        assert FORMS[name](value), f"{name} is {value!r}"
    x["b"] = [read_item(item) for item in x.get("b", [])]
    return message


class Peer:
    """An extended node without a store: it says who it is, acks, and agrees to all digests.

    Nothing happens but within hear(): whoever waits for one thing takes what else comes.
    """

    def __init__(self, daemon, host=None):
        self.socket = udp_socket(host or daemon.host)
        self.daemon = daemon
        self.text = endpoint_text(self.socket.getsockname())
        self.key = f"n:{self.text}"
        self.id = peer_id(self.key)
        self.start = int(time.time())
        self.token = os.urandom(6)
        self.sequence = int.from_bytes(os.urandom(3), "little")
        self.heard = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def presence(self):
        return {1: self.start * 2**16 + 1, 2: 4 * self.start, 4: self.start * 2**16 + 7}

    def send(self, **message):
        self.socket.sendto(msgpack.packb(message, use_bin_type=True), self.daemon.address)

    def introduce(self):
        """First contact is plain."""
        self.socket.sendto(
            wire.encode(self.key, self.presence(), ttl=0, full=True), self.daemon.address
        )

    def hello(self, **fields):
        x = {"i": self.id, **fields}
        self.send(key=self.key, vector=self.presence(), full=True, ttl=0, x=x)

    def say(self, **fields):
        self.send(key="", vector={}, ttl=0, x={"i": self.id, **fields})

    def next_q(self):
        self.sequence += 1
        return self.sequence

    def answer(self, message):
        """Ack what wants it, echo a token, say who we are where that is asked, agree to digests (an
        ack's salt is the same)."""
        x = message["x"]
        fields = {}
        if "q" in x:
            fields["a"] = [x["q"]]
            if "r" in x:
                fields["r"] = x["r"]
        if "t" in x:
            fields.update(e=x["t"], t=self.token)
        if "t" in x or "?" in x:
            self.hello(**fields)
        elif fields:
            self.say(**fields)

    def take(self, wanted, for_s):
        """Take and answer what comes until `wanted` likes an x, which is returned, or None."""
        limit = time.monotonic() + for_s
        while (left := limit - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                break
            message = read(self.socket.recvfrom(65536)[0])
            self.heard.append(message)
            if "x" not in message:
                continue
            assert message["x"]["i"] == peer_id(f"n:{self.daemon.text}")
            self.answer(message)
            if wanted(message["x"], message):
                return message["x"]
        return None

    def hear(self, wanted, within_s=5.0):
        """The first x that `wanted` likes; fail when none comes in time."""
        found = self.take(wanted, within_s * PATIENCE)
        assert found is not None, f"not heard within {within_s} s; heard was {self.heard[-20:]}"
        return found

    def ask(self, question, wanted, within_s=5.0):
        """Say question(q), anew each second, since anything may be lost, until `wanted` comes."""
        limit = time.monotonic() + within_s * PATIENCE
        while time.monotonic() < limit:
            q = self.next_q()
            self.say(q=q, **question(q))
            found = self.take(wanted, 1.0 * PATIENCE)
            if found is not None:
                return found
        raise AssertionError(f"no answer within {within_s} s; heard was {self.heard[-20:]}")

    def listen(self, for_s):
        """All x that come within a time."""
        before = len(self.heard)
        self.take(lambda *_: False, for_s)
        return [message["x"] for message in self.heard[before:] if "x" in message]

    def push(self, **fields):
        """Say something that is acked; the x that acks it."""
        q = self.next_q()
        self.say(q=q, **fields)
        return self.hear(lambda x, _: q in x.get("a", []))

    def hear_item(self, key, within_s=5.0):
        """(x, item) of the first datagram with an item of that key."""
        x = self.hear(lambda x, _: any(item.key == key for item in x["b"]), within_s)
        return x, next(item for item in x["b"] if item.key == key)

    def join(self):
        """From first contact to a member: we are challenged, echo, and it gets our token."""
        self.introduce()
        self.hear(lambda x, _: "t" in x)
        self.hear(lambda x, _: x.get("e") == self.token)
        return self
