"""Vectors over HTTP.

    one key       update, read, ranges, chosen elements, msgpack, digests, long polls
    names         which bytes a key may have and how they travel
    numbers       what JSON may say, what is refused and where
    many keys     pages, prefixes, patterns, searches, aggregates; whole listings as they come
    methods       HEAD, OPTIONS, PUT, PATCH, DELETE, query parameters, types
"""

import io
import json
import threading
import time
import urllib.parse

import msgpack
import pytest

from daemon import SLOWNESS, at_most, eventually, is_sanitized

MAX = 2**64 - 1
SAFE = 2**53 - 1


# -- one key


def test_an_update_says_what_it_raised_and_where_we_have_more(shared):
    answer = shared.post("/keys/both", {"0": 5, "1": 3})
    assert (answer.status, answer.json()["changed"], answer.json()["larger"]) == (
        201, {"0": 5, "1": 3}, {})
    answer = shared.post("/keys/both", {"0": 3, "1": 11, "5": 3})
    assert (answer.status, answer.json()["changed"], answer.json()["larger"]) == (
        200, {"1": 11, "5": 3}, {"0": 5})
    assert shared.get("/keys/both").json()["vector"] == {"0": 5, "1": 11, "5": 3}


def test_the_digest_is_the_published_function_of_the_elements(node):
    answer = node.post("/keys/foo", {"0": 5, "1": 11, "5": 3})
    assert answer.json()["digest"] == "d3c1e3fcfc1ac1c5"
    assert node.get("/keys/foo").headers["ETag"] == '"d3c1e3fcfc1ac1c5"'
    node.post("/keys/bar", {"7": 1})
    assert node.digest() == "a7132a0617b7f54e"


def test_an_update_is_idempotent_and_its_order_does_not_matter(shared):
    updates = [{"0": 1}, {"0": 9, "1": 2}, {"1": 1, "2": 2}, {}, {"0": 4}]
    for order in (updates, updates[::-1], updates * 2):
        key = f"order{id(order)}"
        for update in order:
            shared.post(f"/keys/{key}", update)
        assert shared.vector(key) == {0: 9, 1: 2, 2: 2}


def test_an_empty_update_shows_all_as_larger_and_creates_nothing(shared):
    answer = shared.post("/keys/none", {})
    assert (answer.status, answer.json()["larger"]) == (200, {})
    shared.post("/keys/some", {"3": 4})
    assert shared.post("/keys/some", {}).json()["larger"] == {"3": 4}
    assert shared.get("/keys/none").status == 404


def test_zeros_create_nothing(shared):
    assert shared.post("/keys/zero", {"0": 0}).status == 200
    assert shared.get("/keys/zero").status == 404
    before = shared.stats()["keys"]
    shared.get("/keys/never")
    shared.get("/keys/never?wait=10ms")
    assert shared.stats()["keys"] == before


def test_indices_come_back_ascending_and_the_largest_survive(shared):
    shared.post("/keys/wide", {str(MAX): str(MAX), "0": 1, "4294967296": SAFE,
                                "10": str(SAFE + 1)})
    text = shared.get("/keys/wide").body.decode()
    assert text.index('"0":1') < text.index('"10":') < text.index('"4294967296"') < text.index(
        f'"{MAX}"')
    assert f'"10":"{SAFE + 1}"' in text and f'"4294967296":{SAFE}' in text
    assert f'"{MAX}":"{MAX}"' in text


def test_a_range_is_dense_and_a_choice_is_sparse(shared):
    shared.post("/keys/range", {"1": 5, "300": 7})
    answer = shared.get("/keys/range?from=0&count=4").json()
    assert (answer["from"], answer["values"], answer["size"]) == (0, [0, 5, 0, 0], 2)
    assert shared.get("/keys/range?from=298&count=4").json()["values"] == [0, 0, 7, 0]
    assert shared.get(f"/keys/range?from={MAX}&count=9").json()["values"] == [0]
    assert len(shared.get("/keys/range?count=65536").json()["values"]) == 65536
    assert shared.get("/keys/range?index=300&index=2").json()["vector"] == {"300": 7}
    for bad in ("count=0", "count=65537", "from=-1", "from=x", "index=", "index=1.5",
                "from=18446744073709551616"):
        assert shared.get(f"/keys/range?{bad}").status == 400


