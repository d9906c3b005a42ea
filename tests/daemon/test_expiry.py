"""Keys whose names say when they end.

    what is shown    "expires", in every form of an answer
    names            ?expire= and keep: where an update goes, by a clock that the test sets
    ends             410 for writers, 404 for readers, events for watchers
"""

import calendar
import json
import threading
import time
import urllib.parse

import msgpack
import pytest

from clocks import Clocks
from daemon import Watcher, eventually

KEY = "visits~2030-12-29T08"
EXPIRES = "2030-12-29T08:00Z"
PACKED = {"Accept": "application/msgpack"}
LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def clocks(tmp_path_factory):
    return Clocks(tmp_path_factory.mktemp("clocks"))


def ahead(instant):
    """Seconds from now to an instant, half a minute into it: no test is so slow."""
    return calendar.timegm(time.strptime(instant, "%Y-%m-%dT%H:%M")) + 30 - time.time()


def unpacked(answer):
    return msgpack.unpackb(answer.body, strict_map_key=False)


# -- what is shown


def test_answers_show_when_a_key_ends(shared):
    created = shared.post(f"/keys/{KEY}", {"0": 5})
    assert (created.status, created.json()["expires"]) == (201, EXPIRES)
    for query in ("", "?index=0", "?from=0&count=2"):
        assert shared.get(f"/keys/{KEY}{query}").json()["expires"] == EXPIRES
        found = unpacked(shared.get(f"/keys/{KEY}{query}", headers=PACKED))
        assert (found["key"], found["expires"], found["size"]) == (KEY, EXPIRES, 1)
    assert shared.post(f"/keys/{KEY}", {}).json()["expires"] == EXPIRES
    assert shared.get(f"/keys/{KEY[:-3]}%25").json()["results"][0]["expires"] == EXPIRES


def test_listings_show_when_keys_end_and_can_be_given_back(shared, start):
    shared.post(f"/keys/{KEY}", {"0": 5})
    shared.post("/keys/visits", {"0": 7})
    listed = {item["key"]: item for item in shared.get("/keys?prefix=visits").json()["keys"]}
    assert listed[KEY]["expires"] == EXPIRES and "expires" not in listed["visits"]
    lines = shared.get("/keys?prefix=visits&vectors=1", headers=LINES)
    shown = {item["key"]: item.get("expires") for item in map(json.loads, lines.body.splitlines())}
    assert shown == {KEY: EXPIRES, "visits": None}
    packed = msgpack.Unpacker(strict_map_key=False)
    packed.feed(shared.get("/keys?prefix=visits", headers=PACKED).body)
    assert {item["key"]: item.get("expires") for item in packed} == shown
    other = start()
    assert other.post("/keys", lines.body,
                      headers={"Content-Type": "application/x-ndjson"}).json()["keys"] == 2
    assert other.vector(KEY) == {0: 5}


def test_only_a_name_that_says_so_has_an_end(shared):
    for key in ("visits~2030-02-29", "visits~2030-12-29T24", "visits-2030-12-29",
                "visits~2030-12-29T08:00:00", "visits~2030-12-29x"):
        assert "expires" not in shared.post(f"/keys/{key}", {"0": 1}).json()
        assert "expires" not in shared.get(f"/keys/{key}").json()
    # A pattern is none, whatever it ends in.
    assert "expires" not in shared.get("/keys/visits*~2030-12-29T08").json()


# -- names


NOON = "2027-02-27T12:00"


@pytest.fixture
def noon(start, clocks):
    """A node on the day before the last of a February."""
    return start("--set", "keep=kept:* 35d", "--set", "keep=kept:short:* 1h",
                 "--set", "keep=*:short:* 2h", environment=clocks(ahead(NOON)).environment)


