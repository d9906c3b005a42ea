"""A bulk update that is wrong anywhere stores nothing, and the answer says where it is wrong."""

import json

import msgpack
import pytest

LINES = {"Content-Type": "application/x-ndjson"}
PACKED = {"Content-Type": "application/msgpack"}
COUNT = 20000

GOOD = "".join('{"key":"bulk:%06d","vector":{"%d":%d}}\n' % (i, i % 500, i + 1)
               for i in range(COUNT - 1))

WRONG_LINES = {
    "cut short": '{"key":"last","vector":{"0":1}',
    "not JSON": "nonsense",
    "no key": '{"vector":{"0":1}}',
    "no vector": '{"key":"last"}',
    "another member": '{"key":"last","vector":{"0":1},"more":1}',
    "a negative value": '{"key":"last","vector":{"0":-1}}',
    "a fraction": '{"key":"last","vector":{"0":1.5}}',
    "a number too large": '{"key":"last","vector":{"0":18446744073709551616}}',
    "an index twice": '{"key":"last","vector":{"7":1,"7":2}}',
    "a member twice": '{"key":"last","key":"last","vector":{"0":1}}',
    "an empty key": '{"key":"","vector":{"0":1}}',
    "a NUL in the key": '{"key":"a\\u0000b","vector":{"0":1}}',
    "a key too long": '{"key":"%s","vector":{"0":1}}' % ("k" * 256),
    "a pattern": '{"key":"last*","vector":{"0":1}}',
    "a lone surrogate": '{"key":"\\ud800","vector":{"0":1}}',
    "two documents": '{"key":"last","vector":{"0":1}}{"key":"b","vector":{"0":1}}',
    "an array": '["last",{"0":1}]',
}


@pytest.fixture
def settled(shared):
    """The node and its digest: nothing may have changed afterwards."""
    shared.post("/keys", {"bulk:000000": {"0": 5}, "known": {"3": 4}})
    before = shared.stats()
    yield shared
    after = shared.stats()
    assert after["digest"] == before["digest"] and after["keys"] == before["keys"]
    assert shared.vector("bulk:000001") == {}


@pytest.mark.parametrize("name", WRONG_LINES)
def test_the_last_of_many_lines_is_wrong(settled, name):
    answer = settled.post("/keys", GOOD + WRONG_LINES[name] + "\n", headers=LINES)
    assert answer.status == 400, answer
    assert answer.json()["line"] == COUNT, answer


def test_a_line_about_a_peer_is_refused(settled):
    last = '{"key":"n:127.0.0.1:7005","vector":{"0":1}}\n'
    answer = settled.post("/keys", GOOD + last, headers=LINES)
    assert answer.status == 403


def test_the_last_member_of_a_document_is_wrong(settled):
    updates = {f"bulk:{i:06}": {str(i % 500): i + 1} for i in range(5000)}
    good = json.dumps(updates)[:-1]
    for last, pointer in ((',"last":{"7":-1}}', "/last/7"), (',"bulk:000007":{"0":1}}', None),
                          (',"last":{"7":1.5}}', "/last/7"), (',"a/b~":{"x":1}}', None),
                          (',"last":[]}', "/last"), (",", None), (',"last*":{"0":1}}', None)):
        answer = settled.post("/keys", good + last)
        assert answer.status == 400, (last, answer)
        if pointer is not None:
            assert answer.json()["pointer"] == pointer


def test_the_last_item_of_a_packed_map_is_wrong(settled):
    updates = {f"bulk:{i:06}": {i % 500: i + 1} for i in range(5000)}
    whole = msgpack.packb({**updates, "last": {0: 1}})
    assert whole.endswith(b"\xa4last\x81\x00\x01")
    stem = whole[: -len(b"\x81\x00\x01")]
    for last in (b"", b"\x81\x00", b"\x81\x00\xff", b"\x81\xff\x01", b"\x91\x01", b"\xc0", b"\xc1",
                 b"\x81\x00\xcb" + b"\0" * 8, b"\x82\x00\x01\x00\x02", b"\x81\x00\x01\x00",
                 b"\x81\x00\xa11", b"\x81\x00\xc3"):
        answer = settled.post("/keys", stem + last, headers=PACKED)
        assert answer.status == 400, (last, answer)
    again = whole[: -len(b"\xa4last\x81\x00\x01")] + b"\xabbulk:000007\x81\x00\x01"
    assert settled.post("/keys", again, headers=PACKED).status == 400


def test_a_client_that_goes_away_in_the_middle_has_stored_nothing(settled):
    client = settled.connect()
    head = b"POST /keys HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD[:-10].encode())
    client.close()
    settled.get("/health")


def test_what_is_right_is_stored_in_the_end(node):
    assert node.post("/keys", GOOD, headers=LINES).json()["keys"] == COUNT - 1
    assert node.stats()["keys"] == COUNT - 1
