// The page: polls for new data each second and shows it.

import { asked, isLabel, prefixed, recall, remember, state } from "./address.js";
import { copying } from "./call.js";
import * as calls from "./calls.js";
import { exporting } from "./export.js";
import { report, settle } from "./faults.js";
import { ask, by, clock, element, label, named, span, Unreachable, visible } from "./format.js";
import { showGroups } from "./groups.js";
import * as charts from "./lines.js";
import * as previous from "./previous.js";
import { shifts } from "./shifts.js";
import { follow } from "./theme.js";
import { showNotice, showTotals } from "./totals.js";

const EVERY_MS = 1000;
const LONGEST = "2592000";

let tag = "";
let latest = null;
let everFilled = false;

async function update({ anew = false } = {}) {
  if (anew) (tag = ""), remember();
  const question = { ...prefixed(state.where), ...asked(), by: state.by };
  const answer = await ask("api/overview", question, { headers: tag ? { "If-None-Match": tag } : {} });
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(await answer.text());
  latest = await answer.json();
  await list();
  everFilled ||= isFiltered() || hasSome() || (await hasHistory());
  show();
  tag = answer.headers.get("ETag"); // set last, so that a failed update is repeated
}

// The range of everything on the page: whole steps, so that the figures and the list are about the same calls.
const range = () => ({
  key: JSON.stringify(asked()),
  since: `${latest.times[0]}000000000`,
  ...(state.from && { until: `${latest.end}000000000` }),
});

function zoom(from, to) {
  Object.assign(state, { from: String(from), to: String(to) });
  changed();
}

function showRange() {
  for (const input of document.querySelectorAll("#ranges input")) input.checked = !state.from && input.value === state.seconds;
  const text = (at) => clock(new Date(at * 1000));
  by("zoomed").hidden = !state.from;
  by("zoomed").replaceChildren(visible(`${text(latest.times[0])} to ${text(latest.end)}`), element("span", "cross", "×"));
  showShifts();
  for (const [id, at] of [["from", latest.times[0]], ["to", latest.end]]) {
    if (document.activeElement !== by(id)) by(id).value = local(at);
  }
}

const shown = () => ({ from: Number(state.from) || latest.times[0], to: Number(state.to) || latest.end });

// Show by how much the buttons move the range. They stay focusable without effect at the ends of the history.
function showShifts() {
  const length = shown().to - shown().from;
  const names = { earlier: `Earlier by ${span(length)}`, later: `Later by ${span(length)}`, wider: "Twice as long" };
  for (const [id, move] of Object.entries(shifts(shown(), latest.now))) {
    by(id).setAttribute("aria-label", names[id]);
    by(id).setAttribute("aria-disabled", String(!move));
    by(id).title = names[id];
  }
}

