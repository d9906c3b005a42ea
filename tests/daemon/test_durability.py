"""What was answered is there: after a kill at any moment, after an ordinary end, and in whatever a
power cut could have left."""

import os
import pathlib
import random
import shutil
import signal
import tempfile
import threading
import time

import pytest

from daemon import PATIENCE, eventually

KILLS = int(os.environ.get("CHECK_KILLS", "20"))
WRITERS = 4
KEYS = 50


class Load:
    """Writers that each raise keys of their own, and know what was answered."""

    def __init__(self, node, begun):
        self.node = node
        self.ending = threading.Event()
        self.answered = {}  # key -> value that was answered
        self.asked = {}  # key -> value that was asked for
        self.threads = [
            threading.Thread(target=self.run, args=(number, begun)) for number in range(WRITERS)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, number, begun):
        value = begun
        while not self.ending.is_set():
            value += 1
            key = f"key:{number}:{value % KEYS}"
            self.asked[key] = value
            try:
                answer = self.node.post(f"/keys/{key}", {str(value % 7): value}, checked=False)
            except OSError:
                return
            except Exception:  # an answer that was cut off
                return
            assert answer.status in (200, 201), answer
            self.answered[(key, value % 7)] = value

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()


def folders(tmp_path):
    """On a disk, and where there is one in memory."""
    yield tmp_path / "data"
    if os.access("/dev/shm", os.W_OK):
        yield pathlib.Path(tempfile.mkdtemp(dir="/dev/shm")) / "data"


def assert_kept(node, answered, asked):
    kept = node.keys()
    for (key, index), value in answered.items():
        assert kept.get(key, {}).get(index, 0) >= value, (key, index, value)
    for key, vector in kept.items():
        assert max(vector.values()) <= asked[key], (key, vector)


