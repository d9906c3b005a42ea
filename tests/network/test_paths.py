"""What links do to datagrams: they lose, double, delay and reorder them, and they are narrow."""

import time

from network import all_hold, eventually, has_everywhere, one_view, warnings
from switch import Path

NODES = 5


def write_everywhere(network, members, rounds, every_s=0.02):
    """Updates at all members in turn, some of one key at several; gives what writing took."""
    began = time.monotonic()
    for number in range(rounds):
        member = members[number % len(members)]
        network.ledger.write(member, f"own-{number % 40}", {number: number + 1})
        network.ledger.write(member, "shared", {number % 7: number + 1})
        due = began + (number + 1) * every_s
        while time.monotonic() < due:
            time.sleep(max(0.0, due - time.monotonic()))
    return time.monotonic() - began


def counted(members, name):
    return sum(member.stat(name) for member in members)


def test_with_a_tenth_lost_all_have_all_and_nobody_is_declared_dead(network):
    network.switch.default = Path(loss=0.10)
    members = network.cluster(NODES)
    write_everywhere(network, members, 200)
    network.agree(members, 8)
    assert counted(members, "deaths") == 0
    assert counted(members, "retries") > 0  # there was something to overcome


def test_with_a_quarter_lost_all_have_all(network):
    members = network.cluster(NODES)
    network.switch.default = Path(loss=0.25)
    write_everywhere(network, members, 100)
    for member in members:
        eventually(lambda member=member: not network.ledger.differs(member), 8, every_s=0.1)
    network.switch.heal()
    network.agree(members, 8)


def test_when_all_is_lost_for_three_seconds_nobody_is_declared_dead(network):
    members = network.cluster(NODES)
    network.switch.default = Path(loss=1.0)
    write_everywhere(network, members, 60, every_s=0.05)
    network.switch.heal()
    network.agree(members, 8)
    assert counted(members, "deaths") == 0


def test_datagrams_that_come_twice_late_and_out_of_order_change_nothing(network):
    members = network.cluster(NODES)
    network.switch.default = Path(twice=0.2, delay_s=(0.0, 0.3))
    write_everywhere(network, members, 100)
    network.agree(members, 8)
    assert counted(members, "deaths") == 0
    # The time-out has learnt the delay: few copies that were not lost are sent again.
    copies = counted(members, "copies")
    assert copies < 4 * 200 * (NODES - 1), copies


def test_nothing_is_fragmented_where_links_are_small(network):
    network.switch  # it is who sees fragments
    members = network.cluster(3)
    for member in members:
        member.place.ip(f"link set {member.place.interface} mtu 1280")
    big = {f"big-{n}": {i: n + i + 1 for i in range(2000)} for n in range(5)}
    network.ledger.write_many(members[0], big)
    network.agree(members, 8)  # and the switch has seen no fragment, as the fixture says
    assert counted(members, "deaths") == 0


def test_a_burst_that_overflows_the_receive_queue_is_noted_and_repaired(network):
    small = "receive-buffer=65536"
    members = [network.start(1, "--set", small)]
    members += [network.start(n, "--set", small, seeds=[members[0]]) for n in (2, 3)]
    eventually(lambda: one_view(members), 10)
    network.hold(members[1])
    keys = {f"k{n:05}": {0: n + 1} for n in range(4000)}
    stranger = network.place(100).socket()
    with stranger:
        for _ in range(2000):
            stranger.sendto(b"\xc0" * 500, members[1].address)
    network.ledger.write_many(members[0], keys)
    network.release(members[1])
    eventually(lambda: warnings(members[1], "receive_queue_full"), 5)
    network.agree(members, 12)


def test_without_a_route_for_a_while_a_node_neither_spins_nor_fills_its_log(network):
    network.switch  # needs interfaces of its own
    members = network.cluster(3)
    cut = members[2]
    lines = len(cut.log().splitlines())
    used = cut.cpu_s()
    cut.place.ip(f"link set {cut.place.interface} down")
    network.ledger.write(members[0], "meanwhile", {0: 1})
    for number in range(20):
        network.ledger.write(cut, f"alone-{number}", {0: 1})
    eventually(lambda: all_hold(members[:2], cut, "suspect", "dead"), 10)
    assert cut.cpu_s() - used < 1.5
    cut.place.ip(
        f"link set {cut.place.interface} up", f"route add default dev {cut.place.interface}"
    )
    eventually(lambda: has_everywhere([cut], "meanwhile", {0: 1}), 10)
    network.agree(members, 8)
    assert len(cut.log().splitlines()) - lines < 60, cut.log()