// A time as the inputs write it, in the browser's time zone.
function local(at) {
  const date = new Date(at * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
const isFiltered = () => Boolean(state.q || state.failed || state.grouping || [state.where, state.attr].some((one) => Object.keys(one).length));
const hasSome = () => latest.total.calls > 0 || calls.hasSome(range());

// Return true if the history contains calls outside the range.
async function hasHistory() {
  const [logged, counted] = await Promise.all([ask("api/calls", { limit: 1 }), ask("api/overview", { seconds: LONGEST })]);
  return (logged.ok && (await logged.json()).length > 0) || (counted.ok && (await counted.json()).total.calls > 0);
}

async function list() {
  const parameters = {
    ...prefixed(state.where),
    ...prefixed(state.attr),
    ...(state.q && { q: state.q }),
    ...(state.failed && { failed: "1" }),
    ...(state.order !== "time" && { order: state.order }),
  };
  await calls.refresh(parameters, range(), state.grouping);
}

function showOrders() {
  for (const button of by("orders").querySelectorAll("button")) {
    const isChosen = button.dataset.order === state.order;
    button.setAttribute("aria-pressed", String(isChosen));
  }
  by("orders").classList.toggle("grouped", Boolean(state.grouping));
  const names = Object.keys(state.attr);
  by("list-only").hidden = !names.length;
  by("list-only").textContent = `Only this list is filtered by ${names.map(label).join(", ")}: no metric has ${names.length === 1 ? "this label" : "these labels"}.`;
}

const showFigures = () => (showTotals(latest.total, range()), charts.showCharts(latest));

// Filter by an attribute: everything if the metrics have this label, else the list only.
function choose(name, value) {
  const isOfMetrics = Object.hasOwn(latest.values, name) && isLabel(name);
  (isOfMetrics ? state.where : state.attr)[name] = value;
  changed();
}

function show() {
  by("empty").hidden = everFilled;
  by("content").hidden = !everFilled;
  if (!everFilled) return;
  showRange();
  if (state.compare) previous.update(latest, { ...prefixed(state.where), by: state.by }, showFigures);
  else previous.forget();
  showFigures();
  showNotice(latest.dropped);
  showOrders();
  showChoices();
  showGroups(latest, (name, value) => ((state.where[name] = value), changed()));
}

function showChoices() {
  const names = Object.keys(latest.values).filter(isLabel);
  const choices = [...new Set(["model", ...names, state.by])];
  if (JSON.stringify(choices) !== by("by").dataset.choices) {
    by("by").dataset.choices = JSON.stringify(choices);
    by("by").replaceChildren(...choices.map((name) => Object.assign(element("option", "", label(name).toLowerCase()), { value: name })));
  }
  by("by").value = state.by;
  by("groups-title").replaceChildren(visible(`By ${label(state.by).toLowerCase()}`));
  by("groups-label").replaceChildren(visible(label(state.by)));
  const filters = [state.where, state.attr].flatMap((chosen) => Object.entries(chosen).map(([name, value]) => {
    const button = element("button", "filter", `${label(name)}: ${named(value)}`, element("span", "cross", "×"));
    button.type = "button";
    button.setAttribute("aria-label", `Remove the filter ${label(name)}: ${named(value)}`);
    button.addEventListener("click", () => (delete chosen[name], changed()));
    return button;
  }));
  if (by("filters").childElementCount !== filters.length || filters.some((one, at) => one.textContent !== by("filters").children[at].textContent)) {
    by("filters").replaceChildren(...filters);
  }
}

function status(text, kind) {
  const box = by("status");
  if (box.textContent !== text) box.textContent = text;
  box.className = kind;
}

let busy = false;
let again = false;

async function tick(how) {
  if (busy) return void (again ||= Boolean(how?.anew));
  busy = true;
  try {
    await update(how);
    settle();
    status("Live", "live");
  } catch (error) {
    const isAway = error instanceof Unreachable || error.name === "TimeoutError";
    status(isAway ? "Not connected" : "Not up to date", "lost");
    if (!isAway) report(error);
  } finally {
    busy = false;
  }
  if (again) (again = false), await tick({ anew: true });
}

const changed = () => tick({ anew: true });

by("ranges").addEventListener("change", (event) => (Object.assign(state, { seconds: event.target.value, from: "", to: "" }), changed()));
by("zoomed").addEventListener("click", () => (Object.assign(state, { from: "", to: "" }), changed()));
by("custom").addEventListener("submit", (event) => {
  event.preventDefault();
  const [from, to] = ["from", "to"].map((id) => Math.floor(new Date(by(id).value).getTime() / 1000));
  by("to").setCustomValidity(from < to ? "" : "must be after the start");
  if (by("custom").reportValidity()) zoom(from, to);
});
by("shifts").addEventListener("click", ({ target }) => {
  const move = latest && shifts(shown(), latest.now)[target.id];
  if (!move) return;
  const isNow = target.id === "later" && move.to >= latest.now && move.to - move.from === Number(state.seconds);
  if (isNow) Object.assign(state, { from: "", to: "" }), changed();
  else zoom(move.from, move.to);
});
by("to").addEventListener("input", () => by("to").setCustomValidity(""));
charts.listen(zoom);
by("by").addEventListener("change", (event) => ((state.by = event.target.value), changed()));
by("share").addEventListener("change", (event) => ((state.share = event.target.value), changed()));
by("compare").addEventListener("change", (event) => ((state.compare = event.target.checked), changed()));
by("failed").addEventListener("change", (event) => ((state.failed = event.target.checked), changed()));
by("grouping").addEventListener("change", (event) => ((state.grouping = event.target.value), changed()));
by("orders").addEventListener("click", (event) => {
  if (event.target.dataset.order) (state.order = event.target.dataset.order), changed();
});
calls.listen({ chosen: choose, opened: (id) => ((state.call = id ?? ""), remember()) });
exporting(by("save-csv"), "csv", calls.current);
exporting(by("save-json"), "json", calls.current);
by("search").addEventListener("input", (event) => ((state.q = event.target.value), changed()));
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=search], select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) (event.preventDefault(), by("search").focus());
});

by("snippet").textContent = `from monitored_openai import MonitoredOpenAI, MonitoringSettings

settings = MonitoringSettings.local(${JSON.stringify(location.origin)})
client = MonitoredOpenAI(monitoring=settings)`;
by("snippet").after(copying("Copy", () => by("snippet").textContent));

recall();
follow(() => latest && show());
await tick();
if (state.call) calls.open(state.call).catch(report);
setInterval(() => document.hidden || tick(), EVERY_MS);
document.addEventListener("visibilitychange", () => document.hidden || tick());
