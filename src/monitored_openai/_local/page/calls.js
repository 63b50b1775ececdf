// The list of calls, newest first; each call expands in place.

import { ask, atLeast, clock, count, element, known, money, seconds, visible } from "./format.js";

const PAGE = 50;
const MOST_LIVE = 300;
const MOST_SHOWN = 20_000;
const NO_ATTRIBUTES = new Set(["model", "operation", "provider", "environment", "service_name"]);

const MAIN = new Set(["input_tokens", "output_tokens", "total_usd"]); // also shown when 0

const list = document.getElementById("list");
const more = document.getElementById("more");
const none = document.getElementById("none");

const rows = new Map(); // items by id
let asked = null;
let question = {};
let oldest = null; // the oldest call before the first gap in the list
let most = 0;
let turn = 0;

async function fetched(parameters, extra) {
  const answer = await ask("api/calls", { ...parameters, limit: PAGE, ...extra });
  if (!answer.ok) throw new Error(`the list: ${answer.status}`);
  return answer.json();
}

// Update the list with the calls of a range (its length, and its start in nanoseconds). Expanded calls stay expanded until
// the filters change, even when they leave the moving range.
export async function refresh(parameters, range) {
  const wanted = JSON.stringify([parameters, range.seconds]);
  const mine = ++turn;
  const found = await fetched(parameters, { since_ns: range.since });
  if (mine !== turn) return;
  const other = wanted !== asked;
  if (other || !found.some((call) => rows.has(call.id))) {
    asked = wanted;
    for (const [id, item] of rows) if (other || !isOpen(item)) remove(id);
    most = MOST_LIVE;
    reached(found);
  }
  question = { ...parameters, since_ns: range.since };
  found.forEach(insert);
  for (const [id, item] of rows) if (!isWithin(item, range) && !isOpen(item)) remove(id);
  trim();
  none.hidden = rows.size > 0;
  none.textContent = Object.keys(parameters).length ? "No call matches in this time range." : "No call was logged in this time range.";
}

// Return true if the list contains a call of the range.
export const hasSome = (range) => [...rows.values()].some((item) => isWithin(item, range));

const isWithin = (item, range) => BigInt(item.dataset.at) >= BigInt(range.since);

