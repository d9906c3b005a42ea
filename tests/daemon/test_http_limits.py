"""What many clients together may cost: work in a turn, and memory.

Work is counted, not timed: the figures of /stats are the same on every machine.
"""

import signal

from daemon import eventually

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
