// The list of calls: sorted, filtered and grouped; each call expands in place.

import { isLabel } from "./address.js";
import { fill } from "./call.js";
import { ask, atLeast, clock, count, element, money, seconds } from "./format.js";
import { showGrouped } from "./grouped.js";

const PAGE = 50;
const MOST_LIVE = 300;
const MOST_RELOADED = 200;
const NO_ATTRIBUTES = new Set(["model", "operation", "provider", "environment", "service_name"]);
const PLAIN_OPERATION = "chat";

const list = document.getElementById("list");
const more = document.getElementById("more");
const none = document.getElementById("none");

// The value by which calls are sorted; -1 stands for unknown, as on the server.
const KEYS = {
  time: () => 0,
  cost: (call) => call.cost ?? -1,
  duration: (call) => call.duration ?? -1,
  tokens: (call) => (call.input_tokens == null && call.output_tokens == null ? -1 : (call.input_tokens ?? 0) + (call.output_tokens ?? 0)),
};

const rows = new Map(); // items by id
const shown = new WeakMap(); // calls by item
let asked = null;
let question = {};
let oldest = null; // the last call before the first gap in the list
let most = 0;
let turn = 0;
let order = "time";
let onChip = () => {};
let onOpen = () => {};

// Call `chosen` with the name and the value of a clicked attribute, and `opened` with the id of an opened call or null.
export function listen({ chosen, opened }) {
  onChip = chosen;
  onOpen = opened;
}

async function fetched(parameters, extra) {
  const answer = await ask("api/calls", { ...parameters, limit: PAGE, ...extra });
  if (!answer.ok) throw new Error(`the list: ${answer.status}`);
  return answer.json();
}

// Return the query of the list as it is shown, for the export.
export const current = () => ({ ...question });

// Update the list with the calls of a range: its start and, unless it ends now, its end in nanoseconds, and a key that stays
// the same while the range moves with time. Expanded calls stay expanded until the filters change.
export async function refresh(parameters, range, grouping = "") {
  const wanted = JSON.stringify([parameters, range.key ?? range.seconds, grouping]);
  const mine = ++turn;
  const bounds = { since_ns: range.since, ...(range.until && { until_ns: range.until }) };
  if (grouping) return showGroups(wanted, mine, { ...parameters, ...bounds }, grouping);
  order = parameters.order ?? "time";
  const isSorted = order !== "time";
  const wantedRows = wanted === asked ? Math.min(Math.max(PAGE, rows.size), MOST_RELOADED) : PAGE; // an entry can arrive late, between older ones
  const found = await fetched(parameters, { ...bounds, limit: wantedRows });
  if (mine !== turn) return;
  const other = wanted !== asked;
  if (other || isSorted || !found.some((call) => rows.has(call.id))) {
    asked = wanted;
    const kept = new Set(isSorted && !other ? found.map((call) => call.id) : []);
    for (const [id, item] of rows) if (!kept.has(id) && (other || !isOpen(item))) remove(id);
    if (other) list.replaceChildren();
    if (other || !isSorted) most = MOST_LIVE;
    reached(found, wantedRows);
  }
  question = { ...parameters, ...bounds };
  found.forEach(insert);
  for (const [id, item] of rows) if (!isWithin(item, range) && !isOpen(item)) remove(id);
  if (!isSorted) trim();
  none.hidden = rows.size > 0;
  const isFiltered = Object.keys(parameters).some((name) => name !== "order");
  none.textContent = isFiltered ? "No call matches in this time range." : "No call was logged in this time range.";
}

// Return true if the list contains a call of the range.
export const hasSome = (range) => [...rows.values()].some((item) => isWithin(item, range)) || list.querySelector(".grouped") !== null;

function isWithin(item, range) {
  const at = BigInt(item.dataset.at);
  return at >= BigInt(range.since) && (!range.until || at < BigInt(range.until));
}

more.addEventListener("click", async () => {
  const mine = asked;
  try {
    const found = await fetched(question, oldest && { before: oldest.at_ns, before_id: oldest.id });
    if (mine !== asked) return;
    most += found.length;
    found.forEach(insert);
    reached(found, PAGE);
    more.textContent = "Show more";
  } catch (error) {
    more.textContent = `Show more (failed: ${error.message})`;
  }
});

const isOpen = (item) => item.querySelector(".opened") !== null;

function remove(id) {
  rows.get(id).remove();
  rows.delete(id);
}

function reached(found, wanted) {
  oldest = found.at(-1) ?? oldest;
  more.hidden = found.length < wanted;
}

// Limit the memory of a page that stays open for days.
function trim() {
  for (let item = list.lastElementChild; item && rows.size > most; ) {
    const before = item.previousElementSibling;
    if (!before) break;
    if (!isOpen(item)) remove(item.dataset.id);
    oldest = { id: before.dataset.id, at_ns: before.dataset.at };
    more.hidden = false;
    item = before;
  }
}

function insert(call) {
  if (rows.has(call.id)) return;
  const item = shortly(call);
  const next = [...list.children].find((other) => other.dataset.at && comesBefore(call, shown.get(other)));
  list.insertBefore(item, next ?? null);
  rows.set(call.id, item);
}

