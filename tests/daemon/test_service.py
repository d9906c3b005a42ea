"""What a service manager and a terminal see: notifications, reloads in the background."""

import os
import pathlib
import signal
import socket
import subprocess

import pytest

from daemon import PROGRAM, SLOWNESS, eventually


@pytest.fixture
def manager(tmp_path):
    """The service manager's end of $NOTIFY_SOCKET."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(path))
        end.settimeout(10 * SLOWNESS)
        yield end


def told(manager):
    return manager.recv(4096).decode()


def test_a_reload_is_announced_and_ended_and_so_is_the_stop(start, manager):
    node = start(environment={"NOTIFY_SOCKET": manager.getsockname()})
    assert told(manager).startswith("READY=1\n")
    node.signal(signal.SIGHUP)
    reloading = told(manager).split("\n")
    assert reloading[0] == "RELOADING=1"
    assert int(reloading[1].removeprefix("MONOTONIC_USEC=")) > 0
    assert told(manager) == "READY=1"
    node.signal(signal.SIGTERM)
    assert told(manager) == "STOPPING=1"


def test_a_watchdog_is_told_each_second_that_the_loop_turns(start, manager):
    start(environment={"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000"})
    assert told(manager).startswith("READY=1\n")
    assert told(manager) == told(manager) == "WATCHDOG=1"


def test_a_daemon_in_the_background_reloads_the_file_that_a_relative_path_named(tmp_path):
    (tmp_path / "conf").write_text(f"listen 127.0.0.1:0\nlog-target {tmp_path}/log\n")
    found = subprocess.run([PROGRAM, "-d", "-c", "conf", "-p", "pid"], cwd=tmp_path,
                           stdin=subprocess.DEVNULL, timeout=10 * SLOWNESS, check=False)
    assert found.returncode == 0
    log = tmp_path / "log"
    pid = int((tmp_path / "pid").read_text())
    try:
        os.kill(pid, signal.SIGHUP)
        assert eventually(lambda: " reloaded " in log.read_text())
        assert " reload_refused " not in log.read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not pathlib.Path(tmp_path / "pid").exists())
