"""A disk that fails, is full, stands still or loses its power: no crash, nothing answered is lost.

The disk's calls go through disk_shim.c, preloaded; it is built here, with the compiler that built
the daemon.
"""

import errno
import itertools
import json
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from daemon import PATIENCE, eventually, is_sanitized

pytestmark = pytest.mark.skipif(is_sanitized(), reason="the sanitizer wants to be loaded first")

IMAGES = int(os.environ.get("CHECK_IMAGES", "40"))
STEP = int(os.environ.get("CHECK_STEP", "24"))  # every so many calls fail in turn
SECTOR = 512
REFUSED = 73


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    source = pathlib.Path(__file__).with_name("disk_shim.c")
    library = tmp_path_factory.mktemp("library") / "disk_shim.so"
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"],
                   check=True)
    return library


class Shim:
    """What the shim is told, and what it counted."""

    def __init__(self, folder, library, data):
        self.path = folder / f"shim-{time.monotonic_ns()}"
        self.path.write_bytes(bytes(40))
        self.record = self.path.with_suffix(".record")
        self.environment = {"LD_PRELOAD": str(library), "DISK_SHIM": str(self.path),
                            "DISK_SHIM_UNDER": str(data)}

    def recording(self):
        self.environment["DISK_SHIM_RECORD"] = str(self.record)
        return self

    def write(self, at, value):
        with open(self.path, "r+b") as file:
            file.seek(8 * at)
            file.write(struct.pack("q", value))

    def fail(self, countdown, error=0, forever=False):
        self.write(1, error)
        self.write(2, int(forever))
        self.write(0, countdown)

    def stall(self, on):
        self.write(3, int(on))

    def calls(self):
        return struct.unpack("5q", self.path.read_bytes())[4]


@pytest.fixture
def shimmed(start, library, tmp_path):
    """shimmed(folder, before=...) gives a daemon on a data directory, ready or not, and its shim."""

    def build(folder, *options, before=lambda shim: None, ready=True, environment=()):
        shim = Shim(tmp_path, library, folder)
        before(shim)
        node = start.unready("-D", str(folder), *options,
                             environment={**shim.environment, **dict(environment)})
        return (node.await_ready() if ready else node), shim

    return build


def write_all(node, first, count):
    """One update a key; those that were answered with 200, and what else was said."""
    kept, others = {}, set()
    for i in range(first, first + count):
        answer = node.post(f"/keys/key:{i}", {"3": i + 1}, checked=False)
        if answer.status in (200, 201):
            kept[f"key:{i}"] = i + 1
        else:
            others.add(answer.status)
    return kept, others


def assert_kept(node, kept):
    found = node.keys()
    for key, value in kept.items():
        assert found.get(key, {}).get(3, 0) >= value, (key, value)


def is_ready(node):
    return node.get("/ready").status == 200


# -- failing calls -------------------------------------------------------------------------------


def run_with(node, shim):
    """Some updates under the fault, then more once it is over: what was answered."""
    kept, others = write_all(node, 0, 6)
    assert others <= {503, 507}, others
    shim.fail(0)
    eventually(lambda: is_ready(node), 10)
    more, others = write_all(node, 100, 3)
    assert not others and len(more) == 3
    return {**kept, **more}


# Each kind begins at another call, so that together they come to more of them.
KINDS = list(itertools.product((0, errno.EIO, errno.ENOSPC), (False, True)))


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_each_call_fails_in_turn(shimmed, tmp_path, kind):
    error, forever = KINDS[kind]
    n = 1 + kind * STEP // len(KINDS)
    while True:
        folder = tmp_path / f"data-{n}"
        node, shim = shimmed(folder, before=lambda shim: shim.fail(n, error, forever), ready=False)
        eventually(lambda: not node.is_running or " ready " in node.log(), 10)
        kept = {}
        if node.is_running:
            kept = run_with(node.await_ready(), shim)
            reached = shim.calls() >= n
            node.kill()
        else:
            reached = True
            assert node.process.returncode == REFUSED, node.log()
            assert len(node.log().splitlines()) <= 2, node.log()
            node.process.returncode = 0
        again, _ = shimmed(folder)
        assert_kept(again, kept)
        assert again.stop() == 0
        if not reached:
            return
        n += STEP