def test_a_vector_can_be_read_and_written_as_msgpack(shared):
    body = msgpack.packb({0: 5, 7: 2**64 - 1})
    kind = {"Content-Type": "application/msgpack"}
    assert shared.post("/keys/packed", body, headers=kind).json()["changed"] == {
        "0": 5, "7": str(MAX)}
    answer = shared.get("/keys/packed", headers={"Accept": "application/msgpack"})
    assert answer.headers["Content-Type"] == "application/msgpack"
    found = msgpack.unpackb(answer.body, strict_map_key=False)
    assert (found["key"], found["size"], found["vector"]) == ("packed", 2, {0: 5, 7: MAX})
    for bad in (b"", b"\xc1", b"\x81\x00\xff", b"\x81\x00\xca\0\0\0\0", body + b"\0", b"\x81\x00",
                b"\x82\x00\x01\x00\x02", b"\x93\x01\x02\x03", b"\xdf\xff\xff\xff\xff\x00\x01"):
        answer = shared.post("/keys/packed2", bad, headers=kind)
        assert answer.status == 400, (bad, answer)
    assert shared.get("/keys/packed2").status == 404


def test_a_large_vector_is_read_and_written_in_steps(shared):
    everything = {str(i): i + 1 for i in range(60000)}
    answer = shared.post("/keys/large", everything)
    assert answer.status == 201 and len(answer.json()["changed"]) == 60000
    assert shared.get("/keys/large").json()["vector"] == everything
    found = shared.get("/keys/large", headers={"Accept": "application/msgpack"})
    assert len(msgpack.unpackb(found.body, strict_map_key=False)["vector"]) == 60000
    answer = shared.post("/keys/large", everything).json()
    assert (answer["changed"], answer["larger"]) == ({}, {})
    assert len(shared.post("/keys/large", {}).json()["larger"]) == 60000


def test_keys_can_be_joined_into_another(shared):
    shared.post("/keys/part:a", {"0": 5, "1": 1})
    shared.post("/keys/part:b", {"1": 9})
    assert shared.post("/keys/joined?join=part:a&join=part:b").status == 201
    assert shared.vector("joined") == {0: 5, 1: 9}
    assert shared.post("/keys/joined?join=part:a", {"0": 1}).status == 400
    assert shared.post("/keys/joined?join=nothing").status in (200, 404)


def test_an_unchanged_digest_is_not_sent_again(shared):
    shared.post("/keys/etag", {"0": 5})
    answer = shared.get("/keys/etag")
    tag = answer.headers["ETag"]
    assert "Accept" in answer.headers["Vary"]
    for same in (tag, f"W/{tag}", f'"other", {tag}'):
        found = shared.get("/keys/etag", headers={"If-None-Match": same})
        assert (found.status, found.body, found.headers["ETag"]) == (304, b"", tag)
    shared.post("/keys/etag", {"0": 6})
    assert shared.get("/keys/etag", headers={"If-None-Match": tag}).status == 200


def test_a_reader_can_wait_for_a_change_and_for_a_birth(shared):
    tag = shared.post("/keys/wait", {"0": 1}).json()["digest"]
    found = {}

    def read(name, path, headers):
        found[name] = shared.get(path, headers=headers)

    readers = [
        threading.Thread(target=read, args=("change", "/keys/wait?wait=20s",
                                            {"If-None-Match": f'"{tag}"'})),
        threading.Thread(target=read, args=("birth", "/keys/unborn?wait=20s", {})),
    ]
    for reader in readers:
        reader.start()
    eventually(lambda: shared.stats()["http_parked"] == 2)
    begin = time.monotonic()
    shared.post("/keys/wait", {"0": 2})
    shared.post("/keys/unborn", {"0": 3})
    for reader in readers:
        reader.join(10)
    assert time.monotonic() - begin < at_most(1)
    assert found["change"].json()["vector"] == {"0": 2}
    assert found["birth"].json()["vector"] == {"0": 3}