def test_what_was_answered_outlives_a_kill(start, tmp_path):
    for folder in folders(tmp_path):
        draw = random.Random(str(folder))
        node = start("-D", str(folder))
        answered, asked = {}, {}
        for round_ in range(KILLS // 2):
            load = Load(node, (round_ + 1) * 1_000_000)
            time.sleep(draw.uniform(0.01, 0.3))
            node.kill()
            load.end()
            answered.update(load.answered)
            asked.update(load.asked)
            node.restart()
            assert_kept(node, answered, asked)
        assert answered
        node.stop()
        if str(folder).startswith("/dev/shm"):
            shutil.rmtree(folder.parent)


def test_a_kill_while_it_starts_loads_or_ends_loses_nothing(start, tmp_path):
    """One round of updates, then kills at other moments: 0 to 70 ms into a start, and into an end
    with what was written just before it."""
    draw = random.Random(4)
    node = start("-D", str(tmp_path / "data"))
    answered = {}
    for i in range(KILLS):
        key, value = f"key:{i % 7}", i + 1
        assert node.post(f"/keys/{key}", {"3": value}).status in (200, 201)
        answered[(key, 3)] = value
        if i % 2 == 0:
            node.signal(signal.SIGTERM)
            time.sleep(draw.uniform(0, 0.07))
        node.kill()
        node.start()
        time.sleep(draw.uniform(0, 0.07))
        node.kill()
        node.restart()
        assert_kept(node, answered, {key: value for (key, _), value in answered.items()})


@pytest.mark.parametrize("durability", ["commit", "none"])
def test_what_is_answered_while_it_ends_is_kept(start, tmp_path, durability):
    """One is under way, and its answer comes after the signal."""
    node = start("-D", str(tmp_path / "data"), "--set", f"durability={durability}")
    assert node.post("/keys/before", {"3": 1}).status == 201
    with node.connect() as client:
        client.sendall(b"POST /keys/late HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n"
                       b"Content-Type: application/json\r\n\r\n{")
        eventually(lambda: node.stats()["http_connections"] >= 2)
        node.signal(signal.SIGTERM)
        eventually(lambda: " stopping " in node.log())
        time.sleep(0.1)  # whatever an end does at once it has done by now
        client.sendall(b'"3":5}')
        assert client.recv(100).startswith(b"HTTP/1.1 201")
    assert node.process.wait(10 * PATIENCE) == 0
    node.restart()
    assert node.keys() == {"before": {3: 1}, "late": {3: 5}}


def test_a_directory_that_is_removed_refuses_updates_and_crashes_nothing(start, tmp_path):
    folder = tmp_path / "data"
    node = start("-D", str(folder))
    assert node.post("/keys/before", {"3": 1}).status == 201
    shutil.rmtree(folder)
    assert node.post("/keys/lost", {"3": 1}).status == 503
    assert node.post("/keys/refused", {"3": 1}).status == 503
    ready = node.get("/ready")
    assert ready.status == 503 and "No such file or directory" in ready.json()["checks"]["storage"]
    assert set(node.keys()) == {"before", "lost"}  # told as unknown, and in force
    assert node.stop() == 0


def test_files_that_are_removed_are_written_again(start, tmp_path):
    folder = tmp_path / "data"
    node = start("-D", str(folder))
    assert node.post("/keys/before", {"3": 1}).status == 201
    for path in folder.iterdir():
        path.unlink()
    assert node.post("/keys/lost", {"3": 1}).status == 503
    eventually(lambda: node.get("/ready").status == 200)
    assert node.post("/keys/after", {"3": 1}).status == 201
    eventually(lambda: node.stats()["disk_snapshots"] == 1)
    node.kill()
    node.restart()
    assert set(node.keys()) == {"before", "lost", "after"}


def test_an_ordinary_end_keeps_all_of_it(start, tmp_path):
    node = start("-D", str(tmp_path / "data"))
    lines = "".join('{"key":"key:%d","vector":{"%d":%d}}\n' % (i, i * 1000, i + 1)
                    for i in range(5000))
    answer = node.post("/keys", lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200
    assert node.request("DELETE", "/keys/key:17").status in (200, 204)
    assert node.post("/keys/key:18", {"5": str(2**64 - 1)}).status in (200, 201)
    before = node.stats()
    keys = node.keys()
    assert node.stop() == 0
    node.restart()
    after = node.stats()
    assert (after["digest"], after["keys"]) == (before["digest"], before["keys"])
    assert node.keys() == keys
    assert node.get("/keys/key:17").status == 404


def test_what_was_deleted_stays_so(start, tmp_path):
    node = start("-D", str(tmp_path / "data"))
    assert node.post("/keys/gone", {"1": 5}).status in (200, 201)
    assert node.request("DELETE", "/keys/gone").status in (200, 204)
    node.kill()
    node.restart()
    assert node.get("/keys/gone").status == 404
    assert node.post("/keys/gone", {"1": 2}).status in (200, 201)
    node.kill()
    node.restart()
    assert node.vector("gone") == {1: 2}


def test_a_member_comes_back_with_what_it_had_and_gets_the_rest(start, tmp_path):
    first = start()
    second = start("-D", str(tmp_path / "data"), seeds=[first])
    eventually(lambda: first.get("/peers").json()["alive"] == 1, 10)
    assert second.post("/keys/early", {"1": 1}).status in (200, 201)
    eventually(lambda: first.vector("early") == {1: 1})
    second.kill()
    assert first.post("/keys/late", {"1": 1}).status in (200, 201)
    second.restart()
    assert second.vector("early") == {1: 1}
    eventually(lambda: second.vector("late") == {1: 1}, 10)


def test_whom_it_knew_is_found_without_a_seed(start, tmp_path):
    first = start()
    second = start("-D", str(tmp_path / "data"), seeds=[first])
    eventually(lambda: second.get("/peers").json()["alive"] == 1, 10)
    assert second.stop() == 0
    second.arguments = second.arguments[:-1]
    second.restart()
    eventually(lambda: second.get("/peers").json()["alive"] == 1, 10)


@pytest.mark.parametrize("durability", ["interval", "none"])
def test_an_ordinary_end_keeps_all_whatever_is_promised(start, tmp_path, durability):
    node = start("-D", str(tmp_path / "data"), "--set", f"durability={durability}")
    for i in range(100):
        assert node.post(f"/keys/key:{i}", {"0": i + 1}).status in (200, 201)
    assert node.stop() == 0
    node.restart()
    assert len(node.keys()) == 100


def in_use(start, folder):
    return start("-D", str(folder))


def foreign(_, folder):
    folder.mkdir(0o700)
    (folder / "letters").write_text("to somebody")


def open_to_all(_, folder):
    folder.mkdir()
    folder.chmod(0o777)


def a_file(_, folder):
    folder.write_text("")


def a_link(_, folder):
    folder.with_name("other").mkdir(0o700)
    folder.symlink_to(folder.with_name("other"))


def with_a_pipe(_, folder):
    folder.mkdir(0o700)
    os.mkfifo(folder / "log-1", 0o600)


@pytest.mark.parametrize("make, why", [
    (in_use, "is in use by process"), (foreign, "has 'letters'"), (open_to_all, "(mode 0777)"),
    (a_file, "Not a directory"), (a_link, "symbolic link"), (with_a_pipe, "no regular file"),
])
def test_a_directory_that_cannot_be_ours_is_refused_in_one_line(start, tmp_path, make, why):
    folder = tmp_path / "data"
    first = make(start, folder)
    before = sorted(folder.iterdir()) if folder.is_dir() else []
    refused = start.unready("-D", str(folder))
    assert refused.process.wait(10 * PATIENCE) == 73
    assert why in refused.log() and len(refused.log().splitlines()) == 1
    refused.process.returncode = 0
    assert before == (sorted(folder.iterdir()) if folder.is_dir() else [])
    if first is not None:
        assert first.post("/keys/foo", {"3": 1}).status == 201


def test_memory_only_says_so(start):
    node = start()
    assert "data=memory-only" in node.log()
    assert node.stats()["data"] == "memory-only"
