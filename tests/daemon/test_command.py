"""The program as its operator meets it.

    command line    usage, version, wrong arguments, what is read and what is not
    configuration   -t, --show-config, files, includes, every error with its place
    addresses       taken ports, port 0, Unix sockets, HTTP off, no address to advertise
    signals         TERM, INT, HUP; reload all or nothing, also under load
    background      -d, pid file, NOTIFY_SOCKET, log files
    memory          requests when memory runs out
"""

import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import wire
from daemon import PROGRAM, SLOWNESS, at_most, eventually, is_sanitized


def run(*arguments, within_s=10, **rest):
    """The program to its end."""
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                          timeout=within_s * SLOWNESS, check=False, **rest)


@pytest.fixture
def conf(tmp_path):
    """conf(text) writes a configuration file and gives its path."""

    def write(text, name="vignette.conf"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


# -- command line


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_goes_to_stdout_with_status_0(flag):
    found = run(flag)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("usage: vignetted")
    for name in ("--config", "--daemonize", "--data-dir", "--http", "--listen", "--pidfile", "--quiet", "--test",
                 "--version", "--verbose", "--set", "--show-config"):
        assert name in found.stdout


def test_the_version_is_one_line():
    found = run("--version")
    assert found.returncode == 0 and found.stdout.startswith("vignetted ")
    assert run("-V").stdout == found.stdout


@pytest.mark.parametrize("arguments", [
    ["-x"], ["--nonsense"], ["-c"], ["--set"], ["--set", "novalue", "0"], ["--set", "=3", "0"],
    ["port"], ["65536"], ["-1"], ["0", "nonsense"], ["0", "127.0.0.1:0"], ["0", "127.0.0.1:99999"],
    ["127.0.0.1:x"], ["--set", "no-such-setting=3", "0"], ["--set", "max-keys=many", "0"],
    ["-l", "x:y:z"], ["-H", "nonsense:port", "0"], [""],
])
def test_wrong_arguments_are_said_on_stderr_with_status_64(arguments):
    found = run(*arguments)
    assert found.returncode == 64, found
    assert found.stdout == "" and found.stderr.startswith("vignetted: ")
    assert "ready" not in found.stderr


def test_an_unknown_setting_names_the_nearest_known_one():
    assert "max-keys" in run("--set", "max-kyes=3", "0").stderr


def test_all_wrong_arguments_are_said_at_once():
    found = run("--set", "max-keys=x", "--set", "batch-delay=y", "--set", "nope=1", "0")
    assert found.returncode == 64 and len(found.stderr.splitlines()) >= 3


# -- configuration


def test_t_says_that_all_is_good_with_status_0(conf):
    found = run("-t", "-c", conf("listen 127.0.0.1:6001\nseed 127.0.0.1:6002\n"))
    assert found.returncode == 0 and "good" in found.stdout
    assert run("-t", "0").returncode == 0


def test_t_prints_every_error_with_its_file_and_line(conf):
    path = conf(
        "listen 127.0.0.1:6001\n"
        "# a comment\n"
        "max-keys many\n"
        "batch-dealy 50ms\n"
        "probe-interval\n"
        "max-memory 1x\n"
        "gossip-rate 0\n"
        "announce-interval 5 parsecs\n"
        'cluster "unclosed\n'
        "max-keys 10\n"
        "max-keys 11\n"
        "trust 300.0.0.0/8\n"
    )
    found = run("-t", "-c", path)
    assert found.returncode == 78
    for line in (3, 4, 5, 6, 7, 8, 9, 11, 12):
        assert f"{path}:{line}: " in found.stderr, (line, found.stderr)
    assert "batch-delay" in found.stderr
    assert run("-c", path).returncode == 78


@pytest.mark.parametrize("text", [
    b"max-keys 5\0\n", b"max-keys 5\r\n", b"\xef\xbb\xbfmax-keys 5\n", b"include nowhere.conf\n",
    b"max-keys " + b"5" * 5000 + b"\n", b"include self.conf\n", b"\xff\xfe\n", b"= 5\n",
    b"max-keys 5 # fine\nmax-keys 6\n", b"a" * (1 << 20) + b"\n", b"listen 127.0.0.1:6001 x\n",
], ids=lambda text: repr(text[:16]))
def test_files_that_no_editor_leaves_are_refused_with_a_place(tmp_path, text):
    path = tmp_path / "self.conf"
    path.write_bytes(b"# first\n" + text if not text.startswith(b"\xef") else text)
    found = run("-t", "-c", path)
    assert found.returncode == 78 and f"{path}:" in found.stderr, found


def test_a_file_that_cannot_be_read_is_status_78(tmp_path):
    for path in (tmp_path / "missing.conf", tmp_path):
        found = run("-c", path)
        assert found.returncode == 78 and str(path) in found.stderr


def test_includes_are_read_sorted_and_relative_to_their_file(conf, tmp_path):
    (tmp_path / "d").mkdir()
    conf("search-max 7\n", "d/10.conf")
    conf("trust 10.0.0.0/8\n", "d/20.conf")
    found = run("--show-config", "-c", conf("listen 127.0.0.1:6001\ninclude d/*.conf\n"))
    assert "search-max 7" in found.stdout and "d/10.conf:1" in found.stdout
    assert "trust 10.0.0.0/8" in found.stdout


def test_show_config_says_where_each_value_comes_from(conf):
    path = conf("max-keys 5\nbatch-delay = 10ms\nsearch-max 9\n")
    found = run("--show-config", "-c", path, "--set", "search-max=8", "-q", "6001",
                "127.0.0.1:6002")
    lines = {line.split()[0]: line for line in found.stdout.splitlines() if line[0] != "#"}
    assert found.returncode == 0
    assert lines["max-keys"].startswith("max-keys 5") and f"{path}:1" in lines["max-keys"]
    assert lines["batch-delay"].startswith("batch-delay 10ms")
    assert lines["search-max"].startswith("search-max 8") and "--set" in lines["search-max"]
    assert lines["log-level"].startswith("log-level warn")
    assert lines["probe-interval"].endswith("# default")
    assert lines["seed"].startswith("seed 127.0.0.1:6002")


def test_what_show_config_prints_is_a_configuration(conf):
    first = run("--show-config", "--set", "max-keys=5", "--set", "trust=10.0.0.0/8", "6001")
    second = run("--show-config", "-c", conf(first.stdout))
    values = [[line.split("  #")[0] for line in found.stdout.splitlines() if line[0] != "#"]
              for found in (first, second)]
    assert second.returncode == 0, second
    assert values[0] == values[1]


def test_show_config_shows_what_is_in_force_where_nothing_was_said():
    lines = [line.split("  #")[0] for line in run("--show-config", "6001").stdout.splitlines()]
    for line in ("advertise 127.0.0.1:6001", "http-listen 127.0.0.1:6001", "trust 127.0.0.0/8",
                 "trust ::1", "http-max-memory 256m"):
        assert line in lines
    assert "trust none" in run("--show-config", "--set", "trust=none", "6001").stdout


def test_l_stands_for_the_first_argument_and_reads_no_file():
    assert run("-t", "-l", "6001").returncode == 0
    assert run("-t", "-H", "off", "--set", "listen=6001").returncode == 0
    assert "neither a port" in run("-t", "-H", "off").stderr


def test_a_setting_that_is_near_to_none_gets_no_suggestion():
    found = run("--set", "colour=blue", "0")
    assert "unknown setting 'colour'" in found.stderr and "did you mean" not in found.stderr


@pytest.mark.parametrize("words, offered", [
    (["--set", "=", "max-k"], "max-keys="), (["--set", "max-k"], "max-keys="),
    (["--http", "=", "o"], "off"), (["--show"], "--show-config"),
])
def test_bash_completes_behind_a_flag_and_behind_its_equals_sign(words, offered):
    script = pathlib.Path.cwd() / "etc/completions/vignetted"
    done = subprocess.run(
        ["bash", "-c", f"source {script}; COMP_WORDS=(vignetted {' '.join(words)}); "
         f"COMP_CWORD={len(words)}; _vignetted; echo ${{COMPREPLY[@]}}"],
        capture_output=True, text=True, check=True)
    assert offered in done.stdout.split()


def test_a_bare_port_reads_no_file_and_no_argument_reads_the_system_s():
    found = run()
    assert found.returncode in (64, 78) and found.stderr.startswith("vignetted: ")


# -- a data directory that no daemon runs on


def test_what_clients_read_goes_into_a_directory_and_out_of_it_to_clients(node, tmp_path):
    """By the program as it is: each form is the one that the other takes."""
    node.request("POST", "/keys/foo", {"0": 8, "18446744073709551615": 2**53 - 1})
    node.request("POST", "/keys/b%22r", {"300": 1})
    listing = node.request("GET", "/keys?vectors", headers={"Accept": "application/x-ndjson"})
    data = tmp_path / "data"
    found = run("--import", data, "-", input=listing.body.decode())
    assert (found.returncode, found.stdout, found.stderr) == (0, "lines 2\n", "")
    found = run("--check", data)
    assert (found.returncode, found.stderr) == (0, "")
    assert "\nkeys 2\n" in found.stdout and "\ndamaged 0\n" in found.stdout
    exported = run("--export", data)
    assert (exported.returncode, exported.stderr) == (0, "")
    answer = node.request("POST", "/keys", exported.stdout,
                          headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200
    assert answer.json() == {"keys": 2, "changed": 0, "elements_raised": 0}


@pytest.mark.parametrize("arguments", [["--check"], ["--export"], ["--import", "/dev/null"]])
def test_a_directory_of_somebody_else_is_refused_with_status_73(tmp_path, arguments):
    (tmp_path / "notes").write_text("mine")
    found = run(arguments[0], tmp_path, *arguments[1:])
    assert (found.returncode, found.stdout) == (73, "")
    assert re.fullmatch(r"vignetted: data directory '.*' .*\n", found.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


# -- addresses


def test_a_taken_port_is_status_69(node):
    found = run(node.port)
    assert found.returncode == 69 and str(node.port) in found.stderr
    assert node.get("/health").status == 200


def test_a_port_taken_in_tcp_alone_is_status_69():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = run(taken.getsockname()[1])
        assert found.returncode == 69 and "in use" in found.stderr.lower(), found


def test_an_address_that_is_not_ours_is_status_69():
    assert run("192.0.2.1:6001").returncode == 69


def test_a_wildcard_without_seeds_or_advertise_is_status_78():
    found = run("0.0.0.0:0")
    assert found.returncode == 78 and "advertise" in found.stderr


def test_port_0_is_one_number_for_both(start):
    for node in (start(port=0), start(port=0), start(port=0)):
        assert node.port == node.http_port != 0


def test_a_port_that_browsers_refuse_is_warned_of(start):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, socket.socket() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 6000))
            stream.bind(("127.0.0.1", 6000))
        except OSError:
            pytest.skip("port 6000 is taken here")
    node = start(port=6000)
    assert "browsers_refuse_port" in node.log()


def test_http_can_be_off_or_on_a_port_of_its_own_or_a_unix_socket(start, tmp_path):
    node = start("-H", "off")
    assert node.http_port is None
    path = tmp_path / "http.sock"
    node = start("-H", f"unix:{path}")
    assert node.get("/health", headers={"Host": "anything.example"}).status == 200
    assert node.post("/keys/unix", {"0": 1}).status == 201
    node.stop()
    assert not path.exists()
    path.write_text("not a socket")
    found = run("-H", f"unix:{path}", "0")
    assert found.returncode in (69, 73) and path.read_text() == "not a socket"
    node = start("--set", "http-listen=127.0.0.1:0")
    assert node.http_port not in (None, 0)


def test_a_unix_socket_left_by_a_kill_is_taken_over(start, tmp_path):
    path = tmp_path / "http.sock"
    first = start("-H", f"unix:{path}")
    first.kill()
    assert path.exists()
    second = start("-H", f"unix:{path}")
    assert second.get("/health").status == 200


def test_writes_on_an_address_that_others_reach_need_http_open(start):
    for open_, wanted in (("no", 403), ("yes", 201)):
        node = start("-H", "0.0.0.0:0", "--set", f"http-open={open_}")
        assert node.post("/keys/open", {"0": 1}).status == wanted
        assert node.get("/keys").status == 200


def test_a_seed_whose_name_does_not_resolve_delays_nothing(start):
    begin = time.monotonic()
    node = start(seeds=["no-such-host.invalid:6001"])
    assert time.monotonic() - begin < at_most(3)
    assert node.get("/health").status == 200
    eventually(lambda: "no-such-host.invalid" in node.log(), 15)
    assert node.stop() == 0


def test_a_seed_can_be_a_name(start):
    first = start()
    second = start(seeds=[f"localhost:{first.port}"])
    eventually(lambda: second.peers().get(first.text) == "alive")


# -- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_clean_also_with_clients_that_wait(cluster, number):
    first, second = cluster(2)
    tag = second.post("/keys/foo", {"0": 1}).json()["digest"]
    clients = []
    for request in ("GET /watch", "GET /keys/unborn?wait=5m", "GET /health", "POST /keys/half"):
        client = second.connect()
        client.sendall(f"{request} HTTP/1.1\r\nHost: localhost\r\n".encode())
        if "half" not in request:
            client.sendall(f'If-None-Match: "{tag}"\r\n\r\n'.encode())
        clients.append(client)
    eventually(lambda: second.stats()["http_parked"] == 1)
    begin = time.monotonic()
    second.signal(number)
    assert second.process.wait(10) == 0
    assert time.monotonic() - begin < at_most(11)
    eventually(lambda: first.peers()[second.text] == "left", 2)
    assert "stopped" in second.log()
    for client in clients:
        client.close()


def test_a_second_stop_ends_it_at_once(start):
    node = start()
    client = node.connect()
    client.sendall(b"POST /keys/half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
    node.signal(signal.SIGTERM)
    time.sleep(0.05)
    try:
        node.signal(signal.SIGTERM)
    except ProcessLookupError:
        pass
    assert node.process.wait(2 * SLOWNESS) == 0
    client.close()


def reload(node):
    """SIGHUP, and what the log said of it."""
    before = len(node.log())
    node.signal(signal.SIGHUP)
    eventually(lambda: "reload" in node.log()[before:])
    return node.log()[before:]


@pytest.fixture
def from_file(start, conf):
    path = conf("listen 127.0.0.1:0\nmax-keys 3\n")
    return start("-c", str(path), port=None), path


def test_a_reload_applies_what_can_be_applied(from_file):
    node, path = from_file
    for i in range(5):
        last = node.post(f"/keys/k{i}", {"0": 1})
    assert last.status == 507
    path.write_text("listen 127.0.0.1:0\nmax-keys 100\nhttp-host node.example\n")
    assert "reloaded" in reload(node)
    assert node.post("/keys/more", {"0": 1}).status == 201
    assert node.get("/health", headers={"Host": "node.example"}).status == 200


def test_a_reload_that_has_an_error_on_line_7_changes_nothing(from_file):
    node, path = from_file
    before = node.get("/health", headers={"Host": "node.example"}).status
    path.write_text("listen 127.0.0.1:0\nmax-keys 100\nhttp-host node.example\n\n\n"
                    "log-level debug\nmax-memory lots\nnonsense 3\n")
    said = reload(node)
    assert f"{path}:7" in said and f"{path}:8" in said and "reloaded" not in said
    for i in range(5):
        last = node.post(f"/keys/k{i}", {"0": 1})
    assert last.status == 507
    assert node.get("/health", headers={"Host": "node.example"}).status == before == 403
    path.unlink()
    assert "reloaded" not in reload(node)
    assert node.get("/health").status == 200


def test_a_setting_that_waits_for_a_restart_is_named(from_file):
    node, path = from_file
    path.write_text("listen 127.0.0.1:0\nmax-keys 3\ncluster other\nreceive-buffer 1m\n")
    for _ in range(2):  # and stays waiting: the second reload says so too
        said = reload(node)
        assert "cluster" in said and "receive-buffer" in said
    path.write_text("listen 127.0.0.1:0\nmax-keys 3\n")
    assert "waits_for_restart" not in reload(node)


def test_a_pid_file_named_by_a_reload_is_not_removed(start, conf, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    theirs.write_text("1\n")
    path = conf(f"listen 127.0.0.1:0\npidfile {ours}\n")
    node = start("-c", str(path), port=None)
    path.write_text(f"listen 127.0.0.1:0\npidfile {theirs}\n")
    assert "pidfile" in reload(node)
    assert node.stop() == 0
    assert theirs.read_text() == "1\n" and not ours.exists()


def test_a_log_file_that_cannot_be_opened_refuses_the_whole_reload(from_file):
    node, path = from_file
    path.write_text("listen 127.0.0.1:0\nmax-keys 100\nlog-target /nowhere/at/all\n")
    assert "/nowhere/at/all" in reload(node)
    for i in range(5):
        last = node.post(f"/keys/k{i}", {"0": 1})
    assert last.status == 507


def test_a_seed_added_by_reload_is_contacted(start, from_file):
    node, path = from_file
    other = start()
    path.write_text(f"listen 127.0.0.1:0\nmax-keys 3\nseed {other.text}\n")
    reload(node)
    eventually(lambda: node.peers().get(other.text) == "alive")


def test_reloads_under_load_drop_no_request_and_no_datagram(start, conf):
    node = start("-c", str(conf("listen 127.0.0.1:0\n")), port=None)
    failures, done, sent = [], threading.Event(), 0

    def ask(name):
        number = 0
        while not done.is_set():
            number += 1
            try:
                answer = node.post(f"/keys/{name}", {str(number % 300): number})
                if answer.status not in (200, 201):
                    failures.append(answer)
            except OSError as why:
                failures.append(why)

    threads = [threading.Thread(target=ask, args=(f"load{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    with wire.Peer(node) as peer:
        limit = time.monotonic() + 2
        while time.monotonic() < limit:
            node.signal(signal.SIGHUP)
            for _ in range(10):
                sent += 1
                peer.say(f"datagram{sent}", {0: sent}, full=True)
            time.sleep(0.02)
        eventually(lambda: node.stats()["keys"] == sent + 3)
    done.set()
    for thread in threads:
        thread.join()
    assert failures == [] and "reload_refused" not in node.log()


def test_other_signals_have_no_effect_that_is_not_documented(node):
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2,
                   signal.SIGHUP, signal.SIGCONT):
        for _ in range(10):
            node.signal(number)
    assert node.get("/health").status == 200
    assert node.stop() == 0


# -- background


def background(*arguments, within_s=10):
    return subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=within_s * SLOWNESS, check=False)


def has_ended(pid):
    """Also a child that nobody waited for has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] == "Z"
    except FileNotFoundError:
        return True


def end(pid):
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: has_ended(pid))


def test_d_returns_when_ready_and_the_pid_file_names_who_runs(tmp_path):
    pidfile, log = tmp_path / "pid", tmp_path / "log"
    found = background("-d", "-p", pidfile, "--set", f"log-target={log}", "0")
    assert found.returncode == 0, found
    pid = int(pidfile.read_text())
    try:
        assert eventually(lambda: " ready " in log.read_text())
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/fd/0") == os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"
    finally:
        end(pid)
    assert not pidfile.exists()


def test_d_that_fails_says_so_with_its_status(node, tmp_path):
    found = background("-d", "-p", tmp_path / "pid", node.port)
    assert found.returncode == 69 and str(node.port) in found.stderr
    assert not (tmp_path / "pid").exists()
    assert background("-d", "-p", "/nowhere/pid", "0").returncode == 73
    assert background("-d", "--set", "log-target=/nowhere/log", "0").returncode == 73
    assert background("-d", "--set", "user=no-such-user", "0").returncode == 78


def test_a_pid_file_that_another_holds_is_not_touched(start, tmp_path):
    pidfile = tmp_path / "pid"
    first = start("-p", str(pidfile))
    found = run("-p", pidfile, "0")
    assert found.returncode == 73 and str(pidfile) in found.stderr
    assert int(pidfile.read_text()) == first.pid
    assert first.get("/health").status == 200


def test_a_pid_file_left_by_a_kill_is_taken_over_and_a_link_is_not_followed(start, tmp_path):
    pidfile = tmp_path / "pid"
    first = start("-p", str(pidfile))
    first.kill()
    assert pidfile.exists()
    second = start("-p", str(pidfile))
    assert int(pidfile.read_text()) == second.pid
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("precious")
    link.symlink_to(victim)
    assert run("-p", link, "0").returncode == 73
    assert victim.read_text() == "precious"


def test_readiness_and_the_end_are_told_to_the_service_manager(start, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(5 * SLOWNESS)
        node = start(environment={"NOTIFY_SOCKET": str(path)})
        told = manager.recv(4096).decode()
        assert "READY=1" in told.splitlines() and f"127.0.0.1:{node.port}" in told
        node.signal(signal.SIGTERM)
        while "STOPPING=1" not in told:
            told = manager.recv(4096).decode()
    assert node.process.wait(5) == 0


def test_the_log_file_is_opened_anew_at_hup_and_loses_nothing(start, tmp_path):
    log = tmp_path / "vignette.log"
    node = start.unready("--set", f"log-target={log}")
    eventually(lambda: log.exists() and " ready " in log.read_text())
    moved = tmp_path / "vignette.log.1"
    log.rename(moved)
    node.signal(signal.SIGHUP)
    eventually(lambda: log.exists() and "reloaded" in log.read_text())
    assert " ready " in moved.read_text() and "reloaded" not in moved.read_text()
    assert node.stop() == 0
    assert "stopped" in log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_the_log_file_is_the_users_own_so_that_a_reload_can_open_it(start):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        log = pathlib.Path(folder) / "log"
        node = start.unready("--set", f"log-target={log}", "--set", "user=nobody")
        eventually(lambda: log.exists() and " ready " in log.read_text())
        assert log.owner() == "nobody"
        node.signal(signal.SIGHUP)
        eventually(lambda: "reload" in log.read_text())
        assert "reloaded" in log.read_text()
        assert node.stop() == 0


def test_the_log_can_be_one_json_object_a_line(start):
    node = start.unready("--set", "log-format=json")
    eventually(lambda: '"ready"' in node.log())
    node.stop()
    events = [json.loads(line) for line in node.log().splitlines()]
    assert {event["event"] for event in events} >= {"ready", "stopping", "stopped"}


def test_the_first_line_says_that_nothing_is_kept(node):
    assert "memory-only" in node.log().splitlines()[0]


def test_levels_leave_out_what_is_below_them(start):
    quiet = start.unready("-q")
    time.sleep(0.3)
    quiet.stop()
    assert quiet.log() == ""


# -- memory


@pytest.mark.skipif(is_sanitized(), reason="a limit on the address space leaves ASan no room")
def test_when_memory_runs_out_requests_fail_and_the_node_lives(start):
    node = start("--set", "max-memory=4g", "--set", "http-max-lines=256m", "--set",
                 "http-max-upload=1g")
    pages = int(pathlib.Path(f"/proc/{node.pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (20 << 20)
    resource.prlimit(node.pid, resource.RLIMIT_AS, (limit, limit))
    node.post("/keys/known", {"0": 1})
    wide = {str(i * 256): 2**50 for i in range(3000)}
    statuses = set()
    for batch in range(60):
        try:
            answer = node.post("/keys", {f"{batch}:{i}": wide for i in range(10)}, checked=False)
            statuses.add(answer.status)
        except OSError:
            statuses.add(None)
        assert node.is_running
        if len(statuses) > 1 and batch > 40:
            break
    assert statuses & {503, 507, None}, statuses
    eventually(lambda: node.get("/health", checked=False).status == 200)
    assert node.vector("known") == {0: 1}
