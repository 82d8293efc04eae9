"""A map in a browser: photos at their answers, and how the probability lies around them."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image
from scipy import ndimage

from geoloc_models._errors import GeolocError
from geoloc_models.countries import load_countries
from geoloc_models.inference import leaflet as _leaflet

if TYPE_CHECKING:
    import folium

FloatArray = npt.NDArray[np.float64]

MOST_DETAILED = 50
"""Photos whose probabilities are drawn; of the others the answer alone."""

_MOST_CORNERS = 20_000  # of a photo's cells, before their outlines are simplified
_SURFACE_PIXELS = 256
_SURFACE_MASS = 0.98  # what the surface leaves out may lie anywhere on earth
_SURFACE_MARGIN = 0.15
_BLUR_PIXELS = 4.0
_MOST_NORTHERN = 85.0  # Mercator has no pole
_MARKER_PIXELS = 56
_POPUP_PIXELS = 240  # widest picture in a popup
_STOPS = np.array([(254, 224, 144), (244, 109, 67), (165, 0, 38)], dtype=np.float64)
_CORE, _WHOLE, _RADIUS, _EXIF = "#a50026", "#f46d43", "#313695", "#1a9850"

_LEGEND = f"""
<div style="position: fixed; bottom: 64px; left: 10px; z-index: 900; background: white;
            padding: 6px 10px; border-radius: 4px; font: 12px sans-serif; opacity: 0.9;
            box-shadow: 0 0 4px #888;">
  <div><span style="color: {_CORE};">&#9632;</span> half of the probability</div>
  <div><span style="color: {_WHOLE};">&#9632;</span> 90 % of the probability</div>
  <div><span style="color: {_RADIUS};">&#9711;</span> 90 % radius, where calibrated</div>
  <div><span style="color: {_EXIF};">&#9679;</span> EXIF position, where compared</div>
