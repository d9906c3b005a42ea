"""The two first implementations, as they really behave, bugs included.

Each is a thread with a socket. Where the original would have died it notes why in `deaths` and
goes deaf as the original does: it hears nothing any more and goes on sending. Where it would be
drawn into an endless exchange, `busiest` (datagrams sent within one second) shows it.

Sources: avibryant/vignette (Ruby) and aconbere/clojure-vignette, run and probed message by message.
"""

import random
import re
import socket
import threading
import time

import msgpack

import wire

STORM = 100  # datagrams a second that no peer of these has a reason to send
RUBY_BYTES = 1500
CLOJURE_BYTES = 16384
CLOJURE_QUIET_S = 3.0
CLOJURE_NEIGHBOURS = 4


class Death(Exception):
    """What would have raised in the original."""


class Prototype(threading.Thread):
    """What both have in common: a socket, a store, a life that can end in deafness."""

    def __init__(self, seeds=(), port=0):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.settimeout(0.05)
        self.address = self.socket.getsockname()
        self.text = f"127.0.0.1:{self.address[1]}"
        self.seeds = [("127.0.0.1", seed.port) for seed in seeds]
        self.store = {}
        self.deaths = []
        self.sent = []
        self.heard = 0
        self.lock = threading.RLock()
        self.ending = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        self.socket.close()

    @property
    def is_deaf(self):
        return bool(self.deaths)

    @property
    def busiest(self):
        """The most datagrams sent within any one second."""
        with self.lock:
            times = list(self.sent)
        most = first = 0
        for last, at in enumerate(times):
            while at - times[first] > 1:
                first += 1
            most = max(most, last - first + 1)
        return most

    def vector(self, key):
        with self.lock:
            return dict(self.store.get(key, {}))

    def write(self, datagram, to):
        with self.lock:
            self.sent.append(time.monotonic())
        try:
            self.socket.sendto(datagram, to)
        except OSError as why:
            raise Death(f"cannot send to {to}: {why}") from why

    def run(self):
        while not self.ending.is_set():
            try:
                datagram, source = self.socket.recvfrom(65536)
            except TimeoutError:
                datagram = None
            except OSError:
                continue
            try:
                with self.lock:
                    if datagram is not None and not self.is_deaf:
                        self.heard += 1
                        self.receive(datagram, source)
                    self.tick(time.monotonic())
            except Death as why:
                self.deaths.append(str(why))


