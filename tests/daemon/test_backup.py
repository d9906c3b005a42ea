"""POST /backup: what it makes starts, and holds all that was answered; what goes wrong leaves
nothing that looks like one."""

import errno
import socket
import subprocess
import threading

import pytest

from daemon import PROGRAM, eventually, is_sanitized
from test_disk_faults import Shim, library  # noqa: F401

shimmed = pytest.mark.skipif(is_sanitized(), reason="the sanitizer wants to be loaded first")


@pytest.fixture
def backups(tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


@pytest.fixture
def faulty(start, library, tmp_path, backups):  # noqa: F811
    """faulty() gives a daemon with a key, and the shim of its backups' disk."""

    def build():
        shim = Shim(tmp_path, library, backups)
        node = start("--set", f"backup-dir={backups}", environment=shim.environment)
        assert node.post("/keys/foo", {"0": 3}).status == 201
        return node, shim

    return build


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def facts(folder):
    """What an identity says, by name."""
    return dict(line.split(" ", 1) for line in (folder / "identity").read_text().splitlines())


class Asked:
    """A backup that was asked for and has no answer yet."""

    def __init__(self, node):
        self.answer = None
        self.thread = threading.Thread(target=self.run, args=(node,))
        self.thread.start()

    def run(self, node):
        self.answer = node.post("/backup")

    def end(self):
        self.thread.join()
        return self.answer


def test_a_backup_starts_with_all_that_was_there(start, tmp_path, backups):
    node = start("-D", str(tmp_path / "data"), "--set", f"backup-dir={backups}")
    lines = "".join('{"key":"key:%d","vector":{"%d":%d}}\n' % (i, i * 1000, i + 1)
                    for i in range(5000))
    headers = {"Content-Type": "application/x-ndjson"}
    assert node.post("/keys", lines, headers=headers).status == 200
    assert node.request("DELETE", "/keys/key:17").status == 200
    assert node.request("DELETE", "/keys/key:18").status == 200
    assert node.post("/keys/key:18", {"5": str(2**64 - 1)}).status == 201
    answer = node.post("/backup")
    assert answer.status == 200
    made = answer.json()
    assert made["keys"] == 4999 and made["bytes"] > 50_000
    assert made["path"] == str(backups / names(backups)[0])
    digest = node.digest()
    assert node.post("/keys/later", {"0": 1}).status == 201
    second = node.post("/backup").json()
    assert second["keys"] == 5000 and names(backups) == sorted(
        path.rsplit("/", 1)[1] for path in (made["path"], second["path"]))
    restored = start("-D", made["path"])
    assert restored.digest() == digest
    assert restored.vector("key:18") == {5: 2**64 - 1}
    assert restored.get("/keys/key:17").status == 404
    own, other = facts(tmp_path / "data"), facts(backups / names(backups)[0])
    assert own["id"] != other["id"] and own["slot"] != other["slot"]
    assert own["cluster"] == other["cluster"]


@shimmed
def test_what_slips_past_the_walk_is_there(faulty, start, backups):
    node, shim = faulty()
    lines = "".join('{"key":"key:%s:%d","vector":{"1":%d}}\n' % ("x" * 240, i, i + 1)
                    for i in range(24_000))
    assert node.post("/keys", lines,
                     headers={"Content-Type": "application/x-ndjson"}).status == 200
    assert node.post("/keys/first", {"0": 7}).status == 201
    assert node.request("DELETE", "/keys/first").status == 200

    def halfway():
        """A backup that stands still at the first of the syncs that its size asks for."""
        shim.stall(False)
        asked = Asked(node)
        drafts = []
        while asked.answer is None and not (drafts and drafts[0].stat().st_size > 0):
            drafts = list(backups.glob("*.tmp/snap-1.tmp"))
        shim.stall(True)
        eventually(lambda: asked.answer is not None or drafts[0].stat().st_size >= 4 << 20)
        if asked.answer is None and drafts[0].stat().st_size < 5 << 20:
            return asked
        shim.stall(False)
        asked.end()
        return None

    asked = eventually(halfway)
    # Behind the walk, which has not come to deletions: in neither of the two.
    assert node.post("/keys/first", {"1": 1}).status == 201
    assert node.post("/keys/foo", {"0": 4}).status == 200
    digest = node.digest()
    shim.stall(False)
    restored = start("-D", asked.end().json()["path"])
    assert restored.vector("first") == {1: 1} and restored.vector("foo") == {0: 4}
    assert restored.digest() == digest and restored.stats()["disk_damaged"] == 0


def tool(*arguments, **rest):
    return subprocess.run([PROGRAM, *arguments], check=True, capture_output=True, timeout=60, **rest)


def test_export_and_import_lose_nothing(start, tmp_path, backups):
    node = start("-D", str(tmp_path / "data"), "--set", f"backup-dir={backups}")
    for i in range(200):
        assert node.post(f"/keys/key:{i}", {str(i * 100): str(2**64 - 1 - i), "1": 1}).status == 201
    earlier = node.post("/backup").json()["path"]
    for i in range(100):
        assert node.request("DELETE", f"/keys/key:{i}").status == 200
    for i in range(50):  # in a later generation
        assert node.post(f"/keys/key:{i}", {"3": 1}).status == 201
    keys, digest = node.keys(), node.digest()
    assert node.stop() == 0
    lines = tool("--export", str(tmp_path / "data")).stdout
    assert lines.count(b'"deleted"') == 50 and lines.count(b'"key"') == 150
    for folder in (tmp_path / "new", earlier):  # what was deleted since goes there, too
        tool("--import", str(folder), "-", input=lines)
        assert f"digest {digest}\n".encode() in tool("--check", str(folder)).stdout
        assert tool("--export", str(folder)).stdout == lines
    other = start("-D", str(tmp_path / "new"))
    assert other.keys() == keys and other.digest() == digest
    # A node takes the lines of keys, and says who takes the others.
    headers = {"Content-Type": "application/x-ndjson"}
    answer = node.restart().post("/keys", lines, headers=headers)
    assert answer.status == 400 and "--import" in answer.json()["detail"]
    of_keys = b"".join(line + b"\n" for line in lines.splitlines() if b'"key"' in line)
    assert node.post("/keys", of_keys, headers=headers).status == 200
    assert node.digest() == digest


def test_without_a_folder_there_is_none(start):
    node = start()
    answer = node.post("/backup")
    assert answer.status == 404 and "backup-dir" in answer.json()["detail"]


def test_no_request_says_where(start, backups, tmp_path):
    node = start("--set", f"backup-dir={backups}")
    assert node.post(f"/backup?path={tmp_path}").status == 400
    assert node.post("/backup", {"path": str(tmp_path)}).status == 400
    assert node.post(f"/backup/{tmp_path}", checked=False).status == 404
    assert names(backups) == []


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch(),
                                  lambda path: path.symlink_to("nowhere")],
                         ids=["none", "file", "dangling"])
