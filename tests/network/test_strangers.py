"""Hosts that lie: about members, about addresses, about what they have; and that shout."""

import os
import threading
import time

import msgpack

import extended
from network import PORT, equal, eventually, has_everywhere, one_view

DAY_S = 24 * 3600


def plain(key, vector=None, ttl=3, **fields):
    message = {"key": key, "vector": vector or {}, "ttl": ttl, **fields}
    return msgpack.packb(message, use_bin_type=False)


def seconds(member, count):
    """Wait until so many whole seconds of its life have passed."""
    until = member.stat("uptime_s") + count
    eventually(lambda: member.stat("uptime_s") >= until, count + 5, every_s=0.1)


def test_a_member_declared_dead_by_a_stranger_is_alive_in_all_views_at_once_again(network):
    members = network.cluster(4)
    victim = members[3]
    now = int(time.time())
    bounds = [now, now + DAY_S - 2, now + DAY_S, now + DAY_S + 60, now + 2 * DAY_S + 60, 2**62 - 1]
    with network.place(100).socket() as liar:
        for incarnation in bounds:
            for state in (1, 2, 3):
                vector = {2: min(4 * incarnation + state, 2**64 - 1), 3: now}
                vector.update({16 + slot: incarnation for slot in range(8)})
                for member in members:
                    liar.sendto(plain(f"n:{victim.text}", vector, full=True), member.address)
        seconds(members[0], 2)
    network.ledger.write(victim, "still", {0: 1})
    network.agree(members, 5)


def test_a_member_declared_dead_from_its_own_address_comes_back(network):
    """Source addresses can be forged: what comes from the victim's own is believed, for a round."""
    network.switch  # only there does another host hold the victim's address
    members = network.cluster(4)
    victim = members[3]
    now = int(time.time())
    with network.switch.place(150, claims=victim.host).socket(PORT) as liar:
        for incarnation in (now + 60, now + DAY_S - 60, now + 2 * DAY_S + 60):
            for state in (2, 3):
                vector = {2: 4 * incarnation + state, 3: now}
                for member in members[:3]:
                    liar.sendto(plain(f"n:{victim.text}", vector, full=True), member.address)
            network.ledger.write(members[0], f"after-{incarnation}", {0: 1})
            network.agree(members, 6)
    assert victim.stat("refutations") >= 1


