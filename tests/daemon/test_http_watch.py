"""GET /watch: changes as they happen.

    streams      server-sent events and lines, what they show, filters, heartbeats
    slowness     watchers that do not read, too many of them, those that leave
"""

import json
import select
import time

import pytest

from daemon import SPACIOUSNESS, Watcher, at_most, eventually


def test_the_first_event_is_ready_with_the_digest_of_the_store(shared):
    with Watcher(shared, accept="text/event-stream") as watcher:
        assert watcher.answer.headers["Content-Type"].startswith("text/event-stream")
        first = watcher.named()
        assert first["event"] == "ready" and first["retry"] and first["id"]
        assert json.loads(first["data"])["digest"] == shared.digest()
        shared.post("/keys/sse", {"17": 3})
        second = watcher.named()
        assert second["event"] == "update" and second["id"] != first["id"]
        data = json.loads(second["data"])
        assert (data["key"], data["changed"]) == ("sse", {"17": 3})
        assert data["digest"] == shared.get("/keys/sse").json()["digest"]


def test_lines_of_json_show_the_same(shared):
    with Watcher(shared) as watcher:
        assert watcher.event()["event"] == "ready"
        shared.post("/keys/lines", {"0": 3})
        shared.post("/keys/lines", {"0": 3})
        shared.post("/keys/lines", {"0": 2, "1": 5})
        first, second = watcher.event(), watcher.event()
        assert (first["key"], first["changed"]) == ("lines", {"0": 3})
        assert second["changed"] == {"1": 5}


def test_filters_let_through_what_they_name(shared):
    with Watcher(shared, "?match=in:%25&key=exact") as watcher:
        watcher.event()
        for key in ("out", "in:1", "exact", "exactly", "in:2"):
            shared.post(f"/keys/{key}", {"0": time.monotonic_ns() % 2**50})
        assert [watcher.event()["key"] for _ in range(3)] == ["in:1", "exact", "in:2"]


@pytest.mark.parametrize("include, member", [("delta", "changed"), ("vector", "vector"),
                                             ("none", None)])
def test_events_show_what_was_asked_for(node, include, member):
    node.post("/keys/show", {"0": 1, "1": 1})
    with Watcher(node, f"?include={include}") as watcher:
        watcher.event()
        node.post("/keys/show", {"0": 9})
        event = watcher.event()
        shown = {"changed": {"0": 9}, "vector": {"0": 9, "1": 1}}
        assert event.get(member) == shown.get(member)
        assert {"changed", "vector"} & set(event) == ({member} if member else set())


def test_with_every_a_key_comes_no_more_often_and_nothing_is_lost(node):
    with Watcher(node, "?every=500ms") as watcher:
        watcher.event()
        begin = time.monotonic()
        for i in range(100):
            node.post("/keys/busy", {str(i % 10): i + 1})
        seen, events = {}, 0
        while seen.get("9") != 100:
            seen.update(watcher.event()["changed"])
            events += 1
        assert seen == {str(i): 91 + i for i in range(10)}
        assert events <= 2 + (time.monotonic() - begin) / 0.4


def test_changes_that_come_by_gossip_are_shown_too(cluster):
    first, second = cluster(2)
    with Watcher(first) as watcher:
        watcher.event()
        second.post("/keys/far", {"0": 5})
        assert watcher.event()["changed"] == {"0": 5}


def test_presence_is_shown_only_to_who_asks(cluster):
    first, second = cluster(2)
    with Watcher(first) as plain, Watcher(first, "?match=n:%25") as asking:
        plain.event(), asking.event()
        second.stop()
        assert asking.event()["key"] == f"n:{second.text}"
        first.post("/keys/end", {"0": 1})
        assert plain.event()["key"] == "end"


def test_a_large_update_is_one_event(node):
    with Watcher(node) as watcher:
        watcher.event()
        everything = {str(i): 1 for i in range(20000)}
        node.post("/keys/large", everything)
        seen = {}
        while len(seen) < 20000:
            seen.update(watcher.event()["changed"])
        assert seen == everything


def test_wrong_parameters_are_refused(shared):
    for bad in ("include=x", "every=x", "mtach=a", "key=", "key=" + "x" * 256, "every=-1s"):
        assert shared.get(f"/watch?{bad}").status == 400, bad


