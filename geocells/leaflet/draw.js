"use strict";
drawMap(document.getElementById("map"), JSON.parse(document.getElementById("map-content").textContent));
