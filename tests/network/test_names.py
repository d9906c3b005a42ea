"""Seeds that are names: one that moves to another address, and a name server that never answers."""

import time

from network import eventually, one_view


def test_a_seed_whose_name_moves_is_found_within_a_minute(network):
    there = network.switch.place(1)
    hosts = network.folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{there.address} seed.test\n")
    node = network.start(3, seeds=["seed.test:6001"], files=[(hosts, "/etc/hosts")])
    network.ledger.write(node, "waiting", {0: 1})
    eventually(lambda: network.switch.sent(node.host, there.address).datagrams > 2, 5)
    moved = network.start(2)
    hosts.write_text(f"127.0.0.1 localhost\n{moved.host} seed.test\n")
    eventually(lambda: one_view([node, moved]), 63, every_s=0.2)
    network.agree([node, moved], 3)


def test_a_name_server_that_never_answers_holds_nothing_up(network):
    dumb = network.switch.place(100)  # nobody listens there, and nothing says so
    network.switch.cut([dumb.address], ["10.9.0.2"])
    resolv = network.folder / "resolv.conf"
    resolv.write_text(f"nameserver {dumb.address}\n")
    seed = network.start(1)
    node = network.start(
        2, seeds=["nowhere.test:6001", seed], files=[(resolv, "/etc/resolv.conf")]
    )
    eventually(lambda: network.switch.sent(node.host, dumb.address).datagrams > 0, 5)
    # The other seed needs no name server.
    eventually(lambda: one_view([seed, node]), 3)
    slowest = 0.0
    for _ in range(100):
        began = time.monotonic()
        assert node.get("/health").status == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5, slowest
    network.ledger.write(node, "meanwhile", {0: 1})
    network.agree([seed, node], 3)
