"""The n-th allocation fails, for n = 1, 2, 3 and on until a request no longer reaches it.

Whatever was asked, the daemon lives, answers the next request, and an update is kept whole or not
at all. The failing allocator is preloaded (failing_malloc.c, which also says whom it spares); it is
built here, with the compiler that built the daemon.
"""

import os
import pathlib
import struct
import subprocess

import pytest

import wire
from daemon import is_sanitized

pytestmark = pytest.mark.skipif(is_sanitized(), reason="the sanitizer brings its own allocator")

LINES = {"Content-Type": "application/x-ndjson"}
WIDE = {str(i * 100): i + 1 for i in range(300)}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    source = pathlib.Path(__file__).with_name("failing_malloc.c")
    library = tmp_path_factory.mktemp("library") / "failing_malloc.so"
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


@pytest.fixture
def failing(start, library, tmp_path):
    """A node, and failing(n) that has its n-th allocation from then on fail; failing(0): none.
    Gives how many were left."""
    counter = tmp_path / "counter"
    counter.write_bytes(bytes(8))
    node = start(environment={"LD_PRELOAD": str(library), "FAILING_MALLOC": str(counter)})

    def fail(n):
        with open(counter, "r+b") as file:
            left = struct.unpack("q", file.read(8))[0]
            file.seek(0)
            file.write(struct.pack("q", n))
        return left

    return node, fail


def attempt(node, *request, **rest):
    """The answer, or None where the connection was closed without one."""
    try:
        return node.request(*request, checked=False, **rest)
    except OSError:
        return None


REQUESTS = {
    "read": ("GET", "/keys/known", None, {}),
    "read as msgpack": ("GET", "/keys/known", None, {"Accept": "application/msgpack"}),
    "list": ("GET", "/keys?vectors=1", None, {}),
    "search": ("GET", "/keys/k%25", None, {}),
    "aggregate": ("GET", "/keys/k*", None, {}),
    "peers": ("GET", "/peers", None, {}),
    "update": ("POST", "/keys/new", '{"0":5,"999":7}', {}),
    "wide update": ("POST", "/keys/new", WIDE, {}),
    "large update": ("POST", "/keys/new", {str(i): 1 for i in range(3000)}, {}),
    "bulk": ("POST", "/keys", {f"bulk{i}": {"0": 1} for i in range(40)}, {}),
    "lines": ("POST", "/keys", "".join(
        '{"key":"line%d","vector":{"%d":1}}\n' % (i, i) for i in range(40)), LINES),
    "join": ("POST", "/keys/new?join=known", None, {}),
    "introduction": ("POST", "/peers", '{"address":"127.0.0.1:9"}', {}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_whose_nth_allocation_fails_fails_alone(failing, name):
    node, fail = failing
    method, path, body, headers = REQUESTS[name]
    node.post("/keys/known", WIDE)
    refused = 0
    for n in range(1, 400):
        before = node.stats()
        fail(n)
        answer = attempt(node, method, path, body, headers=headers)
        status = answer and answer.status
        left = fail(0)
        assert node.is_running, f"allocation {n}"
        # Of an introduction cJSON says only that it could not read it.
        wanted = (503, 507, 400) if name == "introduction" else (503, 507)
        assert status is None or status < 300 or status in wanted, (n, status)
        assert node.get("/health").status == 200
        after = node.stats()
        refused += status in (503, 507)
        if method == "POST" and status in (503, 507):
            applied = answer.json().get("applied", {"elements": 0})["elements"]
            raised = after["elements"] - before["elements"]
            assert raised == applied if "/new" in path else raised <= applied, f"allocation {n}"
            assert after["digest"] == before["digest"] or applied > 0
        if left > 0:
            break
        if after["digest"] != before["digest"]:  # it is kept: the next one asks for what is there
            path = path.replace("/new", f"/new{n}")
    assert left > 0, "every allocation failed the request"
    assert refused > 0
    assert node.vector("known") == {int(i): v for i, v in WIDE.items()}


def test_datagrams_whose_nth_allocation_fails_are_lost_alone(failing):
    node, fail = failing
    node.post("/keys/known", WIDE)
    with wire.Peer(node) as peer:
        for n in range(1, 60):
            fail(n)
            peer.say(f"new{n}", {i * 300: 1 for i in range(30)}, full=True)
            peer.say("known", {}, ttl=2)
            peer.say("k%", {}, ttl=2)
            peer.listen(0.02)
            fail(0)
            assert node.get("/health").status == 200
        peer.say("last", {0: 1}, full=True)
        peer.say("known", {}, ttl=2)
        peer.hear_key("known", 5)
    assert node.vector("last") == {0: 1}
    assert node.vector("known") == {int(i): v for i, v in WIDE.items()}
