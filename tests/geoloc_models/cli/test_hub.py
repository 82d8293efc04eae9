"""``geoloc push`` and ``geoloc pull`` against a server of our own that speaks as the hub does."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from command_line import geoloc, geoloc_refuses
from geoloc_models_bundles import save_small_bundle
from geoloc_models_small import small_table

from geoloc_models.inference.calibration import Calibration, save_calibration
from geoloc_models.inference.decoder_file import save_decoder
from geoloc_models.inference.model_card import ModelCard, save_model_card
from geoloc_models.models.tasks import TASKS

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """Repositories in memory: the calls that an upload and a download make."""

    def log_message(self, *_):
        """Be quiet."""

    def answer(self, content, status=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        if "Content-Length" in self.headers:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        else:  # in chunks
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        files = self.server.files
        if self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            self.answer({"url": f"{self.server.address}/anna/alps"})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            regular = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{"path": path, **regular} for path in paths]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer(
                {
                    "commitUrl": f"{self.server.address}/anna/alps/commit/{COMMIT}",
                    "commitOid": COMMIT,
                }
            )
        else:
            self.answer({}, 404)

    def do_GET(self):
        files = self.server.files
        if not self.path.removeprefix("/api/models").startswith("/anna/alps") or not files:
            self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif "/tree/" in self.path:
            self.answer(
                [
                    {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                    for path, content in files.items()
                ]
            )
        elif self.path.startswith("/api/models/"):
            siblings = [{"rfilename": path} for path in files]
            self.answer({"id": "anna/alps", "sha": COMMIT, "siblings": siblings, "private": False})
        else:
            content = files[self.path.rpartition("/")[2]]
            etag = hashlib.sha1(content).hexdigest()
            self.answer(content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files, server.created = {}, {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def bundle(tmp_path):
    table = small_table()
    folder = save_small_bundle("cells", table, tmp_path / "run" / "bundle")
    save_decoder(folder, table.coords, [row % 2 for row in range(table.n_rows)])
    save_model_card(ModelCard("2026-11-28", {"CH": 40}, 7, {}), folder)
    return folder


def test_a_model_goes_to_the_hub_and_comes_back_as_it_was(hub, bundle, tmp_path):
    assert "anna/alps" in geoloc("push", bundle.parent, "anna/alps").stdout
    assert "private" in (
        hub.created.get("visibility"),
        *[key for key, on in hub.created.items() if on is True],
    )
    names = {path.name for path in bundle.iterdir()}
    assert set(hub.files) == names - {"decoder.parquet"}  # where training photos were taken
    hub.files["run_me.py"] = b"raise SystemExit"
    result = geoloc("pull", "anna/alps")
    assert "40 photos of Switzerland" in result.stdout
    assert "--model models/alps" in result.stdout
    pulled = tmp_path / "models" / "alps"
    for name in names - {"decoder.parquet"}:
        assert (pulled / name).read_bytes() == (bundle / name).read_bytes()
    assert not (pulled / "run_me.py").exists()
    geoloc("push", bundle, "anna/alps", "--with-places", "--public")
    assert hub.files["decoder.parquet"] == (bundle / "decoder.parquet").read_bytes()


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_no_place_of_a_training_photo_is_uploaded_unasked(hub, kind, tmp_path):
    bundle = save_small_bundle(kind, small_table(), tmp_path / kind)
    save_calibration(Calibration("argmax", "fixed", 5.0, 20), bundle)
    with_places = {"photos.parquet", "gallery.parquet", "images.parquet", "prototypes.parquet"}
    names = {path.name for path in bundle.iterdir()}
    if kind in ("nearest", "retrieval", "refined"):
        assert "--with-places" in geoloc_refuses("push", bundle, "anna/alps")
    else:
        geoloc("push", bundle, "anna/alps")
        assert not with_places & hub.files.keys()
        assert ("calibration.json" in hub.files) == (kind != "pooled")  # made with the places
        geoloc("pull", "anna/alps", "-o", "pulled")
    geoloc("push", bundle, "anna/alps", "--with-places")
    assert set(hub.files) == names


def test_what_is_not_there_or_no_bundle_is_told_in_a_sentence(hub, bundle, tmp_path):
    assert "anna/none" in geoloc_refuses("pull", "anna/none")
    assert "a/b/c" in geoloc_refuses("push", bundle, "a/b/c")
    hub.files["card.json"] = b"{}"
    assert "no model bundle" in geoloc_refuses("pull", "anna/alps")
    assert not (tmp_path / "models" / "alps").exists()