def test_a_folder_that_is_none_is_named(start, tmp_path, make):
    folder = tmp_path / "folder"
    make(folder)
    node = start("--set", f"backup-dir={folder}")
    answer = node.post("/backup")
    assert answer.status == 503 and str(folder) in answer.json()["detail"]
    assert not folder.is_dir()


@shimmed
@pytest.mark.parametrize("error, status", [(errno.ENOSPC, {507, 503}), (errno.EIO, {503})])
def test_of_one_that_fails_nothing_is_left(faulty, backups, error, status):
    node, shim = faulty()
    before = shim.calls()
    assert node.post("/backup").status == 200
    calls = shim.calls() - before
    assert calls > 5
    kept = names(backups)
    for at in range(1, calls + 1):
        shim.fail(at, error)
        answer = node.post("/backup")
        shim.fail(0)
        if answer.status == 200:  # it does without that call
            kept = sorted([*kept, answer.json()["path"].rsplit("/", 1)[1]])
        else:
            assert answer.status in status and "detail" in answer.json(), answer
        assert names(backups) == kept
    assert len(kept) < 1 + calls / 2
    assert node.post("/backup").status == 200


@shimmed
def test_one_at_a_time(faulty, backups):
    node, shim = faulty()
    shim.stall(True)
    asked = Asked(node)
    eventually(lambda: names(backups))
    answer = node.post("/backup")
    assert answer.status == 409
    assert [name for name in names(backups) if not name.endswith(".tmp")] == []
    assert node.post("/keys/foo", {"0": 4}).status == 200  # and nobody else waits for it
    shim.stall(False)
    assert asked.end().status == 200
    assert len(names(backups)) == 1


@shimmed
def test_when_its_client_goes_it_is_given_up(faulty, backups):
    node, shim = faulty()
    shim.stall(True)
    with socket.create_connection(("127.0.0.1", node.http_port)) as client:
        client.sendall(b"POST /backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        eventually(lambda: names(backups))
    eventually(lambda: node.stats()["http_abandoned"] == 1)
    assert node.post("/backup").status == 409  # it is not cleared away yet
    shim.stall(False)
    eventually(lambda: names(backups) == [])
    assert "who asked for it is gone" in eventually(lambda: "backup_failed" in node.log()
                                                    and node.log())
    assert node.post("/backup").status == 200


@shimmed
def test_a_stop_ends_it(faulty, backups):
    node, shim = faulty()
    shim.stall(True)
    asked = Asked(node)
    eventually(lambda: names(backups))
    node.signal(15)
    eventually(lambda: "stopping" in node.log())
    shim.stall(False)
    answer = asked.end()
    assert answer.status == 503 and "stopping" in answer.json()["detail"]
    assert node.process.wait(30) == 0
    assert names(backups) == []


@shimmed
def test_a_stop_does_not_wait_for_its_disk(faulty, backups):
    node, shim = faulty()
    shim.stall(True)
    asked = threading.Thread(target=lambda: node.post("/backup", checked=False))
    asked.daemon = True
    threading.excepthook = lambda _: None  # its connection is cut
    asked.start()
    eventually(lambda: names(backups))
    node.signal(15)
    eventually(lambda: "stopping" in node.log())
    assert node.stop() == 0  # asked twice: at once
    assert all(name.endswith(".tmp") for name in names(backups))
