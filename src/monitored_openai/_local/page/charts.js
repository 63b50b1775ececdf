// The charts: stacked bars for sums, lines for other values.

import { day, element, known, minute, several } from "./format.js";

const HEIGHT = 148;
const AXIS = 52;
const BESIDE = 12;
const COLOURS = 8;
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 3, 4, 5].map((digit) => digit * 10 ** power)).flat();
const FEWEST_PIXELS = 6; // of a drag; less is a click

let probe;

function colour(variable) {
  probe ??= document.body.appendChild(element("i", "unseen"));
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

export const variableOf = (index) => `--series-${index % COLOURS}`;

// Stack from the bottom bar; `null` marks a missing value.
function stacked(lines) {
  const sums = [];
  for (const line of lines) sums.push(line.map((value, at) => (known(value) ? value : 0) + (sums.length ? sums.at(-1)[at] : 0)));
  return sums;
}

// Return the positions of values without neighbours, which a line would not show.
function alone(plot, index) {
  const values = plot.data[index];
  return [...values.keys()].filter((at) => values[at] != null && values[at - 1] == null && values[at + 1] == null);
}

function options(chart, data, width) {
  const { bars, times, step, mark } = data;
  const { lines } = chart;
  const ink = { stroke: colour("--faint"), font: `11px ${getComputedStyle(document.body).fontFamily}` };
  const long = step * times.length > 2 * 86400;
  const look = (line) => ({
    stroke: colour(line.variable),
    width: 1.75,
    points: { show: true, size: 5, width: 0, fill: colour(line.variable), filter: alone },
  });
  const block = (line) => ({
    fill: colour(line.variable),
    width: 0,
    paths: uPlot.paths.bars({ size: [0.78, 60], align: 1 }),
    points: { show: false },
  });
  const dashed = {
    stroke: colour("--faint"),
    width: 1.25,
    dash: [4, 3],
    paths: bars ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: { show: !bars, size: 4, width: 0, fill: colour("--faint"), filter: alone },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 18, 0, 0], // room for half of the last time
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false }, y: false, points: { show: !bars, size: 7 }, sync: { key: "charts", setSeries: false } },
    hooks: { setCursor: [() => chart.describe()], setSelect: [(plot) => chart.zoom(plot)] },
    scales: {
      x: { range: () => [chart.data.times[0], chart.data.times.at(-1) + step] },
      y: { range: (_, least, most) => [0, most > 0 && known(most * 1.06) ? most * 1.06 : 1] },
    },
    axes: [
      {
        ...ink,
        size: 24,
        gap: 4,
        space: 64,
        grid: { show: false },
        ticks: { show: false },
        values: (_, marks) => marks.map((at) => (long ? day : minute)(new Date(at * 1000))),
      },
      {
        ...ink,
        size: AXIS,
        gap: 6,
        space: 28,
        ...(data.whole && { incrs: WHOLE }),
        grid: { stroke: colour("--line"), width: 1 },
        ticks: { show: false },
        values: (_, marks) => marks.map((value) => (chart.isBlank ? "" : mark(value))),
      },
    ],
    series: [{}, ...(bars ? [...lines].reverse().map(block) : lines.map(look)), ...(chart.before ? [dashed] : [])],
  };
}

// Return an item that shows the name of a line beside its colour.
export function keyOf(line) {
  return element("li", "", markOf(line.variable), element("span", "", line.name));
}

const looks = new WeakMap(); // what the lists of names show

// Fill a list with a button for each line, which hides or shows it. The buttons stay while the lines are the same, and so
// does the focus.
export function fillKey(list, lines, hidden, toggle) {
  const look = JSON.stringify(lines.map(({ name, variable }) => [name, variable]));
  if (looks.get(list) !== look) {
    looks.set(list, look);
    const focused = [...list.children].find((item) => item.contains(document.activeElement))?.textContent;
    list.replaceChildren(...lines.map((line) => switchOf(line)));
    if (focused != null) [...list.children].find((item) => item.textContent === focused)?.firstChild.focus();
  }
  for (const [at, { name }] of lines.entries()) {
    const button = list.children[at].firstChild;
    button.title = hidden.has(name) ? "Show in the charts" : "Hide in the charts";
    button.setAttribute("aria-pressed", String(!hidden.has(name)));
    button.onclick = () => toggle(name);
  }
}

function switchOf(line) {
  const button = element("button", "", markOf(line.variable), element("span", "", line.name));
  button.type = "button";
  return element("li", "", button);
}

export function markOf(variable) {
  const mark = element("i", "mark");
  mark.style.background = `var(${variable})`;
  return mark;
}

export class Chart {
  constructor(title) {
    this.title = title;
    this.total = element("span", "total");
    this.note = element("span", "note");
    this.area = element("div", "area");
    this.area.tabIndex = 0;
    this.area.setAttribute("role", "img");
    this.tip = element("div", "tip");
    this.tip.hidden = true;
    this.key = element("ul", "key");
    this.root = element(
      "figure",
      "chart",
      element("figcaption", "", element("span", "", title), this.note, this.total),
      this.area,
      this.key,
    );
    this.area.append(this.tip);
    this.area.addEventListener("keydown", (event) => this.step(event));
    this.area.addEventListener("blur", () => this.leave());
    new ResizeObserver(() => this.resize()).observe(this.area);
  }