"""


@dataclass(frozen=True, eq=False)
class RegionCell:
    """A cell of a credible region, or a place of a gallery.

    Parameters
    ----------
    latitude, longitude : float
        Of its point, in degrees.
    probability : float
        That the photo was taken there.
    in_core : bool
        Whether it belongs to the smallest set that holds half of the probability.
    outline : polygon, optional
        In (longitude, latitude) degrees.
    """

    latitude: float
    longitude: float
    probability: float
    in_core: bool
    outline: Any = None


@dataclass(frozen=True, eq=False)
class MappedPhoto:
    """What a map shows of a photo.

    Parameters
    ----------
    name : str
        Any text; it is shown, never obeyed.
    latitude, longitude : float
        The answer, in degrees.
    facts : tuple of (str, str)
        Titles and texts.
    thumbnail : PIL.Image.Image, optional
        RGB; its pixels alone go into the map.
    radius_km : float, optional
        The 90 % radius.
    region : tuple of RegionCell
        Of 90 % of the probability.
    surface : tuple of ndarray, optional
        (m, 2) places in degrees and the (m,) probability that each of them bears.
    exif : tuple of float, optional
        Latitude and longitude that the photo's own EXIF data say.
    """

    name: str
    latitude: float
    longitude: float
    facts: tuple[tuple[str, str], ...] = ()
    thumbnail: Image.Image | None = None
    radius_km: float | None = None
    region: tuple[RegionCell, ...] = ()
    surface: tuple[FloatArray, FloatArray] | None = None
    exif: tuple[float, float] | None = None


def draw_map(
    photos: Sequence[MappedPhoto],
    *,
    tiles: str | None = "OpenStreetMap",
    credit: str | None = None,
) -> folium.Map:
    """Draw photos at their answers.

    Parameters
    ----------
    photos : sequence of MappedPhoto
        Of more than :data:`MOST_DETAILED`, the probabilities of the first ones are drawn.
    tiles : str or None
        Background, as folium takes it; None draws the borders of countries, from this package.
    credit : str, optional
        Text below the legend: whose data the facts are.

    Returns
    -------
    folium.Map
        Several photos take turns: one's details are seen at a time. Its program is inside its page:
        no server is asked for anything but tiles.

    Raises
    ------
    GeolocError
        If folium is missing.
    """
    try:
        import folium
        from folium.plugins import MarkerCluster
    except ModuleNotFoundError as error:
        raise GeolocError("Maps need folium; run: pip install 'geocells[plot]'") from error
    chart = folium.Map(tiles=None, prefer_canvas=True, control_scale=True, world_copy_jump=True)
    chart.options["maxZoom"] = 18  # clusters ask for it, whether there are tiles or not
    if tiles is None:
        _draw_borders(chart, photos)
    else:
        folium.TileLayer(tiles, overlay=True, control=False).add_to(chart)
    alone = len(photos) == 1
    for number, photo in enumerate(photos[:MOST_DETAILED]):
        details = _details(photo)
        if alone:
            groups = [(folium.FeatureGroup(name=title), layers) for title, layers in details]
        else:
            # Leaflet offers layers that are no overlays as alternatives: one photo's at a time.
            name = _text(photo.name, 60)
            one = folium.FeatureGroup(name=name, overlay=False, show=number == 0)
            groups = [(one, [layer for _, layers in details for layer in layers])]
        for group, layers in groups:
            for layer in layers:
                layer.add_to(group)
            group.add_to(chart)
    clusters = None if alone else MarkerCluster(name="photos", control=False).add_to(chart)
    _leaflet.keep_inside(chart, clusters)
    markers = chart if clusters is None else clusters
    for photo in photos:
        _marker(photo).add_to(markers)
    if photos:
        folium.LayerControl(collapsed=len(photos) > 12).add_to(chart)
        chart.fit_bounds(_bounds(photos), max_zoom=12, padding=(20, 20))
    legend = f"{_LEGEND}<div>{_text(credit)}</div></div>" if credit else f"{_LEGEND}</div>"
    page: Any = chart.get_root()
    page.html.add_child(folium.Element(legend))
    return chart


def _details(photo: MappedPhoto) -> list[tuple[str, list[Any]]]:
    """Titles of layers, and what is on each, from below to above."""
    import folium

    details: list[tuple[str, list[Any]]] = []
    if photo.surface is not None and len(photo.surface[1]):
        pixels, bounds = probability_surface(*photo.surface)
        details.append(
            (
                "surface of the probability",
                [folium.raster_layers.ImageOverlay(data_url(pixels, "PNG"), bounds)],
            )
        )
    if photo.region:
        details.append(("credible regions of 50 and 90 %", [_region(photo.region)]))
    if photo.radius_km is not None:
        circle = folium.Circle(
            (photo.latitude, photo.longitude),
            radius=1000.0 * photo.radius_km,
            color=_RADIUS,
            weight=2,
            dash_array="6 4",
            fill=False,
        )
        details.append(("90 % radius", [circle]))
    if photo.exif is not None:
        place = folium.CircleMarker(
            photo.exif, radius=6, color="#ffffff", weight=1, fill_color=_EXIF, fill_opacity=1.0
        )
        line = folium.PolyLine(
            [(photo.latitude, photo.longitude), photo.exif], color=_EXIF, weight=2
        )
        details.append(("EXIF position", [line, place]))
    return details


def _region(region: Sequence[RegionCell]) -> Any:
    import folium

    highest = max(cell.probability for cell in region)
    outlines = [cell.outline for cell in region if cell.outline is not None]
    tolerance = 0.0
    if outlines and shapely.get_num_coordinates(outlines).sum() > _MOST_CORNERS:
        west, south, east, north = shapely.total_bounds(outlines).tolist()
        tolerance = max(east - west, north - south) / 2000.0
    features = []
    for cell in reversed(region):  # the likeliest are drawn last, above the others
        shape = cell.outline
        if shape is None:
            shape = shapely.Point(cell.longitude, cell.latitude)
        elif tolerance:
            shape = shapely.simplify(shape, tolerance, preserve_topology=True)
        features.append(
            {
                "type": "Feature",
                "geometry": shapely.geometry.mapping(shape),
                "properties": {
                    "probability": f"{100 * cell.probability:.2g} %",
                    "color": _CORE if cell.in_core else _WHOLE,
                    "opacity": round(0.08 + 0.35 * cell.probability / highest, 3),
                },
            }
        )
    return folium.GeoJson(
        {"type": "FeatureCollection", "features": features},
        style_function=lambda feature: {
            "color": feature["properties"]["color"],
            "weight": 1,
            "fillColor": feature["properties"]["color"],
            "fillOpacity": feature["properties"]["opacity"],
        },
        marker=folium.CircleMarker(radius=4, fill=True),
        tooltip=folium.GeoJsonTooltip(fields=["probability"]),
    )


def probability_surface(
    coords: FloatArray, shares: FloatArray
) -> tuple[Image.Image, list[list[float]]]:
    """Picture of where the probability lies, for the Mercator projection of web maps.

    Parameters
    ----------
    coords : ndarray
        (m, 2) latitude and longitude in degrees.
    shares : ndarray
        (m,) probability that each of them bears, above 0.

    Returns
    -------
    picture : PIL.Image.Image
        RGBA, 256 pixels at its longer side; the higher the density, the darker and the less
        transparent.
    bounds : list
        ``[[south, west], [north, east]]`` in degrees; east may be beyond 180.

    Notes
    -----
    Shares are gathered in pixels and blurred by a Gaussian of 4 pixels. The box holds the places
    with 98 % of the probability and some margin, by the shortest way around from the likeliest.
    """
    order = np.argsort(-shares, kind="stable")
    belongs = np.cumsum(shares[order]) - shares[order] < _SURFACE_MASS * shares.sum()
    places, weights = coords[order][belongs], shares[order][belongs]
    middle = places[0, 1]
    east = middle + np.mod(places[:, 1] - middle + 180.0, 360.0) - 180.0
    north = _mercator(places[:, 0])
    x_range, y_range = _widened(east), _widened(north)
    longest = max(x_range[1] - x_range[0], y_range[1] - y_range[0])
    width, height = (
        max(16, round(_SURFACE_PIXELS * (high - low) / longest)) for low, high in (x_range, y_range)
    )
    density, _, _ = np.histogram2d(
        north, east, bins=(height, width), range=(y_range, x_range), weights=weights
    )
    density = ndimage.gaussian_filter(density, _BLUR_PIXELS, mode="constant")[::-1]
    share = np.sqrt(density / density.max())
    pixels = np.empty((height, width, 4))
    for channel in range(3):
        pixels[..., channel] = np.interp(share, np.linspace(0, 1, len(_STOPS)), _STOPS[:, channel])
    pixels[..., 3] = 200.0 * np.clip(share * 1.5 - 0.05, 0.0, 1.0)
    south_north = _latitude(np.array(y_range))
    bounds = [
        [float(south_north[0]), float(x_range[0])],
        [float(south_north[1]), float(x_range[1])],
    ]
    return Image.fromarray(pixels.round().astype(np.uint8), "RGBA"), bounds


def _widened(values: FloatArray) -> tuple[float, float]:
    """Range of values with a margin; a degree at the least."""
    low, high = float(values.min()), float(values.max())
    margin = max(_SURFACE_MARGIN * (high - low), 0.5)
    return low - margin, high + margin


def _mercator(latitude: FloatArray) -> FloatArray:
    """Northing in degrees of longitude."""
    clipped = np.radians(np.clip(latitude, -_MOST_NORTHERN, _MOST_NORTHERN))
    northing: FloatArray = np.degrees(np.arcsinh(np.tan(clipped)))
    return northing


def _latitude(northing: FloatArray) -> FloatArray:
    latitude: FloatArray = np.degrees(np.arctan(np.sinh(np.radians(northing))))
    return latitude


def _marker(photo: MappedPhoto) -> Any:
    import folium

    rows = "".join(
        f'<tr><td style="color: #666; padding-right: 8px; white-space: nowrap;">{_text(title)}</td>'
        f'<td style="white-space: nowrap;">{_text(fact)}</td></tr>'
        for title, fact in photo.facts
    )
    picture = ""
    icon: Any = folium.DivIcon(
        html='<div style="font-size: 30px; line-height: 30px; color: #313695; text-align: center; '
        'text-shadow: 0 0 3px white;">&#9660;</div>',
        icon_size=(30, 30),
        icon_anchor=(15, 26),
        popup_anchor=(0, -22),
    )
    if photo.thumbnail is not None:
        url = data_url(photo.thumbnail, "JPEG")
        # With its size given, the popup is laid out, and the map moved to show it, before it is loaded.
        scale = min(1.0, _POPUP_PIXELS / photo.thumbnail.width)
        width, height = (round(scale * side) for side in photo.thumbnail.size)
        picture = f'<img src="{url}" width="{width}" height="{height}"><br>'
        half = _MARKER_PIXELS // 2
        icon = folium.DivIcon(
            html=f'<img src="{data_url(_square(photo.thumbnail), "JPEG")}" '
            f'style="width: {_MARKER_PIXELS}px; border: 2px solid white; border-radius: 4px; '
            'box-shadow: 0 0 4px #333;"><div style="text-align: center; font-size: 14px; '
            'line-height: 10px; text-shadow: 0 0 2px white;">&#9660;</div>',
            icon_size=(_MARKER_PIXELS, _MARKER_PIXELS + 10),
            icon_anchor=(half, _MARKER_PIXELS + 10),
            popup_anchor=(0, -_MARKER_PIXELS - 6),
        )
    content = f"{picture}<b>{_text(photo.name)}</b><table>{rows}</table>"
    return folium.Marker(
        (photo.latitude, photo.longitude), icon=icon, popup=folium.Popup(content, max_width=340)
    )


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    middle = image.crop((left, top, left + side, top + side))
    return middle.resize((2 * _MARKER_PIXELS, 2 * _MARKER_PIXELS))


def data_url(image: Image.Image, kind: str) -> str:
    """Put a picture inside a link: pixels alone, whatever else the image knows.

    Parameters
    ----------
    image : PIL.Image.Image
        Of a mode that the format takes.
    kind : {"JPEG", "PNG"}
        Format.
    """
    bare = Image.fromarray(np.asarray(image))
    file = BytesIO()
    bare.save(file, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def _text(text: str, most: int = 200) -> str:
    """Text that neither HTML nor a JavaScript template takes for its own."""
    short = text if len(text) <= most else "…" + text[-most + 1 :]
    escaped = html.escape(short)
    for own in "`$\\{}":
        escaped = escaped.replace(own, f"&#{ord(own)};")
    return escaped


def _bounds(photos: Sequence[MappedPhoto]) -> list[list[float]]:
    """Box of the answers, the first photos' regions and radii: [[south, west], [north, east]]."""
    boxes: list[tuple[float, ...]] = []
    for photo in photos:
        boxes.append((photo.longitude, photo.latitude, photo.longitude, photo.latitude))
        if photo.exif is not None:
            boxes.append((photo.exif[1], photo.exif[0], photo.exif[1], photo.exif[0]))
        if len(photos) == 1:
            for cell in photo.region:
                corner = (cell.longitude, cell.latitude)
                bounds = (*corner, *corner) if cell.outline is None else cell.outline.bounds
                boxes.append(tuple(float(value) for value in bounds))
            if photo.radius_km is not None:
                north = min(photo.radius_km / 111.2, 90.0)
                shrunk = max(np.cos(np.radians(photo.latitude)), 0.05)
                east = min(north / shrunk, 180.0)
                boxes.append(
                    (
                        photo.longitude - east,
                        max(photo.latitude - north, -_MOST_NORTHERN),
                        photo.longitude + east,
                        min(photo.latitude + north, _MOST_NORTHERN),
                    )
                )
    west, south = np.min([box[:2] for box in boxes], axis=0).tolist()
    east, north = np.max([box[2:] for box in boxes], axis=0).tolist()
    return [[south, west], [north, east]]


def _draw_borders(chart: Any, photos: Sequence[MappedPhoto]) -> None:
    """Countries below everything else: fine outlines near the photos, coarse ones elsewhere."""
    import folium

    (south, west), (north, east) = _bounds(photos) if photos else [[0.0, 0.0], [0.0, 0.0]]
    extent = max(north - south, east - west, 1.0)
    countries, outlines = load_countries().geometry, _coarse_outlines().copy()
    near = countries.intersects(
        shapely.box(west - extent, south - extent, east + extent, north + extent)
    )
    fine = max(extent / 500.0, 0.005)
    outlines[near] = countries[near].simplify(fine).set_precision(0.001)
    folium.map.CustomPane("borders", z_index=250).add_to(chart)
    folium.GeoJson(
        outlines.to_json(),
        control=False,
        pane="borders",
        interactive=False,
        style_function=lambda _: {
            "color": "#888888",
            "weight": 1,
            "fillColor": "#f4f1e8",
            "fillOpacity": 1.0,
        },
    ).add_to(chart)


@cache
def _coarse_outlines() -> Any:
    """Countries as they are drawn far from the photos: a GeoSeries, not to be changed."""
    return load_countries().geometry.simplify(0.1).set_precision(0.01)
