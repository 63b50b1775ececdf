// Errors of the page itself: shown, so that nobody takes a figure that could not be drawn anew for the present one.

import { visible } from "./format.js";

const box = document.getElementById("fault");
let lasting = false;

export function report(error) {
  box.hidden = false;
  box.replaceChildren(visible(`This page may not show the present state: ${error?.message ?? error}`));
}

// The last update succeeded. An error outside of the updates stays on the page until it is loaded anew.
export function settle() {
  if (!lasting) box.hidden = true;
}

function keep(error) {
  lasting = true;
  report(error);
}

addEventListener("error", (event) => event.error && keep(event.error)); // the notices of ResizeObserver have no error
addEventListener("unhandledrejection", (event) => keep(event.reason));
