"use strict";
// The photo goes to the server as the body of one request; its answer comes back as JSON.
const zone = document.getElementById("drop");
const input = zone.querySelector("input");
const statusLine = document.getElementById("status");
const answer = document.getElementById("answer");
const nearby = document.getElementById("nearby");
const mapHolder = document.getElementById("map");
let turn = 0;
let shownMap = null;

function report(text, isError) {
  statusLine.textContent = text;
  statusLine.classList.toggle("error", Boolean(isError));
}

// HTML of the server, whose templates escape every text; the page's policy lets no script in it run.
function show(parts) {
  answer.innerHTML = parts ? parts.answer : "";
  nearby.innerHTML = parts ? parts.nearby : "";
  if (shownMap) { shownMap.remove(); }
  shownMap = null;
  mapHolder.hidden = !parts;
  if (parts) { shownMap = drawMap(mapHolder, parts.map); }
}

async function place(file) {
  const own = ++turn;
  show(null);
  if (file.size > Number(zone.dataset.maxBytes)) {
    report(zone.dataset.tooLarge, true);
    return;
  }
  report("Looking at the photo …");
  let reply, succeeded = false;
  try {
    const response = await fetch("place", {
      method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
    });
    reply = await response.json();
    succeeded = response.ok;
  } catch (error) {
    reply = { message: "No answer came. Is this a file, and is the server running?" };
  }
  if (own !== turn) { return; }
  if (!succeeded) {
    report(reply.message || "The server gave no answer.", true);
    return;
  }
  report("");
  show(reply);
}

input.addEventListener("change", () => {
  if (input.files.length) { place(input.files[0]); }
  input.value = "";
});
// Anywhere on the page: beside the zone, the browser would leave the page to show the file.
for (const name of ["dragover", "dragenter"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) { zone.classList.remove("over"); }
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  zone.classList.remove("over");
  const files = event.dataTransfer.files;
  if (files.length > 1) {
    report("One photo at a time, please.", true);
  } else if (files.length) {
    place(files[0]);
  }
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) { place(event.clipboardData.files[0]); }
});
