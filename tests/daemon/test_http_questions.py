"""Questions are answered as they were asked, or refused with what to ask instead: nothing that a
client says is silently left out.
"""

import json
import signal
import urllib.parse

import msgpack
import pytest

from daemon import eventually


def refusal(answer, *words):
    assert answer.status == 400, answer
    detail = answer.json()["detail"]
    assert all(word in detail for word in words), detail


# -- parameters that do not go together


@pytest.mark.parametrize("path, words", [
    ("/keys/q*?from=0", ("from", "aggregate")),
    ("/keys/q*?count=3", ("count", "aggregate")),
    ("/keys/q*?index=3", ("index", "aggregate")),
    ("/keys/q*?limit=3", ("limit", "aggregate")),
    ("/keys/q*?after=a", ("after", "aggregate")),
    ("/keys/q*?wait=1s", ("wait", "aggregate", "/watch")),
    ("/keys/q%25?from=0", ("from", "search", "after", "limit")),
    ("/keys/q%25?index=0", ("index", "search")),
    ("/keys/q%25?wait=1s", ("wait", "search", "/watch")),
    ("/keys/q?limit=3", ("limit", "one key", "from", "index")),
    ("/keys/q?after=a", ("after", "one key")),
    ("/keys/q?index=1&from=0", ("index", "from")),
    ("/keys/q?index=1&count=2", ("index", "count")),
    ("/keys/unseen?limit=3", ("limit", "one key")),
    ("/peers?format=prometheus&state=alive", ("state", "prometheus")),
])
def test_parameters_that_mean_nothing_there_are_refused(shared, path, words):
    shared.post("/keys/q", {"0": 5, "3": 7})
    refusal(shared.get(path), *words)


def test_a_peer_s_key_takes_none_of_them(shared):
    for query in ("wait=1s", "from=0", "index=0", "limit=1"):
        refusal(shared.get(f"/keys/n:{shared.text}?{query}"), query.split("=")[0], "peer")
    assert shared.get(f"/keys/n:{shared.text}?pretty=1").status == 200


def test_parameters_that_go_together_do(shared):
    shared.post("/keys/q", {"0": 5, "3": 7})
    assert shared.get("/keys/q?from=0&count=4&wait=1s").json()["values"] == [5, 0, 0, 7]
    assert shared.get("/keys/q?count=2").json()["values"] == [5, 0]
    assert shared.get("/keys/q?index=3&index=9&wait=1s").json()["vector"] == {"3": 7}
    assert shared.get("/keys/q%25?after=a&limit=5").status == 200


@pytest.mark.parametrize("path", [
    "/keys/q?from=0&from=1", "/keys/q?wait=1s&wait=2s", "/keys?limit=1&limit=2",
    "/keys?prefix=a&prefix=b", "/keys?match=a&match=b", "/keys?pretty&pretty=0",
    "/peers?state=alive&state=dead", "/watch?every=1s&every=2s", "/watch?include=none&include=delta",
])
def test_a_parameter_that_is_one_may_not_be_given_twice(shared, path):
    name = path.split("?")[1].split("=")[0].split("&")[0]
    refusal(shared.get(path), name, "twice")


# -- flags


@pytest.mark.parametrize("word, is_on", [
    ("1", True), ("true", True), ("True", True), ("YES", True), ("yes", True), ("", True),
    ("0", False), ("false", False), ("False", False), ("no", False), ("NO", False),
])
def test_flags_are_words_for_on_and_off(shared, word, is_on):
    shared.post("/keys/flag", {"0": 5})
    page = shared.get(f"/keys?prefix=flag&vectors={word}").json()["keys"][0]
    assert ("vector" in page) == is_on
    assert (shared.get(f"/keys/flag?pretty={word}").body.count(b"\n") > 2) == is_on


@pytest.mark.parametrize("word", ["2", "on", "y", "t", "-1", "maybe", "truetrue"])
def test_other_words_for_flags_are_refused(shared, word):
    refusal(shared.get(f"/keys?vectors={word}"), "vectors", "true", "false")
    refusal(shared.get(f"/keys?pretty={word}"), "pretty", "true", "false")


def test_a_flag_without_a_value_is_on(shared):
    shared.post("/keys/flag", {"0": 5})
    assert "vector" in shared.get("/keys?prefix=flag&vectors").json()["keys"][0]


# -- durations, patterns, names


def test_a_wait_beyond_its_limit_is_refused(shared):
    for wait in ("10m", "5m1s", "301s", "1d"):
        refusal(shared.get(f"/keys/unborn?wait={wait}"), "wait", "5m")


def test_a_watched_key_is_no_pattern(shared):
    for key in ("a*", "*", "a%25b"):
        refusal(shared.get(f"/watch?key={key}"), "key", "match")


