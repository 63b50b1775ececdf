// The page: polls for new data each second and shows it.

import { report, settle } from "./faults.js";
import * as calls from "./calls.js";
import { exporting } from "./export.js";
import { copying } from "./call.js";
import { Chart, markOf, switchOf, variableOf } from "./charts.js";
import * as previous from "./previous.js";
import { follow, theme } from "./theme.js";
import {
  ask, clock, compact, count, countMark, element, known, lowest, money, moneyMark, percent, plus, seconds, secondsMark, several,
  Unreachable, visible,
} from "./format.js";

const EVERY_MS = 1000;
const MOST_ERRORS = 6;
const by = (id) => document.getElementById(id);
const LABELS = new Map([
  ["model", "Model"], ["operation", "Operation"], ["provider", "Provider"], ["environment", "Environment"], ["service_name", "Service"],
]);
const LABEL = /^[A-Za-z_]\w{0,127}$/;
const LONGEST = "2592000";
const ORDERS = ["time", "duration", "tokens", "cost"];
const label = (name) => LABELS.get(name) ?? (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
const shown = (value) => value || "none";

const charts = {
  cost: new Chart("Spend"),
  calls: new Chart("Calls"),
  errors: new Chart("Errors"),
  duration: new Chart("Whole answer"),
  first_chunk: new Chart("First chunk"),
  tokens: new Chart("Tokens"),
};
by("charts").append(...Object.values(charts).map((chart) => chart.root));

const state = {
  seconds: "3600", by: "model", share: "p95", where: Object.create(null), q: "", failed: false,
  attr: Object.create(null), order: "time", grouping: "", call: "", from: "", to: "",
};
const hidden = new Set(); // names of lines that the charts leave out
let tag = "";
let latest = null;
let everFilled = false;

// Store the filters in the address, so that they survive a reload.
function remember() {
  const { where, attr, ...others } = state;
  const plain = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== ""));
  history.replaceState(null, "", `#${new URLSearchParams({ ...plain, ...prefixed(where), ...prefixed(attr, "attr") })}`);
}

const prefixed = (where, prefix = "is") => Object.fromEntries(Object.entries(where).map(([name, value]) => [`${prefix}.${name}`, value]));

function recall() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (name.startsWith("is.")) {
      if (LABEL.test(name.slice(3))) state.where[name.slice(3)] = value;
    } else if (name.startsWith("attr.")) {
      if (LABEL.test(name.slice(5))) state.attr[name.slice(5)] = value;
    } else if (name === "failed") state.failed = value === "true";
    else if (Object.hasOwn(state, name) && typeof state[name] === "string") state[name] = value;
  }
  if (!ORDERS.includes(state.order)) state.order = "time";
  by("grouping").value = state.grouping;
  if (by("grouping").value !== state.grouping) by("grouping").value = state.grouping = "";
  if (![state.from, state.to].every((text) => /^\d{1,11}$/.test(text))) state.from = state.to = "";
  if (!document.querySelector(`#ranges input[value="${CSS.escape(state.seconds)}"]`)) state.seconds = "3600";
  if (!LABEL.test(state.by)) state.by = "model";
  by("share").value = state.share;
  if (!by("share").value) by("share").value = state.share = "p95";
  by("search").value = state.q;
  by("failed").checked = state.failed;
}

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

const asked = () => (state.from ? { from: state.from, to: state.to } : { seconds: state.seconds });

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
  for (const [id, at] of [["from", latest.times[0]], ["to", latest.end]]) {
    if (document.activeElement !== by(id)) by(id).value = local(at);
  }
}

