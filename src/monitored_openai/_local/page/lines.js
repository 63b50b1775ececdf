// The charts of the page: their lines, and the buttons that hide lines.

import { hidden, remember, state } from "./address.js";
import { Chart, fillKey, variableOf } from "./charts.js";
import { by, count, countMark, estimate, known, money, moneyMark, named, plus, seconds, secondsMark } from "./format.js";
import * as previous from "./previous.js";
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
  return order.filter((name) => Object.hasOwn(of, name)).map((name) => ({ group: name, name: named(name), variable: variableFor(name, order), values: of[name] }));
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
  const isWhole = (lines) => !lines.some((line) => hidden.has(line.name)); // else the period before has more lines
  const bar = (name, lines, format, mark, sum, before) => charts[name].show({
    ...common, bars: true, whole: mark === countMark, lines, format, mark, total: sum, said: `${sum} in all`, keyed: name === "errors",
    before: isWhole(lines) ? before : null,
  });
  const isPriced = (one) => !one.unpriced && !one.cost_incomplete;
  bar("cost", lines(latest, "cost"), money, moneyMark, spend(total), isPriced(total) ? previous.sums(["cost"], isPriced) : null);
  bar("calls", lines(latest, "calls"), count, countMark, count(total.calls), previous.sums(["calls"]));
  bar("errors", errorLines(latest), count, countMark, count(total.errors), previous.sums(["errors"]));
  const isCounted = (one) => !one.usage_unknown;
  bar("tokens", both, count, countMark, tokens(total), isCounted(total) ? previous.sums(["input_tokens", "output_tokens"], isCounted) : null);
  for (const name of ["duration", "first_chunk"]) {
    const value = seconds(total[name][state.share]);
    const said = `${state.share} ${total.estimated ? estimate(value) : value}`;
    const note = "lines estimated from buckets";
    const chart = `${name}_${state.share}`;
    const those = lines(latest, chart);
    const only = those.filter((line) => !hidden.has(line.name));
    const before = only.length === 1 && only[0].variable !== "--series-other" ? previous.line(chart, only[0].group) : null;
    charts[name].show({ ...common, lines: those, format: (value) => estimate(seconds(value)), mark: secondsMark, total: said, said: `${said}, ${note}`, note, before });
  }
}
