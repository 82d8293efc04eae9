"""The server: what it answers, whom it answers, and what it leaves behind."""

import contextlib
import io
import json
import logging
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from geoloc_models_bundles import few_places
from geoloc_models_download import quick
from geoloc_models_serve import SECRET, ask, photo, served, small_placer, upload
from PIL import Image

from geoloc_models.download import DownloadOptions
from geoloc_models.errors import GeolocError
from geoloc_models.serve import Limits, application, read_examples, server
from geoloc_models.serve.middleware import LOOPBACK

pytestmark = pytest.mark.usefixtures("towns")


@pytest.fixture(scope="module")
def placer(tmp_path_factory):
    limits = Limits(megabytes=0.5, waiting=1, seconds=5)
    return small_placer(tmp_path_factory.mktemp("placer"), limits=limits)


@pytest.fixture(scope="module")
def port(placer):
    with pytest.MonkeyPatch.context() as patch:
        few_places(patch)
        with served(placer) as port:
            yield port


def test_a_photo_gets_an_answer_and_a_map(port):
    status, found = upload(port, photo())
    assert status == 200
    assert sorted(found) == ["answer", "map"]
    assert "321 km" in found["answer"]
    assert SECRET not in json.dumps(found)


def test_a_photo_is_known_by_its_content_whatever_it_is_called(port):
    headers = {"Content_Type": "text/html", "Content_Disposition": "filename=../../x.php"}
    assert upload(port, photo(), **headers)[0] == 200
    status, found = upload(port, b"no photo", Content_Type="image/jpeg")
    assert (status, list(found)) == (422, ["message"])
    assert found["message"].startswith("The file ")


def test_a_large_upload_is_refused_announced_or_not(port):
    status, found = upload(port, bytes(500_001))
    told = "The file is larger than the 0.5 MB that this page takes."
    assert (status, found["message"]) == (413, told)
    chunks = (bytes(100_000) for _ in range(6))
    status, _, body = ask(port, "POST", "/place", chunks, {"Transfer-Encoding": "chunked"})
    assert (status, json.loads(body)["message"]) == (413, told)


def test_an_upload_that_never_ends_is_ended(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        head = "POST /place HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx"
        connection.sendall(head.encode())
        assert b"408" in connection.recv(4096).split(b"\r\n")[0]
    assert upload(port, photo())[0] == 200


def test_no_more_uploads_wait_than_the_limit(placer, port, monkeypatch):
    go_on, waits = threading.Event(), threading.Semaphore(0)
    place = type(placer).place

    def slowly(self, content):
        waits.release()
        go_on.wait(600)
        return place(self, content)

    monkeypatch.setattr(type(placer), "place", slowly)
    results = []
    thread = threading.Thread(target=lambda: results.append(upload(port, photo())[0]))
    thread.start()
    try:
        assert waits.acquire(timeout=600)
        status, found = upload(port, photo())
    finally:
        go_on.set()
        thread.join(600)
    assert (status, found["message"].split(".")[0]) == (503, "Other photos are being placed")
    assert results == [200]
    assert upload(port, photo())[0] == 200


def test_a_fault_of_the_server_is_told_without_its_traceback(placer, port, monkeypatch, caplog):
    def fails(self, content):
        raise RuntimeError("secret path /home/ada")

    monkeypatch.setattr(type(placer), "place", fails)
    with caplog.at_level(logging.CRITICAL + 1):
        status, found = upload(port, photo())
    assert status == 500
    assert found["message"].startswith("Something went wrong")
    assert "ada" not in json.dumps(found)


def test_the_page_and_its_files_run_nothing_but_themselves(port):
    status, headers, body = ask(port, "GET", "/")
    page = body.decode()
    assert status == 200
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["referrer-policy"] == "same-origin"
    assert "Choose a photo" in page
    assert "examples/" not in page
    assert "address" not in page.replace("an address", "")
    assert "up to 0.5 MB and 50 megapixels" in page
    assert 'data-max-bytes="500000"' in page
    assert not re.search(r"style=|\son\w+=|<script>|<style>", page)  # the policy forbids them
    linked = re.findall(r'(?:src|href)="(static/[^"]+)"', page)
    assert len(linked) == 8
    for path in [*linked, "static/images/layers.png"]:
        status, headers, _ = ask(port, "GET", f"/{path}")
        assert status == 200
        assert "content-security-policy" in headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 405),
        ("GET", "/examples/0.jpg", 404),
        ("GET", "/examples/-1.jpg", 404),
        ("GET", "/examples/../server.py", 404),
        ("GET", "/place", 405),
        ("DELETE", "/static/page.js", 405),
        ("GET", "/static/", 404),
        ("GET", "/static/../server.py", 404),
        ("GET", "/static/../../../../etc/passwd", 404),
        ("GET", "/static/%2e%2e/%2e%2e/files.py", 404),
        ("GET", "/docs", 404),
        ("GET", "/static/" + "a" * 5000, 404),
        ("GET", "/static/a%00b", 404),
    ],
)
def test_nothing_else_is_served(port, method, path, status):
    found, headers, body = ask(port, method, path, b"" if method == "POST" else None)
    assert found == status
    assert list(json.loads(body)) == ["message"]
    assert "content-security-policy" in headers


