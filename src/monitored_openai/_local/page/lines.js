// The charts of the page: their lines, and the buttons that hide lines.

import { hidden, remember, state } from "./address.js";
import { Chart, fillKey, variableOf } from "./charts.js";
import { by, count, countMark, estimate, known, money, moneyMark, named, plus, seconds, secondsMark } from "./format.js";
import { theme } from "./theme.js";
import { spend, tokens } from "./totals.js";

const MOST_ERRORS = 6;

const charts = {
  cost: new Chart("Spend"),
  calls: new Chart("Calls"),
  errors: new Chart("Errors"),
  duration: new Chart("Whole answer"),
  first_chunk: new Chart("First chunk"),
  tokens: new Chart("Tokens"),
};
by("charts").append(...Object.values(charts).map((chart) => chart.root));

// `zoom` receives the start and the end of a range that the user marks in a chart.
export function listen(zoom) {
  for (const chart of Object.values(charts)) chart.onZoom = zoom;
}

export const variableFor = (name, order) => (name === "other" && order.at(-1) === "other" ? "--series-other" : variableOf(order.indexOf(name)));

function lines(latest, chart) {
  const of = latest.charts[chart] ?? {};
  const order = latest.series;
  return order.filter((name) => Object.hasOwn(of, name)).map((name) => ({ name: named(name), variable: variableFor(name, order), values: of[name] }));
}

const sum = (values) => values.reduce((all, value) => all + (known(value) ? value : 0), 0);

// The most frequent types, and one line for the rest, because the number of colours is limited.
function errorLines(latest) {
  const types = Object.entries(latest.charts.errors).sort(([, one], [, other]) => sum(other) - sum(one));
  const lines = types.map(([name, values], at) => ({ name, variable: `--error-${at}`, values }));
  if (lines.length <= MOST_ERRORS) return lines;
  const rest = lines.splice(MOST_ERRORS - 1).map((line) => line.values);
  const together = rest[0].map((_, at) => sum(rest.map((values) => values[at])));
  return [...lines, { name: "other types", variable: "--series-other", values: together }];
}

export function showCharts(latest) {
  const { total, series, times, step } = latest;
  const toggle = (name) => {
    if (!hidden.delete(name)) hidden.add(name);
    remember();
    showCharts(latest);
  };
  const common = { times, step, theme: theme(), hidden, toggle };
  const output = lines(latest, "output_tokens");
  const both = lines(latest, "input_tokens").map((line, number) => ({
    ...line,
    values: line.values.map((value, at) => plus(value, output[number].values[at])),
  }));
  fillKey(by("key"), series.map((name) => ({ name: named(name), variable: variableFor(name, series) })), hidden, toggle);
  const bar = (name, lines, format, mark, sum) =>
    charts[name].show({ ...common, bars: true, whole: mark === countMark, lines, format, mark, total: sum, said: `${sum} in all`, keyed: name === "errors" });
  bar("cost", lines(latest, "cost"), money, moneyMark, spend(total));
  bar("calls", lines(latest, "calls"), count, countMark, count(total.calls));
  bar("errors", errorLines(latest), count, countMark, count(total.errors));
  bar("tokens", both, count, countMark, tokens(total));
  for (const name of ["duration", "first_chunk"]) {
    const value = seconds(total[name][state.share]);
    const said = `${state.share} ${total.estimated ? estimate(value) : value}`;
    const note = "lines estimated from buckets";
    charts[name].show({ ...common, lines: lines(latest, `${name}_${state.share}`), format: (value) => estimate(seconds(value)), mark: secondsMark, total: said, said: `${said}, ${note}`, note });
  }
}