def test_any_host_can_be_allowed(start):
    node = start("--set", "http-host=*")
    for host in ("node.example", "evil.example:80", "localhost"):
        assert node.get("/health", headers={"Host": host}).status == 200


# -- rolling up


def test_a_join_of_a_pattern_takes_all_keys_that_match(shared):
    for day in range(20):
        shared.post(f"/keys/day:{day:02}", {str(day): day + 1, str(day * 1000): 9})
    shared.post("/keys/dayless", {"7777": 1})
    answer = shared.post("/keys/roll%20up?join=day:*")
    assert answer.status == 201, answer
    expected = {day: day + 1 for day in range(20)}
    expected.update({day * 1000: 9 for day in range(20)})
    assert shared.vector("roll up") == expected
    assert answer.json()["changed"] == shared.get("/keys/roll%20up").json()["vector"]
    assert shared.post("/keys/roll%20up?join=day:*&join=dayless").json()["changed"] == {"7777": 1}
    assert shared.post("/keys/two?join=day:0%25").status == 201
    assert set(shared.vector("two")) == {*range(10), *range(0, 10000, 1000)}


def test_a_join_of_a_pattern_that_matches_nothing_changes_nothing(shared):
    answer = shared.post("/keys/empty?join=nothing:*")
    assert answer.status == 200 and answer.json()["changed"] == {}
    assert shared.get("/keys/empty").status == 404


def test_a_join_of_a_pattern_may_hold_its_own_key_and_no_peers(shared):
    shared.post("/keys/self:a", {"1": 1})
    shared.post("/keys/self:all", {"2": 2})
    assert shared.post("/keys/self:all?join=self:*").status == 200
    assert shared.vector("self:all") == {1: 1, 2: 2}
    assert shared.post("/keys/everything?join=*").status == 201
    assert shared.get("/keys/everything").status == 200


def test_a_join_of_many_keys_lets_others_pass(node):
    for part in range(4):
        node.post("/keys", {f"many:{part}:{i:05}": {str(i * 300): i + 1} for i in range(5000)},
                  checked=False)
    answer = node.post("/keys/roll?join=" + urllib.parse.quote("many:*"), checked=False)
    assert answer.status == 201
    assert node.get("/keys/roll").json()["size"] == 5000
    eventually(lambda: node.stats()["http_stepping"] == 0)


# -- forms

PACKED_NAMES = ["application/msgpack", "application/vnd.msgpack", "application/x-msgpack"]
LINES_NAMES = ["application/x-ndjson", "application/ndjson", "application/jsonl"]


@pytest.mark.parametrize("accept, kind", [
    (None, "application/json"),
    ("*/*", "application/json"),
    ("application/*", "application/json"),
    ("text/html", "application/json"),
    ("application/json, application/msgpack;q=0.5", "application/json"),
    ("application/json;q=0.5, application/msgpack", "application/msgpack"),
    ("application/msgpack, */*", "application/msgpack"),
    ("application/msgpack;q=0.1, */*;q=0.8", "application/json"),
    ("application/msgpack;q=0", "application/json"),
    ("text/html, application/vnd.msgpack;q=0.3", "application/vnd.msgpack"),
    *[(name, name) for name in PACKED_NAMES],
])
@pytest.mark.parametrize("path", ["/keys/accept", "/keys/accept*", "/keys/accept?index=7",
                                  "/keys?prefix=accept&vectors"])
def test_accept_is_weighed_as_rfc_9110_says(shared, path, accept, kind):
    shared.post("/keys/accept", {"7": 5})
    answer = shared.get(path, headers={"Accept": accept} if accept else {}, checked=False)
    assert answer.status == 200 and answer.headers["Content-Type"] == kind
    assert "Accept" in answer.headers.get("Vary", "")
    if kind == "application/json":
        found = answer.json()
        vector = (found["keys"][0] if "keys" in found else found)["vector"]
        assert vector == {"7": 5}
    else:
        found = msgpack.unpackb(answer.body, strict_map_key=False)
        assert found.get("vector", found.get("accept")) == {7: 5}


def test_a_range_comes_as_accept_asks(shared):
    shared.post("/keys/accept", {"7": 5})
    path = "/keys/accept?from=6&count=300"
    whole = shared.get(path).json()
    for name in PACKED_NAMES:
        answer = shared.get(path, headers={"Accept": name}, checked=False)
        assert answer.headers["Content-Type"] == name and "Accept" in answer.headers["Vary"]
        assert msgpack.unpackb(answer.body) == whole
    assert whole["values"] == [0, 5] + 298 * [0]


