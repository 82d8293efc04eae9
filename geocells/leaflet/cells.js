"use strict";
// Draws cells with Leaflet. What comes from a table, names above all, goes in as text and never as HTML.

function cellFacts(properties) {
  const table = document.createElement("table");
  for (const [name, value] of Object.entries(properties)) {
    if (name === "color") { continue; }
    const row = table.insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = value;
  }
  return table;
}

// Draw into an element what geocells.cells.maps.explore says.
function drawMap(holder, content) {
  const map = baseMap(holder, content);
  const layers = {};
  const plain = { color: "#333333", weight: 0.6, fillOpacity: 0.5 };
  layers.cells = L.geoJSON(content.cells, {
    style: ({ properties }) => ({ ...plain, fillColor: properties.color }),
    onEachFeature: ({ properties }, layer) => {
      layer.bindTooltip(() => cellFacts(properties), { sticky: true });
      layer.on("mouseover", () => layer.setStyle({ weight: 2.5, fillOpacity: 0.75 }));
      layer.on("mouseout", () => layer.setStyle(plain));
    },
  });
  if (content.locations) {
    const dot = { radius: 2, weight: 0, fillColor: "#000000", fillOpacity: 0.9 };
    layers.locations = L.layerGroup(content.cells.features.map(({ properties }, row) =>
      L.circleMarker(content.locations[row], dot).bindTooltip(() => cellFacts(properties))));
  }
  for (const layer of Object.values(layers)) { layer.addTo(map); }
  L.control.layers({}, layers, { collapsed: false }).addTo(map);
  if (content.scale) {
    const legend = L.control({ position: "bottomleft" });
    legend.onAdd = () => {
      const { title, ends, colors } = content.scale;
      const box = document.createElement("div"), bar = document.createElement("i");
      box.className = "map-legend";
      bar.className = "scale";
      bar.style.background = `linear-gradient(to right, ${colors.join(", ")})`;
      box.append(`${title}: ${ends[0]}`, bar, ends[1]);
      return box;
    };
    legend.addTo(map);
  }
  return map;
}
