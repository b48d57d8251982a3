// The status page every few seconds anew: the server renders it, this puts the new numbers in place of the old ones.
"use strict";

const SECONDS = 5;
const choice = document.getElementById("refresh");
const box = choice.querySelector("input");

async function refresh() {
  const live = document.getElementById("live");
  // Whoever reads the table with the keyboard keeps its place.
  if (box.checked && !document.hidden && !live.contains(document.activeElement)) {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("live");
    if (fresh) {
      live.replaceWith(document.adoptNode(fresh));
    }
  }
}

async function run() {
  try {
    await refresh();
  } catch {
    // The server cannot be reached: the time on the page tells how old it is.
  }
  setTimeout(run, SECONDS * 1000);
}

choice.hidden = false;
setTimeout(run, SECONDS * 1000);
