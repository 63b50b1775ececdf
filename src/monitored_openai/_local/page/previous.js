// The period before, of the same length: how the present totals differ from its totals, and its lines for the charts.

import { ask, known, plus, span } from "./format.js";

const DAY = 86_400;
const HOUR = 3_600;
const SLOT = 120; // seconds of the history's slots behind the last two hours

let key = "";
let before = null; // the overview of the period before; null while unknown or without data
let present = null;

export const forget = () => ((key = ""), (before = null));

// Ask for the period before unless it is known; then call `show`.
export async function update(latest, parameters, show) {
  present = latest;
  const start = latest.times[0];
  const length = Math.min(latest.end, latest.now) - start;
  const unit = length > DAY / 2 ? HOUR : length > HOUR / 2 ? SLOT : latest.step;
  const to = Math.floor(start / unit) * unit;
  const from = to - Math.floor(length / unit) * unit;
  const wanted = JSON.stringify([from, to, parameters]);
  if (wanted === key) return;
  key = wanted;
  before = null;
  if (latest.oldest == null || latest.oldest > from) return;
  const answer = await ask("api/overview", { ...parameters, from, to }).catch(() => null);
  if (wanted !== key || !answer?.ok) return;
  before = await answer.json();
  show();
}

// Return how a total changed, per second of the two periods; empty if it is unknown in one of them.
export function change(total, read) {
  if (!before) return "";
  const [now, then] = [read(total), read(before.total)];
  if (!known(now) || !known(then)) return "";
  if (then === 0) return now === 0 ? "none before either" : "none before";
  const seconds = Math.min(present.end, present.now) - present.times[0];
  const percent = Math.round(100 * ((now / seconds / then) * (before.end - before.times[0]) - 1));
  return percent === 0 ? "as before" : `${percent > 0 ? "+" : "−"}${Math.abs(percent).toLocaleString("en-US")} % against before`;
}

// Return a value of the period before; empty if it is unknown.
export function value(read) {
  const text = before && read(before.total);
  return text ? `${text} before` : "";
}

// Return a line with the sums over all lines of these charts in the period before; null if `isComplete` refuses its total.
export function sums(charts, isComplete = () => true) {
  if (!before || !isComplete(before.total)) return null;
  const lines = charts.flatMap((chart) => Object.values(before.charts[chart] ?? {}));
  const all = before.times.map((_, at) => lines.reduce((sum, values) => plus(sum, values[at]), 0));
  const values = along((from) => all.reduce((sum, value, at) => plus(sum, value && value * overlap(before.times[at], from)), 0));
  return { values, name: before.step > present.step ? `before, mean of ${span(before.step)}` : "before" };
}

// Return a line of a chart in the period before; null if it has none of this group.
export function line(chart, group) {
  if (!before || !Object.hasOwn(before.charts[chart] ?? {}, group)) return null;
  const values = along((from) => before.charts[chart][group][Math.floor((from - before.times[0]) / before.step)]);
  return { values, name: before.step === present.step ? "before" : `before, over ${span(before.step)}` };
}

// Call `read` for each step of the present range, with the start of the same step in the period before.
function along(read) {
  const shift = present.times[0] - before.times[0];
  return present.times.map((time) => (time - shift + present.step <= before.end ? read(time - shift) : null));
}

// Return the share, from 0 to 1, of the old step at `start` that a step of the present length at `from` covers.
function overlap(start, from) {
  const seconds = Math.min(start + before.step, from + present.step) - Math.max(start, from);
  return Math.max(0, seconds) / before.step;
}
