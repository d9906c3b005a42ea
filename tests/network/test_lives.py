"""Members that die, stand still, starve, come back, and come back elsewhere."""

import sys
import threading
import time

from network import PORT, all_hold, equal, eventually, has_everywhere, one_view
import prototypes


def deaths(members):
    return sum(member.stat("deaths") for member in members)


def test_a_killed_member_is_noticed_by_all(network):
    members = network.cluster(6)
    network.ledger.write(members[5], "will", {0: 9})
    eventually(lambda: has_everywhere(members, "will", {0: 9}), 3)
    members[5].kill()
    rest = members[:5]
    eventually(lambda: all_hold(rest, members[5].text, "dead"), 15, every_s=0.1)
    network.agree(rest, 5)  # what it had been told is not lost with it


def test_a_member_stopped_for_ten_seconds_refutes_and_catches_up_without_a_burst(network):
    members = network.cluster(5)
    stopped = members[3]
    network.hold(stopped)
    began = time.monotonic()
    for number in range(200):
        network.ledger.write(members[number % 3], f"meanwhile-{number}", {0: number + 1})
    rest = [member for member in members if member is not stopped]
    eventually(lambda: all_hold(rest, stopped.text, "suspect", "dead"), 10)
    eventually(lambda: time.monotonic() - began >= 10, 11, every_s=0.2)
    before = network.apart.sent(stopped.host).datagrams if network.apart else 0
    network.release(stopped)
    network.agree(members, 8)
    assert stopped.stat("refutations") >= 1
    if network.apart:
        # Ten seconds of timers have passed; it does not do them one by one now.
        sent = network.apart.sent(stopped.host).datagrams - before
        assert sent < 500, sent
    deaths_by_now = deaths(members)
    eventually(lambda: stopped.stat("uptime_s") >= 13, 20, every_s=0.2)
    assert deaths(members) == deaths_by_now and one_view(members)


def test_a_member_that_hardly_gets_the_processor_accuses_nobody(network):
    members = network.cluster(4)
    starved = members[1]
    ending = threading.Event()

    def starve():
        while not ending.wait(0.02):
            network.hold(starved)
            ending.wait(0.4)
            network.release(starved)

    thread = threading.Thread(target=starve)
    thread.start()
    try:
        began = time.monotonic()
        for number in range(30):
            network.ledger.write(members[number % 4], f"slowly-{number}", {0: 1})
        eventually(lambda: time.monotonic() - began >= 8, 9, every_s=0.2)
    finally:
        ending.set()
        thread.join()
    assert deaths(members) == 0
    assert starved.stat("suspicions") == 0
    network.agree(members, 8)


def test_a_member_that_restarts_at_its_address_is_alive_again_and_gets_all(network):
    members = network.cluster(4)
    keys = {f"k{number:03}": {0: number + 1} for number in range(300)}
    network.ledger.write_many(members[0], keys)
    eventually(lambda: equal(members), 5)
    for end in (members[2].kill, members[2].stop):
        end()
        members[2].restart()  # at once, with nothing in memory
        network.agree(members, 6)
    eventually(lambda: all_hold(members[:2], members[2].text, "alive"), 2)


def test_a_member_that_comes_back_at_another_address_leaves_no_ghost_alive(network):
    members = network.cluster(4)
    network.ledger.write(members[1], "mine", {3: 4})
    members[1].kill()
    moved = network.start(7, seeds=[members[0]])
    rest = [members[0], members[2], members[3]]
    network_now = [*rest, moved]
    eventually(lambda: all_hold(network_now, members[1].text, "dead"), 15, every_s=0.1)
    network.agree(network_now, 3)


def test_a_rolling_restart_loses_nothing_and_leaves_nobody_dead(network):
    members = network.cluster(5)
    for number, member in enumerate(members):
        network.ledger.write(member, f"before-{number}", {0: number + 1})
        eventually(lambda: equal(members), 5)
        member.stop()
        rest = [other for other in members if other is not member]
        eventually(lambda rest=rest, member=member: all_hold(rest, member.text, "left"), 5)
        if number == 0:  # the seed has no seed itself: it is found by those who have it
            member.arguments.append(members[1].text)
        member.restart()
        network.agree(members, 6)


def test_all_restarted_at_once_find_each_other_and_none_stays_dead(network):
    members = network.cluster(5)
    network.ledger.write(members[0], "gone", {0: 1})
    eventually(lambda: equal(members), 5)
    for member in members:
        member.kill()
    for member in members:
        member.start_again()
    for member in members:
        member.await_ready()
    network.ledger.keys.clear()  # all of it was in memory only
    network.ledger.write(members[4], "new", {0: 2})
    network.agree(members, 8)


def test_an_empty_node_gets_ten_thousand_keys_that_ten_others_have(network):
    members = network.cluster(10)
    for part in range(10):
        keys = {
            f"key-{part}-{number:04}": {0: number + 1, number: part + 1}
            for number in range(1, 1001)
        }
        network.ledger.write_many(members[part], keys)
    eventually(lambda: equal(members), 25, every_s=0.2)
    began = time.monotonic()
    newcomer = network.start(11, "--set", "receive-buffer=65536", seeds=[members[4]])
    network.agree([*members, newcomer], 25)
    print(f"an empty node had 10,000 keys after {time.monotonic() - began:.1f} s", file=sys.stderr)
    assert deaths([*members, newcomer]) == 0


class PlacedRuby(prototypes.Ruby):
    """The Ruby prototype, in a place."""

    def __init__(self, place, seed):
        super().__init__(updates=True)
        self.socket.close()
        self.socket = place.socket(PORT)
        self.socket.settimeout(0.05)
        self.address = self.socket.getsockname()
        self.text = f"{self.address[0]}:{self.address[1]}"
        self.seeds = [seed.address]


def test_prototypes_in_a_network_that_loses_neither_die_nor_storm(network):
    trust = ("--set", "trust=10.9.0.0/24") if network.apart else ()
    members = network.cluster(3, *trust)
    if network.apart:
        for rule in network.apart.between(
            [member.host for member in members], [member.host for member in members]
        ):
            rule.loss = 0.2
    with PlacedRuby(network.place(101), members[0]) as one:
        with PlacedRuby(network.place(102), members[1]) as other:
            eventually(lambda: all_hold(members, one.text, "alive"), 10)
            eventually(lambda: all_hold(members, other.text, "alive"), 10)
            members[2].post("/keys/greeting", {"5": 77})
            eventually(lambda: one.vector("greeting") == {5: 77}, 8)
            eventually(lambda: other.vector("greeting") == {5: 77}, 8)
            eventually(lambda: all(member.vector("hll") for member in members), 8)
            one.updates = other.updates = False
            eventually(lambda: equal(members), 8)
            assert not one.deaths and not other.deaths
            assert max(one.busiest, other.busiest) < prototypes.STORM
            # What the prototypes wrote is in all members as they have it, or as one has it.
            eventually(
                lambda: has_everywhere(members, "hll", {**members[0].vector("hll")}), 5
            )
            seen = members[0].vector("hll")
            assert seen and all(
                value in (one.vector("hll").get(index), other.vector("hll").get(index))
                for index, value in seen.items()
            )
