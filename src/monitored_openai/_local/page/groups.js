// The table of groups.

import { state } from "./address.js";
import { markOf } from "./charts.js";
import { by, count, element, estimate, known, named, seconds } from "./format.js";
import { variableFor } from "./lines.js";
import { spend, tokens } from "./totals.js";

const PERCENTILES = ["duration", "first_chunk"].flatMap((name) => ["p50", "p95"].map((share) => [name, share]));

// Show a row for each group; `choose` receives the name of a clicked one.
export function showGroups(latest, choose) {
  const rows = latest.groups.map((group) => rowOf(group, latest.series, choose));
  const isEstimate = (group) => group.estimated && PERCENTILES.some(([name, share]) => known(group[name][share]));
  by("estimates").hidden = !latest.groups.some(isEstimate);
  if (latest.more_groups) rows.push(element("tr", "", element("th", "name", `and ${count(latest.more_groups)} more`)));
  const focused = document.activeElement?.dataset?.group;
  by("groups").tBodies[0].replaceChildren(...rows);
  if (focused != null) [...by("groups").querySelectorAll("button")].find((one) => one.dataset.group === focused)?.focus();
}

function rowOf(group, series, choose) {
  const button = element("button", "link", named(group.name));
  button.type = "button";
  button.title = "Show only this group";
  button.dataset.group = group.name;
  button.addEventListener("click", () => choose(state.by, group.name));
  const percentile = (value) => (group.estimated ? estimate(seconds(value)) : seconds(value));
  const cells = [
    count(group.calls),
    count(group.errors),
    tokens(group, group.input_tokens),
    tokens(group, group.output_tokens),
    spend(group),
    ...PERCENTILES.map(([name, share]) => percentile(group[name][share])),
  ];
  const mark = markOf(series.includes(group.name) ? variableFor(group.name, series) : "--series-other");
  return element("tr", "", element("th", "name", mark, button), ...cells.map((text) => element("td", "", text)));
}
