"""One request: where it connects to, and what its answer means."""

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import zlib

import aiohttp
import photo_server
import pytest
from geoloc_models_download import jpeg, quick
from photo_server import PhotoServer
from yarl import URL

from geoloc_models.download import DownloadOptions, State
from geoloc_models.download.addresses import CheckedResolver
from geoloc_models.download.client import PhotoClient, Redirect, Rejected, Retry, Success

PHOTO = jpeg(0)
PACKED = gzip.compress(PHOTO, mtime=0)  # the time would be in the name of a test


def fetch(url, options=None, resolve=None):
    async def ask():
        async with PhotoClient(options or quick(), resolve) as http:
            target = http.parse(url)
            return target if isinstance(target, Rejected) else await http.fetch(target)

    return asyncio.run(ask())


def parse(url):
    async def parsed():
        async with PhotoClient(quick()) as http:
            return http.parse(url)

    return asyncio.run(parsed())


def answer_of(fault, **choices):
    with PhotoServer({"1": PHOTO}, {"1": fault}) as server:
        return fetch(server.url("1"), quick(**choices))


def resolver(*answers):
    """A resolver that gives one answer after the other, and notes who asked."""
    left = list(answers)

    async def resolve(host, port):
        resolve.asked.append(host)
        return list(left.pop(0) if len(left) > 1 else left[0])

    resolve.asked = []
    return resolve


def test_a_photo_is_delivered_with_a_polite_request():
    with PhotoServer({"1": PHOTO}) as server:
        assert fetch(server.url("1")) == Success(PHOTO, 200)
        fetch(server.url("1"), quick(user_agent="my study; me@uni.example"))
        (_, _, headers), (_, _, of_study) = server.log
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert headers["User-Agent"].startswith("geoloc-download/")
    assert of_study["User-Agent"] == "my study; me@uni.example"
    assert headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in headers


def test_cookies_are_not_kept():
    async def ask(url):
        async with PhotoClient(quick()) as http:
            for _ in range(2):
                await http.fetch(http.parse(url))

    set_cookie = photo_server.status(404, {"Set-Cookie": "who=you; Path=/"})
    with PhotoServer({}, {"1": set_cookie}) as server:
        asyncio.run(ask(server.url("1")))
        assert len(server.log) == 2
        assert "Cookie" not in server.log[1][2]


GONE, AGAIN, FAILED = (
    (404, 410, 451),
    (408, 425, 500, 502, 504),
    (400, 401, 403, 204, 206, 304, 418),
)


@pytest.mark.parametrize("code", GONE + AGAIN + FAILED)
def test_gone_is_final_passing_trouble_is_tried_again_and_the_rest_fails(code):
    async def bare(reply):
        await reply.send(code)

    reason = f"status {code}"
    if code in AGAIN:
        assert answer_of(bare) == Retry(reason, code)
    else:
        state = State.GONE if code in GONE else State.FAILED
        assert answer_of(bare) == Rejected(state, reason, code)


def test_a_busy_host_says_how_long_to_wait():
    assert answer_of(photo_server.too_many_requests(7)) == Retry("status 429", 429, 7.0, True)
    by_date = answer_of(photo_server.too_many_requests(90, as_date=True))
    assert by_date.is_busy
    assert 60 < by_date.wait <= 90


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["/photos/2.jpg", "2.jpg", "//{netloc}/photos/2.jpg"])
def test_redirects_are_told_not_followed(code, target):
    with PhotoServer({}) as server:
        netloc = f"127.0.0.1:{server.port}"
        location = {"Location": target.format(netloc=netloc)}
        server.faults["1"] = photo_server.status(code, location)
        assert fetch(server.url("1")) == Redirect(URL(server.url("2")), code)
        assert server.requests["2"] == 0


@pytest.mark.parametrize(
    ("target", "state", "words"),
    [
        ("ftp://a.example/x.jpg", State.REFUSED, "neither http nor https"),
        ("file:///etc/passwd", State.REFUSED, "neither http nor https"),
        ("javascript:alert(1)", State.REFUSED, "neither http nor https"),
        ("http://me:secret@a.example/", State.REFUSED, "user name"),
        ("http://a.example:99999/", State.REFUSED, "Port out of range"),
        ("/static/photo_unavailable.png", State.GONE, "lost photo"),
        ("https://s.a.example/pw/images/en-us/photo_unavailable_l.png", State.GONE, "lost"),
        ("https://i.imgur.com/removed.png", State.GONE, "lost photo"),
        ("https://a.example/sorry.gif", State.GONE, "lost photo"),
        ("", State.FAILED, "without a target"),
    ],
)
def test_redirects_are_judged_by_their_target(target, state, words):
    verdict = answer_of(photo_server.redirect(target), gone_patterns=[r"/sorry\.gif$"])
    assert verdict.state == state
    assert words in verdict.reason