// A time as the inputs write it, in the browser's time zone.
function local(at) {
  const date = new Date(at * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
const isFiltered = () => Boolean(state.q || state.failed || state.grouping || [state.where, state.attr].some((one) => Object.keys(one).length));
const hasSome = () => latest.total.calls > 0 || calls.hasSome(range());

// Return true if the history contains calls outside of the range.
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

// Filter by an attribute: everything if the metrics have this label, else the list only.
function choose(name, value) {
  const isLabel = Object.hasOwn(latest.values, name) && LABEL.test(name);
  (isLabel ? state.where : state.attr)[name] = value;
  changed();
}

function show() {
  by("empty").hidden = everFilled;
  by("content").hidden = !everFilled;
  if (!everFilled) return;
  showRange();
  previous.update(latest, { ...prefixed(state.where), by: state.by }, () => showTotals(latest.total));
  showTotals(latest.total);
  showNotice(latest.dropped);
  showOrders();
  showChoices();
  showCharts();
  showGroups();
}

const spend = (figures) => lowest(money, figures.cost, plus(figures.unpriced, figures.cost_incomplete), figures.calls);
const tokens = (figures, sum = plus(figures.input_tokens, figures.output_tokens)) => lowest(count, sum, figures.usage_unknown, figures.calls);

function showTotals(total) {
  const stored = total.stored == null || total.stored === total.calls ? "" : `, of ${count(total.stored)} stored calls`;
  const source = total.estimated ? ", estimated from buckets" : stored;
  const latency = (histogram) => [seconds(histogram.p95), histogram.p50 == null ? "" : `p50 ${seconds(histogram.p50)}${source}`];
  const uncounted = !total.calls && calls.hasSome(range()); // calls with log entries but without metrics
  const number = (value) => (uncounted ? "–" : count(value));
  const perCall = total.calls > 0 ? `${money(total.cost / total.calls)} a call` : "";
  const parts = total.calls > 0 ? `${compact(total.input_tokens)} in, ${compact(total.output_tokens)} out` : "";
  const gaps = [
    total.unpriced && `${several(total.unpriced, "call")} without a price`,
    total.cost_incomplete && `${several(total.cost_incomplete, "call")} with a part without a price`,
  ].filter(Boolean);
  const sum = plus(total.input_tokens, total.output_tokens);
  const tiles = [
    ["Spend", spend(total), gaps.length ? gaps.join(", ") : perCall, previous.change(total, (one) => (one.unpriced || one.cost_incomplete ? null : one.cost))],
    ["Calls", number(total.calls), uncounted ? "the calls below have no metrics" : total.retries ? `${several(total.retries, "request")} repeated` : "", previous.change(total, (one) => one.calls)],
    ["Errors", number(total.errors), total.calls ? percent(total.errors, total.calls) : "", previous.value((one) => (one.calls > 0 ? percent(one.errors, one.calls) : null))],
    ["Tokens", tokens(total, sum), total.usage_unknown ? `unknown for ${several(total.usage_unknown, "call")}` : parts, previous.change(total, (one) => (one.usage_unknown ? null : plus(one.input_tokens, one.output_tokens)))],
    ["Whole answer, p95", ...latency(total.duration), previous.value((one) => (known(one.duration.p95) ? seconds(one.duration.p95) : null))],
    ["First chunk, p95", ...latency(total.first_chunk), previous.value((one) => (known(one.first_chunk.p95) ? seconds(one.first_chunk.p95) : null))],
  ];
  by("totals").replaceChildren(
    ...tiles.map(([name, value, more, before]) => {
      const tile = element("div", "tile", element("dt", "", name), element("dd", "", value), element("dd", "more", more), element("dd", "before", before));
      tile.classList.toggle("alert", name === "Errors" && total.errors > 0);
      return tile;
    }),
  );
}

function showNotice(dropped) {
  const lost = Object.entries(dropped).filter(([reason]) => reason !== "sampled");
  by("notice").hidden = !lost.length;
  const texts = lost.map(([reason, number]) => `${count(number)} (${reason})`);
  by("notice").replaceChildren(visible(`Not everything arrived. Dropped by the clients: ${texts.join(", ")}.`));
}

function showChoices() {
  const names = Object.keys(latest.values).filter((name) => LABEL.test(name));
  const choices = [...new Set(["model", ...names, state.by])];
  if (JSON.stringify(choices) !== by("by").dataset.choices) {
    by("by").dataset.choices = JSON.stringify(choices);
    by("by").replaceChildren(...choices.map((name) => Object.assign(element("option", "", label(name).toLowerCase()), { value: name })));
  }
  by("by").value = state.by;
  by("groups-title").replaceChildren(visible(`By ${label(state.by).toLowerCase()}`));
  by("groups-label").replaceChildren(visible(label(state.by)));
  const filters = [state.where, state.attr].flatMap((chosen) => Object.entries(chosen).map(([name, value]) => {
    const button = element("button", "filter", `${label(name)}: ${shown(value)}`, element("span", "cross", "×"));
    button.type = "button";
    button.setAttribute("aria-label", `Remove the filter ${label(name)}: ${shown(value)}`);
    button.addEventListener("click", () => (delete chosen[name], changed()));
    return button;
  }));
  if (by("filters").childElementCount !== filters.length || filters.some((one, at) => one.textContent !== by("filters").children[at].textContent)) {
    by("filters").replaceChildren(...filters);
  }
}

function lines(chart, order) {
  const of = latest.charts[chart] ?? {};
  return order.filter((name) => Object.hasOwn(of, name)).map((name) => ({ name: shown(name), variable: variableFor(name, order), values: of[name] }));
}

const variableFor = (name, order) => (name === "other" && order.at(-1) === "other" ? "--series-other" : variableOf(order.indexOf(name)));

const sum = (values) => values.reduce((all, value) => all + (known(value) ? value : 0), 0);

// The most frequent types, and one line for the rest, because the number of colours is limited.
function errorLines() {
  const types = Object.entries(latest.charts.errors).sort(([, one], [, other]) => sum(other) - sum(one));
  const lines = types.map(([name, values], at) => ({ name, variable: `--error-${at}`, values }));
  if (lines.length <= MOST_ERRORS) return lines;
  const rest = lines.splice(MOST_ERRORS - 1).map((line) => line.values);
  const together = rest[0].map((_, at) => sum(rest.map((values) => values[at])));
  return [...lines, { name: "other types", variable: "--series-other", values: together }];
}

function showCharts() {
  const { total, series, times, step } = latest;
  const common = { times, step, theme: theme(), switched };
  const visibly = (those) => those.filter((line) => !hidden.has(line.name));
  const output = lines("output_tokens", series);
  const both = lines("input_tokens", series).map((line, number) => ({
    ...line,
    values: line.values.map((value, at) => plus(value, output[number].values[at])),
  }));
  const errors = errorLines();
  by("key").replaceChildren(...series.map((name) => switched({ name: shown(name), variable: variableFor(name, series) })));
  const bar = (name, those, format, mark, sum) =>
    charts[name].show({ ...common, bars: true, whole: mark === countMark, lines: visibly(those), all: those, format, mark, total: sum, said: `${sum} in all`, keyed: name === "errors" });
  bar("cost", lines("cost", series), money, moneyMark, spend(total));
  bar("calls", lines("calls", series), count, countMark, count(total.calls));
  bar("errors", errors, count, countMark, count(total.errors));
  bar("tokens", both, count, countMark, tokens(total));
  for (const name of ["duration", "first_chunk"]) {
    const said = `${state.share} ${seconds(total[name][state.share])}`;
    charts[name].show({ ...common, lines: visibly(lines(`${name}_${state.share}`, series)), format: seconds, mark: secondsMark, total: said, said });
  }
}

function switched(line) {
  return switchOf(line, !hidden.has(line.name), () => {
    if (!hidden.delete(line.name)) hidden.add(line.name);
    showCharts();
  });
}

function showGroups() {
  const rows = latest.groups.map((group) => {
    const mark = markOf(latest.series.includes(group.name) ? variableFor(group.name, latest.series) : "--series-other");
    const button = element("button", "link", shown(group.name));
    button.type = "button";
    button.title = "Show only this group";
    button.dataset.group = group.name;
    button.addEventListener("click", () => ((state.where[state.by] = group.name), changed()));
    const cells = [
      count(group.calls),
      count(group.errors),
      tokens(group, group.input_tokens),
      tokens(group, group.output_tokens),
      spend(group),
      ...["duration", "first_chunk"].flatMap((name) => [seconds(group[name].p50), seconds(group[name].p95)]),
    ];
    return element("tr", "", element("th", "name", mark, button), ...cells.map((text) => element("td", "", text)));
  });
  if (latest.more_groups) rows.push(element("tr", "", element("th", "name", `and ${count(latest.more_groups)} more`)));
  const focused = document.activeElement?.dataset?.group;
  by("groups").tBodies[0].replaceChildren(...rows);
  if (focused != null) [...by("groups").querySelectorAll("button")].find((one) => one.dataset.group === focused)?.focus();
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
by("to").addEventListener("input", () => by("to").setCustomValidity(""));
for (const chart of Object.values(charts)) chart.onZoom = zoom;
by("by").addEventListener("change", (event) => ((state.by = event.target.value), changed()));
by("share").addEventListener("change", (event) => ((state.share = event.target.value), changed()));
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
