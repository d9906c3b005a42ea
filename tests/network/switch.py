"""A switch between network namespaces that treats datagrams badly, as told.

Each place is a namespace whose only way out is a veth pair; the other end lies in the namespace of
the test, with a packet socket of the switch on it. Between them datagrams are lost, doubled,
delayed, overtaken and cut off, by a rule for each ordered pair of places, from one generator with a
fixed seed. Everything that passes is looked at and counted: who sent how much to whom, and whether
anything was fragmented or larger than a node may send.

UDP checksums are left to the kernel by the sender and are not there yet when the switch sees a
packet, so it says "none" instead, which IPv4 allows.
"""

import collections
import ctypes
import dataclasses
import heapq
import itertools
import os
import random
import selectors
import socket
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000
ETH_P_IP = 0x0800
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
UDP_BYTES_MAX = 1200  # what any node may put into a datagram
OWN_PLACES = 100  # places from this number on are of tests themselves: they may send anything
BATCH = 64  # packets taken from one place before another gets its turn

LIBC = ctypes.CDLL(None, use_errno=True)
SERIAL = itertools.count()


def check(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@dataclasses.dataclass
class Path:
    """What happens to datagrams from one place to another. Shares are of 1."""

    loss: float = 0.0
    twice: float = 0.0
    delay_s: tuple = (0.0, 0.0)  # least and most; drawn anew for each, so they overtake
    cut: bool = False


class Traffic:
    """What went from one address towards another, whether it arrived or not."""

    def __init__(self):
        self.datagrams = 0
        self.bytes = 0  # with headers of IP and UDP

    def __repr__(self):
        return f"{self.datagrams} datagrams, {self.bytes} bytes"


class Place:
    """A network namespace with one address, made by Switch.place()."""

    def __init__(self, number, address, namespace):
        self.number = number
        self.address = address
        self.namespace = namespace  # a descriptor
        self.interface = f"in{number}"
        self.mac = bytes([2, 0, 0, 0, number >> 8, number & 255])

    def enter(self):
        """Move the calling thread there."""
        check(LIBC.setns(self.namespace, CLONE_NEWNET))

    def run(self, work):
        """What a function gives when called there."""
        return run_apart(lambda: (self.enter(), work())[1])

    def socket(self, port=0):
        """A UDP socket there, bound to the place's address."""

        def make():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((self.address, port))
            return made

        return self.run(make)

    def ip(self, *commands):
        """Commands for ip(8), one string each, done there."""
        subprocess.run(
            ["ip", "-batch", "-"],
            input="\n".join(commands),
            text=True,
            check=True,
            capture_output=True,
            preexec_fn=self.enter,
        )


def run_apart(work):
    """Call a function on a thread that ends with it, so that what it enters is left with it."""
    given = []
    failed = []

    def body():
        try:
            given.append(work())
        except BaseException as why:  # handed to the caller below
            failed.append(why)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return given[0]


class Switch(threading.Thread):
    def __init__(self, seed=1):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.places = {}  # by address
        self.ends = {}  # address -> (socket, link address to send to)
        self.default = Path()
        self.paths = {}  # (from, to) -> Path
        self.rewrites = []  # functions of (packet as bytearray) that may change addresses
        self.duplicates = {}  # address -> further addresses of places that claim it
        self.traffic = collections.defaultdict(Traffic)  # (from, to)
        self.errors = []  # what no node may send
        self.waiting = []  # heap of (when, order, packet, where)
        self.order = 0
        self.selector = selectors.DefaultSelector()
        self.wake, self.woken = os.pipe()
        os.set_blocking(self.wake, False)
        self.selector.register(self.wake, selectors.EVENT_READ)
        self.ending = False
        self.start()

    def place(self, number, address=None, claims=None):
        """A new namespace. `claims`: the address it uses inside, where that is another's."""
        address = address or f"10.9.0.{number}"

        def unshare():
            check(LIBC.unshare(CLONE_NEWNET))
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        place = Place(number, claims or address, run_apart(unshare))
        outer = f"out{number}-{next(SERIAL)}"  # a name may linger when its pair is gone
        subprocess.run(
            ["ip", "link", "add", outer, "type", "veth", "peer", "name", place.interface,
             "address", place.mac.hex(":"), "netns", f"/proc/{os.getpid()}/fd/{place.namespace}"],
            check=True, capture_output=True,
        )
        subprocess.run(["ip", "link", "set", outer, "up"], check=True, capture_output=True)
        place.ip(
            "link set lo up",
            f"addr add {place.address}/24 dev {place.interface}",
            f"link set {place.interface} arp off up",
            f"route add default dev {place.interface}",
        )
        self.attach(place, address, outer)
        return place

    def attach(self, place, address, outer):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        end.bind((outer, ETH_P_IP))
        end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        try:
            end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        except PermissionError:  # not root: as much as it may have
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        end.setblocking(False)
        self.places[address] = place
        self.ends[address] = (end, (outer, ETH_P_IP, 0, 1, place.mac))
        if place.address != address:
            self.duplicates.setdefault(place.address, []).append(address)
        self.selector.register(end, selectors.EVENT_READ, address)
        self.nudge()

    # -- what the network does

    def between(self, one, other):
        """The two rules between two groups of addresses, to be changed."""
        rules = []
        for a in one:
            for b in other:
                for pair in ((a, b), (b, a)):
                    rules.append(self.paths.setdefault(pair, Path()))
        return rules

    def cut(self, one, other):
        for rule in self.between(one, other):
            rule.cut = True

    def cut_one_way(self, source, target):
        self.paths[(source, target)] = Path(cut=True)

    def heal(self):
        self.paths = {}
        self.default = Path()

    def sent(self, source=None, target=None):
        """Traffic of all pairs that fit, summed."""
        total = Traffic()
        for (a, b), traffic in list(self.traffic.items()):
            if source in (None, a) and target in (None, b):
                total.datagrams += traffic.datagrams
                total.bytes += traffic.bytes
        return total

    # -- the thread

    def nudge(self):
        os.write(self.woken, b".")

    def run(self):
        while not self.ending:
            now = time.monotonic()
            left = max(0.0, self.waiting[0][0] - now) if self.waiting else 1.0
            for key, _ in self.selector.select(left):
                if key.fd == self.wake:
                    os.read(self.wake, 4096)
                else:
                    self.take(key.fileobj, key.data)
            now = time.monotonic()
            while self.waiting and self.waiting[0][0] <= now:
                _, _, packet, where = heapq.heappop(self.waiting)
                self.deliver(packet, where)

    def take(self, end, origin):
        for _ in range(BATCH):
            try:
                packet = bytearray(end.recv(65536))
            except BlockingIOError:
                return
            except OSError:  # the link is down
                return
            self.forward(packet, origin)

    def forward(self, packet, origin):
        header = (packet[0] & 15) * 4
        is_udp = packet[9] == socket.IPPROTO_UDP
        if packet[6] & 0x3F or packet[7]:
            self.errors.append(f"a fragment, {len(packet)} bytes, from {origin}")
        if is_udp:
            packet[header + 6 : header + 8] = b"\0\0"
        for rewrite in self.rewrites:
            rewrite(packet)
        source = socket.inet_ntoa(packet[12:16])
        target = socket.inet_ntoa(packet[16:20])
        if is_udp and source in self.places and len(packet) - header - 8 > self.limit(source):
            self.errors.append(f"{len(packet) - header - 8} bytes from {source} to {target}")
        traffic = self.traffic[(source, target)]
        traffic.datagrams += 1
        traffic.bytes += len(packet)
        wheres = [target] if target in self.ends else []
        wheres += [where for where in self.duplicates.get(target, ()) if where != origin]
        for where in wheres:
            if where != origin:
                self.pass_on(packet, self.paths.get((origin, where), self.default), where)

    def limit(self, source):
        return UDP_BYTES_MAX if self.places[source].number < OWN_PLACES else 65535

    def pass_on(self, packet, path, where):
        if path.cut or (path.loss and self.random.random() < path.loss):
            return
        copies = 2 if path.twice and self.random.random() < path.twice else 1
        for _ in range(copies):
            least, most = path.delay_s
            if most == 0:
                self.deliver(packet, where)
                continue
            self.order += 1
            when = time.monotonic() + self.random.uniform(least, most)
            heapq.heappush(self.waiting, (when, self.order, packet, where))

    def deliver(self, packet, where):
        end, link = self.ends[where]
        try:
            end.sendto(packet, link)
        except OSError:  # its queue is full, or the link is down: it is lost
            pass

    def close(self):
        self.ending = True
        self.nudge()
        self.join()
        for end, _ in self.ends.values():
            end.close()
        for place in self.places.values():
            os.close(place.namespace)
        self.selector.close()
        os.close(self.wake)
        os.close(self.woken)
