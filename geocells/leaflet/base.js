"use strict";
// What every map begins with: coasts and borders, a background of tiles above them where one is asked for, a scale.
function baseMap(holder, content, options) {
  const map = L.map(holder, { preferCanvas: true, maxZoom: 18, ...options });
  map.attributionControl.setPrefix("Leaflet");
  L.control.scale().addTo(map);
  if (content.bounds) {
    const fit = () => map.fitBounds(content.bounds, { maxZoom: 12, padding: [20, 20] });
    fit();
    // A frame further down a page has no size until it is shown.
    if (!map.getSize().x) map.once("resize", fit);
  } else {
    map.setView([0, 0], 1);
  }
  map.createPane("borders").style.zIndex = 150;
  const style = { color: "#888888", weight: 1, fillColor: "#f4f1e8", fillOpacity: 1 };
  L.geoJSON(content.borders, { style, pane: "borders", interactive: false }).addTo(map);
  if (content.tiles) {
    const { url, ...own } = content.tiles;
    L.tileLayer(url, own).addTo(map);
  }
  return map;
}
