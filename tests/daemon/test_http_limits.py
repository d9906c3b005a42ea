"""What many clients together may cost: work in a turn, and memory.

Work is counted, not timed: the figures of /stats are the same on every machine.
"""

import signal
import socket
import time

import msgpack
import pytest

from daemon import at_most, eventually, is_sanitized

HOST = b"Host: localhost\r\n"

# http/server.h: units that requests may take in a turn, and what the last of them may add.
TURN_WORK_MAX = 2000
REQUEST_WORK_MAX = 16 + 16384 // 64 + 256


def all_at_once(node, requests):
    """Send requests over connections of their own while the node stands still, so that its loop
    finds all of them in one pass; gives the connections."""
    clients = [node.connect() for _ in requests]
    eventually(lambda: node.stats()["http_connections"] > len(requests))
    node.signal(signal.SIGSTOP)
    try:
        for client, request in zip(clients, requests):
            client.sendall(request)
    finally:
        node.signal(signal.SIGCONT)
    return clients


def test_requests_that_come_at_once_share_the_turns(node):
    node.post("/keys/chosen", {"1": 5})
    largest = b"&".join([b"index=" + b"18446744073709551615"] * 256)
    requests = [b"GET /keys/chosen?%s HTTP/1.1\r\n%s\r\n" % (largest, HOST)] * 150
    requests += [b"GET /keys/chosen?%s HTTP/1.1\r\n%s\r\n" % (b"&".join([b"index="] * 2000), HOST)
                 ] * 150
    for number, client in enumerate(all_at_once(node, requests)):
        wanted = b"HTTP/1.1 200" if number < 150 else b"HTTP/1.1 400"
        assert client.recv(65536).startswith(wanted)
        client.close()
    most = node.stats()["http_turn_work_most"]
    assert REQUEST_WORK_MAX < most <= TURN_WORK_MAX + REQUEST_WORK_MAX


def test_health_does_not_wait_for_all_requests_that_came_before(start):
    node = start("--set", "http-max-connections=2200")
    node.post("/keys/chosen", {"1": 5})
    dear = b"&".join([b"index=" + b"18446744073709551615"] * 256)
    others = [node.connect() for _ in range(2000)]
    askers = [node.connect() for _ in range(100)]
    for client in others:
        client.sendall(b"GET /keys/chosen?%s HTTP/1.1\r\n%s\r\n" % (dear, HOST))
    begin = time.monotonic()
    for client in askers:
        client.sendall(b"GET /health HTTP/1.1\r\n%s\r\n" % HOST)
    latencies = []
    for client in askers:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        latencies.append(time.monotonic() - begin)
    for client in others:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.close()
    for client in askers:
        client.close()
    print(f"/health: median {latencies[50] * 1000:.0f} ms, p99 {latencies[98] * 1000:.0f} ms; "
          f"the others {(time.monotonic() - begin) * 1000:.0f} ms")
    assert latencies[98] < at_most(0.1)


# http/watch.h: what comparing changes with what is watched may take in a turn; the last comparison
# of one may add some.
WATCH_WORK_MAX = 4096
COMPARISON_MAX = 2 + 510 // 64


def test_comparing_changes_with_patterns_is_spread_over_turns(node):
    clients = [node.connect() for _ in range(64)]
    for client in clients:
        client.sendall(b"GET /watch?include=none&match=%s* HTTP/1.1\r\n%s\r\n"
                       % (b"*a" * 126, HOST))
    eventually(lambda: node.stats()["http_watchers"] == 64)
    keys = [f"{'a' * 240}{i}" for i in range(500)]
    assert node.post("/keys", {key: {"0": 1} for key in keys}).status == 200
    for client in clients:
        seen = b""
        while any(f'"{key}"'.encode() not in seen for key in (keys[0], keys[-1])) or (
                seen.count(b"event: update") < len(keys)):
            seen += client.recv(1 << 20)
        client.close()
    assert 1000 < node.stats()["watch_turn_work_most"] <= WATCH_WORK_MAX + COMPARISON_MAX


# -- memory

MIB = 1 << 20
MAX_MEMORY = 64 * MIB
HTTP_MAX_MEMORY = MAX_MEMORY // 4  # what stands in for an unset http-max-memory

# What the process takes beside the store and that: itself, 200 connections, and what the allocator
# keeps.
BESIDE = 16 * MIB

PACKED = {"Content-Type": "application/msgpack"}


@pytest.fixture
def full(start):
    """A node whose store has 20 MiB in 60 keys, which readers can ask for."""
    node = start("--set", "max-memory=64m", "--set", "http-timeout=5s")
    for number in range(60):
        begin = number * 43690
        vector = {i: 2**63 + i for i in range(begin, begin + 43690)}
        assert node.post(f"/keys/big{number}", msgpack.packb(vector), headers=PACKED,
                         checked=False).status == 201
    assert node.stats()["memory_bytes"] > 20 * MIB
    return node


