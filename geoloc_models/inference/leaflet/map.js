"use strict";
// Draws photos at their answers, with Leaflet. What comes from a photo, its name above all, goes
// in as text and never as HTML.

const MAP_COLORS = { core: "#a50026", whole: "#f46d43", radius: "#3f6fd8", exif: "#1a9850" };

function mapElement(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) { element.className = className; }
  element.append(...children);
  return element;
}

// Leaflet takes the names of layers for HTML.
function mapEscaped(text) {
  return mapElement("span", "", text).innerHTML;
}

function mapMarker(photo) {
  const picture = photo.picture;
  const popup = mapElement("div", "map-popup");
  const content = mapElement("div", picture ? "" : "plain");
  if (picture) {
    const large = new Image(picture.width, picture.height);
    large.src = picture.url;
    large.alt = "The photo";
    popup.append(large);
    const small = new Image();
    small.src = picture.icon;
    small.alt = "";
    content.append(small);
  }
  content.append(mapElement("span", "", "\u25bc"));
  popup.append(mapElement("b", "", photo.name));
  const rows = photo.facts.map(([title, fact]) =>
    mapElement("tr", "", mapElement("td", "", title), mapElement("td", "", fact)));
  popup.append(mapElement("table", "", ...rows));
  const icon = picture
    ? { iconSize: [56, 66], iconAnchor: [28, 66], popupAnchor: [0, -62] }
    : { iconSize: [30, 30], iconAnchor: [15, 26], popupAnchor: [0, -22] };
  icon.html = content;
  icon.className = picture ? "map-marker" : "map-marker plain";
  return L.marker(photo.position, { icon: L.divIcon(icon) }).bindPopup(popup, { maxWidth: 340 });
}

// Titles of layers, and what is on each, from below to above.
function mapDetails(photo) {
  const { surface, region, radius_km: radius, exif } = photo.details;
  const layers = [];
  if (surface) {
    layers.push(["surface of the probability", L.imageOverlay(surface.url, surface.bounds)]);
  }
  if (region) {
    const style = ({ properties }) => {
      const color = properties.in_core ? MAP_COLORS.core : MAP_COLORS.whole;
      return { color, weight: 1, fillColor: color, fillOpacity: properties.opacity };
    };
    const cells = L.geoJSON(region, {
      style,
      pointToLayer: (feature, position) => L.circleMarker(position, { radius: 4, ...style(feature) }),
      onEachFeature: (feature, layer) =>
        layer.bindTooltip(mapEscaped(feature.properties.probability), { sticky: true }),
    });
    layers.push(["credible regions of 50 and 90 %", cells]);
  }
  if (radius !== null) {
    const circle = { radius: 1000 * radius, color: MAP_COLORS.radius, weight: 2, fill: false };
    layers.push(["90 % radius", L.circle(photo.position, { ...circle, dashArray: "6 4" })]);
  }
  if (exif) {
    const line = L.polyline([photo.position, exif], { color: MAP_COLORS.exif, weight: 2 });
    const place = L.circleMarker(exif, {
      radius: 6, color: "#ffffff", weight: 1, fillColor: MAP_COLORS.exif, fillOpacity: 1,
    });
    layers.push(["EXIF position", L.layerGroup([line, place])]);
  }
  return layers;
}

// What the drawn layers mean: of none that is not there; folded where it would hide the map.
function addLegend(map, content, isNarrow) {
  const details = content.photos.map((photo) => photo.details ?? {});
  const rows = [
    ["core", "half of the probability", "region"],
    ["whole", "90 % of the probability", "region"],
    ["radius", "90 % radius", "radius_km"],
    ["exif", "EXIF position", "exif"],
  ].filter(([, , part]) => details.some((own) => own[part] !== null && own[part] !== undefined))
    .map(([name, text]) => mapElement("div", "", mapElement("i", name), text));
  if (content.credit) { rows.push(mapElement("div", "", content.credit)); }
  if (!rows.length) { return; }
  const legend = L.control({ position: "bottomleft" });
  legend.onAdd = () => {
    const box = mapElement("details", "map-legend", mapElement("summary", "", "Legend"), ...rows);
    box.open = !isNarrow;
    L.DomEvent.disableClickPropagation(box);
    return box;
  };
  legend.addTo(map);
}

// Draw into an element what geoloc_models.inference.map.map_content says; returns Leaflet's map.
function drawMap(holder, content) {
  const map = baseMap(holder, content, { worldCopyJump: true });
  const alone = content.photos.length === 1, isNarrow = holder.clientWidth < 500;
  const choices = {}, overlays = {};
  content.photos.filter((photo) => photo.details).forEach((photo, number) => {
    const layers = mapDetails(photo);
    if (alone) {
      for (const [title, layer] of layers) { overlays[title] = layer.addTo(map); }
    } else {
      // Layers that are no overlays are alternatives: one photo's details at a time.
      const group = L.layerGroup(layers.map(([, layer]) => layer));
      choices[`${number + 1}: ${mapEscaped(photo.name)}`] = group;
      if (number === 0) { group.addTo(map); }
    }
  });
  const markers = alone || !content.photos.length ? map : L.markerClusterGroup().addTo(map);
  for (const photo of content.photos) { markers.addLayer(mapMarker(photo)); }
  if (Object.keys({ ...choices, ...overlays }).length) {
    L.control.layers(choices, overlays, { collapsed: content.photos.length > 12 || isNarrow }).addTo(map);
  }
  addLegend(map, content, isNarrow);
  return map;
}
