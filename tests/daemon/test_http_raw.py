"""Requests as bytes: what no well-behaved client sends.

    framing      every odd request, what it must be answered with, and that nothing hides inside it
    targets      paths, percent forms, absolute forms, authorities
    whose page   Host and Origin
    malformed    a thousand random ones
    limits       long headers, many headers, large bodies, header and body dripping in
    connections  pipelines, half-closed ones, resets, idle ones, none left to accept with
"""

import resource
import socket
import struct
import time

import pytest

from daemon import SLOWNESS, SPACIOUSNESS, at_most, eventually, is_sanitized

HOST = b"Host: localhost\r\n"
INNER = b"POST /keys/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n" + b'{"0":1}'


def send(node, request, timeout_s=2.0, half_close=False):
    """All that comes back for some bytes; b"" when nothing comes in time."""
    received = b""
    with node.connect(timeout_s) as client:
        try:
            client.sendall(request)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                received += chunk
                if is_whole(received) and not half_close:
                    break
        except (TimeoutError, ConnectionError):
            pass
    return received


def is_whole(answer):
    """Whether an answer of known length has all come."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return b"chunked" not in head or body.endswith(b"0\r\n\r\n")


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


def post(headers, body=b'{"0":1}', path=b"/keys/raw", version=b"HTTP/1.1"):
    return b"POST " + path + b" " + version + b"\r\n" + headers + b"\r\n" + body


# Name: (request, statuses it may have; None: closed or silent without an answer).
LENGTH = b"Content-Length: 7\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b'7\r\n{"0":1}\r\n0\r\n\r\n'
FRAMING = {
    "both TE and CL": (post(HOST + LENGTH + CHUNKED, CHUNKS), {400}),
    "CL twice, the same": (post(HOST + LENGTH + LENGTH), {400}),
    "CL twice, different": (post(HOST + b"Content-Length: 3\r\nContent-Length: 7\r\n"), {400}),
    "CL 3, 3": (post(HOST + b"Content-Length: 3, 3\r\n"), {400}),
    "CL -3": (post(HOST + b"Content-Length: -3\r\n"), {400}),
    "CL +7": (post(HOST + b"Content-Length: +7\r\n"), {400}),
    "CL empty": (post(HOST + b"Content-Length: \r\n"), {400}),
    "CL 7a": (post(HOST + b"Content-Length: 7a\r\n"), {400}),
    "CL 0x7": (post(HOST + b"Content-Length: 0x7\r\n"), {400}),
    "CL 2^64": (post(HOST + b"Content-Length: 18446744073709551616\r\n"), {400, 413}),
    "CL over the limit": (post(HOST + b"Content-Length: 999999999999\r\n"), {413}),
    "CL over it, expecting": (
        post(HOST + b"Content-Length: 999999999999\r\nExpect: 100-continue\r\n", b""), {413, 417}),
    "TE xchunked": (post(HOST + b"Transfer-Encoding: xchunked\r\n", CHUNKS + INNER), {400, 501}),
    "TE with a space before its colon": (
        post(HOST + b"Transfer-Encoding : chunked\r\n", INNER), {400}),
    "TE gzip, chunked": (post(HOST + b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS), {400, 501}),
    "TE chunked, chunked": (
        post(HOST + b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS), {400, 501}),
    "TE twice": (post(HOST + CHUNKED + CHUNKED, CHUNKS), {400}),
    "TE chunked, gzip": (post(HOST + b"Transfer-Encoding: chunked, gzip\r\n", INNER), {400, 501}),
    "TE identity": (post(HOST + b"Transfer-Encoding: identity\r\n", INNER), {400, 501}),
    "TE with a tab": (post(HOST + b"Transfer-Encoding:\tchunked\r\n", CHUNKS), {200, 201, 400}),
    "TE in HTTP/1.0": (post(CHUNKED, CHUNKS, version=b"HTTP/1.0"), {400, 501}),
    "chunk of negative size": (post(HOST + CHUNKED, b'-7\r\n{"0":1}\r\n0\r\n\r\n'), {400, 413}),
    "chunk too large": (post(HOST + CHUNKED, b"ffffffffffffffff\r\n{}"), {400, 413}),
    "chunk of 2^64": (post(HOST + CHUNKED, b"10000000000000000\r\n{}"), {400, 413}),
    "chunk without CRLF after it": (post(HOST + CHUNKED, b'7\r\n{"0":1}0\r\n\r\n'),
                                    {200, 201, 400, 413}),
    "chunk with an extension": (post(HOST + CHUNKED, b'7;x=1\r\n{"0":1}\r\n0\r\n\r\n'),
                                {200, 201, 400, 413}),
    "chunk size of no digits": (post(HOST + CHUNKED, b'x\r\n{"0":1}\r\n0\r\n\r\n'), {400, 413}),
    "a trailer": (post(HOST + CHUNKED, b'7\r\n{"0":1}\r\n0\r\nHost: evil\r\n\r\n'),
                  {200, 201, 400}),
    "a space after a name": (post(HOST + b"X : a\r\n" + LENGTH), {400}),
    "an empty name": (post(HOST + b": a\r\n" + LENGTH), {400}),
    "a control byte in a name": (post(HOST + b"X\x01: a\r\n" + LENGTH), {400}),
    "a line without a colon": (post(HOST + b"nonsense\r\n" + LENGTH), {400}),
    "a bare CR in a value": (post(HOST + b"X: a\rb\r\n" + LENGTH), {400}),
    "a folded header": (post(HOST + b"X: a\r\n b\r\n" + LENGTH), {200, 201, 400}),
    "a NUL in a value": (post(HOST + b"X: a\0b\r\n" + LENGTH), {200, 201, 400}),
    "two Hosts": (post(HOST + HOST + LENGTH), {400}),
    "no Host in 1.1": (post(LENGTH), {400}),
    "no Host in 1.0": (post(LENGTH, version=b"HTTP/1.0"), {200, 201}),
    "version 0.9": (b"GET /health\r\n\r\n", {400, None}),
    "version 2.0": (b"GET /health HTTP/2.0\r\n" + HOST + b"\r\n", {400, 505}),
    "version 9.9": (b"GET /health HTTP/9.9\r\n" + HOST + b"\r\n", {400, 505}),
    "no version": (b"GET /health \r\n" + HOST + b"\r\n", {400}),
    "a NUL in the request line": (b"GET /hea\0lth HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "CRLF before the request": (b"\r\nGET /health HTTP/1.1\r\n" + HOST + b"\r\n", {200, 400}),
    "bare LF": (b"GET /health HTTP/1.1\nHost: localhost\n\n", {200, 400}),
    "a space in the target": (b"GET /he alth HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404}),
    "bytes above 0x7f": (b"GET /keys/\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", {400}),
    "an unknown method": (b"BREW /health HTTP/1.1\r\n" + HOST + b"\r\n", {400, 405, 501}),
    "CONNECT": (b"CONNECT localhost:1 HTTP/1.1\r\n" + HOST + b"\r\n", {400, 404, 405, 501}),
    "TRACE": (b"TRACE /health HTTP/1.1\r\n" + HOST + b"\r\n", {405, 501}),
    "HEAD with a body": (b"HEAD /health HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n"
                         % len(INNER) + INNER, {200, 400}),
    "GET with a body": (b"GET /health HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc",
                        {200, 400}),
    "Expect of something else": (post(HOST + LENGTH + b"Expect: tea\r\n"), {200, 201, 417}),
}


@pytest.mark.parametrize("name", FRAMING)
def test_odd_requests_get_one_answer_and_nothing_hides_in_them(shared, name):
    request, wanted = FRAMING[name]
    answer = send(shared, request + b"GET /inner HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert status(answer) in wanted, answer
    if status(answer) not in (200, 201):
        assert shared.vector("smuggled") == {}
        assert shared.vector("raw") in ({}, {0: 1})
    if name.startswith(("CL", "TE", "both")) and status(answer) == 400:
        assert answer.count(b"HTTP/1.1 ") == 1 and b"onnection: close" in answer, answer
    assert shared.get("/health").status == 200


@pytest.mark.parametrize("name", [name for name in FRAMING if FRAMING[name][0].startswith(b"POST")])
def test_what_stands_after_an_odd_request_that_was_refused_never_runs(shared, name):
    request, _ = FRAMING[name]
    key = f"after{list(FRAMING).index(name)}"
    inner = INNER.replace(b"smuggled", key.encode())
    with shared.connect(0.3) as client:
        received = b""
        try:
            client.sendall(request + inner)
            while chunk := client.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
    if status(received) not in (200, 201):
        assert shared.vector(key) == {} == shared.vector("smuggled"), received


# -- targets


@pytest.mark.parametrize("target, wanted", [
    (b"//keys/x", 400), (b"//localhost/health", 400), (b"http:///health", 400),
    (b"http://localhost/health", 200), (b"HTTP://127.0.0.1:1/health?", 200),
    (b"https://[::1]/keys/x", 404), (b"http://evil/keys/x", 403), (b"http://evil@localhost/", 403),
    (b"ftp://localhost/health", 400), (b"http://localhost/health#x", 400), (b"*", 400), (b"keys/x", 400), (b"/keys/%zz", 400),
    (b"/keys/%00", 400), (b"/keys/%", 400), (b"/keys/../health", 404), (b"/health#x", 400),
    (b"/../health", 404), (b"/%68ealth", 404), (b"/health?", 200), (b"/health%00", 404),
    (b"/health/", 404), (b"/HEALTH", 404), (b"", 400), (b"?", 400), (b"/health?x=%zz", 400),
])
def test_targets_are_paths_as_they_stand(shared, target, wanted):
    answer = send(shared, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status(answer) == wanted, answer


def test_the_host_of_an_absolute_target_stands_for_the_header(shared):
    request = b"GET http://%s/health HTTP/1.1\r\nHost: %s\r\n\r\n"
    assert status(send(shared, request % (b"localhost", b"evil.example"))) == 200
    assert status(send(shared, request % (b"evil.example", b"localhost"))) == 403


# -- whose page


@pytest.mark.parametrize("host, wanted", [
    (b"localhost", 200), (b"LOCALHOST:1", 200), (b"127.0.0.1", 200), (b"10.1.2.3:80", 200),
    (b"[::1]:6001", 200), (b"[::1]", 200), (b"localhost.", 200), (b"evil.example", 403),
    (b"localhost.evil.example", 403), (b"", 403), (b"127.0.0.1.evil.example", 403),
    (b"localhost:x", 403), (b"evil@localhost", 403), (b"localhost, evil", 403), (b"0x7f.1", 403),
    (b"node.example", 403), (b"[::1", 403), (b"localhost:80:80", 403),
])
def test_only_names_that_are_ours_are_taken_for_a_host(shared, host, wanted):
    for path in (b"/health", b"/keys", b"/"):
        answer = send(shared, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert status(answer) in (wanted, 400 if wanted == 403 else wanted), (host, answer)


def test_further_names_and_origins_can_be_allowed(start):
    node = start("--set", "http-host=node.example",
                 "--set", "http-allow-origin=https://app.example")
    request = b"GET /health HTTP/1.1\r\nHost: %s\r\n%s\r\n"
    assert status(send(node, request % (b"node.example:80", b""))) == 200
    assert status(send(node, request % (b"other.example", b""))) == 403
    answer = send(node, request % (b"localhost", b"Origin: https://app.example\r\n"))
    assert status(answer) == 200
    assert b"Access-Control-Allow-Origin: https://app.example" in answer
    for origin in (b"https://evil.example", b"null", b"http://app.example", b""):
        answer = send(node, request % (b"localhost", b"Origin: " + origin + b"\r\n"))
        assert status(answer) == 403, (origin, answer)


def test_the_own_origin_passes_and_a_foreign_one_does_not(shared):
    own = f"localhost:{shared.http_port}".encode()
    for origin, wanted in ((b"http://" + own, 200), (b"http://evil.example", 403),
                           (b"http://localhost:1", 403), (b"null", 403)):
        answer = send(shared, b"GET /keys HTTP/1.1\r\nHost: " + own + b"\r\nOrigin: " + origin
                      + b"\r\n\r\n")
        assert status(answer) == wanted, (origin, answer)
        answer = send(shared, b"POST /keys/csrf HTTP/1.1\r\nHost: " + own + b"\r\nOrigin: " + origin
                      + b"\r\nContent-Length: 7\r\n\r\n" + b'{"0":1}')
        assert status(answer) in ((200, 201) if wanted == 200 else (403,))


# -- malformed


def test_a_thousand_malformed_requests_leave_the_node_as_it_was(start, chance):
    node = start()
    node.post("/keys/known", {"0": 5})
    before = node.digest(), node.stats()["keys"]
    stems = [request for request, _ in FRAMING.values() if b"POST" not in request] + [
        b"GET /keys/known HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /keys?match=a%25&limit=3 HTTP/1.1\r\n" + HOST + b"\r\n",
        post(HOST + LENGTH, b'{"0":-1}', path=b"/keys/known"),
        post(HOST + CHUNKED, b"3\r\n{\"0\r\n0\r\n\r\n", path=b"/keys/known"),
    ]
    for _ in range(1000):
        data = bytearray(chance.choice(stems))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            kind = chance.randrange(4)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at : at + chance.randrange(1, 20)]
            elif kind == 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 20))
            else:
                data[at:at] = chance.choice([b"\r\n", b"\0", b"%", b":", b" ", b"\r", b"\n\n"])
            if not data:
                data = bytearray(b"\r\n")
        with node.connect() as client:
            client.sendall(data)
            if chance.random() < 0.2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert node.get("/health").status == 200
    assert (node.digest(), node.stats()["keys"]) == before
    eventually(lambda: node.stats()["http_connections"] <= 2, 10)


# -- limits


def test_headers_that_are_too_long_or_too_many_are_refused(shared):
    before = shared.memory_bytes()
    for header in (b"X: " + b"a" * (1 << 20) + b"\r\n", b"X: a\r\n" * 10000,
                   b"X" * 70000 + b": a\r\n"):
        answer = send(shared, b"GET /health HTTP/1.1\r\n" + HOST + header + b"\r\n")
        assert status(answer) in (431, None), answer  # None: reset before it was read
    answer = send(shared, b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert status(answer) in (431, None), answer
    assert shared.memory_bytes() - before < (16 << 20) * SPACIOUSNESS


def test_an_endless_chunked_body_is_cut_at_its_limit(start):
    node = start("--set", "http-max-lines=1m", "--set", "http-max-body=64k")
    with node.connect() as client:
        sent = 0
        client.sendall(post(HOST + CHUNKED, b"", path=b"/keys"))
        try:
            while sent < 8 << 20:
                client.sendall(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
                sent += 0x8000
        except ConnectionError:
            pass
        assert sent < 8 << 20
    assert node.get("/health").status == 200


def drip(node, first, rest, within_s):
    """Send slowly, byte by byte; how long it took until we were cut."""
    begin = time.monotonic()
    with node.connect() as client:
        client.sendall(first)
        client.setblocking(False)
        while time.monotonic() - begin < within_s:
            try:
                client.send(rest)
                if client.recv(65536) == b"":
                    return time.monotonic() - begin
            except BlockingIOError:
                pass
            except ConnectionError:
                return time.monotonic() - begin
            time.sleep(0.05)
    raise AssertionError(f"still served after {within_s} s")


@pytest.mark.parametrize("first, rest", [
    (b"GET /health HTTP/1.1\r\n" + HOST, b"X: a\r\n"),
    (b"POST /keys HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n", b" "),
    (b"POST /keys HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n", b"1\r\n \r\n"),
    (b"", b""),
    (b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n", b""),
], ids=["header", "body", "chunks", "silence", "idle after an answer"])
def test_a_client_that_drips_is_cut_when_its_time_is_over_in_all(start, first, rest):
    node = start("--set", "http-timeout=1s")
    assert 0.5 < drip(node, first, rest, 6 * SLOWNESS) < 4 * SLOWNESS


def test_a_client_that_does_not_read_its_answer_is_cut(start):
    node = start("--set", "http-timeout=1s", "--set", "http-max-body=64m")
    for part in range(8):
        node.post("/keys/wide", {str(i): 2**52 for i in range(part * 50000, part * 50000 + 50000)},
                  checked=False)
    client = node.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall((b"GET /keys/wide HTTP/1.1\r\n" + HOST + b"\r\n") * 4)
    eventually(lambda: node.stats()["http_connections"] >= 2)
    eventually(lambda: node.stats()["http_connections"] == 1, 8, 0.1)
    client.close()


@pytest.mark.skipif(is_sanitized(), reason="ASan's own memory is counted")
def test_a_hundred_uploads_take_their_bytes_and_a_tenth(node):
    count, size = 100, 1 << 20
    body = b'{"0":1' + b" " * (size - 7) + b"}"
    before = node.memory_bytes()
    clients = [node.connect() for _ in range(count)]
    for number, client in enumerate(clients):
        client.sendall(b"POST /keys/upload:%d HTTP/1.1\r\nHost: localhost\r\n"
                       b"Content-Length: %d\r\n\r\n" % (number, size) + body[:-1])
    eventually(lambda: node.stats()["http_upload_bytes"] >= count * (size - 1), 20)
    assert node.memory_bytes() - before < 1.1 * count * size
    for client in clients:
        client.sendall(b"}")
    for client in clients:
        assert client.recv(4096).startswith(b"HTTP/1.1 201 ")
        client.close()


def test_five_hundred_drippers_do_not_slow_others(start):
    node = start("--set", "http-timeout=2s")
    clients = [node.connect() for _ in range(500)]
    begin = time.monotonic()
    times = []
    while time.monotonic() - begin < 1.5:
        for client in clients:
            try:
                client.send(b"G" if client.fileno() % 2 else b"X")
            except OSError:
                pass
        for _ in range(5):
            asked = time.monotonic()
            assert node.get("/health").status == 200
            times.append(time.monotonic() - asked)
    times.sort()
    assert times[int(len(times) * 0.99)] < at_most(0.1), times[-5:]
    eventually(lambda: node.stats()["http_connections"] <= 1, 10, 0.1)
    for client in clients:
        client.close()


# -- connections


def read_answers(client, count):
    stream = client.makefile("rb")
    found = []
    for _ in range(count):
        line = stream.readline()
        assert line.startswith(b"HTTP/1.1 "), (line, len(found))
        length = 0
        while (header := stream.readline()) not in (b"\r\n", b""):
            if header.lower().startswith(b"content-length:"):
                length = int(header.split(b":")[1])
        found.append((int(line.split()[1]), stream.read(length)))
    return found


def test_a_thousand_requests_in_one_go_are_answered_in_order(node):
    for i in range(10):
        node.post(f"/keys/p{i}", {"0": i + 1})
    requests = b"".join(
        b"GET /keys/p%d HTTP/1.1\r\n" % (i % 10) + HOST + b"\r\n" for i in range(1000)
    )
    with node.connect() as client:
        client.sendall(requests)
        answers = read_answers(client, 1000)
    for i, (code, body) in enumerate(answers):
        assert code == 200 and b'"key":"p%d"' % (i % 10) in body


def test_updates_and_reads_of_one_pipeline_see_each_other(node):
    requests = b"".join(
        post(HOST + b"Content-Length: %d\r\n" % len(b'{"0":%d}' % (i + 1)), b'{"0":%d}' % (i + 1),
             path=b"/keys/chain") + b"GET /keys/chain HTTP/1.1\r\n" + HOST + b"\r\n"
        for i in range(100)
    )
    with node.connect() as client:
        client.sendall(requests)
        answers = read_answers(client, 200)
    for i, (_, body) in enumerate(answers[1::2]):
        assert b'"0":%d}' % (i + 1) in body


def test_a_client_that_half_closes_gets_its_answer(node):
    answer = send(node, b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n", half_close=True)
    assert status(answer) == 200 and b'"ok"' in answer


def test_connections_that_are_reset_in_the_middle_leave_nothing_behind(node):
    node.post("/keys/wide", {str(i): 2**52 for i in range(30000)})
    before = node.descriptors()
    for i in range(100):
        client = node.connect()
        client.sendall((b"GET /keys/wide HTTP/1.1\r\n" + HOST + b"\r\n") * (i % 3 + 1))
        if i % 2:
            client.recv(100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    eventually(lambda: node.stats()["http_connections"] == 1, 10)
    eventually(lambda: node.descriptors() <= before + 1, 5)


def test_without_descriptors_the_node_waits_quietly_and_recovers(start):
    node = start(descriptors=64)
    kept = node.connect()
    kept.sendall(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
    kept.recv(4096)
    clients = [node.connect() for _ in range(200)]
    time.sleep(0.5)
    cpu, lines = node.cpu_s(), len(node.log().splitlines())
    time.sleep(1.5)
    assert node.cpu_s() - cpu < 0.3 * 1.5
    assert len(node.log().splitlines()) - lines <= 5
    kept.sendall(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
    assert kept.recv(4096).startswith(b"HTTP/1.1 200")
    for client in (*clients, kept):
        client.close()
    eventually(lambda: send(node, b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"), 10)


def test_connections_beyond_their_number_are_turned_away(start):
    node = start("--set", "http-max-connections=10")
    clients = [node.connect() for _ in range(10)]
    eventually(lambda: send(node, b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n", 0.5)[:12]
               in (b"", b"HTTP/1.1 503"))
    for client in clients:
        client.close()
    eventually(lambda: node.get("/health").status == 200)


@pytest.fixture
def descriptors():
    """Room for 2,000 connections at our own end; an ordinary user begins with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"{hard} descriptors are too few")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors")
def test_two_thousand_idle_connections_cost_little(start):
    node = start()
    before = node.memory_bytes()
    clients = [node.connect() for _ in range(2000)]
    eventually(lambda: node.stats()["http_connections"] >= 2000, 10)
    assert node.memory_bytes() - before < 2000 * 16384 * SPACIOUSNESS
    begin = time.monotonic()
    assert node.get("/health").status == 200
    assert time.monotonic() - begin < at_most(0.2)
    for client in clients:
        client.close()
