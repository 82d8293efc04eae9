"""Leaflet inside a map's page, so that the page asks no server for its program.

Folium's pages link to a dozen files on public servers: offline they stay empty, and online those
servers learn of every look at the map. Leaflet 1.9.4 (BSD 2-Clause) and Leaflet.markercluster 1.5.3
(MIT) lie beside this file, unchanged, with their licences.
"""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files
from typing import Any

# Folium's popups use one thing of jQuery, and its page one class of Bootstrap's style sheet.
_POPUPS = """
window.$ = function (text) {
  const holder = document.createElement("template");
  holder.innerHTML = text.trim();
  return holder.content.childNodes;
};
"""
_STYLE = "*, ::before, ::after { box-sizing: border-box; } body { margin: 0; }"


def keep_inside(chart: Any, clusters: Any = None) -> None:
    """Give a folium map its program and style as data inside the page, not as links.

    Parameters
    ----------
    chart : folium.Map
        Drawn with vectors, pictures, and markers whose icon is a ``DivIcon``: folium's other icons
        need fonts from public servers.
    clusters : folium.plugins.MarkerCluster, optional
        On the map.
    """
    chart.default_js = [("leaflet", _link("leaflet.js")), ("popups", _data("javascript", _POPUPS))]
    chart.default_css = [("style", _data("css", _STYLE)), ("leaflet_css", _link("leaflet.css"))]
    if clusters is not None:
        clusters.default_js = [("clusters", _link("leaflet.markercluster.js"))]
        clusters.default_css = [("clusters_css", _link("leaflet.markercluster.css"))]


@cache
def _link(name: str) -> str:
    content = files(__name__).joinpath(name).read_text(encoding="utf-8")
    if name == "leaflet.css":
        # Besides this one there are a larger one for fine screens and a marker: neither is needed.
        picture = base64.b64encode(files(__name__).joinpath("layers.png").read_bytes()).decode()
        for own in ("layers.png", "layers-2x.png"):
            content = content.replace(f"images/{own}", f"data:image/png;base64,{picture}")
        content = content.replace("url(images/marker-icon.png)", "none")
    return _data("javascript" if name.endswith(".js") else "css", content)


def _data(kind: str, content: str) -> str:
    return f"data:text/{kind};base64,{base64.b64encode(content.encode()).decode()}"