def test_an_update_that_is_to_end_goes_to_a_name_that_says_when(noon):
    for keep, end in (("1m", "2027-02-27T12:02"), ("90s", "2027-02-27T12:02"),
                      ("179m", "2027-02-27T15"), ("3h", "2027-02-27T16"),
                      ("48h", "2027-03-01T13"), ("3d", "2027-03-03"), ("35d", "2027-04-04")):
        key = f"visits~{end}"
        full = end + ("T00:00Z", ":00Z", "Z")[(len(end) - 10) // 3]
        answer = noon.post(f"/keys/visits?expire={keep}", {"0": 5})
        created = 201 if keep != "90s" else 200
        assert (answer.status, answer.json()["key"], answer.json()["expires"]) == (
            created, key, full)
        assert answer.headers["Location"] == f"/keys/{key}"
        assert noon.get(answer.headers["Location"]).json()["vector"] == {"0": 5}
    assert noon.get("/keys/visits").status == 404
    # What the node has there already is larger, also where nothing is sent.
    assert noon.request("PUT", "/keys/visits?expire=35d", {"0": 3}).json()["larger"] == {"0": 5}
    assert noon.post("/keys/visits?expire=35d", {}).json()["larger"] == {"0": 5}


def test_a_join_can_end(noon):
    noon.post("/keys/day:1", {"0": 5})
    noon.post("/keys/day:2", {"1": 7})
    answer = noon.post("/keys/month?join=day:*&expire=400d")
    assert answer.json()["key"] == "month~2028-04-03"
    assert noon.vector("month~2028-04-03") == {0: 5, 1: 7}


def test_the_answer_leads_to_the_key_however_it_is_written(noon):
    for key in ("a/b c", "ü" * 122, "%25 100%".replace("%", "x") + "?#"):
        path = urllib.parse.quote(key)
        answer = noon.post(f"/keys/{path}?expire=5d", {"0": 1},
                           headers={"Prefer": "return=minimal"})
        assert answer.status == 204 and answer.headers["Location"].startswith(f"/keys/{path}~")
        assert noon.get(answer.headers["Location"]).json()["key"] == key + "~2027-03-05"
    # Where it goes to the key that is named, no other is.
    assert "Location" not in noon.post("/keys/plain", {"0": 1}).headers


def test_what_cannot_end_is_refused(noon):
    for keep in ("", "0", "59s", "-5d", "35", "1.5d", "35 d", "x", "99999999999999999999d"):
        answer = noon.post(f"/keys/visits?expire={urllib.parse.quote(keep)}", {"0": 1})
        assert answer.status == 400 and "expire" in answer.json()["detail"], (keep, answer)
    answer = noon.post("/keys/visits~2027-03-05?expire=5d", {"0": 1})
    assert answer.status == 400 and "already" in answer.json()["detail"]
    assert noon.post(f"/keys/{'k' * 244}?expire=5d", {"0": 1}).status == 201
    answer = noon.post(f"/keys/{'k' * 245}?expire=5d", {"0": 1})
    assert answer.status == 400 and "too long" in answer.json()["detail"]
    assert noon.post("/keys/n:127.0.0.1:6001?expire=5d", {"0": 1}).status == 403
    assert noon.post("/keys/visits*?expire=5d", {"0": 1}).status == 400
    assert noon.post("/keys?expire=5d", {"visits": {"0": 1}}).status == 400
    assert list(noon.keys()) == ["k" * 244 + "~2027-03-05"]


def test_a_rule_dates_updates_of_one_key_that_say_not_when_they_end(noon):
    assert noon.post("/keys/kept:a", {"0": 1}).json()["key"] == "kept:a~2027-04-04"
    assert noon.post("/keys/kept:short:a", {"0": 1}).json()["key"] == "kept:short:a~2027-04-04"
    assert noon.post("/keys/un:short:a", {"0": 1}).json()["key"] == "un:short:a~2027-02-27T14:01"
    assert noon.post("/keys/kept:a?expire=1d", {"0": 1}).json()["key"] == "kept:a~2027-02-28T13"
    for key in ("kept:a~2027-05-01", "other"):
        assert noon.post(f"/keys/{key}", {"0": 1}).json()["key"] == key
    # Copies stay copies.
    noon.post("/keys", {"kept:b": {"0": 1}})
    assert noon.vector("kept:b") == {0: 1}


def test_a_reload_applies_rules(start, tmp_path, clocks):
    path = tmp_path / "vignette.conf"
    path.write_text("listen 127.0.0.1:0\nkeep a 35d\n")
    node = start("-c", str(path), port=None, environment=clocks(ahead(NOON)).environment)
    assert node.post("/keys/a", {"0": 1}).json()["key"] == "a~2027-04-04"
    path.write_text("listen 127.0.0.1:0\nkeep b 35d\n")
    node.signal(1)
    eventually(lambda: node.post("/keys/b", {"0": 1}).json()["key"] == "b~2027-04-04")
    assert node.post("/keys/a", {"0": 1}).json()["key"] == "a"


# -- ends


LINES_IN = {"Content-Type": "application/x-ndjson"}
PACKED_IN = {"Content-Type": "application/msgpack"}
ENDED = "visits~2027-02-27T12"
NEXT = "visits~2027-02-27T13"


def test_a_write_to_a_key_that_has_ended_is_gone(noon):
    for method in ("POST", "PUT", "PATCH"):
        answer = noon.request(method, f"/keys/{ENDED}", {"0": 1})
        assert answer.status == 410, answer
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert problem["title"] == "Gone" and "2027-02-27T12:00Z" in problem["detail"]
    noon.post("/keys/other", {"0": 1})
    assert noon.post(f"/keys/{ENDED}?join=other").status == 410
    # Of many keys it is said which, and nothing of the body is stored.
    answer = noon.post("/keys", {"a": {"0": 1}, ENDED: {"0": 1}})
    assert (answer.status, answer.json()["pointer"]) == (410, f"/{ENDED.replace('~', '~0')}")
    lines = "".join(json.dumps({"key": key, "vector": {"0": 1}}) + "\n" for key in ("a", ENDED))
    answer = noon.post("/keys", lines, headers=LINES_IN)
    assert (answer.status, answer.json()["line"]) == (410, 2)
    answer = noon.post("/keys", msgpack.packb({"a": {0: 1}, ENDED: {0: 1}}), headers=PACKED_IN)
    assert answer.status == 410 and ENDED in answer.json()["detail"]
    assert noon.get("/keys/a").status == 404
    assert list(noon.keys()) == ["other"]


def test_a_key_that_would_end_too_far_ahead_is_refused(start, clocks):
    node = start("--set", "max-keep=30d", environment=clocks(ahead(NOON)).environment)
    assert node.post("/keys/visits~2027-03-30", {"0": 1}).status == 201
    for path in ("/keys/visits~2027-03-30T00:01", "/keys/visits~9999-12-31",
                 "/keys/visits?expire=31d"):
        answer = node.post(path, {"0": 1})
        assert answer.status == 400 and "max-keep" in answer.json()["detail"], answer
    answer = node.post("/keys", {"a": {"0": 1}, "visits~2028-01-01": {"0": 1}})
    assert (answer.status, answer.json()["pointer"]) == (400, "/visits~02028-01-01")
    # What is as long as may be is rounded up as all is.
    assert node.post("/keys/visits?expire=30d", {}).json()["key"] == "visits~2027-03-30"
    assert list(node.keys()) == ["visits~2027-03-30"]
    answer = node.post("/keys/visits?expire=3652058d", {"0": 1})
    assert answer.status == 400 and "9999" in answer.json()["detail"]


def test_a_key_goes_when_its_time_has_come(start, clocks):
    clock = clocks(ahead(NOON))
    node = start(environment=clock.environment)
    node.post(f"/keys/{NEXT}", {"0": 5})
    node.post("/keys/visits", {"0": 7})
    assert node.vector(NEXT) == {0: 5}
    clock.jump(ahead("2027-02-27T13:00"))
    answer = eventually(lambda: (found := node.get(f"/keys/{NEXT}")).status == 404 and found)
    assert "ended at 2027-02-27T13:00Z" in answer.json()["detail"]
    # At once: there is nothing to wait for.
    assert "ended" in node.get(f"/keys/{NEXT}?wait=5m").json()["detail"]
    assert list(node.keys()) == ["visits"]
    assert [item["key"] for item in node.get("/keys/visits%25").json()["results"]] == ["visits"]
    assert node.get("/keys/visits*").json()["vector"] == {"0": 7}
    assert node.post("/keys/sum?join=visits*").json()["changed"] == {"0": 7}
    assert node.post(f"/keys/{NEXT}", {"0": 9}).status == 410
    # A clock that was wrong hides and does not destroy.
    clock.jump(ahead(NOON))
    eventually(lambda: node.get(f"/keys/{NEXT}").status == 200)
    assert node.vector(NEXT) == {0: 5} and set(node.keys()) == {"visits", NEXT, "sum"}


def test_what_is_left_of_a_deleted_key_goes_with_it(start, clocks):
    clock = clocks(ahead(NOON))
    node = start(environment=clock.environment)

    def left():
        stats = node.stats()
        return stats["tombstones"], stats["keys_ended"]

    node.post(f"/keys/{NEXT}", {"0": 5})
    assert node.request("DELETE", f"/keys/{NEXT}").status == 200
    assert node.get(f"/keys/{NEXT}").status == 404
    assert node.request("DELETE", f"/keys/{NEXT}").status == 404
    assert left() == (1, 0)
    clock.jump(ahead("2027-02-27T13:00"))
    eventually(lambda: left() == (0, 1))
    assert "ended" in node.get(f"/keys/{NEXT}").json()["detail"]
    # By a clock that was wrong it is forgotten no more than a key is.
    clock.jump(ahead(NOON))
    eventually(lambda: left() == (1, 0))
    node.post(f"/keys/{NEXT}", {"1": 1})
    assert (node.vector(NEXT), left()) == ({1: 1}, (0, 0))
    assert node.request("DELETE", "/keys?match=visits%25").json() == {"deleted": 1}
    assert left() == (1, 0)


def test_a_reader_who_waits_for_a_change_is_told_that_the_key_is_gone(start, clocks):
    clock = clocks(ahead(NOON))
    node = start(environment=clock.environment)
    tag = f'"{node.post(f"/keys/{NEXT}", {"0": 5}).json()["digest"]}"'
    found = []

    def read():
        found.append(node.get(f"/keys/{NEXT}?wait=5m", headers={"If-None-Match": tag}))

    reader = threading.Thread(target=read)
    reader.start()
    eventually(lambda: node.stats()["http_parked"] == 1)
    clock.jump(ahead("2027-02-27T13:00"))
    reader.join(20)
    assert found and found[0].status == 404 and "ended" in found[0].json()["detail"]


def test_watchers_are_told_that_a_key_ended(start, clocks):
    clock = clocks(ahead(NOON))
    node = start(environment=clock.environment)
    with Watcher(node, "?match=visits*") as lines, \
            Watcher(node, accept="text/event-stream") as events, Watcher(node, "?key=a") as other:
        for watcher in (lines, events, other):
            watcher.line()
        node.post(f"/keys/{NEXT}", {"0": 5})
        update = lines.event()
        assert (update["event"], update["expires"]) == ("update", "2027-02-27T13:00Z")
        clock.jump(ahead("2027-02-27T13:00"))
        assert lines.event() == {
            "event": "expired", "key": NEXT, "expires": "2027-02-27T13:00Z"}
        seen = []
        while not seen or seen[-1]["event"] != "expired":
            seen.append(events.named())
        assert json.loads(seen[-1]["data"]) == {"key": NEXT, "expires": "2027-02-27T13:00Z"}
        node.post("/keys/a", {"0": 1})
        assert other.event()["key"] == "a"
