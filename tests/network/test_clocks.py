"""Wall clocks that differ, and that jump while a daemon runs."""

import time

import pytest

from network import equal, eventually, one_view
from clocks import Clocks

HOUR_S = 3600
DAY_S = 24 * HOUR_S
YEAR_S = 365 * DAY_S


@pytest.fixture
def clock(tmp_path):
    """clock(offset) makes the wall clock of one daemon."""
    return Clocks(tmp_path)


def deaths(members):
    return sum(member.stat("deaths") for member in members)


@pytest.mark.parametrize("offset_s", [-DAY_S, DAY_S, -HOUR_S], ids=["-1d", "+1d", "-1h"])
def test_members_whose_clocks_differ_are_one_network(network, clock, offset_s):
    members = [network.start(1)]
    members.append(
        network.start(2, seeds=[members[0]], environment=clock(offset_s).environment)
    )
    members.append(network.start(3, seeds=[members[1]]))
    eventually(lambda: one_view(members), 8)
    for number, member in enumerate(members):
        network.ledger.write(member, f"from-{number}", {0: number + 1})
    network.agree(members, 5)
    # Its life can be taken and given back: by being stopped as long as it takes to be suspected.
    network.hold(members[1])
    eventually(lambda: members[0].state(members[1]) != "alive", 8)
    network.release(members[1])
    network.agree(members, 8)


def test_a_wall_clock_that_jumps_changes_nothing_but_stamps(network, clock):
    wrong = clock()
    members = [network.start(1)]
    members.append(network.start(2, seeds=[members[0]], environment=wrong.environment))
    members.append(network.start(3, seeds=[members[0]]))
    eventually(lambda: one_view(members), 8)
    now = int(time.time())
    seen = set()
    jumps = [HOUR_S, -HOUR_S, 10 * YEAR_S, -10 * YEAR_S, -now, 2**31 - now, 2**32 + 5 - now, 0]
    for number, offset_s in enumerate(jumps):
        wrong.jump(offset_s)
        network.ledger.write(members[number % 3], f"jump-{number}", {0: number + 1})
        began = members[1].stat("uptime_s")
        eventually(lambda: equal(members), 2, every_s=0.05)
        eventually(lambda began=began: members[1].stat("uptime_s") >= began + 1, 3, every_s=0.1)
        assert one_view(members)
        seen.add(members[1].get("/health").headers["Date"])
    assert len(seen) == len(jumps) and any(" 2038 " in text for text in seen)  # it did jump
    assert deaths(members) == 0
    network.agree(members, 3)
