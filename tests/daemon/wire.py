"""The plain wire format, read and written by an independent codec (python3-msgpack).

judge() is the reference: it says of any datagram without `x` whether a node may take it, and what
it says. Peer is a socket that speaks plain messages to daemons and checks each that it hears.
"""

import select
import socket
import struct
import time

import msgpack

from daemon import PATIENCE, endpoint_text, udp_socket

PLAIN_BYTES_MAX = 760
DEPTH_MAX = 32


def encode(key, vector=None, ttl=3, full=None, **fields):
    """A plain message in the form that both prototypes take."""
    message = {"key": key, "vector": vector or {}, **fields}
    if ttl is not None:
        message["ttl"] = ttl
    if full is not None:
        message["full"] = full
    return msgpack.packb(message, use_bin_type=False)


class Refused(Exception):
    """A datagram is to be dropped whole."""


class Undecided(Refused):
    """An extension of type -1 that is no timestamp: msgpack refuses it, here it is any other."""


class Pairs(list):
    """A map as it was sent: duplicates and order are kept."""


def unpack(datagram):
    try:
        return msgpack.unpackb(
            datagram, raw=True, strict_map_key=False, object_pairs_hook=Pairs, timestamp=0,
            ext_hook=lambda code, data: (code, data),  # reserved codes are types like others
        )
    except (ValueError, msgpack.exceptions.UnpackException, OverflowError, RecursionError) as why:
        if "timestamp" in str(why):
            raise Undecided(repr(why)) from why
        raise Refused(repr(why)) from why


def depth(value):
    """How deep containers are in one another."""
    level, layer = 0, [value]
    while layer := [part for part in layer if isinstance(part, (list, tuple))]:
        level += 1
        layer = [
            member
            for part in layer
            for inner in part
            for member in (inner if isinstance(part, Pairs) else (inner,))
        ]
    return level


def number(value, least=0):
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Refused(f"not a number: {value!r}")
    return value


def once(pairs, name):
    """The field of that name, or None; twice is refused."""
    found = [value for field, value in pairs if field == name]
    if len(found) > 1:
        raise Refused(f"{name!r} comes twice")
    return found[0] if found else None


def has(pairs, name):
    return any(field == name for field, _ in pairs)


def judge(datagram):
    """(key, vector, ttl, full) as vignette(7), "Plain messages", reads them; or Refused."""
    pairs = unpack(datagram)
    if not isinstance(pairs, Pairs) or depth(pairs) > DEPTH_MAX:
        raise Refused("not a map, or too deep")
    if any(not isinstance(field, bytes) for field, _ in pairs):
        pairs = Pairs(pair for pair in pairs if isinstance(pair[0], bytes))
    key = once(pairs, b"key")
    elements = once(pairs, b"vector")
    ttl = once(pairs, b"ttl")
    full = once(pairs, b"full")
    if not isinstance(key, bytes) or not 1 <= len(key) <= 255 or b"\0" in key:
        raise Refused(f"bad key {key!r}")
    try:
        key = key.decode()
    except UnicodeDecodeError as why:
        raise Refused("not UTF-8") from why
    if has(pairs, b"vector") and not isinstance(elements, Pairs):
        raise Refused("vector is no map")
    if has(pairs, b"ttl"):
        number(ttl)
    if has(pairs, b"full") and not isinstance(full, bool):
        raise Refused("full is no truth value")
    vector = {}
    for index, value in elements or ():
        number(index)
        if number(value) > 0:
            vector[index] = max(vector.get(index, 0), value)
    return key, vector, 50 if ttl is None else min(ttl, 50), bool(full)


