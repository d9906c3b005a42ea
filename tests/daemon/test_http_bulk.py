"""Many keys in one request.

    forms       JSON, lines of JSON, msgpack, and what each answers
    wholeness   refused or accepted as a whole is in test_bulk_atomic.py
    size        limits, where memory ends, other clients meanwhile, clients that vanish
"""

import json
import threading
import time

import msgpack
import pytest

from daemon import SLOWNESS, at_most, eventually

LINES = {"Content-Type": "application/x-ndjson"}
PACKED = {"Content-Type": "application/msgpack"}


def lines(updates):
    return "".join(json.dumps({"key": k, "vector": v}) + "\n" for k, v in updates)


@pytest.mark.parametrize("form", ["json", "lines", "msgpack"])
def test_each_form_updates_the_same_and_counts_the_same(shared, form):
    updates = {f"{form}:{i}": {str(j): i + j + 1 for j in range(3)} for i in range(50)}
    body, headers = {
        "json": (updates, {}),
        "lines": (lines(updates.items()), LINES),
        "msgpack": (msgpack.packb({k: {int(i): v for i, v in vector.items()}
                                   for k, vector in updates.items()}), PACKED),
    }[form]
    answer = shared.post("/keys", body, headers=headers)
    assert answer.json() == {"keys": 50, "changed": 50, "elements_raised": 150}
    answer = shared.post("/keys", body, headers=headers)
    assert answer.json() == {"keys": 50, "changed": 0, "elements_raised": 0}
    assert shared.vector(f"{form}:49") == {0: 50, 1: 51, 2: 52}


def test_lines_may_name_a_key_again_and_end_without_a_newline(shared):
    body = '{"key":"again","vector":{"0":1}}\n{"vector":{"0":7},"key":"again"}\n' \
           '{"key":"again","vector":{"0":3}}'
    answer = shared.post("/keys", body, headers=LINES)
    assert (answer.status, answer.json()["elements_raised"]) == (200, 2)
    assert shared.vector("again") == {0: 7}


def test_a_listing_can_be_fed_back(shared):
    shared.post("/keys", {f"back:{i}": {"0": i + 1} for i in range(20)})
    page = shared.get("/keys?prefix=back:&vectors=1").json()["keys"]
    answer = shared.post("/keys", "".join(json.dumps(item) + "\n" for item in page), headers=LINES)
    assert answer.json() == {"keys": 20, "changed": 0, "elements_raised": 0}


def test_empty_bodies_of_each_form_change_nothing_or_are_refused(shared):
    assert shared.post("/keys", {}).json()["keys"] == 0
    assert shared.post("/keys", b"", headers=LINES).status in (200, 400)
    assert shared.post("/keys", b"\x80", headers=PACKED).json()["keys"] == 0
    assert shared.post("/keys", {"empty": {}, "zero": {"0": 0}}).status == 200
    assert shared.get("/keys/empty").status == shared.get("/keys/zero").status == 404


def test_a_hundred_thousand_lines_hold_nobody_up(node):
    body = lines((f"user:{i:06}", {str(i % 1000): i + 1}) for i in range(100000)).encode()
    done = []
    thread = threading.Thread(target=lambda: done.append(node.post("/keys", body, headers=LINES)))
    thread.start()
    worst = 0.0
    while thread.is_alive():
        begin = time.monotonic()
        assert node.get("/health").status == 200
        worst = max(worst, time.monotonic() - begin)
    assert done[0].json() == {"keys": 100000, "changed": 100000, "elements_raised": 100000}
    assert node.stats()["keys"] == 100000
    assert worst < at_most(0.25), worst