def test_a_wait_that_is_over_is_answered_with_what_there_is(shared):
    tag = shared.post("/keys/over", {"0": 1}).json()["digest"]
    begin = time.monotonic()
    answer = shared.get("/keys/over?wait=300ms", headers={"If-None-Match": f'"{tag}"'})
    assert answer.status == 304
    assert shared.get("/keys/unborn2?wait=300ms").status == 404
    assert 0.55 <= time.monotonic() - begin < at_most(2)
    for bad in ("wait=x", "wait=", "wait=-1s", "wait=5"):
        answer = shared.get(f"/keys/over?{bad}", headers={"If-None-Match": f'"{tag}"'})
        assert answer.status == (400 if bad != "wait=5" else answer.status), bad


def test_parked_readers_whose_clients_leave_are_forgotten_at_once(node):
    tag = node.post("/keys/park", {"0": 1}).json()["digest"]
    before = node.descriptors()
    clients = []
    for i in range(50):
        client = node.connect()
        client.sendall(
            f"GET /keys/{'park' if i % 2 else 'unborn'}?wait=5m HTTP/1.1\r\nHost: localhost\r\n"
            f'If-None-Match: "{tag}"\r\n\r\n'.encode()
        )
        clients.append(client)
    eventually(lambda: node.stats()["http_parked"] == 50)
    for client in clients:
        client.close()
    eventually(lambda: node.stats()["http_parked"] == 0, 2)
    eventually(lambda: node.descriptors() <= before + 1, 2)


# -- names


@pytest.mark.parametrize("key", [
    "a/b", "a//b", "/", "a/", ".", "..", "../etc", "%25x", "é", "日本", "a b", "a+b", "a?b",
    "a#b",
    "<script>alert(1)</script>", "\x01\x1b[31m", "\u2028", "\x7f", '"quoted"', "back\\slash",
    "k" * 255, "é" * 127, "n", "N:x", "key\nwith\tcontrol", "🐘",
])
def test_a_key_of_any_text_is_kept_and_shown_as_it_is(shared, key):
    if "%" in key:
        key = urllib.parse.unquote(key)
        assert shared.post(f"/keys/{urllib.parse.quote(key, safe='')}", {"0": 1}).status == 400
        return
    path = "/keys/" + urllib.parse.quote(key, safe="")
    assert shared.post(path, {"0": 7}).status == 201
    answer = shared.get(path)
    assert answer.json()["key"] == key
    assert all(byte >= 0x20 or byte == 0x0A for byte in answer.body)
    listed = shared.get("/keys?prefix=" + urllib.parse.quote(key, safe="")).json()["keys"]
    assert key in [item["key"] for item in listed]


@pytest.mark.parametrize("path", [
    "/keys/", "/keys/%00", "/keys/a%00b", "/keys/%ff", "/keys/%c0%af", "/keys/%ed%a0%80",
    "/keys/%zz", "/keys/%2", "/keys/" + "k" * 256, "/keys/" + "%c3%a9" * 128,
])
def test_what_no_key_can_be_is_refused(shared, path):
    assert shared.post(path, {"0": 1}).status == 400
    assert shared.get(path).status in (400, 404)


def test_patterns_and_presence_cannot_be_written(shared):
    for key in ("a%25", "a*", "*"):
        assert shared.post(f"/keys/{key}", {"0": 1}).status == 400
    answer = shared.post("/keys/n:127.0.0.1:7005", {"0": 1})
    assert answer.status == 403 and "POST /peers" in answer.json()["detail"]
    assert shared.post("/keys", {"n:127.0.0.1:7005": {"0": 1}}).status == 403


def test_hostile_names_do_not_reach_the_log_as_they_are(start):
    node = start("-v")
    for key in ("\x1b[31mred", "two\nlines", "<script>"):
        node.post("/keys/" + urllib.parse.quote(key, safe=""), {"0": 1})
        node.get("/keys/" + urllib.parse.quote(key, safe="") + "?" + urllib.parse.quote(key))
    assert "\x1b" not in node.log() and "<script>" not in node.log()


# -- numbers and documents