def test_other_sites_are_turned_away(port):
    own = f"http://127.0.0.1:{port}"
    assert upload(port, photo(), Origin=own)[0] == 200
    assert upload(port, photo(), Origin="https://example.com")[0] == 403
    assert upload(port, photo(), Origin=f"https://127.0.0.1:{port}")[0] == 200  # behind TLS
    for origin in ("null", "", "http://[", f"file://127.0.0.1:{port}", "http://127.0.0.1:1"):
        status, found = upload(port, photo(), Origin=origin)
        assert (status, found["message"]) == (403, "Only the page itself may ask.")
    status, _, body = ask(port, "GET", "/", headers={"Host": f"rebound.example.com:{port}"})
    assert status == 421
    assert "own name" in json.loads(body)["message"]
    assert ask(port, "GET", "/", headers={"Host": f"localhost:{port}"})[0] == 200


def test_a_server_for_other_machines_goes_by_addresses_and_its_own_names(placer):
    with served(placer, hosts=LOOPBACK | {"attic.lan"}, any_address=True) as port:
        for name in ("192.168.1.5", "[fe80::1]", "attic.lan", "ATTIC.lan.", "localhost"):
            assert ask(port, "GET", "/", headers={"Host": f"{name}:{port}"})[0] == 200
        for name in ("example.com", "192.168.1.5.example.com", "attic.lan.example.com", "[", ""):
            assert ask(port, "GET", "/", headers={"Host": f"{name}:{port}"})[0] == 421


HOSTS_THAT_ARE_NONE = [
    "evil.com@127.0.0.1", "127.0.0.1@evil.com", "127.0.0.1/evil.com", "127.0.0.1?evil.com", "127.0.0.1:x",
    "[::1]evil.com", "127.0.0.1.evil.com", "127.0.0.1#", "[127.0.0.1", "127.0.0.1:80:80", "",
]  # fmt: skip
FORWARDED = {
    "X-Forwarded-Host": "evil.com",
    "X-Forwarded-Proto": "https",
    "Forwarded": "host=evil.com",
}


@pytest.mark.parametrize("host", ["127.0.0.1", *HOSTS_THAT_ARE_NONE])
def test_a_host_is_a_name_or_address_and_a_port_alone_and_who_forwards_is_not_believed(port, host):
    status, headers, body = ask(port, "GET", "/", headers={"Host": host, **FORWARDED})
    assert status == (421 if host in HOSTS_THAT_ARE_NONE else 200)
    assert "evil" not in f"{headers}{body}"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GE",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\nX: ",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx",
    ],
)
def test_what_never_ends_is_closed_however_slowly_it_goes_on(port, sent, monkeypatch):
    monkeypatch.setattr(server, "_SECONDS_OF_HEADERS", 0.5)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        connection.settimeout(0.1)
        with contextlib.suppress(ConnectionError):
            for _ in range(300):
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(1 << 16):
                        break
                    continue
                if sent:
                    connection.sendall(b"x")
            else:
                pytest.fail("the connection stays open")


def test_slow_uploads_leave_room_for_others(port, monkeypatch):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"POST /place HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx")
        while upload(port, photo())[0] != 503:  # the slow one has not arrived yet
            pass
        monkeypatch.setattr(application, "_SECONDS_BEFORE_OTHERS", 0.0)
        assert upload(port, photo())[0] == 200
        assert b"408" in slow.recv(4096).split(b"\r\n")[0]