def test_a_client_may_vanish_at_any_point_of_a_large_update(node):
    """What was accepted is applied to its end, and its answer, longer than a step, goes nowhere."""
    vector = {str(i * 300): i + 1 for i in range(60000)}
    body = json.dumps(vector, separators=(",", ":")).encode()
    head = b"Host: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    paths = [f"/keys/gone:{i}" for i in range(24)]
    for delay_ms, path in enumerate(paths):
        with node.connect() as client:
            client.sendall(b"POST " + path.encode() + b" HTTP/1.1\r\n" + head + body)
            time.sleep(delay_ms * 2 * SLOWNESS / 1000)
        assert node.get("/health").status == 200
    assert node.post(paths[-1], body).status in (200, 201)
    for path in paths:
        with node.connect() as client:
            client.sendall(b"POST " + path.encode() + b"?join=gone:23 HTTP/1.1\r\n"
                           b"Host: localhost\r\nContent-Length: 0\r\n\r\n")
    eventually(lambda: node.stats()["http_stepping"] == 0)
    assert {key["size"] for key in node.get("/keys?prefix=gone:").json()["keys"]} == {len(vector)}
    assert node.stats()["http_upload_bytes"] < 4096


def test_a_body_over_its_limit_is_413_and_stores_nothing(start):
    node = start("--set", "http-max-body=1k", "--set", "http-max-lines=4k")
    big = {f"key{i}": {"0": 1} for i in range(100)}
    assert node.post("/keys/one", {str(i): 1 for i in range(300)}).status == 413
    assert node.post("/keys", lines((f"key{i}", {"0": 1}) for i in range(200)),
                     headers=LINES).status == 413
    assert node.post("/keys", lines((f"ok{i}", {"0": 1}) for i in range(50)),
                     headers=LINES).status == 200
    assert node.post("/keys", big).status in (200, 413)
    assert node.get("/keys/one").status == 404
    assert not any(key.startswith("key1") for key in node.keys()) or len(json.dumps(big)) < 4096


def test_new_keys_beyond_max_keys_are_refused_and_known_ones_still_rise(start):
    node = start("--set", "max-keys=10")
    node.post("/keys", {f"key{i}": {"0": 1} for i in range(9)})
    before = node.digest()
    answer = node.post("/keys", {f"new{i}": {"0": 1} for i in range(50)})
    assert answer.status == 507 and node.digest() == before
    for i in range(20):
        last = node.post(f"/keys/more{i}", {"0": 1})
    assert last.status == 507
    assert node.post("/keys/key0", {"0": 9}).status == 200
    assert node.post("/keys", {"key1": {"0": 9}, "key2": {"0": 9}}).status == 200
    assert node.vector("key0") == node.vector("key2") == {0: 9}
    assert node.stats()["keys"] <= 10


def applied_exactly(node, before, updates, applied):
    """The node holds what it held before and the first updates, as many as it says."""
    expected = {key: dict(vector) for key, vector in before.items()}
    elements = 0
    for position, (key, vector) in enumerate(updates):
        left = applied["elements"] - elements
        some = vector if position < applied["keys"] else dict(sorted(vector.items())[:left])
        if some:
            old = expected.setdefault(key, {})
            expected[key] = {i: max(old.get(i, 0), some.get(i, 0)) for i in {*old, *some}}
        elements += len(some)
        if position == applied["keys"]:
            break
    assert elements == applied["elements"]
    assert node.keys() == expected


@pytest.mark.parametrize("form", ["json", "lines", "msgpack"])
def test_where_memory_ends_the_answer_says_how_much_is_applied(start, form):
    node = start("--set", "max-memory=1m")
    node.post("/keys", {"known": {"0": 5, "300": 1}})
    updates = [(f"fill:{i * 7919 % 10007}", {j * 300: i + 1 for j in range(1 + i % 9)})
               for i in range(9000)]
    updates[100] = ("known", {0: 3, 300: 9})
    if form == "lines":  # which may name a key again
        updates[200] = updates[50]
    text = [(key, {str(i): v for i, v in vector.items()}) for key, vector in updates]
    body, headers = {
        "json": (json.dumps(dict(text)), {}),
        "lines": (lines(text), LINES),
        "msgpack": (msgpack.packb(dict(updates)), PACKED),
    }[form]
    answer = node.post("/keys", body, headers=headers)
    assert answer.status == 507 and "max-memory (1048576 bytes)" in answer.json()["detail"]
    applied = answer.json()["applied"]
    assert 100 < applied["keys"] < 9000
    applied_exactly(node, {"known": {0: 5, 300: 1}}, updates, applied)
    assert node.stats()["memory_bytes"] <= 1 << 20
    assert node.post("/keys/known", {"0": 17}).status == 200
    again = node.post("/keys", body, headers=headers)
    assert again.status == 507 and again.json()["applied"]["keys"] >= applied["keys"]


