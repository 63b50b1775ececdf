// The state of the page, which its address contains: it survives a reload, and a link shares it.

import { by } from "./format.js";

const LABEL = /^[A-Za-z_]\w{0,127}$/;
const ORDERS = ["time", "duration", "tokens", "cost"];
const MOST_HIDDEN = 50;

export const state = {
  seconds: "3600", by: "model", share: "p95", where: Object.create(null), q: "", failed: false,
  attr: Object.create(null), order: "time", grouping: "", call: "", from: "", to: "", compare: true,
};
export const hidden = new Set(); // names of lines that the charts leave out

export const isLabel = (name) => LABEL.test(name);
export const prefixed = (where, prefix = "is") => Object.fromEntries(Object.entries(where).map(([name, value]) => [`${prefix}.${name}`, value]));
export const asked = () => (state.from ? { from: state.from, to: state.to } : { seconds: state.seconds });

export function remember() {
  const { where, attr, ...others } = state;
  const plain = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== ""));
  const parameters = new URLSearchParams({ ...plain, ...prefixed(where), ...prefixed(attr, "attr") });
  for (const name of [...hidden].slice(-MOST_HIDDEN)) parameters.append("hide", name);
  history.replaceState(null, "", `#${parameters}`);
}

// Read the address, replace what is not valid, and set the page's controls.
export function recall() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (name.startsWith("is.")) {
      if (isLabel(name.slice(3))) state.where[name.slice(3)] = value;
    } else if (name.startsWith("attr.")) {
      if (isLabel(name.slice(5))) state.attr[name.slice(5)] = value;
    } else if (typeof state[name] === "boolean") state[name] = value === "true";
    else if (name === "hide") hidden.size < MOST_HIDDEN && hidden.add(value);
    else if (Object.hasOwn(state, name) && typeof state[name] === "string") state[name] = value;
  }
  if (!ORDERS.includes(state.order)) state.order = "time";
  by("grouping").value = state.grouping;
  if (by("grouping").value !== state.grouping) by("grouping").value = state.grouping = "";
  if (![state.from, state.to].every((text) => /^\d{1,11}$/.test(text))) state.from = state.to = "";
  if (!document.querySelector(`#ranges input[value="${CSS.escape(state.seconds)}"]`)) state.seconds = "3600";
  if (!isLabel(state.by)) state.by = "model";
  by("share").value = state.share;
  if (!by("share").value) by("share").value = state.share = "p95";
  by("search").value = state.q;
  by("failed").checked = state.failed;
  by("compare").checked = state.compare;
}
