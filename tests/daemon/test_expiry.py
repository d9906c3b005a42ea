"""Keys whose names say when they end.

    what is shown    "expires", in every form of an answer
"""

import json

import msgpack

KEY = "visits~2030-12-29T08"
EXPIRES = "2030-12-29T08:00Z"
PACKED = {"Accept": "application/msgpack"}
LINES = {"Accept": "application/x-ndjson"}


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