@pytest.mark.parametrize("text, pointer", [
    ('{"0":1.5}', "/0"), ('{"0":1.0}', "/0"), ('{"0":1e3}', "/0"), ('{"0":1e400}', "/0"),
    ('{"0":-1}', "/0"), ('{"0":-0}', "/0"), ('{"0":01}', "/0"), ('{"0":9007199254740992}', "/0"),
    ('{"0":18446744073709551616}', "/0"), ('{"0":"18446744073709551616"}', "/0"),
    ('{"0":"01"}', "/0"), ('{"0":""}', "/0"), ('{"0":"1 "}', "/0"), ('{"0":"-1"}', "/0"),
    ('{"0":"0x1"}', "/0"), ('{"0":null}', "/0"), ('{"0":true}', "/0"), ('{"0":[1]}', "/0"),
    ('{"0":{}}', "/0"), ('{"1":2,"0":+1}', "/0"), ('{"0":.5}', "/0"), ('{"0":NaN}', "/0"),
    ('{"01":1}', None), ('{"":1}', None), ('{"-1":1}', None), ('{"x":1}', None),
    ('{"1.0":1}', None),
    ('{"18446744073709551616":1}', None), ('{"0":1,"0":2}', None), ('{"0":1,"\\u0030":2}', None),
    ('{"0":1,}', None), ("{0:1}", None), ("{'0':1}", None), ("", None), (" ", None), ("[]", None),
    ("null", None), ("3", None), ('"x"', None), ('{"0":1', None), ('{"0":1}}', None),
    ('{"0":1} {}', None), ('{"0":1}\0', None), ('\ufeff{"0":1}', None), ('{"0":1}//', None),
    ('{"\\ud800":1}', None), ('{"0\\u0000":1}', None),
    ("[" * 100000, None), ('{"0":' * 50000, None),
], ids=lambda value: str(value)[:24])
def test_a_document_that_is_not_right_is_refused_and_stores_nothing(shared, text, pointer):
    answer = shared.post("/keys/wrong", text)
    assert answer.status == 400, answer
    if pointer is not None:
        assert answer.json()["pointer"] == pointer
    assert shared.get("/keys/wrong").status == 404


def test_bytes_that_are_not_utf8_are_refused(shared):
    for body in (b'{"\xff":1}', b'{"0":1}\xff', b'\xff\xfe{\0"\0', b'{"\xed\xa0\x80":1}'):
        assert shared.post("/keys/wrong", body).status == 400
        assert shared.post("/keys", body).status == 400


@pytest.mark.parametrize("text, vector", [
    (f'{{"0":{SAFE}}}', {0: SAFE}), ('{"0":"9007199254740993"}', {0: 2**53 + 1}),
    (f'{{"{MAX}":"{MAX}"}}', {MAX: MAX}), (' \r\n\t{ "0" : 1 }\n ', {0: 1}),
    ('{"0":"5","1":5}', {0: 5, 1: 5}), ('{"\\u0030":5}', {0: 5}), ('{"9":1,"2":1}', {2: 1, 9: 1}),
], ids=lambda value: str(value)[:24])
def test_a_document_that_is_right_is_taken_exactly(shared, text, vector):
    key = f"right{abs(hash(text))}"
    assert shared.post(f"/keys/{key}", text).status == 201
    assert shared.vector(key) == vector