def test_a_large_file_is_refused_by_its_length_alone():
    async def promise(reply):
        await reply.start(200, {"Content-Length": "50000000"})
        reply.hang_up()

    assert answer_of(promise, max_megabytes=0.001).state == State.TOO_LARGE


@pytest.mark.parametrize("fault", [photo_server.endless, photo_server.compressed_bomb])
def test_an_endless_body_ends_at_the_size_limit(fault):
    verdict = answer_of(fault, max_megabytes=0.5)
    assert verdict == Rejected(State.TOO_LARGE, "more than 500,000 bytes", 200)


@pytest.mark.parametrize("spare", [0, -1])
def test_the_limit_holds_for_the_byte(spare):
    answer = answer_of(photo_server.served, max_megabytes=(len(PHOTO) + spare) / 1e6)
    assert answer == Success(PHOTO, 200) if spare == 0 else answer.state == State.TOO_LARGE


def coded(coding, body):
    async def sent(reply):
        await reply.send(200, body, {"Content-Encoding": coding})

    return sent


def raw_deflate(content):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(PHOTO[:100]) + gzip.compress(PHOTO[100:])),  # two members
        ("gzip", PACKED + bytes(100)),  # padded
        ("gzip", PACKED),
        ("x-gzip", PACKED),
        ("deflate", zlib.compress(PHOTO)),
        ("deflate", raw_deflate(PHOTO)),
        ("deflate, gzip", gzip.compress(zlib.compress(PHOTO))),
        ("aws-chunked, GZIP", PACKED),
        ("gzip", PHOTO),  # in spite of the header
        ("UTF-8", PHOTO),
        ("none", PHOTO),
        ("aws-chunked", PHOTO),
        ("identity", PHOTO),
        ("", PHOTO),
    ],
)
def test_content_codings_of_real_servers_are_undone_or_passed_over(coding, body):
    assert answer_of(coded(coding, body)) == Success(PHOTO, 200)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PACKED[:10] + b"\xff" * 50, "is garbled"),
        (PACKED[:-20], "breaks off"),
    ],
)
def test_damaged_compression_is_tried_again(body, words):
    assert answer_of(coded("gzip", body)) == Retry(f"the compressed body {words}", 200)


def test_slow_and_silent_servers_end_by_timeouts():
    slow = answer_of(photo_server.slow(0.02), total_timeout=0.3)
    assert slow == Retry("not there after 0.3 s")
    assert "in time" in answer_of(photo_server.silent, read_timeout=0.1).reason


def test_nobody_there_is_tried_again():
    with PhotoServer({}) as server:
        url = server.url("1")
    assert isinstance(fetch(url), Retry)


def test_loopback_is_refused_by_default():
    with PhotoServer({"1": PHOTO}) as server:
        verdict = fetch(server.url("1"), DownloadOptions())
        assert verdict.state == State.REFUSED
        assert "127.0.0.1" in verdict.reason
        assert server.requests.total() == 0


def test_ipv6_is_asked_and_refused_alike():
    try:
        with PhotoServer({"1": PHOTO}, host="::1") as server:
            assert fetch(server.url("1")) == Success(PHOTO, 200)
            assert fetch(server.url("1"), DownloadOptions()).state == State.REFUSED
            mapped = f"http://[::ffff:127.0.0.1]:{server.port}/"
            assert fetch(mapped, DownloadOptions()).state == State.REFUSED
    except RuntimeError:
        pytest.skip("no IPv6 on this machine")