  // `data`: times, step, theme; lines ({name, variable, values}); hidden (the names of the lines to leave out) and toggle
  // (hides or shows a line); bars (true to show the lines as bars); format (of a value) and mark (of the axis); total (a
  // text, of all lines); before ({values, name} of the period before, or null); note (a text about the lines); said (a description); keyed (true to list the lines' names)
  show(data) {
    this.data = data;
    this.lines = data.lines.filter((line) => !data.hidden.has(line.name));
    const columns = this.lines.map((line) => line.values);
    const areBlank = (lines) => !lines.some((line) => line.values.some((value) => value));
    this.isBlank = areBlank(this.lines);
    this.before = this.isBlank ? null : data.before;
    this.root.classList.toggle("blank", this.isBlank);
    this.root.classList.toggle("unknown", data.total === "unknown");
    this.root.classList.toggle("hiding", this.isBlank && !areBlank(data.lines));
    this.note.textContent = data.note ?? "";
    this.total.textContent = data.total;
    this.area.setAttribute("aria-label", `${this.title}: ${data.said}${this.before ? "; dashed: the period before" : ""}`);
    fillKey(this.key, data.keyed ? data.lines : [], data.hidden, data.toggle);
    const look = JSON.stringify([data.step, data.bars, this.lines.map((line) => [line.name, line.variable]), Boolean(this.before), data.theme]);
    const values = [data.times, ...(data.bars ? stacked(columns).reverse() : columns), ...(this.before ? [this.before.values] : [])];
    if (this.plot && this.look === look) {
      this.plot.setData(values);
    } else {
      this.plot?.destroy();
      this.look = look;
      this.plot = new uPlot(options(this, data, this.area.clientWidth), values, this.area);
    }
    this.describe();
  }

  resize() {
    const width = this.area.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  // Return the position of the bar or point under the pointer; a bar starts at its time.
  place() {
    const { left } = this.plot.cursor;
    if (left == null || left < 0) return null;
    const { times, step } = this.data;
    const at = (this.plot.posToVal(left, "x") - times[0]) / step;
    return Math.min(times.length - 1, Math.max(0, this.data.bars ? Math.floor(at) : Math.round(at)));
  }

  // Show the values at the pointer. The total of bars includes the hidden lines, as the chart's heading does.
  describe() {
    const place = this.plot && this.data ? this.place() : null;
    const given = place == null ? [] : this.data.lines.filter((line) => line.values[place]);
    const rows = given.filter((line) => this.lines.includes(line));
    const hidden = this.data?.bars ? given.filter((line) => !rows.includes(line)) : [];
    const before = place == null ? null : this.before?.values[place];
    this.tip.hidden = !rows.length && !hidden.length && !before;
    if (this.tip.hidden) return;
    const from = new Date(this.data.times[place] * 1000);
    const sum = (lines) => this.data.format(lines.reduce((sum, line) => sum + line.values[place], 0));
    const row = (item, text) => (item.append(element("b", "", text)), item);
    const list = rows.map((line) => row(keyOf(line), this.data.format(line.values[place])));
    if (hidden.length) list.push(row(element("li", "", element("span", "", several(hidden.length, "hidden line"))), sum(hidden)));
    if (this.data.bars && given.length > 1) list.push(row(element("li", "sum", element("span", "", "total")), sum(given)));
    if (known(before)) list.push(row(element("li", "", element("i", "mark before"), element("span", "", this.before.name)), this.data.format(before)));
    this.tip.replaceChildren(element("p", "", `${day(from)} ${minute(from)}`), element("ul", "", ...list));
    const edge = this.area.getBoundingClientRect().left;
    const at = this.plot.cursor.left + AXIS;
    const width = this.tip.offsetWidth;
    const after = at + BESIDE;
    const fits = edge + after + width <= document.documentElement.clientWidth - BESIDE;
    this.tip.style.left = `${fits ? after : Math.max(BESIDE - edge, at - BESIDE - width)}px`;
  }

  // Report the times that the user marked by a drag.
  zoom(plot) {
    const { left, width } = plot.select;
    if (width < FEWEST_PIXELS) return;
    const { times, step } = this.data;
    const [from, to] = [left, left + width].map((at) => plot.posToVal(at, "x"));
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    const first = times[0] + Math.floor((from - times[0]) / step) * step;
    this.onZoom?.(Math.max(times[0], first), times[0] + Math.ceil((to - times[0]) / step) * step);
  }

  step(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") this.leave();
    if (!way || !this.plot) return;
    event.preventDefault();
    const { times, step, bars } = this.data;
    const now = this.place() ?? (way > 0 ? -1 : times.length);
    const next = Math.min(times.length - 1, Math.max(0, now + way));
    this.plot.setCursor({ left: this.plot.valToPos(times[next] + (bars ? step / 2 : 0), "x"), top: 10 });
  }

  leave() {
    this.plot?.setCursor({ left: -10, top: -10 });
    this.tip.hidden = true;
  }
}