# -- a disk that stands still ----------------------------------------------------------------------


def test_a_disk_that_stands_still_holds_nobody_up(shimmed, tmp_path):
    node, shim = shimmed(tmp_path / "data")
    assert node.post("/keys/before", {"0": 1}).status in (200, 201)
    shim.stall(True)
    begin = time.monotonic()
    answer = node.post("/keys/meanwhile", {"0": 1}, checked=False)
    assert answer.status == 503 and answer.json()["outcome"] == "unknown"
    assert time.monotonic() - begin < 20 * PATIENCE
    assert node.vector("meanwhile") == {0: 1}  # read and told at once; only its answer waited
    assert node.get("/health").status == 200
    shim.stall(False)
    eventually(lambda: node.post("/keys/after", {"0": 1}, checked=False).status in (200, 201), 10)


def test_answers_that_wait_hold_no_more_than_they_may(shimmed, tmp_path):
    """Of updates whose answers are many times as long: those do not wait as text."""
    node, shim = shimmed(tmp_path / "data", "--set", "http-max-memory=4m")
    count = 10_000
    large = {str(i): str(2**63 + i) for i in range(count)}
    assert node.post("/keys/large", large, checked=False).status == 201
    body = {str(i): 1 for i in range(count)}
    answer_bytes = len(node.post("/keys/large", body, checked=False).body)
    shim.stall(True)
    clients = [node.connect(timeout_s=30) for _ in range(12)]
    for i, client in enumerate(clients):
        client.sendall(update_of({**body, str(count): i + 1}))
        eventually(lambda i=i: node.stats()["http_holding"] == i + 1)
    assert node.stats()["http_memory_bytes"] < len(clients) * answer_bytes / 2
    shim.stall(False)
    for client in clients:
        answer = b"".join(iter(lambda client=client: client.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200") and len(answer) > answer_bytes


def update_of(vector):
    body = json.dumps(vector).encode()
    return (b"POST /keys/large HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)) + body


def test_a_question_in_an_update_s_form_is_answered_by_a_disk_that_fails(shimmed, tmp_path):
    node, shim = shimmed(tmp_path / "data")
    assert node.post("/keys/foo", {"0": 5}).status == 201
    shim.fail(1, errno.EIO, True)
    eventually(lambda: node.post("/keys/bar", {"0": 1}, checked=False).status == 503
               and not is_ready(node))
    refused = node.post("/keys/foo", {"0": 9}, checked=False)
    assert refused.status == 503 and "outcome" not in refused.json()
    assert node.vector("foo") == {0: 5}
    assert node.post("/keys/foo", {}).json()["larger"] == {"0": 5}


def test_an_end_does_not_wait_for_such_a_disk_for_ever(shimmed, tmp_path):
    node, shim = shimmed(tmp_path / "data")
    assert node.post("/keys/before", {"0": 1}).status == 201
    shim.stall(True)
    assert node.stop(15) == 0


def test_such_a_disk_and_clients_that_wait_hold_an_end_up_for_a_while_only(shimmed, tmp_path):
    """Somebody watches, somebody waits for a key, and somebody for the disk; and the socket's file
    is gone with it."""
    path = tmp_path / "socket"
    node, shim = shimmed(tmp_path / "data", "--set", f"http-listen=unix:{path}")
    assert node.post("/keys/before", {"3": 1}).status == 201
    clients = []
    shim.stall(True)
    for request in ("GET /watch HTTP/1.1", "GET /keys/unborn?wait=5m HTTP/1.1\r\nIf-None-Match: *",
                    "POST /keys/held HTTP/1.1\r\nContent-Length: 7\r\n"
                    "Content-Type: application/json"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        client.sendall(f'{request}\r\nHost: localhost\r\n\r\n{{"3":5}}'[:None if "POST" in request
                                                                      else -7].encode())
        clients.append(client)
    eventually(lambda: node.stats()["http_holding"] == 1)
    assert node.stop(15) == 0
    assert not path.exists()
    for client in clients:
        client.close()


def is_read(client):
    """Whether the other end has taken all that was sent."""
    ends = tuple(f":{end[1]:04X}" for end in (client.getpeername(), client.getsockname()))
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return any(row[1].endswith(ends[0]) and row[2].endswith(ends[1])
               and row[4].endswith(":00000000") for row in rows)


def test_a_stop_while_it_loads_ends_at_once(shimmed, tmp_path):
    """Also where the disk comes back, and all is loaded, while the end waits for a client."""
    node, _ = shimmed(tmp_path / "data")
    assert write_all(node, 0, 5)[1] == set()
    assert node.stop() == 0
    node, shim = shimmed(tmp_path / "data", before=lambda shim: shim.stall(True), ready=False)
    with eventually(lambda: connected(node)) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        eventually(lambda: is_read(client))  # or it would be idle, and be closed
        node.signal(signal.SIGTERM)
        eventually(lambda: " stopping " in node.log())
        shim.stall(False)
        eventually(lambda: " loaded " in node.log())
    assert node.process.wait(10 * PATIENCE) == 0
    assert " ready " not in node.log()


def test_a_reload_while_it_loads_does_not_say_that_it_has(shimmed, tmp_path):
    """To the service manager, which waits for that word."""
    node, _ = shimmed(tmp_path / "data")
    assert node.post("/keys/before", {"3": 1}).status == 201
    node.kill()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10 * PATIENCE)
        node, shim = shimmed(tmp_path / "data", before=lambda shim: shim.stall(True), ready=False,
                             environment={"NOTIFY_SOCKET": manager.getsockname()})
        eventually(lambda: connected(node)).close()
        node.signal(signal.SIGHUP)
        eventually(lambda: " reload" in node.log())
        assert " ready " not in node.log()
        shim.stall(False)
        assert manager.recv(4096).startswith(b"READY=1\n")  # the first word
    assert node.await_ready().vector("before") == {3: 1}


def connected(node):
    try:
        return socket.create_connection(("127.0.0.1", node.port), timeout=10)
    except OSError:
        return None
def test_an_end_at_once_takes_what_comes_back_meanwhile(shimmed, tmp_path):
    node, shim = shimmed(tmp_path / "data")
    shim.stall(True)
    thread = threading.Thread(target=node.post, args=("/keys/held", {"0": 1}),
                              kwargs={"checked": False}, daemon=True)
    threading.excepthook = lambda _: None  # its connection is cut
    thread.start()
    eventually(lambda: node.stats()["http_holding"] == 1)
    node.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in node.log())
    node.signal(signal.SIGTERM)
    eventually(lambda: " stopped " in node.log())
    shim.stall(False)
    assert node.process.wait(30) == 0, node.log()
    assert "Assertion" not in node.log()


# -- a power cut ---------------------------------------------------------------------------------


class Call:
    """One recorded call."""

    def __init__(self, verb, path, offset, data, moment):
        self.verb, self.path, self.offset, self.data, self.moment = verb, path, offset, data, moment


def calls_of(record):
    calls = []
    with open(record, "rb") as file:
        while line := file.readline():
            verb, path, offset, size, moment = line.decode().split()
            calls.append(Call(verb, path, int(offset), file.read(int(size)), float(moment)))
    return calls


class Disk:
    """What lies on it for good, and what would be lost."""

    def __init__(self):
        self.files = {}  # inode -> bytearray that is durable
        self.waiting = {}  # inode -> [(offset, bytes)]
        self.names = {}  # as the kernel has them
        self.names_kept = {}
        self.names_waiting = []  # changes to the directory
        self.inodes = 0

    def change(self, names, change):
        verb, name, more = change
        if verb == "add":
            names[name] = more
        elif verb == "rename" and name in names:
            names[more] = names.pop(name)
        elif verb == "remove":
            names.pop(name, None)

    def enter(self, *change):
        self.change(self.names, change)
        self.names_waiting.append(change)

    def apply(self, call):
        name = call.path
        if call.verb in ("create", "open") and name not in self.names:
            self.inodes += 1
            self.files[self.inodes] = bytearray()
            self.waiting[self.inodes] = []
            self.enter("add", name, self.inodes)
        elif call.verb == "create":
            self.waiting[self.names[name]].append((0, None))
        elif call.verb == "write" and name in self.names:
            self.waiting[self.names[name]].append((call.offset, call.data))
        elif call.verb == "sync" and name == "/":
            for change in self.names_waiting:
                self.change(self.names_kept, change)
            self.names_waiting = []
        elif call.verb == "sync" and name in self.names:
            inode = self.names[name]
            for offset, data in self.waiting[inode]:
                put(self.files[inode], offset, data)
            self.waiting[inode] = []
        elif call.verb == "rename":
            self.enter("rename", *name.split(":"))
        elif call.verb == "unlink":
            self.enter("remove", name, None)

    def image(self, folder, draw):
        """What the next start would find."""
        names = dict(self.names_kept)
        for change in self.names_waiting:
            if draw.random() < 0.5:
                self.change(names, change)
        os.mkdir(folder, 0o700)
        for name, inode in names.items():
            data = bytearray(self.files[inode])
            for offset, more in self.waiting[inode]:
                if more is None:
                    put(data, 0, None) if draw.random() < 0.5 else None
                    continue
                for at in range(0, len(more), SECTOR):
                    if draw.random() < 0.6:
                        put(data, offset + at, more[at:at + SECTOR])
            path = pathlib.Path(str(folder) + name)
            path.write_bytes(data)
            path.chmod(0o600)


def put(data, offset, more):
    if more is None:
        data.clear()
        return
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(more)] = more


def test_a_power_cut_at_any_call(shimmed, start, tmp_path):
    """Images of what a cut between two calls leaves: each starts, with all that was answered."""
    draw = random.Random(int(os.environ.get("CHECK_SEED", "1")))
    folder = tmp_path / "data"
    node, shim = shimmed(folder, before=lambda shim: shim.recording())
    answered = []  # (moment, key, value)
    for i in range(200):
        if node.post(f"/keys/key:{i % 20}", {"3": i + 1}, checked=False).status in (200, 201):
            answered.append((time.monotonic(), f"key:{i % 20}", i + 1))
    node.stop()
    calls = calls_of(shim.record)
    cuts = sorted(draw.sample(range(1, len(calls)), min(IMAGES, len(calls) - 1)))
    disk = Disk()
    for at, call in enumerate(calls):
        if cuts and cuts[0] == at:
            cuts.pop(0)
            image = tmp_path / f"image-{at}"
            disk.image(image, draw)
            check_image(start, image, {key: value for moment, key, value in answered
                                       if moment < call.moment}, at)
        disk.apply(call)
    assert len(answered) == 200


def check_image(start, image, kept, at):
    node = start.unready("-D", str(image))
    eventually(lambda: not node.is_running or " ready " in node.log(), 10)
    assert node.is_running, f"cut before call {at}:\n{node.log()}"
    assert_kept(node.await_ready(), kept)
    assert "data_damaged" not in node.log(), f"cut before call {at}:\n{node.log()}"
    node.kill()


# -- damaged files -------------------------------------------------------------------------------


def damage(data, draw):
    kind = draw.randrange(4)
    at = draw.randrange(max(1, len(data)))
    if kind == 0:
        return data[:at]
    if kind == 1:
        data[at:at + SECTOR] = bytes(len(data[at:at + SECTOR]))
    elif kind == 2 and data:
        data[at] ^= 1 << draw.randrange(8)
    else:
        data[at:at + 64] = draw.randbytes(len(data[at:at + 64]))
    return data


def test_damaged_files_never_crash_it_nor_say_what_nobody_wrote(shimmed, start, tmp_path):
    draw = random.Random(int(os.environ.get("CHECK_SEED", "1")))
    folder = tmp_path / "data"
    node, _ = shimmed(folder)
    kept, _ = write_all(node, 0, 100)
    assert len(kept) == 100
    node.stop()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for turn in range(max(10, IMAGES // 2)):
        image = tmp_path / f"damaged-{turn}"
        image.mkdir(0o700)
        victim = draw.choice(sorted(name for name in files if name != "lock"))
        for name, data in files.items():
            data = bytearray(data)
            # Most of a log is zeros to its end: what matters is at its front.
            if name == victim:
                data = damage(data[:8192], draw) + data[8192:]
            (image / name).write_bytes(data)
            (image / name).chmod(0o600)
        node = start.unready("-D", str(image))
        eventually(lambda node=node: not node.is_running or " ready " in node.log(), 10)
        if node.is_running:
            found = node.await_ready().keys()
            assert all(vector == {3: kept[key]} for key, vector in found.items())
            node.kill()
        else:
            assert node.process.returncode == REFUSED, node.log()
            node.process.returncode = 0