def minutes():
    return int(time.time() // 60)


class Ruby(Prototype):
    """Answers with what is larger, passes on to one random peer, knows a peer by its datagrams."""

    PEER = re.compile(r"^n:(.*):(.*)$", re.MULTILINE)

    def __init__(self, seeds=(), port=0, updates=True):
        super().__init__(seeds, port)
        self.updates = updates
        self.random = random.Random(self.address[1])
        self.due = 0.0
        self.has_asked = False

    def send(self, key, vector, ttl, to):
        if not isinstance(ttl, int):
            raise Death(f"ttl {ttl!r} of {key!r} less one")
        if ttl >= 2:
            message = {"key": key, "vector": vector, "ttl": ttl - 1}
            self.write(msgpack.packb(message, use_bin_type=True), to)

    def peers(self, *besides):
        found = []
        for key in self.store:
            match = self.PEER.search(key)
            if match is None:
                continue
            try:
                socket.inet_aton(match[1])
                address = (match[1], int(match[2]))
            except (OSError, ValueError) as why:
                raise Death(f"cannot send to {key!r}") from why
            if not 1 <= address[1] <= 65535:
                raise Death(f"cannot send to {key!r}")
            if address not in besides and address != self.address:
                found.append(address)
        return found

    def receive(self, datagram, source):
        if len(datagram) > RUBY_BYTES:
            raise Death(f"{len(datagram)} bytes, of which {RUBY_BYTES} are read")
        try:
            message = msgpack.unpackb(datagram, raw=False, strict_map_key=False)
        except Exception as why:
            raise Death(f"{datagram!r}: {why!r}") from why
        if not isinstance(message, dict) or any(
            isinstance(part, msgpack.ExtType) for part in message.values()
        ):
            raise Death(f"not a map, or an extension: {message!r}")
        self.update(f"n:{source[0]}:{source[1]}", {0: minutes()}, 50, source)
        self.handle(message, source)

    def handle(self, message, source):
        key, vector, ttl = message.get("key"), message.get("vector"), message.get("ttl")
        if not isinstance(key, str):
            raise Death(f"key {key!r}")
        if "*" in key:
            raise Death(f"aggregate_query of {key!r} does not exist")
        if not isinstance(vector, dict):
            raise Death(f"vector {vector!r}")
        for index, value in vector.items():
            if type(index) is not int or type(value) is not int:
                raise Death(f"{index!r}: {value!r} in {key!r}")
        if "%" in key:
            self.search(key, vector, ttl, source)
        elif not vector:
            if key in self.store:
                self.send(key, self.store[key], ttl, source)
        else:
            self.update(key, vector, ttl, source)

    def search(self, key, vector, ttl, source):
        try:
            pattern = re.compile(key.replace(".", r"\.").replace("%", ".*"))
        except re.error as why:
            raise Death(f"RegexpError of {key!r}") from why
        for found, mine in list(self.store.items()):
            if pattern.search(found):
                larger = {i: v for i, v in mine.items() if v > vector.get(i, 0)}
                if larger:
                    self.send(found, larger, ttl, source)

    def update(self, key, vector, ttl, source):
        known = key in self.store
        mine = self.store.setdefault(key, {})
        larger = {i: mine[i] for i, v in vector.items() if known and mine.get(i, 0) > v}
        raised = {i: v for i, v in vector.items() if not known or v > mine.get(i, 0)}
        mine.update(raised)
        if larger and source is not None:  # an update of its own has nobody to answer
            self.send(key, larger, ttl, source)
        if raised:
            peers = self.peers(source)
            if peers:
                self.send(key, raised, ttl, self.random.choice(peers))

    def tick(self, now):
        if not self.has_asked:
            self.has_asked = True
            for seed in self.seeds:
                message = {"key": "n:%", "vector": {}, "ttl": 50}
                self.write(msgpack.packb(message, use_bin_type=True), seed)
        if self.updates and now >= self.due:
            self.due = now + 1.0
            self.update("hll", {self.random.randrange(1024): self.random.randint(1, 12)}, 50, None)


class Clojure(Prototype):
    """Sends what changed to four neighbours after three seconds of quiet; answers nobody."""

    def __init__(self, seeds=(), port=0):
        super().__init__(seeds, port)
        self.changed = {}
        self.changed_at = 0.0
        self.beat_at = time.monotonic() + CLOJURE_QUIET_S

    @staticmethod
    def message(key, vector, **more):
        return msgpack.packb({"key": key, "vector": vector, **more}, use_bin_type=False)

    def neighbours(self):
        found = list(self.seeds)
        for key in self.store:
            if key.startswith("n:"):
                parts = key[2:].split(":")
                try:
                    address = (parts[0], int(parts[1]))
                    socket.inet_aton(parts[0])
                except (IndexError, ValueError, OSError) as why:
                    raise Death(f"mute: {key!r} is no neighbour") from why
                if not 1 <= address[1] <= 65535:
                    raise Death(f"mute: {key!r} is no neighbour")
                if address != self.address and address not in found:
                    found.append(address)
        return sorted(found, key=hash)[:CLOJURE_NEIGHBOURS]

    def receive(self, datagram, source):
        del source
        if not datagram or len(datagram) > CLOJURE_BYTES:
            raise Death(f"{len(datagram)} bytes")
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        unpacker.feed(datagram)
        try:
            message = unpacker.unpack()
            firsts = set(wire.lengths(datagram[: unpacker.tell()]))
        except Exception as why:
            raise Death(f"{datagram!r}: {why!r}") from why
        if firsts & {0xD9, 0xC4, 0xC5, 0xC6}:
            raise Death("str8 or bin")
        if not isinstance(message, dict) or not isinstance(message.get("key"), str):
            raise Death(f"no map with a key: {message!r}")
        vector = message.get("vector") or {}
        if not isinstance(vector, dict):
            raise Death(f"vector {vector!r}")
        self.handle(message["key"], vector)

    def handle(self, key, vector):
        if "%" in key:
            try:
                re.compile(key.replace("%", ".*"))
            except re.error as why:
                raise Death(f"PatternSyntaxException of {key!r}") from why
            return
        if "*" in key:
            return
        if not vector:
            if key in self.store:
                self.note(key, self.store[key])
            return
        for index, value in vector.items():
            if not isinstance(index, (int, float)) or not isinstance(value, (int, float)):
                raise Death(f"{index!r}: {value!r} in {key!r}")
        mine = self.store.setdefault(key, {})
        raised = {i: v for i, v in vector.items() if v > mine.get(i, 0)}
        mine.update(raised)
        if raised:
            self.note(key, raised)
        self.neighbours()

    def note(self, key, elements):
        self.changed.setdefault(key, {}).update(elements)
        self.changed_at = time.monotonic()

    def tick(self, now):
        if now >= self.beat_at:
            self.beat_at += CLOJURE_QUIET_S
            stamp = {0: int(time.time() * 1000)}
            for neighbour in self.neighbours():
                self.write(self.message(f"n:{self.text}", stamp, full=True), neighbour)
        if self.changed and now >= self.changed_at + CLOJURE_QUIET_S:
            changed, self.changed = self.changed, {}
            for key, elements in changed.items():
                for neighbour in self.neighbours():
                    self.write(self.message(key, elements), neighbour)

    def set(self, key, elements):
        """As typed at its prompt."""
        with self.lock:
            self.handle(key, elements)
