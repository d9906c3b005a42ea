"""A peer that speaks the extended level and keeps its rules only as far as a test wants.

It says who it is, proves that it receives where it sends from, and then acks or not, as told.
"""

import os
import socket
import threading
import time

import msgpack

MASK = 2**64 - 1


def siphash(data, secret=bytes(16)):
    """SipHash-2-4 (Aumasson and Bernstein, 2012)."""
    k0, k1 = (int.from_bytes(secret[at : at + 8], "little") for at in (0, 8))
    v = [
        k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573,
    ]

    def rotated(word, by):
        return (word << by | word >> (64 - by)) & MASK

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[2] = (v[2] + v[3]) & MASK
            v[1] = rotated(v[1], 13) ^ v[0]
            v[3] = rotated(v[3], 16) ^ v[2]
            v[0] = rotated(v[0], 32)
            v[2] = (v[2] + v[1]) & MASK
            v[0] = (v[0] + v[3]) & MASK
            v[1] = rotated(v[1], 17) ^ v[2]
            v[3] = rotated(v[3], 21) ^ v[0]
            v[2] = rotated(v[2], 32)

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


class Peer(threading.Thread):
    """answer(peer, x, source) gives the fields of `x` that go back for one that came, or None."""

    def __init__(self, made, answer):
        super().__init__(daemon=True)
        self.socket = made
        self.socket.settimeout(0.05)
        self.answer = answer
        host, port = made.getsockname()
        self.text = f"{host}:{port}"
        self.key = f"n:{self.text}"
        self.id = siphash(self.key.encode()) & 0xFFFFFFFF
        self.since = int(time.time())
        self.token = os.urandom(6)
        self.heard = []  # (when, source, fields of x, size)
        self.plain = []
        self.ending = threading.Event()

    def __enter__(self):
        assert siphash(b"foo") == 0xDDE38BD48EAE7414
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        self.socket.close()

    def presence(self, incarnation=None):
        return {
            1: self.since * 2**16 + 1,
            2: 4 * (incarnation or self.since),
            4: self.since * 2**16 + 7,
        }

    def write(self, message, to):
        self.socket.sendto(msgpack.packb(message, use_bin_type=True), to)

    def introduce(self, to, **fields):
        """First contact, in both forms: plain presence, or a hello with an echo."""
        message = {"key": self.key, "vector": self.presence(), "full": True, "ttl": 0}
        if fields:
            message["x"] = {"i": self.id, **fields}
        self.write(message, to)

    def say(self, to, **fields):
        self.write({"key": "", "vector": {}, "ttl": 0, "x": {"i": self.id, **fields}}, to)

    def run(self):
        while not self.ending.is_set():
            try:
                datagram, source = self.socket.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                continue
            message = msgpack.unpackb(datagram, raw=False, strict_map_key=False)
            if "x" not in message:
                self.plain.append((time.monotonic(), source, message))
                continue
            x = message["x"]
            self.heard.append((time.monotonic(), source, x, len(datagram)))
            if "?" in x or (message["key"] and "t" in x):
                # A challenge or a hello: echo its token, with ours, and ack it.
                self.introduce(
                    source, e=x.get("t", bytes(6)), t=self.token,
                    **({"a": [x["q"]]} if "q" in x else {}),
                )
                continue
            fields = self.answer(self, x, source)
            if fields is not None:
                self.say(source, **fields)


def ack(peer, x, source):
    """The honest answer, as far as it goes: that it came."""
    del peer, source
    return {"a": [x["q"]]} if "q" in x else None


def mute(peer, x, source):
    """Never acks anything."""
    del peer, x, source