def unread(node, request):
    """A connection that asks and takes nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", node.http_port))
    client.sendall(request)
    return client


def upload(node, number):
    """A connection that has sent half of a large body."""
    client = node.connect()
    client.setblocking(False)
    body = b'{"key":"up%d","vector":{"1":1}}\n' % number * 60000
    head = (b"POST /keys HTTP/1.1\r\nContent-Type: application/x-ndjson\r\n%s"
            b"Content-Length: %d\r\n\r\n" % (HOST, 2 * len(body)))
    sent = 0
    for _ in range(200):
        try:
            sent += client.send((head + body)[sent:])
        except BlockingIOError:
            time.sleep(0.002)
        except ConnectionError:
            break
    return client


GREEDY = {
    "whole vectors": lambda node, i: unread(
        node, b"GET /keys/big%d HTTP/1.1\r\n%s\r\n" % (i % 60, HOST)),
    "vectors as msgpack": lambda node, i: unread(
        node, b"GET /keys/big%d HTTP/1.1\r\nAccept: application/msgpack\r\n%s\r\n"
        % (i % 60, HOST)),
    "ranges": lambda node, i: unread(
        node, b"GET /keys/big0?from=0&count=65536 HTTP/1.1\r\n%s\r\n" % HOST),
    "listings": lambda node, i: unread(
        node, b"GET /keys?vectors=1&limit=1000 HTTP/1.1\r\n%s\r\n" % HOST),
    "listings as msgpack": lambda node, i: unread(
        node, b"GET /keys?vectors=1 HTTP/1.1\r\nAccept: application/msgpack\r\n%s\r\n" % HOST),
    "aggregates of all": lambda node, i: unread(
        node, b"GET /keys/* HTTP/1.1\r\n%s\r\n" % HOST),
    "aggregates of a few": lambda node, i: unread(
        node, b"GET /keys/big%d* HTTP/1.1\r\n%s\r\n" % (i % 6, HOST)),
    "streams of changes": lambda node, i: unread(
        node, b"GET /watch?include=vector HTTP/1.1\r\n%s\r\n" % HOST),
    "uploads": upload,
}


@pytest.mark.skipif(is_sanitized(), reason="ASan's own memory is counted")
@pytest.mark.parametrize("what", [*GREEDY, "all of them"])
def test_memory_stays_under_its_limits_whatever_clients_do_not_read(full, what):
    kinds = list(GREEDY.values()) if what == "all of them" else [GREEDY[what]]
    clients = []
    most = held = slowest = 0
    end = None
    while end is None or time.monotonic() < end:
        if len(clients) < 200:
            clients.append(kinds[len(clients) % len(kinds)](full, len(clients)))
        elif end is None:
            end = time.monotonic() + 1
        if len(clients) % 10 == 0:
            full.post("/keys/big0", {"1": len(clients) + 2**63}, checked=False)
            begin = time.monotonic()
            assert full.get("/health").status == 200
            slowest = max(slowest, time.monotonic() - begin)
        most = max(most, full.memory_bytes())
    held = full.stats()["http_memory_bytes"]
    for client in clients:
        client.close()
    print(f"{what}: {most / MIB:.1f} MiB, {held / MIB:.1f} MiB held, /health {slowest * 1000:.0f} ms")
    assert most < full.stats()["memory_bytes"] + HTTP_MAX_MEMORY + BESIDE
    assert held < HTTP_MAX_MEMORY * 1.25
    assert slowest < at_most(0.25)
    eventually(lambda: full.get("/keys/big1", checked=False).status == 200)
    eventually(lambda: full.stats()["http_memory_bytes"] < MIB)


# -- sizes


def refusal(answer, code, *words):
    assert answer.status == code, answer
    detail = answer.json()["detail"]
    assert all(word in detail for word in words), detail


def test_documents_and_lines_have_limits_of_their_own(start):
    node = start("--set", "http-max-body=2k", "--set", "http-max-lines=8k")
    document = {f"key-{i}": {"0": 1} for i in range(200)}
    lines = "".join('{"key":"line-%d","vector":{"0":1}}\n' % i for i in range(100))
    packed = msgpack.packb({f"packed-{i}": {0: 1} for i in range(200)})
    refusal(node.post("/keys", document), 413, "http-max-body (2048 bytes)",
            "application/x-ndjson", "http-max-lines (8192 bytes)")
    refusal(node.post("/keys", " " * 2049), 413, "http-max-body (2048 bytes)")
    refusal(node.post("/keys/one", {str(i): 1 for i in range(500)}), 413,
            "http-max-body (2048 bytes)")
    assert len(lines) > 2048 < len(packed)
    assert node.post("/keys", lines, headers={"Content-Type": "application/x-ndjson"}).status == 200
    assert node.post("/keys", packed, headers=PACKED).status == 200
    refusal(node.post("/keys/one", packed, headers=PACKED), 413, "http-max-body (2048 bytes)")
    answer = node.post("/keys", lines * 3, headers={"Content-Type": "application/x-ndjson"})
    refusal(answer, 413, "http-max-lines (8192 bytes)")  # told before the body has come


def test_max_keys_holds_as_many_keys_and_peers_beside_them(cluster):
    members = cluster(3, "--set", "max-keys=5")
    for i in range(5):
        assert members[0].post(f"/keys/k{i}", {"0": 1}).status == 201
    refusal(members[0].post("/keys/k5", {"0": 1}), 507, "max-keys (5)", "k5")
    refusal(members[0].post("/keys", {"k6": {"0": 1}, "k7": {"0": 1}}), 507, "max-keys (5)")
    assert members[0].post("/keys/k4", {"0": 2}).status == 200
    for member in members:
        eventually(lambda member=member: member.stats()["keys"] == 5)
    assert members[0].stats()["presence_keys"] >= 2


def test_what_max_memory_does_not_leave_is_named(start):
    node = start("--set", "max-memory=1m", "--set", "http-max-body=4m", "--set",
                 "http-max-memory=32m")
    body = msgpack.packb({i: 2**63 + i for i in range(1 << 17)})
    answer = node.post("/keys/large", body, headers=PACKED)
    refusal(answer, 507, "max-memory (1048576 bytes)")
    applied = answer.json()["applied"]
    assert node.get("/keys/large?from=0&count=1").json()["size"] == applied["elements"] > 0
    assert applied["keys"] == 0
