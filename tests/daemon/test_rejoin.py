"""A node that was killed catches up while the others go on, without standing still."""

import random
import threading
import time

from daemon import SLOWNESS, at_most, eventually

KEYS = 5_000
ELEMENTS = 20
RATE = ("--set", "gossip-rate=512k")


class Load:
    """Elements that are there rise, two thousand a second, at some nodes."""

    def __init__(self, nodes):
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(node,)) for node in nodes]
        for thread in self.threads:
            thread.start()

    def run(self, node):
        draw = random.Random(node.port)
        while not self.ending.wait(0.1):
            value = int(time.monotonic() * 1000)
            post(node, ((f"hot:{draw.randrange(KEYS)}", {draw.randrange(ELEMENTS): value})
                        for _ in range(100)))

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()


def post(node, updates):
    lines = "".join(
        '{"key":"%s","vector":{%s}}\n' % (key, ",".join(f'"{i}":{v}' for i, v in vector.items()))
        for key, vector in updates
    )
    answer = node.post("/keys", lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200, answer


def are_equal(nodes):
    return len({node.stats()["digest"] for node in nodes}) == 1


def elements(node):
    return node.stats()["elements"]


def longest_pause(node, wanted, within_s):
    """Wait until it has so many elements: how long it once got none."""
    begin = grew = time.monotonic()
    seen, pause = 0, 0.0
    while seen < wanted:
        now = time.monotonic()
        assert now - begin < at_most(within_s), f"{seen} of {wanted}"
        found = elements(node)
        if found > seen:
            seen, grew = found, now
        pause = max(pause, now - grew)
        time.sleep(0.02)
    return pause


def test_a_restarted_node_catches_up_under_load_without_a_pause(start):
    first = start(*RATE)
    nodes = [first, start(*RATE, seeds=[first]), start(*RATE, seeds=[first])]
    eventually(lambda: all(list(n.peers().values()) == ["alive"] * 2 for n in nodes), 10)
    post(first, ((f"hot:{n}", {i: 1 for i in range(ELEMENTS)}) for n in range(KEYS)))
    eventually(lambda: are_equal(nodes), 20)
    load = Load(nodes[:2])
    try:
        nodes[2].kill()
        time.sleep(3 * SLOWNESS)  # how long it is away
        nodes[2].restart()
        assert longest_pause(nodes[2], KEYS * ELEMENTS, 7) <= at_most(1.0)
    finally:
        load.end()
    eventually(lambda: are_equal(nodes), 2)
    for node in nodes:
        eventually(lambda node=node: all(
            peer.get("converged") and peer["lag_ms"] <= 10_000
            for peer in node.get("/peers").json()["peers"]
        ), 10)


def test_the_dead_have_no_lag(start):
    first = start()
    second = start(seeds=[first])
    eventually(lambda: "lag_ms" in (first.get("/peers").json()["peers"] or [{}])[0], 10)
    second.kill()
    peer = eventually(
        lambda: [p for p in first.get("/peers").json()["peers"] if p["state"] == "dead"], 30
    )[0]
    assert not {"converged", "lag_ms", "checked_ms"} & set(peer)
