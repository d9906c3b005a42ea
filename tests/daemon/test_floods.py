"""Datagrams that ask for as much work as they can: the node lives, and /health stays quick.

Each case sends what once held the loop for seconds. What is measured is how long /health takes
while they are worked off, against the bound that every caller may rely on; the work that each one
may make is judged in units by tests/unit/test_turns.c.
"""

import random
import socket
import time

import msgpack
import pytest

from daemon import at_most, eventually

HEALTH_S = 0.3  # on a machine that does other things too
WIDE = 60000


def message(key, vector, **fields):
    return msgpack.packb({"key": key, "vector": vector, "ttl": 10, **fields})


def blocks(chance, count, among):
    return {block << 8 | chance.randrange(256): 1 for block in chance.sample(range(among), count)}


def random_blocks(chance):
    """Elements in blocks of one key, in no order."""
    for _ in range(20):
        yield message("wide", blocks(chance, 9000, 250000))


def keys_of_their_own(chance):
    for number in range(30):
        yield message(f"wide-{number}", blocks(chance, 9000, 250000))


def questions(chance):
    """About a key of many blocks, which others wrote."""
    for start in range(0, WIDE, 6000):
        yield message("wide", {(start + i) << 8: 9 for i in range(6000)}, full=False)
    for _ in range(2000):
        yield message("wide", {})
        yield message("wide", {chance.randrange(WIDE) << 8: 1}, full=True)


def searches(chance):
    for number in range(1000):
        yield message("k" + "a" * 100 + str(number), {1: 1})
    for number in range(200):
        yield message(chance.choice(["*a*a*a*a*a*a*b", "k%a%a%a%a", "%", "*"]), {})
        yield message("wide", blocks(chance, 50, 1000))


@pytest.mark.parametrize("flood", [random_blocks, keys_of_their_own, questions, searches])
def test_health_is_quick_while(node, flood):
    datagrams = list(flood(random.Random(1)))
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    for sender in senders:
        sender.bind(("127.0.0.1", 0))
        sender.sendto(message("greeting", {}), node.address)
    eventually(lambda: len(node.peers()) >= len(senders))
    slowest = 0
    for number, datagram in enumerate(datagrams):
        senders[number % len(senders)].sendto(datagram, node.address)
        if number % max(1, len(datagrams) // 50) == 0:
            began = time.monotonic()
            assert node.get("/health").status == 200
            slowest = max(slowest, time.monotonic() - began)
    for sender in senders:
        sender.close()
    assert slowest < at_most(HEALTH_S)
    assert node.is_running
