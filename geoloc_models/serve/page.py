"""The page itself, in Gradio: where a photo is dropped, and where the pieces of its answer go."""

from __future__ import annotations

import html
import os
from typing import Any

from geoloc_models._errors import GeolocError
from geoloc_models.serve.gate import PLACE_PATH
from geoloc_models.serve.placing import PhotoPlacer
from geoloc_models.serve.upload import Limits, too_large

TITLE = "Where was this photo taken?"

_STYLE = """
.geoloc-drop { display: block; border: 2px dashed #8a94a6; border-radius: 10px; padding: 20px 16px;
  text-align: center; cursor: pointer; font-size: 17px; }
.geoloc-drop.over, .geoloc-drop:focus-within { border-color: #313695; background: #31369514; }
.geoloc-drop input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.geoloc-drop small { display: block; margin-top: 6px; opacity: 0.75; }
.geoloc-status { margin-top: 8px; text-align: center; }
.geoloc-status:empty { display: none; }
.geoloc-status.error { color: #b3261e; font-weight: 600; }
.dark .geoloc-status.error { color: #f2b8b5; }
#geoloc-answer:not(:has(h2)) { display: none; }
#geoloc-map:not(:has(iframe)) { display: none; }
#geoloc-nearby:not(:has(h3)) { display: none; }
.geoloc-answer { display: flex; gap: 20px; flex-wrap: wrap; align-items: flex-start; }
.geoloc-answer > div { flex: 1; min-width: 240px; }
.geoloc-answer img { max-width: 260px; width: 100%; border-radius: 6px; }
.geoloc-answer h2 { margin: 0 0 8px; font-size: 24px; }
.geoloc-answer dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 0; }
.geoloc-answer dt { opacity: 0.75; }
.geoloc-answer dd { margin: 0; font-weight: 600; }
.geoloc-note { font-size: 13px; opacity: 0.8; margin: 8px 0 0; }
.geoloc-map { width: 100%; border: 1px solid #8a94a6; border-radius: 6px; background: white; }
.geoloc table { border-collapse: collapse; border: 0 !important; width: 100%; margin-top: 6px; }
.geoloc :is(tr, th, td) { border: 0 !important; text-align: left; }
.geoloc :is(th, td) { padding: 4px 10px 4px 0 !important; border-bottom: 1px solid #8a94a655 !important; }
.geoloc h3 { margin: 14px 0 4px; }
footer { display: none !important; }
"""

# Runs in the browser. The photo goes to the server as the body of one request; the answer's pieces
# go to Gradio's parts of the page.
_PROGRAM = """
const input = element.querySelector("input");
const zone = element.querySelector(".geoloc-drop");
const status = element.querySelector(".geoloc-status");
const maxBytes = Number(zone.dataset.maxBytes);
const tell = (text, isError) => {
  status.textContent = text;
  status.classList.toggle("error", Boolean(isError));
};
let turn = 0;
const show = (pieces) => { window.geolocPieces = pieces; trigger("submit"); };
const place = async (file) => {
  const own = ++turn;
  show(["", "", ""]);
  if (file.size > maxBytes) { tell(zone.dataset.tooLarge, true); return; }
  tell("Looking at the photo …");
  let reply;
  try {
    const response = await fetch("PLACE_PATH", { method: "POST", body: file,
      headers: { "Content-Type": "application/octet-stream" } });
    reply = await response.json();
    reply.ok = response.ok;
  } catch (error) {
    reply = { ok: false, message: "No answer came. Is this a file, and is the server running?" };
  }
  if (own !== turn) { return; }
  if (!reply.ok) { tell(reply.message || "The server gave no answer.", true); return; }
  tell("");
  show([reply.answer, reply.map, reply.nearby]);
};
input.addEventListener("change", () => {
  if (input.files.length) { place(input.files[0]); }
  input.value = "";
});
// Anywhere on the page: beside the zone, the browser would leave the page to show the file.
for (const name of ["dragover", "dragenter"]) {
  document.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) { zone.classList.remove("over"); }
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  zone.classList.remove("over");
  const files = event.dataTransfer.files;
  if (files.length > 1) { tell("One photo at a time, please.", true); }
  else if (files.length) { place(files[0]); }
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) { place(event.clipboardData.files[0]); }
});
""".replace("PLACE_PATH", PLACE_PATH.lstrip("/"))

_FOOTNOTE = (
    "The photo goes to the server that this page came from, is looked at in memory and forgotten: "
    "nothing is kept on disk. EXIF data play no part in the answer and are not shown. A model "
    "guesses from pixels: read the probability and the radius before you believe it."
)


def import_gradio() -> Any:
    """Import gradio, told beforehand to call nobody; GeolocError where it is missing."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio
    except ModuleNotFoundError as error:
        raise GeolocError("The page needs gradio; run: pip install 'geocells[serve]'") from error
    if int(str(gradio.__version__).split(".")[0]) < 6:
        raise GeolocError(
            f"The page needs gradio 6 or newer; this is {gradio.__version__}. Run: pip install "
            "--upgrade 'geocells[serve]'"
        )
    return gradio


def make_page(gradio: Any, placer: PhotoPlacer) -> Any:
    """Lay the page out.

    Parameters
    ----------
    gradio : module
        From :func:`import_gradio`.
    placer : PhotoPlacer
        Whose limits the page tells.

    Returns
    -------
    gradio.Blocks
        All that happens in it happens in the browser: none of its events calls the server.
    """
    with gradio.Blocks(title=TITLE, analytics_enabled=False) as page:
        gradio.HTML(f"<h1 style='margin: 0'>{html.escape(TITLE)}</h1>")
        drop = gradio.HTML(drop_zone(placer.limits), js_on_load=_PROGRAM, elem_id="geoloc-drop")
        answer = gradio.HTML(elem_id="geoloc-answer", elem_classes="geoloc")
        chart = gradio.HTML(elem_id="geoloc-map")
        nearby = gradio.HTML(elem_id="geoloc-nearby", elem_classes="geoloc")
        gradio.HTML(f"<p class='geoloc-note'>{html.escape(_FOOTNOTE)}</p>")
        drop.submit(fn=None, js="() => window.geolocPieces", outputs=[answer, chart, nearby])
    return page


def page_options(gradio: Any) -> dict[str, Any]:
    """What is said where the page is mounted: a theme of the system's own fonts, and the style."""
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    return {"theme": gradio.themes.Base(**fonts), "css": _STYLE}


def drop_zone(limits: Limits) -> str:
    """Where a photo is dropped or chosen, and what the page says about it."""
    return (
        f"<label class='geoloc-drop' data-max-bytes='{limits.max_bytes}' "
        f"data-too-large='{html.escape(too_large(limits), quote=True)}'>"
        "<input type='file' accept='image/*,.heic,.heif,.avif' aria-label='Photo'>"
        "Drop a photo here, paste one, or click to choose"
        f"<small>up to {limits.megabytes:g} MB and {limits.megapixels:g} megapixels</small></label>"
        "<div class='geoloc-status' role='status' aria-live='polite'></div>"
    )