def test_no_memory_for_what_is_watched_is_503(start):
    keys = "&".join(f"key={number}" for number in range(200))
    node = start("--set", "http-watchers=1000", "--set", "http-max-memory=48k",
                 "--set", "http-max-body=1k")
    answer = node.get("/watch?" + keys)
    assert answer.status == 503 and answer.headers["Retry-After"], answer
    assert node.get("/watch?match=" + "x" * 256).status == 400
    with Watcher(node, "?key=a") as watcher:
        assert watcher.event()["event"] == "ready"


def test_watchers_beyond_their_number_are_503(start):
    node = start("--set", "http-watchers=5")
    watchers = [Watcher(node) for _ in range(5)]
    answer = node.get("/watch")
    assert answer.status == 503 and answer.headers["Retry-After"]
    watchers.pop().connection.close()
    eventually(lambda: node.stats()["http_watchers"] == 4)
    with Watcher(node) as watcher:
        assert watcher.event()["event"] == "ready"
    for watcher in watchers:
        watcher.connection.close()
    eventually(lambda: node.stats()["http_watchers"] == 0)


def test_a_watcher_that_never_reads_is_told_of_an_overflow_and_costs_little(start):
    node = start("--set", "watch-buffer=64k")
    client = node.connect()
    client.sendall(b"GET /watch?include=vector HTTP/1.1\r\nHost: localhost\r\n"
                   b"Accept: application/x-ndjson\r\n\r\n")
    eventually(lambda: node.stats()["http_watchers"] == 1)
    before = node.memory_bytes()
    wide = {str(i): 2**40 for i in range(500)}
    for batch in range(150):
        node.post("/keys", {f"flood:{batch}:{i}": wide for i in range(20)})
    grown = node.memory_bytes() - before - node.stats()["memory_bytes"]
    assert grown < (64 << 20) * SPACIOUSNESS
    client.settimeout(5)
    received = b""
    while not received.endswith(b"\r\n0\r\n\r\n"):
        received = received[-2000:] + client.recv(1 << 20)
    assert b'"event":"overflow"' in received
    eventually(lambda: node.stats()["http_watchers"] == 0)
    client.close()


def test_a_slow_watcher_gets_one_merged_delta_per_key(node):
    client = node.connect()
    client.sendall(b"GET /watch?every=1s HTTP/1.1\r\nHost: localhost\r\n"
                   b"Accept: application/x-ndjson\r\n\r\n")
    eventually(lambda: node.stats()["http_watchers"] == 1)
    for i in range(300):
        node.post(f"/keys/merged{i % 3}", {str(i % 50): i + 1})
    received = b""
    while select.select([client], [], [], 1.5)[0]:
        received += client.recv(1 << 20)
    events = received.count(b'"changed"')
    assert 3 <= events <= 12, events
    client.close()


def test_a_thousand_watchers_of_everything_slow_nobody_down(start):
    node = start("--set", "http-watchers=1000")
    clients = []
    for _ in range(1000):
        client = node.connect()
        client.sendall(b"GET /watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        clients.append(client)
    eventually(lambda: node.stats()["http_watchers"] == 1000, 10)
    times = []
    for i in range(40):
        node.post(f"/keys/all{i}", {"0": i + 1})
        begin = time.monotonic()
        node.get("/health")
        times.append(time.monotonic() - begin)
    assert sorted(times)[-4] < at_most(0.15), sorted(times)[-5:]
    for client in clients:
        client.close()
    eventually(lambda: node.stats()["http_watchers"] == 0, 10)


def test_a_stream_ends_when_the_node_stops(node):
    with Watcher(node) as watcher:
        watcher.event()
        begin = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - begin < at_most(3)
        assert watcher.line() == ""


def test_watchers_are_told_of_deletions(shared):
    shared.post("/keys/watched", {"0": 5})
    with Watcher(shared, "?key=watched") as lines, \
            Watcher(shared, "?key=watched", accept="text/event-stream") as events:
        assert lines.event()["event"] == "ready" and events.named()["event"] == "ready"
        assert shared.request("DELETE", "/keys/watched").status == 200
        assert lines.event() == {"event": "deleted", "key": "watched"}
        told = events.named()
        assert told["event"] == "deleted" and json.loads(told["data"]) == {"key": "watched"}
        shared.post("/keys/watched", {"1": 2})
        update = lines.event()
        assert update["event"] == "update" and update["changed"] == {"1": 2}
