"""Fixtures: a network that ends with its test, and the logs of its members where it failed.

Where the behaviour of a network under faults is proven:

topic                                            here                  elsewhere
-----                                            ----                  ---------
loss of 10 and 25 %, all lost for a while        test_paths.py         tests/sim, many more seeds
doubled, delayed and overtaken datagrams         test_paths.py         tests/sim, with RTO figures
corruption                                       -                     tests/sim, tests/fuzz
nothing fragmented, small links                  test_paths.py, and    tests/sim
                                                 every test here
a burst that a small receive buffer loses        test_paths.py         tests/sim (queues of 92)
no route for a while                             test_paths.py         -
halves that heal, one node between two           test_partitions.py    tests/sim: thirds, rings,
                                                                       longer than forgetting
one direction cut off                            test_partitions.py    tests/sim
a seed that comes late                           test_partitions.py    -
clusters that meet                               test_partitions.py    -
one address held by two, a port that a NAT moved test_partitions.py    -
killed, stopped for a while, starved, restarted  test_lives.py         tests/sim
a new address, all restarted at once             test_lives.py         tests/sim
ten nodes with 10,000 keys, an empty one joins   test_lives.py         tests/sim (1000; 100,000)
prototypes in a network with faults              test_lives.py         tests/daemon/test_interop.py
a seed's name that moves, a dumb name server     test_names.py         tests/unit/test_resolve
clocks that jump, or differ by a day             test_clocks.py        tests/sim
forged states and addresses, spoofed questions   test_strangers.py     tests/unit/test_claim
acks withheld, false digests, floods             test_strangers.py     tests/unit/test_sync
every byte and every cut of every message        -                     tests/unit, tests/fuzz
unusual encodings, largest numbers               -                     tests/daemon/test_gossip.py
"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from network import Network  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.has_failed = outcome.get_result().failed


@pytest.fixture
def network(request, tmp_path):
    made = Network(tmp_path)
    yield made
    made.end(getattr(request.node, "has_failed", False))