function comesBefore(call, other) {
  const key = KEYS[order];
  const [one, another] = [key(call), key(other)];
  return one === another ? BigInt(other.at_ns) < BigInt(call.at_ns) : one > another;
}

function shortly(call) {
  const tokens = call.input_tokens == null && call.output_tokens == null;
  const button = element(
    "button",
    "call",
    element("span", "when", clock(new Date(Number(BigInt(call.at_ns) / 1000000n)))),
    element("span", "model", call.labels.model ?? "–"),
    element("span", "asked", call.asked || call.answered || "no content"),
    call.error && element("span", "error", call.error),
    element("span", "number duration", seconds(call.duration)),
    element("span", "number tokens", tokens ? "–" : `${count(call.input_tokens)} + ${count(call.output_tokens)}`),
    element("span", "number cost", atLeast(call.cost_incomplete, money(call.cost))),
  );
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  const item = element("li", call.error ? "failed" : "", button, marks(call));
  Object.assign(item.dataset, { at: call.at_ns, id: call.id });
  shown.set(item, call);
  button.addEventListener("click", () => toggle(item, button, call.id));
  return item;
}

// Return the attributes as buttons that filter, and the call's special features as badges.
function marks(call) {
  const attributes = Object.entries(call.labels).filter(([name]) => !NO_ATTRIBUTES.has(name));
  const chips = attributes.map(([name, value]) => {
    const chip = element(isLabel(name) ? "button" : "span", "chip", element("span", "faint", `${name} `), value);
    if (!isLabel(name)) return chip; // of another program's entry; the server cannot filter by it
    chip.type = "button";
    chip.title = `Show only calls with ${name} = ${value}`;
    chip.addEventListener("click", () => onChip(name, value));
    return chip;
  });
  const badges = badgesOf(call).map((text) => element("span", "badge", text));
  return chips.length + badges.length ? element("div", "chips", ...chips, ...badges) : null;
}

function badgesOf(call) {
  const media = Object.entries(call.media ?? {}).map(([kind, number]) => (number === 1 ? kind : `${count(number)} × ${kind}`));
  return [
    call.labels.operation && call.labels.operation !== PLAIN_OPERATION && call.labels.operation.replaceAll("_", " "),
    call.streamed && "streamed",
    call.tools > 0 && (call.tools === 1 ? "1 tool" : `${count(call.tools)} tools`),
    ...media,
    call.structured && "structured",
    call.retries > 0 && (call.retries === 1 ? "1 retry" : `${count(call.retries)} retries`),
  ].filter(Boolean);
}

function toggle(item, button, id) {
  const open = item.querySelector(".opened");
  button.setAttribute("aria-expanded", String(!open));
  if (open) return open.remove(), onOpen(null);
  const panel = element("div", "opened", "Loading");
  item.append(panel);
  onOpen(id);
  return fill(panel, id, { previous: stepTo(item, "previousElementSibling"), next: stepTo(item, "nextElementSibling") });
}

// Return a function that closes a call and opens its neighbour; null if it has none.
function stepTo(item, neighbour) {
  if (!item[neighbour]?.dataset.id) return null;
  return () => {
    const other = item[neighbour];
    const button = other?.querySelector(".call");
    if (!button) return;
    item.querySelector(".call").click();
    if (!isOpen(other)) button.click();
    button.focus();
    button.scrollIntoView({ block: "nearest" });
  };
}

// Up and down move between the calls, Escape closes the call that contains the cursor.
list.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (way && event.target.matches(".call")) {
    const buttons = [...list.querySelectorAll(".call")];
    buttons[buttons.indexOf(event.target) + way]?.focus();
    event.preventDefault();
  } else if (event.key === "Escape") {
    const button = event.target.closest("li[data-id], .grouped")?.querySelector(".call[aria-expanded=true]");
    button?.click();
    button?.focus();
  }
});

// Open a call by its id, even if it is not in the list.
export async function open(id) {
  const item = rows.get(id);
  if (item) {
    if (!isOpen(item)) item.querySelector(".call").click();
    return item.scrollIntoView({ block: "center" });
  }
  const answer = await ask(`api/calls/${encodeURIComponent(id)}`);
  const place = document.getElementById("linked");
  if (!answer.ok) return place.replaceChildren(element("p", "faint", "The history does not have the linked call."));
  const linked = shortly((await answer.json()).row);
  place.replaceChildren(element("ol", "", linked));
  await linked.querySelector(".call").click();
}

// Show sessions, conversations or traces with their sums; each expands to its newest calls.
async function showGroups(wanted, mine, parameters, by) {
  const { order: _, ...filters } = parameters;
  const answer = await ask("api/groups", { ...filters, by });
  if (!answer.ok) throw new Error(`the groups: ${answer.status}`);
  const groups = await answer.json();
  if (mine !== turn) return;
  const isSame = wanted === asked;
  asked = wanted;
  question = parameters;
  rows.clear();
  more.hidden = true;
  none.hidden = groups.length > 0;
  none.textContent = `No call of this time range has a ${by}.`;
  const callsOf = (key) => fetched({ ...filters, [`group.${by}`]: key }, { limit: MOST_RELOADED });
  await showGrouped(list, groups, { by, callsOf, row: shortly, isSame });
}
