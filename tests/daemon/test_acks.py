"""?ack=N: what is answered so is at N other nodes, and an answer that waited in vain says how far it
came."""

import concurrent.futures
import signal

import pytest

from daemon import eventually

BULK = {"x": {"0": 1}, "y": {"1": 2}}


@pytest.fixture(name="trio")
def three(start):
    first = start()
    trio = [first, *(start(seeds=[first]) for _ in range(2))]
    for node in trio:
        eventually(lambda node=node: node.get("/peers").json()["alive"] == 2)
    return trio


def is_refused(answer, name):
    return answer.status == 400 and name in answer.json()["detail"]


def test_what_two_others_acknowledged_is_there(trio):
    first, second, third = trio
    for value in range(1, 11):
        answer = first.post("/keys/foo?ack=2", {"0": value})
        assert (answer.status, answer.json()["acks"]) == (201 if value == 1 else 200, 2)
        assert [node.vector("foo") for node in (second, third)] == [{0: value}] * 2
    answer = second.request("PUT", "/keys?ack=2", BULK)
    assert (answer.status, answer.json()["acks"]) == (200, 2)
    assert all(node.vector("y") == {1: 2} for node in trio)
    answer = third.request("DELETE", "/keys/foo?ack=2")
    assert (answer.status, answer.json()["acks"]) == (200, 2)
    assert all(node.get("/keys/foo").status == 404 for node in trio)
    answer = third.request("DELETE", "/keys?match=x*&ack=2")
    assert answer.json() == {"deleted": 1, "acks": 2}
    assert all(node.get("/keys/x").status == 404 for node in trio)


def test_without_a_number_nothing_is_waited_for_or_said(trio):
    assert "acks" not in trio[0].post("/keys/foo?ack=0", {"0": 1}).json()
    assert is_refused(trio[0].post("/keys/foo?ack=-1", {"0": 1}), "ack")
    assert is_refused(trio[0].post("/keys?ack=101", BULK), "ack")


def test_too_few_are_said_with_202(trio):
    first, second, third = trio
    third.signal(signal.SIGSTOP)
    requests = [
        ("POST", "/keys/foo?ack=2", {"0": 1}),
        ("POST", "/keys?ack=100", BULK),
        ("POST", "/keys/foo?ack=1", {"0": 2}),
    ]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda request: first.request(*request), requests))
    third.signal(signal.SIGCONT)
    assert [(answer.status, answer.json()["acks"]) for answer in answers[:2]] == [(202, 1)] * 2
    assert answers[2].status in (200, 201) and answers[2].json()["acks"] == 1
    assert second.vector("foo") == {0: 2}
    eventually(lambda: third.vector("foo") == {0: 2} and third.vector("y") == {1: 2})
    headers = {"Prefer": "return=minimal"}
    assert first.request("POST", "/keys/foo?ack=1", {"0": 3}, headers).json()["acks"] >= 1
