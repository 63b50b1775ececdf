// The tiles with the totals, and the notice of dropped entries.

import * as calls from "./calls.js";
import * as previous from "./previous.js";
import { by, compact, count, element, estimate, known, lowest, money, percent, plus, seconds, several, visible } from "./format.js";

export const spend = (figures) => lowest(money, figures.cost, plus(figures.unpriced, figures.cost_incomplete), figures.calls);
export const tokens = (figures, sum = plus(figures.input_tokens, figures.output_tokens)) => lowest(count, sum, figures.usage_unknown, figures.calls);

// `range` contains the calls that the list shows.
export function showTotals(total, range) {
  const stored = total.stored == null || total.stored === total.calls ? "" : `, of ${count(total.stored)} stored calls`;
  const source = total.estimated ? ", estimated from buckets" : stored;
  const latency = (histogram) => [(total.estimated ? estimate : String)(seconds(histogram.p95)), histogram.p50 == null ? "" : `p50 ${seconds(histogram.p50)}${source}`];
  const latencyBefore = (name) => previous.value((one) => known(one[name].p95) && (one.estimated ? estimate : String)(seconds(one[name].p95)));
  const uncounted = !total.calls && calls.hasSome(range); // calls with log entries but without metrics
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
    ["Whole answer, p95", ...latency(total.duration), latencyBefore("duration")],
    ["First chunk, p95", ...latency(total.first_chunk), latencyBefore("first_chunk")],
  ];
  by("totals").replaceChildren(
    ...tiles.map(([name, value, more, before]) => {
      const tile = element("div", "tile", element("dt", "", name), element("dd", "", value), element("dd", "more", more), element("dd", "before", before));
      tile.classList.toggle("alert", name === "Errors" && total.errors > 0);
      return tile;
    }),
  );
}

export function showNotice(dropped) {
  const lost = Object.entries(dropped).filter(([reason]) => reason !== "sampled");
  by("notice").hidden = !lost.length;
  const texts = lost.map(([reason, number]) => `${count(number)} (${reason})`);
  by("notice").replaceChildren(visible(`Not everything arrived. Dropped by the clients: ${texts.join(", ")}.`));
}
