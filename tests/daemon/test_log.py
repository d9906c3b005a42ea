"""What the log says of peers, seeds and the network: names, one line a transition."""

import os
import re
import signal
import socket
import subprocess

import pytest

from daemon import PROGRAM, SLOWNESS, eventually


def lines(node, event):
    return [line for line in node.log().splitlines() if f" {event} " in line]


def test_each_transition_of_a_peer_is_one_line_that_names_it(cluster):
    nodes = cluster(3)
    watcher, killed, leaving = nodes

    def said(peer, *words):
        return [line for line in lines(watcher, "peer")
                if f"address={peer.text}" in line and all(word in line for word in words)]

    for peer in (killed, leaving):
        assert len(said(peer, "state=alive", "was=new")) == 1
    leaving.stop()
    eventually(lambda: said(leaving, "state=left", "was=alive"), 5)
    killed.kill()
    dead = eventually(lambda: said(killed, "state=dead", "was=suspect"), 15)
    assert len(said(killed, "state=suspect", "was=alive")) == 1
    assert " warn " in dead[0] and re.search(r"heard=\d+\.\ds", dead[0])


def test_a_seed_that_does_not_answer_is_told_after_ten_seconds_and_rarely(start):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        seed = "127.0.0.1:%d" % silent.getsockname()[1]
        node = start(seeds=[seed])
        other = start(seeds=[node])
        said = eventually(lambda: lines(node, "seed_does_not_answer"), 14)
        assert f"address={seed}" in said[0] and re.search(r"for=1[01]\.\ds", said[0])
        assert len(lines(node, "seed_does_not_answer")) == 1
        assert lines(other, "seed_does_not_answer") == []


def test_a_node_of_another_cluster_is_named_once_a_minute(start):
    red = start("--set", "cluster=red")
    blue = start("--set", "cluster=blue", seeds=[red])
    said = eventually(lambda: lines(red, "other_cluster"), 5)
    assert f"address={blue.text}" in said[0]
    eventually(lambda: red.stats()["refused_cluster"] > 2, 10)
    assert len(lines(red, "other_cluster")) == 1


def test_trace_shows_datagrams_in_and_out_and_a_retry(start):
    node = start("--set", "log-level=trace")
    other = start(seeds=[node])

    def told(event, *words):
        return [line for line in lines(node, event)
                if " trace " in line and f"address={other.text}" in line
                and all(word in line for word in words)]

    eventually(lambda: told("datagram_in", "kind=ack") and told("datagram_out", "kind=probe"), 10)
    assert re.search(r"bytes=[1-9]\d*$", told("datagram_out")[0])
    assert told("retry") == []
    other.signal(signal.SIGSTOP)
    try:
        assert node.post("/keys/foo", b'{"1": 1}').status == 201
        eventually(lambda: told("retry", "kind=push", "losses=1"), 10)
    finally:
        other.signal(signal.SIGCONT)
    assert lines(other, "datagram_in") == []


def test_trace_begins_and_ends_with_a_reload(start, tmp_path):
    settings = tmp_path / "conf"
    settings.write_text("listen 127.0.0.1:0\nhttp-listen 127.0.0.1:0\n")
    node = start("-c", str(settings), port=None)
    other = start(seeds=[node])
    settings.write_text(settings.read_text() + "log-level trace\n")
    node.signal(signal.SIGHUP)
    eventually(lambda: lines(node, "datagram_in"), 10)
    settings.write_text(settings.read_text().replace("trace", "info"))
    node.signal(signal.SIGHUP)
    eventually(lambda: len(lines(node, "reloaded")) == 2, 10)
    count = len(lines(node, "datagram_in"))
    other.stop()
    eventually(lambda: [line for line in lines(node, "peer") if "state=left" in line], 10)
    assert len(lines(node, "datagram_in")) == count


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
def test_a_seed_out_of_reach_of_a_loopback_listener_is_told_with_the_error(tmp_path):
    log = tmp_path / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c",
             f"ip link set lo up && exec {PROGRAM} 6001 192.0.2.1:6001"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        eventually(lambda: " seed_out_of_reach address=192.0.2.1:6001" in log.read_text(), 10)
        eventually(lambda: re.search(r"send_errors address=192.0.2.1:6001 reason=\"\w+",
                                     log.read_text()), 10)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10 * SLOWNESS) == 0, log.read_text()
