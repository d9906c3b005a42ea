"""Fixtures: daemons that end with their test, and their logs where the test failed."""

import os
import random
import signal
import sys

import pytest

import daemon as daemons


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.has_failed = outcome.get_result().failed


@pytest.fixture(autouse=True)
def limit():
    """No test may hang: it fails where it hangs."""

    def give_up(*_):
        raise TimeoutError("the test took too long")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60 * daemons.SLOWNESS)
    yield
    signal.alarm(0)


class Starter:
    """Starts daemons for one test or one file of tests, and ends those and no others."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def __call__(self, *arguments, **rest):
        daemon = self.unready(*arguments, **rest)
        return daemon.await_ready()

    def unready(self, *arguments, **rest):
        daemon = daemons.Daemon(self.folder, *arguments, **rest)
        self.started.append(daemon)
        return daemon

    def end(self, show):
        for daemon in self.started:
            if daemon.is_running:
                daemon.stop(10)
        for daemon in self.started:
            if show:
                print(f"-- {' '.join(daemon.arguments)}\n{daemon.log()}", file=sys.stderr)
        for path in sorted(self.folder.glob("daemon-*.log")):
            found = daemons.SANITIZER.search(path.read_text(errors="replace"))
            assert found is None, path.read_text(errors="replace")
        for daemon in self.started:
            assert daemon.process.returncode in (0, -9), (
                f"{daemon.arguments} ended with {daemon.process.returncode}:\n{daemon.log()}"
            )


@pytest.fixture
def chance():
    """Random numbers: the same in each run, but where CHECK_SEED has another seed."""
    seed = int(os.environ.get("CHECK_SEED", "1"))
    print(f"CHECK_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def start(request, tmp_path):
    """start(*arguments, seeds=...) gives a daemon that is ready."""
    starter = Starter(tmp_path)
    yield starter
    starter.end(getattr(request.node, "has_failed", False))


@pytest.fixture
def node(start):
    """One daemon alone."""
    return start()


@pytest.fixture(scope="module")
def module_starter(tmp_path_factory):
    starter = Starter(tmp_path_factory.mktemp("shared"))
    yield starter
    starter.end(False)


@pytest.fixture
def shared(module_starter):
    """One daemon for all tests of a file that do not mind each other's keys."""
    if not module_starter.started or not module_starter.started[-1].is_running:
        module_starter()
    daemon = module_starter.started[-1]
    yield daemon
    assert daemon.is_running, f"ended with {daemon.process.returncode}:\n{daemon.log()}"


@pytest.fixture
def cluster(start):
    """cluster(n) gives n daemons that know each other; each but the first has the first as seed."""

    def build(count, *arguments, **rest):
        members = [start(*arguments, **rest)]
        for _ in range(count - 1):
            members.append(start(*arguments, seeds=[members[0]], **rest))
        for member in members:
            daemons.eventually(
                lambda member=member: member.get("/peers").json()["alive"] == count - 1, 10
            )
        return members

    return build
