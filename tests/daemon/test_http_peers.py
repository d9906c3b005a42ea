"""Peers, the node itself, and what service discovery reads."""

import json
import signal
import socket
import time

import pytest

import wire
from daemon import eventually


def test_alone_the_list_of_peers_is_empty(shared):
    answer = shared.get("/peers").json()
    assert answer["peers"] == [] and answer["alive"] == 0
    assert answer["self"]["address"] == shared.text == answer["self"]["http"]
    assert answer["self"]["digest"] == "0" * 16 and answer["self"]["keys"] == 0


def test_a_peer_is_one_flat_object(cluster):
    first, second = cluster(2)
    first.post("/keys/foo", {"0": 5})
    peer = eventually(lambda: [
        p for p in first.get("/peers").json()["peers"] if p.get("converged") and "rtt_ms" in p
    ])[0]
    assert peer["address"] == peer["http"] == second.text
    assert (peer["state"], peer["seed"], peer["protocol"]) == ("alive", False, 1)
    assert peer["version"] == second.get("/peers").json()["self"]["version"]
    assert peer["last_heard_ms"] < 5000 and peer["last_heard"].endswith("Z")
    assert 0 < peer["rtt_ms"] < 1000 and peer["checked_ms"] < 5000
    assert not any(isinstance(value, (dict, list)) for value in peer.values())
    assert second.get("/peers").json()["peers"][0]["seed"] is True


def test_states_can_be_chosen(cluster):
    first, second, third = cluster(3)
    third.stop()
    eventually(lambda: first.peers()[third.text] == "left")
    for query, wanted in (("alive", {second.text}), ("left", {third.text}), ("dead", set()),
                          ("alive,left", {second.text, third.text})):
        found = first.get(f"/peers?state={query}").json()
        assert {peer["address"] for peer in found["peers"]} == wanted
        assert (found["alive"], found["left"]) == (1, 1)
    for bad in ("state=", "state=gone", "state=alive,", "format=xml", "format="):
        assert first.get(f"/peers?{bad}").status == 400, bad


def test_service_discovery_finds_all_that_could_be_scraped(cluster):
    nodes = cluster(3)
    answer = nodes[0].get("/peers?format=prometheus")
    assert answer.headers["Content-Type"] == "application/json"
    targets = {target["targets"][0]: target["labels"] for target in answer.json()}
    assert set(targets) == {node.text for node in nodes}
    assert targets[nodes[0].text]["__meta_vignette_state"] == "self"
    assert targets[nodes[1].text]["__meta_vignette_state"] == "alive"
    assert all(isinstance(v, str) for labels in targets.values() for v in labels.values())


def test_a_peer_can_be_introduced(start):
    first, second = start(), start()
    answer = first.post("/peers", {"address": second.text})
    assert (answer.status, answer.json()) == (
        202, {"address": second.text, "state": "contacting"})
    eventually(lambda: first.peers().get(second.text) == "alive")
    eventually(lambda: second.peers().get(first.text) == "alive")
    assert first.post("/peers", {"address": second.text}).status == 202


@pytest.mark.parametrize("body", [
    {}, {"address": 5}, {"address": ""}, {"address": "localhost:7005"}, {"address": "127.0.0.1"},
    {"address": "127.0.0.1:0"}, {"address": "127.0.0.1:65536"}, {"address": "0.0.0.0:7005"},
    {"address": "255.255.255.255:7005"}, {"address": "224.0.0.1:7005"}, {"address": "::1"},
    {"address": "127.0.0.1:7005", "x": 1}, [], "x", {"address": "127.0.0.1:7005\x00"},
    {"address": "169.254.0.1:7005"}, {"address": "[fe80::1]:7005"}, {"address": None},
])
def test_what_no_peer_can_be_is_not_introduced(shared, body):
    before = shared.peers()
    answer = shared.post("/peers", json.dumps(body))
    assert answer.status == 400, answer
    assert shared.peers() == before


def test_a_body_with_a_nul_is_not_cut_there(shared):
    for body in ('{"address":"127.0.0.1:7005\0"}', '{"address\0":"127.0.0.1:7005"}'):
        assert shared.post("/peers", body).status == 400, body


