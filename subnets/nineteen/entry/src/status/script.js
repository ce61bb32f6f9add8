"use strict";

// Time between two updates, in milliseconds.
const PAUSE = 10_000;
const rows = document.getElementById("tasks");
const state = document.getElementById("state");
let updated = new Date();

// Replaces only the rows, so that the table stays where the reader has scrolled to, and keeps the
// focus.
async function update() {
  try {
    const response = await fetch("/status", { cache: "no-store" });
    if (!response.ok) {
      throw new Error(`status ${response.status}`);
    }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    rows.replaceChildren(...page.getElementById("tasks").children);
    updated = new Date();
    state.textContent = "";
  } catch {
    state.textContent = `The gateway does not respond. These numbers are of ${updated.toLocaleTimeString()}.`;
  }
}

setInterval(() => {
  if (!document.hidden) {
    update();
  }
}, PAUSE);
