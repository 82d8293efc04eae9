"""``geoloc serve``: what it refuses, what it warns of, and how it ends."""

import os
import re
import signal
import socket
import types

import pytest
from command_line import geoloc, geoloc_refuses
from fresh_process import start_geoloc
from geoloc_models_serve import ask, hostile_uploads, photo, small_placer, upload
from starlette.applications import Starlette

from geoloc_models.serve.server import PatientServer, make_config

COMPILERS = {"numba_cache", f"torchinductor_{os.environ.get('USER', 'root')}"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return small_placer(tmp_path_factory.mktemp("command")).model.folder


def test_bad_input_is_told_in_one_sentence(bundle, tmp_path):
    for arguments, reason in (
        (("-m", tmp_path / "none"), "There is no model"),
        (("-m", bundle, "--max-megabytes", "0"), "limit of megabytes must be above 0"),
        (("-m", bundle, "--max-megapixels", "-1"), "limit of megapixels must be above 0"),
        (("-m", bundle, "--tiles", "https://example.com/{z}/{x}/{y}.png"), "example.com"),
    ):
        assert reason in geoloc_refuses("serve", *arguments)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = geoloc_refuses("serve", "-m", bundle, "--port", port)
    assert f"Nothing can listen on 127.0.0.1 port {port}" in said


def started(bundle, folder, temporary):
    """The command, in a process of its own."""
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    return start_geoloc("serve", "-m", bundle, "--port", 0, cwd=folder, env=environment)


def port_of(process):
    line = process.stdout.readline()
    found = re.fullmatch(r"The page is http://127\.0\.0\.1:(\d+) \(Ctrl-C ends it\)\.\n", line)
    assert found, line + process.stderr.read()
    return int(found[1])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_server_listens_here_alone_and_ends_cleanly(bundle, tmp_path, how):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = started(bundle, tmp_path, temporary)
    try:
        port = port_of(process)
        assert upload(port, photo())[0] == 200
        assert ask(port, "GET", "/")[0] == 200
        for content in hostile_uploads().values():
            assert upload(port, content)[0] == 422
        files = [path for path in temporary.rglob("*") if path.is_file()]
        assert [path for path in files if "numba" not in str(path)] == []
        process.send_signal(how)
        _, told = process.communicate(timeout=600)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in told
    assert "Warning" not in told
    assert process.returncode == 0
    assert told.endswith("Ended; nothing was kept.\n")
    assert [path.name for path in temporary.iterdir() if path.name not in COMPILERS] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["temporary"]


def test_a_second_interruption_does_not_break_off_the_end():
    server = PatientServer(make_config(Starlette()))
    for _ in range(2):
        server.handle_exit(signal.SIGINT, None)
    assert server.should_exit
    assert not server.force_exit


def test_who_still_waits_when_the_server_ends_is_told(bundle, tmp_path):
    process = started(bundle, tmp_path, tmp_path)
    try:
        port = port_of(process)
        head = "{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n"
        with (
            socket.create_connection(("127.0.0.1", port), timeout=600) as page,
            socket.create_connection(("127.0.0.1", port), timeout=600) as half_sent,
        ):
            page.sendall(head.format("GET /", 0).encode())
            assert b"200 OK" in page.recv(4096)
            half_sent.sendall(head.format("POST /place", 1000).encode() + b"x")
            assert ask(port, "GET", "/")[0] == 200  # sent later: the others have come in
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=600)
            answered = half_sent.recv(4096)
    finally:
        process.kill()
        process.wait()
    assert b" 503 " in answered.splitlines()[0]
    assert b"The server was ended before it came to this photo." in answered
    assert process.returncode == 0
    assert "Traceback" not in told
    assert told.endswith("Ended; nothing was kept.\n")


def test_another_host_is_warned_of(bundle, monkeypatch):
    from geoloc_models.serve import server

    asked = []
    monkeypatch.setattr(server, "run_server", lambda placer, **options: asked.append(options))
    result = geoloc("serve", "-m", bundle, "--host", "0.0.0.0")
    assert "Warning: 0.0.0.0 lets other machines in" in result.stderr
    assert asked[0]["host"] == "0.0.0.0"
    for own in ("127.0.0.1", "localhost", "::1", "0:0::1", "127.0.0.2"):
        assert "Warning" not in geoloc("serve", "-m", bundle, "--host", own).stderr
    for other in ("127.example.com", "0", "::", ""):
        assert "lets other machines in" in geoloc("serve", "-m", bundle, "--host", other).stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "0", ""])
def test_only_a_server_for_others_goes_by_any_address(monkeypatch, host):
    import uvicorn

    from geoloc_models.serve import server

    asked, said = [], []
    monkeypatch.setattr(server, "make_application", lambda _, **options: asked.append(options))
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    placer = types.SimpleNamespace(warm_up=lambda: None)
    server.run_server(placer, host=host, port=0, names=["Attic.lan"], report=said.append)
    any_address = host not in ("127.0.0.1", "localhost")
    shown = host if host == "localhost" else "127.0.0.1"
    assert asked[0]["any_address"] == any_address
    assert {"127.0.0.1", "localhost", "attic.lan"} <= asked[0]["hosts"]
    assert (socket.gethostname().lower() in asked[0]["hosts"]) == any_address
    assert re.fullmatch(rf"http://{re.escape(shown)}:\d+", said[0])


def test_the_page_offers_what_it_is_told_to(bundle, tmp_path, monkeypatch):
    from geoloc_models.serve import server

    offers = []
    monkeypatch.setattr(server, "run_server", lambda placer, **options: offers.append(options))
    geoloc("serve", "-m", bundle)
    (tmp_path / "lake.jpg").write_bytes(photo())
    geoloc("serve", "-m", bundle, "--examples", tmp_path, "--allow-addresses")
    (bundle / "examples").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (bundle / "examples" / name).write_bytes(photo())
    geoloc("serve", "-m", bundle)
    assert [len(own["examples"]) for own in offers] == [0, 1, 2]
    assert [own["addresses"] is None for own in offers] == [True, False, True]
    assert not offers[1]["addresses"].allow_networks
    assert "There is no" in geoloc_refuses("serve", "-m", bundle, "--examples", tmp_path / "none")
