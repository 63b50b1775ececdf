// The totals of the period before, of the same length, and how the present ones differ from them.

import { ask, known } from "./format.js";

const DAY = 86_400;
const HOUR = 3_600;
const SLOT = 120; // seconds of the history's slots behind the last two hours

let key = "";
let before = null; // the overview of the period before; null while unknown or without data
let present = null;

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
