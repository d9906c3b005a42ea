"""Networks that fall apart, wholly or in one direction, and come together again; and addresses
that are not what they seem."""

import socket
import struct

from network import all_hold, equal, eventually, has_everywhere, one_view, warnings
from switch import Path


def hosts(members):
    return [member.host for member in members]


def test_halves_serve_by_themselves_and_heal_to_one_view_and_equal_stores(network):
    members = network.cluster(6)
    ours, theirs = members[:3], members[3:]
    network.switch.cut(hosts(ours), hosts(theirs))
    for number in range(50):
        network.ledger.write(ours[number % 3], f"ours-{number}", {0: number + 1})
        network.ledger.write(theirs[number % 3], f"theirs-{number}", {0: number + 1})
        network.ledger.write(members[number % 6], "both", {number: number + 1})
    eventually(lambda: equal(ours) and equal(theirs), 5)
    # Each half in the end gives the other up.
    eventually(lambda: one_view(ours) and one_view(theirs), 25, every_s=0.1)
    for one in ours:
        eventually(lambda one=one: all_hold(theirs, one.text, "dead"), 25, every_s=0.1)
    network.switch.heal()
    network.agree(members, 8)


def test_a_single_node_between_two_halves_keeps_them_one_network(network):
    members = network.cluster(5)
    bridge = members[2]
    network.switch.cut(hosts(members[:2]), hosts(members[3:]))
    network.ledger.write(members[0], "left", {0: 1})
    network.ledger.write(members[4], "right", {0: 2})
    # Not by the tree alone, perhaps, but by the bridge's own exchanges.
    eventually(lambda: equal(members), 12, every_s=0.1)
    assert not network.ledger.differs(members[0])
    assert sum(member.stat("deaths") for member in members) == 0
    # Those of one half accuse the other, who hear of it from the bridge, and refute it.
    eventually(lambda: bridge.stat("peers_alive") == 4, 5)
    network.switch.heal()
    network.agree(members, 8)


def test_a_direction_that_is_cut_costs_nobody_its_life_where_a_third_can_help(network):
    members = network.cluster(4)
    network.switch.cut_one_way(members[0].host, members[1].host)
    for number in range(40):
        network.ledger.write(members[0], f"a-{number}", {0: number + 1})
        network.ledger.write(members[1], f"b-{number}", {0: number + 1})
    # Longer than any suspicion lasts at this size, were nobody to refute it.
    mark = [member.get("/stats").json()["uptime_s"] for member in members]
    eventually(lambda: equal(members), 8)
    eventually(lambda: members[0].stat("uptime_s") >= mark[0] + 8, 15, every_s=0.2)
    assert sum(member.stat("deaths") for member in members) == 0
    network.switch.heal()
    network.agree(members, 8)


def test_a_seed_that_comes_late_is_joined_within_a_second_or_so(network):
    seed = network.place(1)
    waiting = network.start(2, seeds=[f"{seed.address}:6001"])
    network.ledger.write(waiting, "early", {0: 7})
    assert waiting.get("/ready").status == 503
    late = network.start(1)
    eventually(lambda: one_view([waiting, late]), 2.5)
    eventually(lambda: waiting.get("/ready").status == 200, 1)
    network.agree([waiting, late], 3)


def test_clusters_that_meet_stay_apart(network):
    blue = [network.start(1, "--set", "cluster=blue")]
    green = [network.start(2, "--set", "cluster=green")]
    blue.append(network.start(3, "--set", "cluster=blue", seeds=[blue[0]]))
    green.append(network.start(4, "--set", "cluster=green", seeds=[green[0], blue[0]]))
    blue[0].post("/keys/blue", {"0": 1})
    green[0].post("/keys/green", {"0": 2})
    eventually(lambda: has_everywhere(blue, "blue", {0: 1}), 5)
    eventually(lambda: has_everywhere(green, "green", {0: 2}), 5)
    eventually(lambda: blue[0].stat("refused_cluster") > 0, 5)  # they did meet
    assert has_everywhere(blue, "green", {})
    assert has_everywhere(green, "blue", {})
    assert one_view(blue) and one_view(green)


def test_a_second_process_at_an_address_is_noticed_and_makes_no_storm(network):
    members = network.cluster(3)
    twin_place = network.switch.place(9, claims=members[2].host)
    before = network.switch.sent().datagrams
    began = members[0].stat("uptime_s")
    twin = network.start(twin_place, seeds=[members[0]])
    eventually(lambda: warnings(members[2], "duplicate") or warnings(twin, "duplicate"), 10)
    eventually(lambda: members[0].stat("uptime_s") >= began + 6, 15, every_s=0.2)
    took = members[0].stat("uptime_s") - began + 1
    rate = (network.switch.sent().datagrams - before) / took
    assert rate < 200, f"{rate} datagrams a second of four daemons"
    assert len(warnings(members[2], "duplicate") + warnings(twin, "duplicate")) < 10
    network.ledger.write(members[0], "after", {0: 1})
    eventually(lambda: has_everywhere(members, "after", {0: 1}), 8)
    twin.kill()
    network.agree(members, 12)


class Translator:
    """A NAT before one host: its gossip port is seen as another, which may change."""

    def __init__(self, host, inside, outside):
        self.host = socket.inet_aton(host)
        self.inside = inside
        self.outside = outside

    def __call__(self, packet):
        if packet[9] != socket.IPPROTO_UDP:
            return
        header = (packet[0] & 15) * 4
        source, target = struct.unpack_from(">HH", packet, header)
        if packet[12:16] == self.host and source == self.inside:
            struct.pack_into(">H", packet, header, self.outside)
        if packet[16:20] == self.host:
            # What comes to any port but the one of now finds nobody.
            struct.pack_into(
                ">H", packet, header + 2, self.inside if target == self.outside else 9
            )


def test_when_a_nat_moves_the_port_no_peer_stays_alive_that_is_not_there(network):
    members = network.cluster(2)
    nat = Translator("10.9.0.3", 6001, 40000)
    network.switch.rewrites.append(nat)
    behind = network.start(3, "--set", "advertise=10.9.0.3:40000", seeds=[members[0]])
    eventually(lambda: all_hold(members, "10.9.0.3:40000", "alive"), 5)
    nat.outside = 41000
    # Told by nobody, the node goes on claiming its old address, where nothing reaches it.
    eventually(lambda: all_hold(members, "10.9.0.3:40000", "dead"), 25, every_s=0.1)
    behind.stop()
    behind.arguments = [text.replace("40000", "41000") for text in behind.arguments]
    behind.restart()
    eventually(lambda: all_hold(members, "10.9.0.3:41000", "alive"), 5)
    network.ledger.write(members[0], "found", {0: 1})
    eventually(lambda: has_everywhere([behind], "found", {0: 1}), 5)
    assert members[0].stat("peers_alive") == 2


def test_a_network_that_delays_by_half_a_second_is_slow_and_nothing_else(network):
    members = network.cluster(3)
    network.switch.default = Path(delay_s=(0.15, 0.25))
    for number in range(10):
        network.ledger.write(members[number % 3], f"slow-{number}", {0: 1})
    network.agree(members, 8)
    assert sum(member.stat("deaths") for member in members) == 0
