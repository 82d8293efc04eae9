"use strict";
// A photo goes to the server as the body of one request; its answer comes back as JSON.
const drop = document.getElementById("drop");
const statusLine = document.getElementById("status");
const answer = document.getElementById("answer");
let turn = 0;
let shownMap = null;

function report(text, isError) {
  statusLine.textContent = text;
  statusLine.classList.toggle("error", Boolean(isError));
}

// HTML of the server, whose templates escape every text; the page's policy lets no script in it run.
function show(parts) {
  if (shownMap) { shownMap.remove(); }
  answer.innerHTML = parts ? parts.answer : "";
  shownMap = parts ? drawMap(document.getElementById("map"), parts.map) : null;
}

// Ask where a photo was taken: "place" takes its bytes, "address" the text of its address.
async function ask(path, body) {
  const own = ++turn;
  show(null);
  report("Looking at the photo …");
  let reply, succeeded = false;
  try {
    const response = await fetch(path, {
      method: "POST", body, headers: { "Content-Type": "application/octet-stream" },
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

function place(file) {
  if (file.size > Number(drop.dataset.maxBytes)) {
    turn++;
    show(null);
    report(drop.dataset.tooLarge, true);
  } else {
    ask("place", file);
  }
}

for (const input of document.querySelectorAll("input[type=file]")) {
  input.addEventListener("change", () => {
    if (input.files.length) { place(input.files[0]); }
    input.value = "";
  });
}
for (const picture of document.querySelectorAll("#examples img")) {
  picture.parentElement.addEventListener("click", async () => place(await (await fetch(picture.src)).blob()));
}
document.getElementById("address")?.addEventListener("submit", (event) => {
  event.preventDefault();
  ask("address", event.target.querySelector("input").value);
});
// Anywhere on the page: beside the zone, the browser would leave the page to show the file.
for (const name of ["dragover", "dragenter"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) { drop.classList.remove("over"); }
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
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