def test_a_peer_can_be_declared_left_and_one_that_lives_comes_back(cluster):
    first, second, third = cluster(3)
    third.kill()
    answer = first.request("DELETE", f"/peers/{third.text}")
    assert (answer.status, answer.json()["state"]) == (200, "left")
    eventually(lambda: second.peers()[third.text] == "left")
    answer = first.request("DELETE", f"/peers/{second.text}")
    assert answer.status == 200 and "alive" in answer.json()["note"]
    eventually(lambda: first.peers()[second.text] == "alive", 5)
    for address in ("127.0.0.1:1", "nonsense", "127.0.0.1"):
        assert first.request("DELETE", f"/peers/{address}").status == 404


def test_plain_peers_are_listed_as_such(node):
    with wire.Peer(node) as peer:
        peer.say("hello", {0: 1})
        found = eventually(lambda: node.get("/peers").json()["peers"])[0]
        assert (found["address"], found["protocol"]) == (peer.text, 0)
        assert "http" not in found
        assert len(node.get("/peers?format=prometheus").json()) == 1


def test_a_datagram_to_the_own_address_makes_no_peer(node):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        sender.sendto(wire.encode(f"n:{node.text}", {0: 1}), node.address)
    assert node.post("/peers", {"address": node.text}).status in (202, 400)
    time.sleep(0.5)
    assert node.text not in node.peers()


# -- the node itself


def test_the_index_names_what_there_is(shared):
    answer = shared.get("/").json()
    assert answer["name"] == "vignette" and answer["version"]
    for path in answer["links"].values():
        if path != "/watch":
            assert shared.get(path).status == 200


def test_a_node_without_seeds_is_ready_at_once(node):
    assert node.get("/health").json() == {"status": "ok"}
    assert node.get("/ready").json()["status"] == "ready"


def test_a_node_that_waits_for_its_seed_is_healthy_and_not_ready(start):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        node = start(seeds=[f"127.0.0.1:{silent.getsockname()[1]}"])
        assert node.get("/health").status == 200
        answer = node.get("/ready")
        assert answer.status == 503 and answer.headers["Retry-After"]
        assert answer.json()["checks"]["peers"] != "ok"


def test_a_node_that_joins_is_ready_only_once_it_has_what_the_others_have(start):
    first = start()
    body = {f"key-{i}": {str(j): 1 + j for j in range(20)} for i in range(3000)}
    first.post("/keys", body)
    expected = first.get("/peers").json()["self"]["digest"]
    second = start(seeds=[first])
    while (answer := second.get("/ready")).status == 503:
        assert "not equal" in answer.json()["checks"]["peers"]
    assert second.get("/peers").json()["self"]["digest"] == expected
    assert second.get("/ready").json()["checks"]["peers"] == "ok"


def test_ready_after_is_named_as_such(start):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        node = start("--set", "ready-after=100ms",
                     seeds=[f"127.0.0.1:{silent.getsockname()[1]}"])
        eventually(lambda: node.get("/ready").status == 200, 5)
        assert "ready-after" in node.get("/ready").json()["checks"]["peers"]


def test_a_store_that_refuses_keys_says_so_and_stays_ready(start):
    node = start("--set", "max-keys=2")
    for i in range(5):
        node.post(f"/keys/key-{i}", {"0": 1})
    answer = node.get("/ready")
    assert answer.status == 200 and "max-keys" in answer.json()["checks"]["storage"]


def test_figures_are_flat_and_count(node):
    before = node.stats()
    node.post("/keys/foo", {"0": 5, "1": 6})
    node.get("/nothing")
    after = node.stats()
    assert after["keys"] == before["keys"] + 1 and after["elements"] == before["elements"] + 2
    assert after["http_answers_4xx"] == before["http_answers_4xx"] + 1
    assert after["elements_raised_clients"] == before["elements_raised_clients"] + 2
    assert all(isinstance(value, (int, str)) for value in after.values())


def test_the_figures_show_what_the_gossip_socket_counts(cluster):
    node, = cluster(1)
    figures = node.stats()
    assert figures["socket_receive_buffer_bytes"] >= 65536
    assert figures["socket_kernel_drops"] == figures["socket_send_errors"] == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        node.signal(signal.SIGSTOP)
        for _ in range(figures["socket_receive_buffer_bytes"] // 512):
            client.sendto(b"x" * 500, node.address)
        node.signal(signal.SIGCONT)
        eventually(lambda: client.sendto(b"x", node.address)
                   and node.stats()["socket_kernel_drops"] > 0)