def test_several_accept_headers_are_one(shared):
    shared.post("/keys/accept", {"7": 5})
    with shared.connect() as client:
        client.sendall(b"GET /keys/accept HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       b"Accept: application/json;q=0.2\r\nAccept: application/msgpack\r\n\r\n")
        assert b"Content-Type: application/msgpack" in client.recv(4096)


def test_an_aggregate_as_msgpack_is_the_same(shared):
    for i in range(50):
        shared.post(f"/keys/packed:{i}", {str(i * 1000): i + 1, str(2**63 + i): str(2**64 - 1 - i)})
    plain = shared.get("/keys/packed:*").json()
    packed = msgpack.unpackb(shared.get("/keys/packed:*", headers={"Accept": PACKED_NAMES[0]}).body,
                             strict_map_key=False)
    assert packed["vector"] == {int(i): int(value) for i, value in plain["vector"].items()}
    assert {name: packed[name] for name in ("key", "matched", "size", "digest")} == {
        name: plain[name] for name in ("key", "matched", "size", "digest")}


@pytest.mark.parametrize("name", LINES_NAMES)
def test_lines_have_three_names(shared, name):
    shared.post("/keys/line:0", {"0": 1})
    answer = shared.get("/keys?prefix=line:&vectors", headers={"Accept": name}, checked=False)
    assert answer.headers["Content-Type"] == name and answer.body.count(b"\n") >= 1
    taken = shared.post("/keys", answer.body, headers={"Content-Type": name})
    assert taken.status == 200 and taken.json()["keys"] == answer.body.count(b"\n")


@pytest.mark.parametrize("name", PACKED_NAMES)
def test_msgpack_has_three_names(shared, name):
    assert shared.post("/keys", msgpack.packb({"named": {3: 4}}),
                       headers={"Content-Type": name}).status == 200
    assert shared.post("/keys/named", msgpack.packb({3: 4}),
                       headers={"Content-Type": name}).status == 200


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain",
                                  "text/plain;charset=UTF-8", "application/json"])
def test_bodies_that_browsers_and_curl_send_are_json(shared, kind):
    headers = {"Content-Type": kind} if kind else {}
    assert shared.post("/keys/fetch", '{"0":5}', headers=headers).status in (200, 201)
    assert shared.post("/keys", '{"fetch":{"0":5}}', headers=headers).status == 200
    assert shared.post("/peers", '{"address":"127.0.0.1:9"}', headers=headers).status == 202


LINES = '{"key":"foo","vector":{"0":5}}\n{"key":"bar","vector":{"7":1}}\n'


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "application/json"])
@pytest.mark.parametrize("body", [LINES, LINES.replace("\n", ""), LINES.split("\n")[0],
                                  '{"vector":{"0":5},"key":"foo"}\n', ' { "key": "foo" }'])
def test_lines_without_their_type_are_told_what_to_type(shared, kind, body):
    refusal(shared.post("/keys", body, headers={"Content-Type": kind} if kind else {}),
            "Content-Type: application/x-ndjson", "-T", "--data-binary")