def test_the_server_calls_nobody(placer, monkeypatch):
    called = []
    connect = socket.socket.connect

    def noted(self, address):
        called.append(address[0])
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    with served(placer) as port:
        assert ask(port, "GET", "/")[0] == 200
        assert upload(port, photo())[0] == 200
    assert set(called) == {"127.0.0.1"}


def test_a_map_of_tiles_may_load_pictures_and_nothing_else(tmp_path):
    with served(small_placer(tmp_path, tiles="OpenStreetMap")) as port:
        policy = ask(port, "GET", "/")[1]["content-security-policy"]
        found = upload(port, photo())[1]
    sources = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert sources["img-src"].endswith("https:")
    assert "https" not in sources["script-src"] + sources["connect-src"]
    assert "tile.openstreetmap.org" in found["map"]["tiles"]["url"]


def test_examples_are_pictures_of_pixels_alone(placer, tmp_path):
    for row in range(30):
        (tmp_path / f"{row:02}.jpg").write_bytes(photo(row, size=(900, 700)))
    examples = read_examples(tmp_path)
    assert len(examples) == 12
    with served(placer, examples=examples) as port:
        assert re.findall(r'src="(examples/\d+\.jpg)"', ask(port, "GET", "/")[2].decode()) == [
            f"examples/{number}.jpg" for number in range(12)
        ]
        status, headers, content = ask(port, "GET", "/examples/11.jpg")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.size == (498, 640)  # upright: the photo is turned by its EXIF data
            assert dict(picture.getexif()) == {}
        assert SECRET.encode() not in content
        assert upload(port, content)[0] == 200
        assert ask(port, "GET", "/examples/12.jpg")[0] == 404


def test_a_folder_without_a_photo_has_no_examples(tmp_path):
    with pytest.raises(GeolocError, match="no photo"):
        read_examples(tmp_path)


class Web(BaseHTTPRequestHandler):
    """The rest of the web: a photo, and what is none."""

    def do_GET(self):
        bodies = {"/photo": photo(), "/text": b"no photo", "/large": bytes(600_000)}
        targets = {"/moved": "/photo", "/loop": "/loop", "/inside": "file:///etc/passwd"}
        self.send_response(302 if self.path in targets else 200 if self.path in bodies else 404)
        if self.path in targets:
            self.send_header("Location", targets[self.path])
        body = bodies.get(self.path, b"")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web():
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def send_address(port, address):
    status, _, body = ask(port, "POST", "/address", address.encode())
    return status, json.loads(body)


REFUSED = "This is not the web address of a photo that this server may ask for."


def test_a_photo_is_fetched_from_an_address_and_nothing_else_is(placer, web):
    with served(placer, addresses=quick(max_megabytes=0.5)) as port:
        page = ask(port, "GET", "/")[2].decode()
        assert '<form id="address">' in page
        for path in ("/photo", "/moved"):
            status, found = send_address(port, f" {web}{path} ")
            assert (status, sorted(found)) == (200, ["answer", "map"])
        for address, message in [
            (f"{web}/none", "No photo came from there: status 404."),
            (f"{web}/loop", "No photo came from there: too many redirects."),
            (f"{web}/large", "No photo came from there: more than 500,000 bytes."),
            (f"{web}/inside", REFUSED),
            ("file:///etc/passwd", REFUSED),
            ("a lake", REFUSED),
            ("", REFUSED),
            ("\xff", REFUSED),
            ("http://a@127.0.0.1/", REFUSED),
        ]:
            assert send_address(port, address) == (422, {"message": message})
        status, found = send_address(port, f"{web}/text")
        assert (status, found["message"][:24]) == (422, "The file is not an image")
        assert send_address(port, f"{web}/{'a' * 500_001}")[0] == 413


def test_no_address_of_this_network_is_asked_and_none_at_all_unless_allowed(placer, port, web):
    status, found = send_address(port, f"{web}/photo")
    assert (status, found["message"]) == (404, "There is nothing here.")
    with served(placer, addresses=DownloadOptions()) as open_port:
        for address in (f"{web}/photo", "http://localhost/", "http://169.254.169.254/latest"):
            assert send_address(open_port, address) == (422, {"message": REFUSED})
