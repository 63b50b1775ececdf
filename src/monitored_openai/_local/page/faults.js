// Shows errors of the page itself, so that the user does not take a stale value for a current one.

import { visible } from "./format.js";

const box = document.getElementById("fault");
let lasting = false;

export function report(error) {
  box.hidden = false;
  box.replaceChildren(visible(`This page may be out of date: ${error?.message ?? error}`));
}

// Called after a successful update. Other errors stay on the page until a reload.
export function settle() {
  if (!lasting) box.hidden = true;
}

function keep(error) {
  lasting = true;
  report(error);
}

addEventListener("error", (event) => event.error && keep(event.error)); // ResizeObserver's notices have no error
addEventListener("unhandledrejection", (event) => keep(event.reason));