def lengths(datagram):
    """The first byte of each msgpack value, in order: how it was written, not what it says."""
    at = 0
    firsts = []
    fixed = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4,
             0xD3: 8, 0xC0: 0, 0xC2: 0, 0xC3: 0}
    counted = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}
    while at < len(datagram):
        first = datagram[at]
        firsts.append(first)
        at += 1
        if first < 0xA0 or first >= 0xE0:
            continue
        if first < 0xC0:
            at += first & 31
        elif first in fixed:
            at += fixed[first]
        elif first in counted:
            width = counted[first]
            at += width + int.from_bytes(datagram[at : at + width], "big")
        elif first in (0xDC, 0xDE):
            at += 2
        else:
            raise AssertionError(f"byte {first:#x} is of no form that both prototypes take")
    assert at == len(datagram), "bytes after the message, or too few"
    return firsts


def check_safe(datagram):
    """Fail when a plain message is not one that both prototypes survive. Gives its four parts."""
    assert len(datagram) <= PLAIN_BYTES_MAX, f"{len(datagram)} bytes"
    firsts = lengths(datagram)
    assert not {0xD9, 0xC4, 0xC5, 0xC6} & set(firsts), "str8 or bin"
    message = msgpack.unpackb(datagram, raw=False, strict_map_key=False)
    assert set(message) <= {"key", "vector", "ttl", "full"}, message
    assert {"key", "vector", "ttl"} <= set(message), message
    assert type(message["ttl"]) is int and 1 <= message["ttl"] <= 3, message
    assert message.get("full", True) is True, message
    key, vector, ttl, full = judge(datagram)
    assert vector == message["vector"], "a zero, or an index twice"
    assert "*" not in key and ("%" not in key or key == "n:%"), key
    assert not any(ord(c) < 32 or ord(c) == 127 for c in key), key
    if key.startswith("n:") and key != "n:%":
        host, port = key[2:].rsplit(":", 1)
        socket.inet_aton(host)
        assert 1 <= int(port) <= 65535
        assert vector.get(0, 0) <= time.time() // 60, "a stamp ahead of its time"
    return key, vector, ttl, full


class Peer:
    """A plain peer: a socket, and all it heard."""

    def __init__(self, *daemons):
        self.socket = udp_socket(daemons[0].address[0] if daemons else "127.0.0.1")
        self.daemons = daemons
        self.heard = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    @property
    def text(self):
        return endpoint_text(self.socket.getsockname())

    def send(self, datagram, to=None):
        self.socket.sendto(datagram, (to or self.daemons[0]).address)

    def say(self, key, vector=None, to=None, **fields):
        self.send(encode(key, vector, **fields), to)

    def listen(self, for_s):
        """Take what daemons send within a time. All of it must be safe for both prototypes."""
        limit = time.monotonic() + for_s
        found = []
        while (left := limit - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                datagram, source = self.socket.recvfrom(65536)
                if source[:2] in [daemon.address for daemon in self.daemons]:
                    found.append((*check_safe(datagram), source))
        self.heard += found
        return found

    def hear(self, wanted, within_s=2.0):
        """The first message that `wanted` likes; fail when none comes in time."""
        limit = time.monotonic() + within_s * PATIENCE
        while time.monotonic() < limit:
            for message in self.listen(0.01):
                if wanted(*message[:4]):
                    return message
        raise AssertionError(f"not heard within {within_s} s; heard was {self.heard[-20:]}")

    def hear_key(self, key, within_s=2.0):
        return self.hear(lambda found, *_: found == key, within_s)

    def quiet(self, about, for_s):
        """What is heard of one key within a time."""
        return [message for message in self.listen(for_s) if message[0] == about]


def raw_key(size, form):
    """The head of a string or bin of a size, written in a given form."""
    if form == "fix":
        return bytes([0xA0 | size])
    first, layout = {
        "str8": (0xD9, ">B"), "str16": (0xDA, ">H"), "str32": (0xDB, ">I"),
        "bin8": (0xC4, ">B"), "bin16": (0xC5, ">H"), "bin32": (0xC6, ">I"),
    }[form]
    return bytes([first]) + struct.pack(layout, size)
