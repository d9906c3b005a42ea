"""Daemons to test, and ways to talk to them.

A Daemon is one vignetted in a process of its own, started as an operator would, on a port that no
other test has. Its log goes to a file that is shown when a test fails. Every answer that comes
through Daemon.request() is checked against the specification that the daemon ships.
"""

import http.client
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import subprocess
import time
import urllib.parse

import specification

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("VIGNETTED", str(pathlib.Path.cwd() / "vignetted"))

# What a sanitizer says, whatever else went well.
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|Assertion .* failed")


def is_sanitized():
    """Whether the program was built with AddressSanitizer: some limits are wider then."""
    return b"__asan_init" in pathlib.Path(PROGRAM).read_bytes()


# Times more of what a sanitizer takes. The machine is shared with other tests, so what is measured
# may be twice as slow here as where the figures are judged (the simulator has its own clock, and
# bench/ the machine alone), and what is awaited, which a broken program never brings, slower yet.
SPACIOUSNESS = 4 if is_sanitized() else 1
SLOWNESS = 2 * SPACIOUSNESS
PATIENCE = 2 * SLOWNESS


def at_most(seconds):
    """How long may be measured here for what takes so long on a machine of its own: more while
    more processes want a processor than there are."""
    return seconds * SLOWNESS * max(1, os.getloadavg()[0] / os.cpu_count())


def eventually(condition, within_s=5.0, every_s=0.01):
    """Wait for a condition to hold and return what it gave; fail with what it gave last."""
    limit = time.monotonic() + within_s * PATIENCE
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < limit, f"not within {within_s} s; last seen: {found!r}"
        time.sleep(every_s)


class Answer:
    """One HTTP answer."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Ports:
    """Ports of this process alone, for daemons that are started again where they were.

    A port that the kernel gave would, while its daemon is dead, be given to somebody's connection,
    which keeps it for a minute after its end. So these lie below those that the kernel gives, and
    whoever holds the first of a hundred, at an address that nothing else uses, has them all.
    """

    RANGE = range(12_000, 32_000, 100)

    def __init__(self):
        self.claims = []
        self.free = []

    def take(self):
        while not self.free:
            self.claim(random.choice(self.RANGE))
        return self.free.pop()

    def claim(self, first):
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.255.255.254", first))
        except OSError:
            claim.close()
            return
        self.claims.append(claim)
        self.free = [port for port in range(first, first + 100) if self.is_free(port)]

    @staticmethod
    def is_free(port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gossip, socket.socket() as http:
            try:
                gossip.bind(("127.0.0.1", port))
                http.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True


def udp_socket(host, port=0):
    """A socket at an IPv4 or IPv6 address."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, port))
    return made


def endpoint_text(address):
    """What a socket calls its address, as a node writes it."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


PORTS = Ports()
PORT_OWN = object()


class Daemon:
    """A vignetted that runs until stop() or kill()."""

    def __init__(
        self, folder, *arguments, seeds=(), port=PORT_OWN, environment=None, descriptors=None,
        host="127.0.0.1",
    ):
        """`host`: of gossip; HTTP is on 127.0.0.1."""
        port = PORTS.take() if port is PORT_OWN else port
        self.log_path = pathlib.Path(folder) / f"daemon-{time.monotonic_ns()}.log"
        self.host = host
        self.port = port
        self.http_port = None
        self.unix_path = None
        self.arguments = [PROGRAM, *arguments]
        if port is not None:  # None: the port is in the file that the arguments name
            if host != "127.0.0.1":
                self.arguments += ["--set", f"http-listen=127.0.0.1:{port}"]
            listen = str(port) if host == "127.0.0.1" else self.text
            self.arguments += [listen, *(seed_text(seed) for seed in seeds)]
        self.start(environment, descriptors)

    def start(self, environment=None, descriptors=None):
        def limit():
            if descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                preexec_fn=limit,
            )
        self.pid = self.process.pid

    def restart(self):
        """The same command again, at the port that it had, which is its own."""
        self.log_path = self.log_path.with_name(f"daemon-{time.monotonic_ns()}.log")
        self.start()
        return self.await_ready()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def await_ready(self):
        def ready():
            assert self.process.poll() is None, f"ended before it was ready:\n{self.log()}"
            return re.search(r" ready .*gossip=\S*:(\d+) http=(\S+)", self.log())

        found = eventually(ready, 10)
        self.port = int(found[1])
        if found[2].startswith("unix:"):
            self.unix_path = found[2][5:]
        elif found[2] != "off":
            self.http_port = int(found[2].rsplit(":", 1)[1])
        return self

    @property
    def address(self):
        return (self.host, self.port)

    @property
    def text(self):
        return endpoint_text(self.address)

    @property
    def is_running(self):
        return self.process.poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self, within_s=5):
        """End it as an operator does; its exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(within_s * PATIENCE)

    def kill(self):
        if self.is_running:
            self.process.kill()
            self.process.wait()

    # -- HTTP

    def connect(self, timeout_s=10):
        """A TCP connection to the HTTP interface."""
        return socket.create_connection(("127.0.0.1", self.http_port), timeout=timeout_s)

    def request(self, method, path, body=None, headers=None, checked=True):
        """One request over a connection of its own. `body`: bytes, or what JSON can say."""
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        if self.unix_path is not None:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.unix_path)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            found = Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
        if checked:
            specification.check(method, path, found)
        return found

    def get(self, path, **rest):
        return self.request("GET", path, **rest)

    def post(self, path, body=b"", **rest):
        return self.request("POST", path, body, **rest)

    def vector(self, key):
        """A key's vector with numbers for names; {} where it is unseen."""
        answer = self.get("/keys/" + urllib.parse.quote(key))
        if answer.status == 404:
            return {}
        assert answer.status == 200, answer
        return {int(index): int(value) for index, value in answer.json()["vector"].items()}

    def keys(self, query="limit=10000&vectors=1"):
        """All keys with their vectors, page after page."""
        found = {}
        after = ""
        while True:
            page = self.get(f"/keys?{query}{after}").json()
            for item in page["keys"]:
                found[item["key"]] = {
                    int(index): int(value) for index, value in item.get("vector", {}).items()
                }
            if "next" not in page:
                return found
            after = "&after=" + urllib.parse.quote(page["next"], safe="")

    def peers(self):
        """States by address."""
        return {peer["address"]: peer["state"] for peer in self.get("/peers").json()["peers"]}

    def stats(self):
        return self.get("/stats").json()

    def digest(self):
        return self.stats()["digest"]

    # -- the process

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self):
        pages = int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def seed_text(seed):
    return seed.text if isinstance(seed, Daemon) else str(seed)


class Watcher:
    """A stream of changes, read line by line."""

    def __init__(self, node, query="", accept="application/x-ndjson", timeout_s=5):
        self.connection = http.client.HTTPConnection("127.0.0.1", node.http_port,
                                                     timeout=timeout_s * SLOWNESS)
        self.connection.request("GET", "/watch" + query, headers={"Accept": accept})
        self.answer = self.connection.getresponse()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def line(self):
        return self.answer.readline().decode()

    def event(self):
        """The next document of a stream of lines."""
        return json.loads(self.line())

    def named(self):
        """The next event of a stream of server-sent events: its fields."""
        fields = {}
        while (line := self.line()) not in ("\n", ""):
            if not line.startswith(":"):
                name, value = line.rstrip("\n").split(": ", 1)
                fields[name] = value
        return fields