def test_where_memory_ends_in_a_vector_the_answer_says_how_much_of_it_is_in(start):
    node = start("--set", "max-memory=1m", "--set", "http-max-body=4m", "--set",
                 "http-max-memory=32m")
    vector = {i * 300: 1 << 40 | i for i in range(60000)}
    for headers, body in (({}, json.dumps({str(i): v for i, v in vector.items()})),
                          (PACKED, msgpack.packb(dict(reversed(vector.items()))))):
        answer = node.post("/keys/large", body, headers=headers)
        assert answer.status == 507 and answer.json()["applied"]["keys"] == 0
        assert answer.json()["applied"]["elements"] > 1000
        applied_exactly(node, {}, [("large", vector)], answer.json()["applied"])


def test_what_fits_is_taken_even_if_hardly_anything_is_left(start):
    """A promise of room for the worst case refused what fitted several times over."""
    node = start("--set", "max-memory=16m", "--set", "http-max-memory=64m")
    body = lines((f"visitors:{i:011}", {"0": 5}) for i in range(150000))
    assert node.post("/keys", body, headers=LINES).json() == {
        "keys": 150000, "changed": 150000, "elements_raised": 150000}


def test_lines_that_name_the_last_new_key_many_times_fit(start):
    node = start("--set", "max-keys=3")
    body = lines((f"key{i % 3}", {str(i): 1}) for i in range(100))
    assert node.post("/keys", body, headers=LINES).json()["keys"] == 100
    answer = node.post("/keys", lines([("key1", {"0": 7}), ("more", {"0": 1})]), headers=LINES)
    assert answer.status == 507 and answer.json()["applied"] == {"keys": 1, "elements": 1}
    assert node.vector("key1")[0] == 7


def test_values_above_max_value_are_refused_by_every_way_in(start):
    node = start("--set", "max-value=hits:* 1000")
    assert node.post("/keys/hits:a", {"0": 1001}).status == 400
    assert node.post("/keys/hits:a", {"0": 1000}).status == 201
    answer = node.post("/keys", lines([("other", {"0": 5000}), ("hits:b", {"0": 1001})]),
                       headers=LINES)
    assert answer.status == 400 and answer.json()["line"] == 2
    assert node.keys() == {"hits:a": {0: 1000}}


def test_uploads_beyond_their_common_limit_are_turned_away(start):
    node = start("--set", "http-max-upload=1m", "--set", "http-max-lines=900k")
    slow = []
    for _ in range(4):
        client = node.connect()
        client.sendall(b"POST /keys HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                       b"application/x-ndjson\r\nContent-Length: 800000\r\n\r\n" + b" " * 400000)
        slow.append(client)
    answers = []
    for client in slow:
        client.settimeout(0.5)
        try:
            answers.append(client.recv(100))
        except (TimeoutError, ConnectionError) as why:
            answers.append(b"" if isinstance(why, TimeoutError) else b"HTTP/1.1 503")
    assert any(answer.startswith(b"HTTP/1.1 503") for answer in answers), answers
    assert node.get("/health").status == 200
    for client in slow:
        client.close()
    assert node.post("/keys", {"after": {"0": 1}}).status == 200
