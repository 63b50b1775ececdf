// The groups of calls in the list: sessions, conversations or traces. An open group follows its new calls.

import { clock, count, element, lowest, money, plus, seconds } from "./format.js";

const latest = new WeakMap(); // the newest sums by item
const filled = new WeakMap(); // the sums at the time of the calls that an open item shows

// Show the groups of an answer. `source` has the kind of the groups (`by`), functions for the calls of a group (`callsOf`) and
// for the row of a call (`row`), and whether the list shows the groups of the same question (`isSame`).
export async function showGrouped(list, groups, source) {
  const isOpen = list.querySelector(".grouped > [aria-expanded=true]");
  if (source.isSame && isOpen) return follow(list, groups, source);
  const focused = document.activeElement.closest(".grouped > .call")?.dataset.key;
  list.replaceChildren(...groups.map((group) => groupOf(group, source)));
  if (focused != null) items(list).find((item) => keyOf(item) === focused)?.querySelector(".call").focus();
}

const isEqual = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const items = (list) => [...list.querySelectorAll(":scope > .grouped")];
const keyOf = (item) => item.querySelector(".call").dataset.key;

// Update the groups that the list shows, and add new ones at its end: what the user reads does not move.
async function follow(list, groups, source) {
  const found = new Map(groups.map((group) => [group.key, group]));
  const changed = [];
  for (const item of items(list)) {
    const group = found.get(keyOf(item));
    if (!group) {
      if (!item.querySelector(".opened") && !item.contains(document.activeElement)) item.remove();
      continue;
    }
    if (!isEqual(group, latest.get(item))) item.querySelector(".call").replaceChildren(...sums(group));
    latest.set(item, group);
    if (item.querySelector(".inside") && !isEqual(group, filled.get(item))) changed.push(item);
  }
  const shown = new Set(items(list).map(keyOf));
  list.append(...groups.filter((group) => !shown.has(group.key)).map((group) => groupOf(group, source)));
  await Promise.all(changed.map((item) => fill(item, source)));
}

function groupOf(group, source) {
  const button = element("button", "call group", ...sums(group));
  button.type = "button";
  button.dataset.key = group.key;
  button.setAttribute("aria-expanded", "false");
  const item = element("li", "grouped", button);
  item.dataset.by = source.by;
  latest.set(item, group);
  button.addEventListener("click", () => {
    const inside = item.querySelector(".inside");
    button.setAttribute("aria-expanded", String(!inside));
    if (inside) return inside.remove();
    item.append(element("ol", "inside", element("li", "faint", "Loading")));
    return fill(item, source);
  });
  return item;
}

// Insert the calls that an open group does not show yet, and remove those that have left it. The others stay untouched.
async function fill(item, source) {
  const group = latest.get(item);
  const found = await source.callsOf(group.key);
  const place = item.querySelector(".inside");
  if (!place) return; // closed in the meantime
  const ids = new Set(found.map((call) => call.id));
  const known = new Map();
  for (const row of [...place.children]) {
    if (ids.has(row.dataset.id)) known.set(row.dataset.id, row);
    else if (!row.querySelector(".opened")) row.remove();
  }
  let previous = null;
  for (const call of found) {
    const row = known.get(call.id) ?? source.row(call);
    if (!known.has(call.id)) previous ? previous.after(row) : place.prepend(row);
    previous = row;
  }
  const left = group.calls - found.length;
  if (left > 0) place.append(element("li", "faint", `and ${count(left)} earlier calls`));
  filled.set(item, group);
}

function sums(group) {
  const tokens = plus(group.input_tokens, group.output_tokens);
  return [
    element("span", "when", clock(new Date(Number(BigInt(group.last_ns) / 1000000n)))),
    element("span", "model", `${count(group.calls)} call${group.calls === 1 ? "" : "s"}`),
    element("span", "asked", group.key),
    group.errors > 0 && element("span", "error", `${count(group.errors)} failed`),
    element("span", "number duration", seconds(group.duration)),
    element("span", "number tokens", lowest(count, tokens, group.usage_unknown, group.calls)),
    element("span", "number cost", lowest(money, group.cost, group.cost_incomplete, group.calls)),
  ].filter(Boolean);
}