def test_a_name_that_resolves_to_a_private_address_is_refused():
    with PhotoServer({"1": PHOTO}) as server:
        url = f"http://photos.example:{server.port}/photos/1.jpg"
        verdict = fetch(url, DownloadOptions(), resolver(["127.0.0.1"]))
        assert verdict.state == State.REFUSED
        assert "photos.example resolves to 127.0.0.1" in verdict.reason
        mixed = fetch(url, DownloadOptions(), resolver(["8.8.8.8", "127.0.0.1"]))
        assert mixed.state == State.REFUSED
        assert server.requests.total() == 0


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch):
    """A second answer of the resolver (rebinding) finds no one to ask for it."""
    reached = []
    real = PhotoClient._open_socket

    def recorded(self, addr_info):
        reached.append(addr_info[4][0])
        real(self, addr_info).close()
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(PhotoClient, "_open_socket", recorded)
    rebinding = resolver(["8.8.8.8", "9.9.9.9"], ["127.0.0.1"])
    answer = fetch("http://photos.example/1.jpg", DownloadOptions(), rebinding)
    assert answer.reason.startswith("no connection (")
    assert "unreachable" in answer.reason
    assert set(reached) == {"8.8.8.8", "9.9.9.9"}
    assert rebinding.asked == ["photos.example"]


def test_an_address_is_refused_at_the_socket_too(monkeypatch):
    """Whatever a resolver let pass: nobody connects to an address that may not be asked."""
    monkeypatch.setattr(CheckedResolver, "addresses", lambda self, host, port: loopback())

    async def loopback():
        return ["127.0.0.1"]

    with PhotoServer({"1": PHOTO}) as server:
        url = f"http://photos.example:{server.port}/photos/1.jpg"
        answer = fetch(url, DownloadOptions())
        assert answer.state == State.REFUSED
        assert "127.0.0.1, which is not a public address" in answer.reason
        assert server.requests.total() == 0


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/a%2Fb.jpg?sig=x%3D%2B%7e&u=%C3%A9", "/a%2Fb.jpg?sig=x%3D%2B%7e&u=%C3%A9"),  # as signed
        ("/a b/\u00e9.jpg?q=\u00e9", "/a%20b/%C3%A9.jpg?q=%C3%A9"),
        ("", "/"),
        ("#part", "/"),
    ],
)
def test_a_url_is_asked_for_as_it_stands(path, asked):
    assert str(parse(f"http://Photos.example{path}")) == f"http://photos.example{asked}"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (photo_server.connection_reset, "the connection broke off ("),
        (photo_server.truncated, "the body breaks off ("),
        (photo_server.cut_chunks, "the body breaks off ("),
    ],
)
def test_trouble_of_the_network_has_words(fault, words):
    answer = answer_of(fault)
    assert isinstance(answer, Retry)
    assert answer.reason.startswith(words)


def test_the_next_address_is_tried_where_one_does_not_answer():
    with PhotoServer({"1": PHOTO}) as server:
        url = f"http://photos.example:{server.port}/photos/1.jpg"
        answer = fetch(url, quick(), resolver(["127.0.0.9", "127.0.0.1"]))
        assert answer == Success(PHOTO, 200)
        assert server.log[0][2]["Host"] == f"photos.example:{server.port}"


def test_an_unknown_host_is_tried_again():
    async def nowhere(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    answer = fetch("http://nowhere.invalid/1.jpg", quick(), nowhere)
    assert isinstance(answer, Retry)
    assert "nowhere.invalid is not known" in answer.reason


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with PhotoServer({"1": PHOTO}) as server:
        assert fetch(server.url("1")) == Success(PHOTO, 200)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "   ",
        "photo.jpg",
        "ftp://a/x",
        "http:///x",
        "http://[::1",
        "http://a:0/",
        "\ud800",
        "x" * 9000,
    ],
)
def test_what_is_no_web_address_is_refused_before_any_request(url):
    assert parse(url).state == State.REFUSED


SELF_SIGNED = """openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2
-subj /CN=photos.example -addext subjectAltName=DNS:photos.example""".split()  # noqa: SIM905


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
def test_tls_is_checked_against_the_name_not_the_address(tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [*SELF_SIGNED, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    names, ports, stop = [], [], threading.Event()
    ready = threading.Event()

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    async def serve():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.sni_callback = lambda connection, name, _: names.append(name)
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.to_thread(stop.wait)
        server.close()

    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        local = resolver(["127.0.0.1"])
        good = fetch(f"https://photos.example:{ports[0]}/", quick(), local)
        assert good == Success(b"hi", 200)
        assert names == ["photos.example"]
        bad = fetch(f"https://other.example:{ports[0]}/", quick(), local)
        assert isinstance(bad, Retry)
        assert "certificate" in bad.reason.lower()
    finally:
        stop.set()
        thread.join(10)