def test_lines_whose_newlines_curl_took_out_are_told_what_to_type(shared):
    refusal(shared.post("/keys", LINES.replace("\n", ""),
                        headers={"Content-Type": "application/x-ndjson"}),
            "newline", "-d", "--data-binary")
    answer = shared.post("/keys", LINES + "nonsense\n",
                         headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 400 and "--data-binary" not in answer.json()["detail"]
    assert answer.json()["line"] == 3


def test_a_key_may_be_called_key(shared):
    assert shared.post("/keys", {"key": {"0": 5}, "vector": {"0": 6}}).status == 200
    answer = shared.post("/keys", '{"other":5}')
    assert answer.status == 400 and "x-ndjson" not in answer.json()["detail"]


# -- what is wished


def test_a_write_may_ask_for_no_body(shared):
    headers = {"Prefer": "return=minimal"}
    answer = shared.post("/keys/brief", {"0": 5}, headers=headers)
    assert answer.status == 204 and answer.body == b""
    assert answer.headers["Preference-Applied"] == "return=minimal"
    for method in ("POST", "PUT", "PATCH"):
        answer = shared.request(method, "/keys/brief", {"0": 6}, headers=headers)
        assert answer.status == 204 and answer.body == b""
        assert answer.headers["Preference-Applied"] == "return=minimal"
    wide = {str(i): i + 1 for i in range(5000)}
    assert shared.post("/keys/brief", wide, headers=headers).status == 204
    assert shared.post("/keys/brief%20too?join=brief", headers=headers).status == 204
    answer = shared.post("/keys", {"brief": {"0": 9}}, headers={
        "Prefer": "respond-async, wait=100, Return=Minimal; x=1"})
    assert answer.status == 204 and answer.body == b""
    assert shared.vector("brief too") == {int(i): value for i, value in {**wide, "0": 6}.items()}
    assert shared.vector("brief")[0] == 9


@pytest.mark.parametrize("prefer", ["return=representation", "return=minimalist", "xreturn=minimal",
                                    "handling=strict", ""])
def test_other_preferences_change_nothing(shared, prefer):
    answer = shared.post("/keys/wordy", {"0": 5}, headers={"Prefer": prefer})
    assert "changed" in answer.json() and "Preference-Applied" not in answer.headers


def test_a_refusal_says_why_whatever_is_preferred(shared):
    answer = shared.post("/keys/brief", {"x": 5}, headers={"Prefer": "return=minimal"})
    assert answer.status == 400 and answer.json()["detail"]


def test_one_peer_is_shown_as_the_list_shows_it(cluster):
    first, second = cluster(2)
    # From the first comparison of digests on, what both show stays.
    listed = eventually(
        lambda: [p for p in first.get("/peers").json()["peers"] if {"lag_ms", "rtt_ms"} <= set(p)],
        10)[0]
    one = first.get(f"/peers/{second.text}").json()
    for moving in ("last_heard", "last_heard_ms", "rtt_ms", "checked_ms", "lag_ms", "converged"):
        assert (moving in one) == (moving in listed)
        one.pop(moving, None)
        listed.pop(moving, None)
    assert one == listed and one["address"] == second.text and one["state"] == "alive"
    for unknown in ("127.0.0.1:1", "nonsense", "127.0.0.1"):
        assert first.get(f"/peers/{unknown}").status == 404
    assert first.request("HEAD", f"/peers/{second.text}").status == 200


def test_pages_of_other_origins_may_read_our_headers(start):
    node = start("--set", "http-allow-origin=https://app.example")
    node.post("/keys/shown", {"0": 1})
    origin = {"Origin": "https://app.example"}
    exposed = node.get("/keys/shown", headers=origin).headers["Access-Control-Expose-Headers"]
    assert {name.strip() for name in exposed.split(",")} == {
        "ETag", "Location", "Retry-After", "X-Vignette-Node", "Preference-Applied"}
    answer = node.request("OPTIONS", "/keys/shown", headers={
        **origin, "Access-Control-Request-Method": "POST"})
    allowed = answer.headers["Access-Control-Allow-Headers"]
    assert {"prefer", "if-none-match", "content-type"} <= {
        name.strip() for name in allowed.split(",")}
    assert "Access-Control-Expose-Headers" not in node.get("/keys/shown").headers


def test_every_line_of_a_watch_says_what_it_is(shared):
    with shared.connect() as client:
        client.sendall(b"GET /watch?key=lined HTTP/1.1\r\nHost: localhost\r\n"
                       b"Accept: application/x-ndjson\r\n\r\n")
        lines = client.makefile("rb")
        while b'"event":"ready"' not in lines.readline():
            pass
        shared.post("/keys/lined", {"3": 4})
        while not (line := lines.readline()).startswith(b"{"):
            pass
        event = json.loads(line)
    assert event["event"] == "update" and event["key"] == "lined" and event["changed"] == {"3": 4}


def test_a_long_poll_is_told_that_the_node_stops(start):
    node = start()
    node.post("/keys/polled", {"0": 1})
    tag = node.get("/keys/polled").headers["ETag"]
    clients = [node.connect() for _ in range(2)]
    for client, key in zip(clients, ("polled", "unborn")):
        client.sendall(f"GET /keys/{key}?wait=1m HTTP/1.1\r\nHost: localhost\r\n"
                       f"If-None-Match: {tag}\r\n\r\n".encode())
    eventually(lambda: node.stats()["http_parked"] == 2)
    node.signal(signal.SIGTERM)
    for client in clients:
        answer = client.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in answer
        assert b"stopping" in answer and b"\r\nConnection: close\r\n" in answer
        client.close()
    assert node.process.wait(10) == 0


# -- keys that begin with n:


def test_only_the_keys_of_peers_are_theirs(shared):
    for key in ("n:", "n:name", "n:name:6001", "n:127.0.0.1", "n:127.0.0.1:0x1", "n:10.0.0.7:70000"):
        assert shared.post(f"/keys/{key}", {"0": 1}).status == 201, key
        assert shared.vector(key) == {0: 1}
        assert "digest" in shared.get(f"/keys/{key}").json()
    for key in (f"n:{shared.text}", "n:10.0.0.7:6001", "n:[2001:db8::7]:6001"):
        answer = shared.post(f"/keys/{key}", {"0": 1})
        assert answer.status == 403 and "POST /peers" in answer.json()["detail"], key