more.addEventListener("click", async () => {
  const mine = asked;
  try {
    const found = await fetched(question, oldest && { before: oldest.at_ns, before_id: oldest.id });
    if (mine !== asked) return;
    most += found.length;
    found.forEach(insert);
    reached(found);
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

function reached(found) {
  oldest = found.at(-1) ?? oldest;
  more.hidden = found.length < PAGE;
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
  const at = BigInt(call.at_ns);
  const item = shortly(call);
  const next = [...list.children].find((other) => BigInt(other.dataset.at) < at);
  list.insertBefore(item, next ?? null);
  rows.set(call.id, item);
}

function shortly(call) {
  const labels = Object.entries(call.labels).filter(([name]) => !NO_ATTRIBUTES.has(name));
  const tokens = call.input_tokens == null && call.output_tokens == null;
  const button = element(
    "button",
    "call",
    element("span", "when", clock(new Date(Number(BigInt(call.at_ns) / 1000000n)))),
    element("span", "model", call.labels.model ?? "–"),
    element("span", "label", labels.map(([, value]) => value).join(", ")),
    element("span", "asked", call.asked || call.answered || "no content"),
    call.error && element("span", "error", call.error),
    element("span", "number duration", seconds(call.duration)),
    element("span", "number tokens", tokens ? "–" : `${count(call.input_tokens)} + ${count(call.output_tokens)}`),
    element("span", "number cost", atLeast(call.cost_incomplete, money(call.cost))),
  );
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  const item = element("li", call.error ? "failed" : "", button);
  Object.assign(item.dataset, { at: call.at_ns, id: call.id });
  button.addEventListener("click", () => toggle(item, button, call.id));
  return item;
}

async function toggle(item, button, id) {
  const open = item.querySelector(".opened");
  button.setAttribute("aria-expanded", String(!open));
  if (open) return open.remove();
  const panel = element("div", "opened", "Loading");
  item.append(panel);
  try {
    const answer = await ask(`api/calls/${encodeURIComponent(id)}`);
    if (answer.status === 404) return panel.replaceChildren("The history no longer has this call.");
    if (!answer.ok) throw new Error(await answer.text());
    const call = await answer.json();
    panel.replaceChildren(said(call.turns), facts(JSON.parse(call.line), call.row), raw(call.line));
  } catch (error) {
    panel.replaceChildren(element("p", "error", `This call cannot be shown: ${error.message}`));
  }
}

function said(turns) {
  const parts = turns.map((turn) => {
    const speaker = turn.tool ? `${turn.role} calls ${turn.tool}` : turn.role;
    return element("div", `turn ${turn.side}`, element("h3", "", speaker), long(turn.text, turn.tool || turn.role === "tool"));
  });
  if (!parts.length) parts.push(element("p", "faint", "The log entry has no content."));
  return element("div", "said", ...parts);
}

function long(text, isCode) {
  const shown = element("p", isCode ? "text code" : "text", text.slice(0, MOST_SHOWN));
  if (text.length <= MOST_SHOWN) return shown;
  const all = element("button", "quiet", `Show all ${count(text.length)} characters`);
  all.type = "button";
  all.addEventListener("click", () => (shown.replaceChildren(visible(text)), all.remove()));
  return element("div", "", shown, all);
}

const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const named = (name) => name.replaceAll("_", " ").replace(/ (tokens|usd)$/, "");

const unknown = (reason) => ({ unknown: typeof reason === "string" ? named(reason) : null });

// The parts of a call's cost, the source of the prices, and the reasons for an incomplete cost.
function costs(entry) {
  const parts = shown(entry.cost, money);
  if (parts == null) return null;
  const reasons = Array.isArray(entry.cost_incomplete) ? entry.cost_incomplete.map(String) : [];
  if ("total" in parts) parts.total = atLeast(reasons.length, parts.total);
  return { ...parts, source: entry.cost_source, incomplete: reasons.map(named).join(", ") };
}

function facts(entry, row) {
  const { usage, attributes } = entry;
  const groups = [
    ["Error", { type: entry.error_type, status: entry.error_type && entry.http_status, message: entry.error_message }],
    ["Time", {
      started: entry.started && clock(new Date(entry.started)),
      "whole answer": row.duration == null ? null : seconds(row.duration),
      "first chunk": row.first_chunk == null ? null : seconds(row.first_chunk),
      chunks: entry.chunks,
      retries: entry.retries || null,
    }],
    ["Tokens", shown(usage, count) ?? unknown(entry.usage_unknown)],
    ["Cost", costs(entry) ?? unknown(entry.unpriced)],
    ["Call", {
      model: entry.response_model ?? entry.request_model,
      finished: Array.isArray(entry.finish_reasons) ? entry.finish_reasons.join(", ") : null,
      tier: entry.service_tier,
      server: entry.server,
      request: entry.request_id,
      trace: entry.trace_id,
    }],
    ["Attributes", attributes],
  ];
  const list = element("dl", "facts");
  for (const [title, pairs] of groups) {
    const known = Object.entries(pairs ?? {}).filter(([, value]) => value != null && value !== "");
    if (!known.length) continue;
    list.append(element("div", title === "Error" ? "group error" : "group", element("h3", "", title), ...known.map(pair)));
  }
  return list;
}

const pair = ([name, value]) => element("div", "pair", element("dt", "", name), element("dd", "", plain(value)));

function shown(parts, format) {
  if (parts == null || typeof parts !== "object") return null;
  const numbers = Object.entries(parts).filter(([name, value]) => known(value) && (value || MAIN.has(name)));
  return Object.fromEntries(numbers.map(([name, value]) => [named(name), format(value)]));
}

function raw(line) {
  const text = element("pre", "");
  const box = element("details", "raw", element("summary", "", "The log entry"), text);
  box.addEventListener("toggle", () => {
    if (box.open && !text.firstChild) text.append(visible(JSON.stringify(JSON.parse(line), null, 2)));
  });
  return box;
}