def test_addresses_that_a_stranger_names_hear_next_to_nothing(network):
    members = network.cluster(3)
    third = [f"10.9.1.{number}" for number in range(1, 200)]
    bad = ["10.9.0.255:6001", "255.255.255.255:6001", "224.0.0.1:6001", "0.0.0.0:6001",
           "169.254.1.1:6001", "10.9.0.1:0", members[0].text]
    now = int(time.time())
    with network.place(100).socket() as liar:
        for _ in range(5):
            for text in [f"{host}:6001" for host in third] + bad:
                vector = {0: now // 60, 1: now * 65536 + 1, 2: 4 * now}
                liar.sendto(plain(f"n:{text}", vector, full=True), members[0].address)
            seconds(members[0], 1)
    seconds(members[0], 1)
    told = [network.switch.sent(members[0].host, host) for host in third]
    assert sum(traffic.bytes for traffic in told) < 64_000 * 6, told[:3]
    assert max(traffic.datagrams for traffic in told) <= 2, max(t.datagrams for t in told)
    for text in bad[:5]:
        assert network.switch.sent(members[0].host, text.split(":")[0]).datagrams == 0, text
    assert one_view(members)


def test_acks_that_never_come_bound_what_is_sent(network):
    members = network.cluster(3)
    with extended.Peer(network.place(100).socket(PORT), extended.mute) as peer:
        peer.introduce(members[0].address)
        eventually(lambda: members[0].state(peer.text) == "alive", 5)
        heard = len(peer.heard)
        began = time.monotonic()
        network.ledger.write_many(members[0], {f"k{n}": {0: n + 1} for n in range(3000)})
        seconds(members[0], 3)
        took = time.monotonic() - began
        sent = len(peer.heard) - heard
        # A window of datagrams that nobody acks shrinks to two, each again after its time-out.
        assert sent < 60 * took, f"{sent} datagrams in {took:.1f} s to one that acks nothing"
        network.agree(members, 8)


def test_acks_of_what_was_never_sent_and_odd_windows_harm_nobody(network):
    members = network.cluster(3)

    def answer(peer, x, source):
        del source
        odd = [0, 1, 2**32 - 1, (x.get("q", 5) + 1000) % 2**32]
        return {"a": odd + ([x["q"]] if "q" in x else []), "W": len(peer.heard) % 2 * 255}

    with extended.Peer(network.place(100).socket(PORT), answer) as peer:
        peer.introduce(members[0].address)
        eventually(lambda: members[0].state(peer.text) == "alive", 5)
        network.ledger.write_many(members[0], {f"k{n}": {0: n + 1} for n in range(500)})
        network.ledger.write(members[2], "other", {7: 7})
        seconds(members[0], 2)
        network.agree(members, 8)
        assert members[0].state(peer.text) == "alive"


def test_digests_that_never_match_cost_a_bounded_rate_and_no_honest_member(network):
    members = network.cluster(3)
    network.ledger.write_many(members[0], {f"k{n:04}": {0: n + 1} for n in range(2000)})
    eventually(lambda: equal(members), 8)

    def answer(peer, x, source):
        del peer, source
        fields = {"a": [x["q"]]} if "q" in x else {}
        fields["r"] = os.urandom(8)
        # To everything one more tree whose children all differ, for ever.
        fields["v"] = [[1, 0, 0, os.urandom(64)]]
        return fields

    with extended.Peer(network.place(100).socket(PORT), answer) as peer:
        peer.introduce(members[0].address)
        eventually(lambda: members[0].state(peer.text) == "alive", 5)
        sizes = len(peer.heard)
        began = time.monotonic()
        for number in range(20):
            network.ledger.write(members[number % 3], f"during-{number}", {0: 1})
        eventually(lambda: has_everywhere(members, "during-19", {0: 1}), 3)
        seconds(members[0], 3)
        took = time.monotonic() - began
        spent = sum(size for _, _, _, size in peer.heard[sizes:])
        assert spent < 1.3e6 * took, f"{spent / took} bytes a second"
        network.agree(members, 5)


def test_a_flood_from_one_address_leaves_the_others_served(network):
    members = network.cluster(3)
    place = network.place(100)
    ending = threading.Event()
    sent = [0]

    def flood():
        with place.socket() as made:
            junk = plain("flood", {1: 1})
            while not ending.is_set():
                for _ in range(50):
                    try:
                        made.sendto(junk, members[0].address)
                    except OSError:
                        pass
                sent[0] += 50
                ending.wait(0.001)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        slowest = 0.0
        for number in range(30):
            began = time.monotonic()
            network.ledger.write(members[number % 3], f"under-{number}", {0: 1})
            eventually(lambda number=number: has_everywhere(members, f"under-{number}", {0: 1}), 4)
            slowest = max(slowest, time.monotonic() - began)
    finally:
        ending.set()
        thread.join()
    assert sent[0] > 1000
    network.ledger.note("flood", {1: 1})
    network.agree(members, 8)
    assert sum(member.stat("deaths") for member in members) == 0
    assert slowest < 4, slowest


def test_questions_from_an_address_that_proved_nothing_are_answered_slowly(network):
    members = network.cluster(2)
    network.ledger.write_many(members[0], {f"k{n:04}": {0: n + 1} for n in range(1000)})
    eventually(lambda: equal(members), 8)
    with network.place(100).socket() as liar:
        began = time.monotonic()
        liar.sendto(plain("n:%"), members[0].address)
        for _ in range(100):
            liar.sendto(plain("k%"), members[0].address)
            liar.sendto(plain("k0001"), members[0].address)
        seconds(members[0], 3)
        told = network.switch.sent(members[0].host, "10.9.0.100")
        asked = network.switch.sent("10.9.0.100", members[0].host)
        took = time.monotonic() - began
    # No more than it brought, and the floor of one small datagram a second.
    assert told.datagrams <= asked.datagrams + took + 1, (told, asked, took)
    assert told.bytes <= asked.bytes + 160 * (took + 1), (told, asked, took)
