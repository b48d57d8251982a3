// Buttons that copy a text. Without this script, or where the browser does not let a page copy, they stay hidden.
"use strict";

const SHOWN_MS = 2000;
const copied = document.getElementById("copied");

async function copy(button) {
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch (error) {
    said = "Not copied";
  }
  button.textContent = said;
  copied.textContent = said;
  setTimeout(() => {
    button.textContent = "Copy";
    copied.textContent = "";
  }, SHOWN_MS);
}

if (navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}