def test_reading_a_document_takes_time_in_proportion_to_its_size(start):
    node = start("--set", "http-max-body=64m")
    for make in (lambda n: b"{" + b" " * n + b"}", lambda n: b"[" * n,
                 lambda n: b'{"0":' * (n // 5)):
        times = []
        for size in (1 << 20, 1 << 24):
            begin = time.monotonic()
            node.post("/keys/slow", make(size))
            times.append(time.monotonic() - begin)
        assert times[1] < 64 * max(times[0], 0.02) * SLOWNESS, times


def test_a_curl_user_needs_no_header(shared):
    for kind in (None, "application/x-www-form-urlencoded", "application/json",
                 "application/json; charset=utf-8"):
        headers = {} if kind is None else {"Content-Type": kind}
        assert shared.post("/keys/curl", {"0": 1}, headers=headers).status in (200, 201)
    answer = shared.post("/keys/curl", {"0": 2}, headers={"Content-Type": "text/xml"})
    assert answer.status == 415 and "application/json" in answer.headers["Accept"]
    answer = shared.post("/keys/curl", {"0": 2}, headers={"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert shared.vector("curl") == {0: 1}


# -- many keys


@pytest.fixture
def listed(shared):
    if not shared.vector("list:249"):
        shared.post("/keys", {f"list:{i:03}": {"0": i + 1} for i in range(250)})
        shared.post("/keys", {f"list:{i:03}": {str(i): 1} for i in range(250)})
    return shared


def test_pages_are_in_byte_order_and_together_are_all(listed):
    found, after, pages = [], "", 0
    while True:
        page = listed.get(f"/keys?prefix=list:&limit=100{after}").json()
        found += [item["key"] for item in page["keys"]]
        pages += 1
        if "next" not in page:
            break
        assert page["keys"], "no page is empty but the last"
        after = f"&after={page['next']}"
    assert found == [f"list:{i:03}" for i in range(250)]
    assert pages == 3
    assert len(listed.get("/keys").json()["keys"]) == 100


def test_a_page_ends_exactly_where_there_is_no_more(listed):
    page = listed.get("/keys?prefix=list:&limit=250").json()
    assert len(page["keys"]) == 250 and "next" not in page
    assert listed.get("/keys?prefix=list:&limit=249").json()["next"] == "list:248"
    assert listed.get("/keys?prefix=list:&after=list:249").json() == {"keys": []}
    for bad in ("limit=0", "limit=10001", "limit=x", "limit=-1", "after=" + "x" * 256, "limits=3"):
        assert listed.get(f"/keys?{bad}").status == 400


@pytest.mark.parametrize("pattern, wanted", [
    ("list:%25", 250), ("list:00*", 10), ("%25:24%25", 10), ("list:*9", 25), ("list:1%250", 10),
    ("nothing%25", 0), ("list:249", 1), ("%25", None),
])
def test_both_wildcards_stand_for_any_text_in_a_listing(listed, pattern, wanted):
    found = [i["key"] for i in listed.get(f"/keys?match={pattern}&limit=10000").json()["keys"]]
    found = [key for key in found if key.startswith("list:")]
    assert len(found) == (250 if wanted is None else wanted)
    assert found == sorted(found)


def test_a_listing_shows_vectors_when_asked(listed):
    page = listed.get("/keys?prefix=list:&vectors=1&limit=3").json()["keys"]
    assert [item["vector"] for item in page] == [{"0": 1}, {"0": 2, "1": 1}, {"0": 3, "2": 1}]
    assert "vector" not in listed.get("/keys?prefix=list:&limit=1").json()["keys"][0]
    assert page[1]["digest"] == listed.get("/keys/list:001").json()["digest"]


def test_a_search_gives_keys_with_their_vectors(listed):
    found = listed.get("/keys/list:24%25?limit=4").json()
    assert [item["key"] for item in found["results"]] == [f"list:24{i}" for i in range(4)]
    assert found["results"][0]["vector"] == {"0": 241, "240": 1}
    assert found["next"] == "list:243"
    rest = listed.get("/keys/list:24%25?after=list:243").json()
    assert len(rest["results"]) == 6 and "next" not in rest
    assert listed.get("/keys/list:24%").status in (200, 400)  # a bare % as the first API took it


def test_an_aggregate_is_the_join_and_is_forgotten(listed):
    before = listed.stats()["keys"]
    answer = listed.get("/keys/list:00*").json()
    assert (answer["key"], answer["matched"], answer["size"]) == ("list:00*", 10, 10)
    assert answer["vector"] == {"0": 10, **{str(i): 1 for i in range(1, 10)}}
    assert listed.get("/keys/nothing*").json()["matched"] == 0
    assert listed.get("/keys/a%25*").status == 400
    assert listed.stats()["keys"] == before
    tag = listed.get("/keys/list:00*").headers["ETag"]
    assert listed.get("/keys/list:00*", headers={"If-None-Match": tag}).status == 304


def test_a_pattern_of_many_stars_on_long_keys_holds_nobody_up(start):
    node = start()
    lines = "".join(
        json.dumps({"key": "a" * 240 + f"{i:05}", "vector": {"0": 1}}) + "\n" for i in range(5000)
    )
    node.post("/keys", lines, headers={"Content-Type": "application/x-ndjson"})
    done = threading.Event()

    def search():
        for path in ("/keys/*a*a*a*a*a*a*a*a*b", "/keys?match=%25a%25a%25a%25a%25a%25a%25b"):
            assert node.get(path).status == 200
        done.set()

    thread = threading.Thread(target=search)
    thread.start()
    worst = 0.0
    while not done.is_set():
        begin = time.monotonic()
        node.get("/health")
        worst = max(worst, time.monotonic() - begin)
        assert thread.is_alive() or done.is_set()
    thread.join()
    assert worst < at_most(0.25)


def test_presence_is_listed_only_when_asked_for_by_prefix(cluster):
    first, second = cluster(2)
    first.post("/keys/data", {"0": 1})
    assert [i["key"] for i in first.get("/keys").json()["keys"]] == ["data"]
    assert first.get("/keys?prefix=n").json()["keys"] == []
    assert first.get("/keys?match=%25").json()["keys"][0]["key"] == "data"
    own = first.get(f"/keys/n:{second.text}").json()
    assert int(own["vector"]["2"]) & 3 == 0 and "digest" not in own
    assert first.get("/keys/n:127.0.0.1:1").status == 404


def test_presence_is_listed_in_byte_order_with_our_own_and_data_among_it(cluster):
    nodes = cluster(3)
    first = nodes[0]
    for name in ("n:0", "n:127.0.0.1:5x", "n:host:6000", "n", "n;"):
        first.post(f"/keys/{name}", {"0": 1})
    expected = sorted([f"n:{node.text}" for node in nodes]
                      + ["n:0", "n:127.0.0.1:5x", "n:host:6000"])
    items = eventually(lambda: [i for i in [first.get("/keys?prefix=n:&vectors=1").json()["keys"]]
                                if len(i) == len(expected)])[0]
    assert [item["key"] for item in items] == expected
    assert [item["key"] for item in items if "digest" in item] == \
        ["n:0", "n:127.0.0.1:5x", "n:host:6000"]
    assert all(item["vector"] and item["size"] == len(item["vector"]) for item in items)
    assert first.get("/keys/n:host:6000").json()["digest"]
    for limit in (1, 2, 4):
        assert list(first.keys(f"prefix=n:&limit={limit}")) == expected
    assert list(first.keys("match=n:1%25&limit=2")) == [k for k in expected if k.startswith("n:1")]
    assert list(first.keys("prefix=n:h")) == ["n:host:6000"]
    many = [f"n:z{i:03}" for i in range(150)]
    first.post("/keys", {name: {"0": 1} for name in many})
    assert list(first.keys("prefix=n:&limit=70")) == expected + many
    assert list(first.keys("prefix=n:z&match=%259")) == many[9::10]
    assert list(first.keys("match=n%25&limit=4")) == [
        "n", "n:0", "n:127.0.0.1:5x", "n:host:6000", *many, "n;"]


def test_an_empty_update_asks_for_all_however_it_is_padded(shared):
    elements = {str(i << 8): i + 1 for i in range(300)}
    shared.post("/keys/asked", elements)
    for body in ("{}", "{" + " " * 5000 + "}", '{"0":0}', '{"7":0' + " " * 5000 + "}"):
        for key, larger in (("asked", elements), ("never-asked", {})):
            answer = shared.post(f"/keys/{key}", body)
            assert (answer.status, answer.json()["larger"], answer.json()["changed"]) == (
                200, larger, {})


# -- whole listings, for programs


def listing_of(node, path, kind):
    answer = node.get(path, headers={"Accept": kind})
    assert answer.headers["Content-Type"] == kind and "Accept" in answer.headers["Vary"]
    if kind == "application/x-ndjson":
        return [json.loads(line) for line in answer.body.splitlines()]
    return list(msgpack.Unpacker(io.BytesIO(answer.body), strict_map_key=False, raw=False))


KINDS = ["application/x-ndjson", "application/msgpack"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_listing_can_be_had_line_by_line_and_is_not_cut(cluster, kind):
    node, = cluster(1)
    node.post("/keys", {f"key:{i:04}": {"0": i + 1} for i in range(3000)})
    found = listing_of(node, "/keys", kind)
    assert [item["key"] for item in found] == [f"key:{i:04}" for i in range(3000)]
    page = node.get("/keys?limit=10000").json()["keys"]
    assert found == page
    assert listing_of(node, "/keys?limit=2&after=key:0041", kind) == page[42:44]
    assert listing_of(node, "/keys?prefix=none", kind) == []
    assert [item["key"] for item in listing_of(node, "/keys?prefix=n:", kind)] == [f"n:{node.text}"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_listing_with_vectors_is_what_another_node_takes(cluster, kind):
    node, = cluster(1, "--set", "http-max-body=4m")
    other, = cluster(1)
    node.post("/keys", {f"key:{i:04}": {str(j << 8): i + j + 1 for j in range(i % 4)}
                        for i in range(2000)})
    node.post("/keys", {"large": {str(i * 77): str(2 ** 64 - 1 - i) for i in range(20000)},
                        "dense": {str(i): i + 1 for i in range(100000)}})
    body = node.get("/keys?vectors=1", headers={"Accept": kind}).body
    assert other.post("/keys", body, headers={"Content-Type": kind}).json()["keys"] == 1502
    assert other.digest() == node.digest()
    assert listing_of(node, "/keys?vectors=1&limit=3", kind)[0] == (
        {"dense": {i: i + 1 for i in range(100000)}} if kind == "application/msgpack"
        else node.get("/keys?prefix=dense&vectors=1").json()["keys"][0])


@pytest.mark.skipif(is_sanitized(), reason="ASan keeps what was freed, and it is counted")
@pytest.mark.parametrize("kind", KINDS)
def test_a_listing_waits_for_a_client_that_does_not_read(cluster, kind):
    node, = cluster(1)
    for part in range(5):
        node.post("/keys", {f"key:{part}:{i:05}": {str(j << 9): i for j in range(20)}
                            for i in range(1, 3000)})
    before = node.memory_bytes()
    with node.connect() as client:
        client.sendall(f"GET /keys?vectors=1 HTTP/1.1\r\nHost: localhost\r\nAccept: {kind}\r\n"
                       "\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        for _ in range(20):
            assert node.get("/health").status == 200
        assert node.memory_bytes() - before < 4 << 20
    eventually(lambda: node.stats()["http_stepping"] == 0)


# -- methods


def test_head_is_get_without_its_body(shared):
    shared.post("/keys/head", {"0": 5})
    for path in ("/keys/head", "/health", "/", "/peers", "/keys", "/stats", "/openapi.json",
                 "/keys/nothing-here", "/keys/head*"):
        got, head = shared.get(path), shared.request("HEAD", path)
        assert (head.status, head.body) == (got.status, b"")
        if path == "/keys/head":
            assert head.headers["Content-Length"] == got.headers["Content-Length"]
            assert head.headers["ETag"] == got.headers["ETag"]


def test_put_and_patch_are_updates_too(shared):
    for method in ("PUT", "PATCH"):
        assert shared.request(method, f"/keys/{method}", {"0": 5}).status == 201
        assert shared.request(method, "/keys", {f"bulk{method}": {"0": 5}}).status == 200
        assert shared.vector(method) == shared.vector(f"bulk{method}") == {0: 5}


def test_a_key_is_deleted_and_begins_anew(shared):
    shared.post("/keys/goes", {"0": 5})
    before = shared.request("GET", "/keys/goes").headers["ETag"]
    answer = shared.request("DELETE", "/keys/goes")
    assert answer.status == 200 and answer.json()["key"] == "goes"
    generation = answer.json()["generation"]
    assert abs(generation - time.time()) < 60
    assert shared.request("GET", "/keys/goes").status == 404
    assert shared.request("DELETE", "/keys/goes").status == 404
    assert shared.request("GET", "/keys?match=goes").json()["keys"] == []
    assert shared.post("/keys/goes", {"0": 5}).status == 201
    after = shared.request("GET", "/keys/goes").headers["ETag"]
    assert after != before and shared.vector("goes") == {0: 5}
    assert shared.request("GET", "/keys/goes", headers={"If-None-Match": before}).status == 200
    assert shared.request("GET", "/keys/goes", headers={"If-None-Match": after}).status == 304
    again = shared.request("DELETE", "/keys/goes")
    assert again.json()["generation"] > generation
    shared.post("/keys/goes", {"0": 1})
    assert shared.request("DELETE", "/keys/goes", headers={"Prefer": "return=minimal"}).status == 204


def test_who_waits_for_a_change_is_told_that_the_key_is_gone(shared):
    shared.post("/keys/waited", {"0": 5})
    tag = shared.request("GET", "/keys/waited").headers["ETag"]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        shared.request("GET", "/keys/waited?wait=60s", headers={"If-None-Match": tag})))
    before = shared.stats()["http_parked"]
    thread.start()
    eventually(lambda: shared.stats()["http_parked"] > before)
    assert shared.request("DELETE", "/keys/waited").status == 200
    thread.join(10 * SLOWNESS)
    assert answers and answers[0].status == 404


def test_what_is_no_key_is_not_deleted(shared):
    assert shared.request("DELETE", "/keys/never").status == 404
    assert shared.request("DELETE", "/keys/some%25").status == 400
    assert shared.request("DELETE", "/keys/n:127.0.0.1:6001").status == 403
    for match in ("", "?match=", "?match=*", "?match=%25%25*", "?match=" + "a" * 256):
        assert shared.request("DELETE", "/keys" + match).status == 400


def test_keys_that_match_are_deleted(shared):
    shared.post("/keys", {f"many:{i}": {"0": 5} for i in range(1000)} | {"manx": {"0": 5}})
    answer = shared.request("DELETE", "/keys?match=many:*")
    assert answer.status == 200 and answer.json() == {"deleted": 1000}
    assert shared.request("DELETE", "/keys?match=many:*").json() == {"deleted": 0}
    assert shared.vector("manx") == {0: 5}
    assert shared.request("GET", "/keys?match=many*").json()["keys"] == []
    peers = shared.request("GET", "/keys?prefix=n:").json()["keys"]
    assert shared.request("DELETE", "/keys?match=n:*").json() == {"deleted": 0}
    assert len(shared.request("GET", "/keys?prefix=n:").json()["keys"]) == len(peers) > 0


@pytest.mark.parametrize("path, allowed", [
    ("/keys/x", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}),
    ("/keys", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}),
    ("/health", {"GET", "HEAD", "OPTIONS"}), ("/peers", {"GET", "HEAD", "POST", "OPTIONS"}),
    ("/peers/127.0.0.1:1", {"GET", "HEAD", "DELETE", "OPTIONS"}),
    ("/watch", {"GET", "HEAD", "OPTIONS"}),
])
def test_options_and_405_say_what_is_allowed(shared, path, allowed):
    answer = shared.request("OPTIONS", path)
    assert answer.status == 204
    assert {method.strip() for method in answer.headers["Allow"].split(",")} == allowed
    for method in {"POST", "PUT", "PATCH", "DELETE", "TRACE"} - allowed:
        answer = shared.request(method, path)
        assert answer.status == 405, (method, answer)
        assert {m.strip() for m in answer.headers["Allow"].split(",")} == allowed


def test_paths_that_are_not_there_are_404(shared):
    for path in ("/nothing", "/key/foo", "/keys2", "/health/", "/stats/x", "/hll/foo",
                 "/favicon.ico"):
        assert shared.get(path).status in (404, 405), path


def test_a_query_has_at_most_256_parameters(shared):
    shared.post("/keys/chosen", {"7": 5})
    answer = shared.get("/keys/chosen?" + "&".join(["index=7"] * 256))
    assert answer.status == 200 and answer.json()["vector"] == {"7": 5}
    answer = shared.get("/keys/chosen?" + "&".join(["index=7"] * 257))
    assert answer.status == 400 and "256 parameters" in answer.json()["detail"]


def test_parameters_that_are_not_known_are_refused_with_those_that_are(shared):
    answer = shared.get("/keys?limits=3")
    assert answer.status == 400
    assert all(word in answer.json()["detail"] for word in ("limits", "limit", "prefix", "match"))
    assert shared.get("/health?x=1").status == 400
    assert shared.get("/keys?limit=%zz").status == 400
    assert shared.get("/keys?limit=%ff").status == 400


def test_problems_are_problem_documents(shared):
    for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/health", 405),
                                 ("POST", "/keys/a*", 400), ("GET", "/keys/missing", 404)):
        answer = shared.request(method, path, {"0": 1} if method == "POST" else None)
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == status and problem["detail"] and problem["instance"] == path


def test_pretty_is_the_same_document_on_many_lines(shared):
    shared.post("/keys/pretty", {"0": 5})
    plain, pretty = shared.get("/keys/pretty"), shared.get("/keys/pretty?pretty=1")
    assert plain.json() == pretty.json() and pretty.body.count(b"\n") > 3
