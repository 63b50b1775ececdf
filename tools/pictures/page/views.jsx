// Draws each kind of panel with the components of @grafana/ui; the heat map and the log are drawn here.
import { dateTime, getDisplayProcessor, getValueFormat, formattedValueToString, reduceField } from "@grafana/data";
import { BarGauge, BigValue, Table, TimeSeries } from "@grafana/ui";
import { columnsOf, series, table } from "./frames.js";

export const VIEWS = { stat: Stat, timeseries: Graph, bargauge: Bars, table: Rows, heatmap: Heat, logs: Log };

/** Instant answers as series of one sample. */
const asSeries = (answers) => answers.map(({ target, result }) => ({
  target, result: result.map((one) => (one.values ? one : { ...one, values: [one.value] })),
}));

function reduced(frame, panel) {
  const [, field] = frame.fields;
  const [calc = "lastNotNull"] = panel.options?.reduceOptions?.calcs ?? [];
  return field.display(reduceField({ field, reducers: [calc] })[calc]);
}

/** A copy of the panel whose values have the colour of their threshold, as Grafana's default for these panels is. */
function byThreshold(panel) {
  const { defaults } = panel.fieldConfig;
  const thresholds = defaults.thresholds ?? { mode: "absolute", steps: [{ value: -Infinity, color: "green" }] };
  const steps = thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  const colored = { ...defaults, thresholds: { ...thresholds, steps }, color: { mode: "thresholds" } };
  return { ...panel, fieldConfig: { ...panel.fieldConfig, defaults: colored } };
}

function Stat({ panel, answers, theme, width, height }) {
  const frames = series(byThreshold(panel), asSeries(answers), theme);
  const value = frames.length ? reduced(frames[0], panel) : { text: panel.fieldConfig.defaults.noValue ?? "No data", numeric: NaN };
  const graph = panel.options?.graphMode === "area" && frames.length && frames[0].length > 1;
  if (graph) {
    const known = frames[0].fields[1].values.filter(Number.isFinite);
    const [min, max] = [Math.min(...known), Math.max(...known)];
    frames[0].fields[1].state.range = { min, max, delta: max - min };
  }
  const sparkline = graph ? { y: frames[0].fields[1], x: frames[0].fields[0] } : undefined;
  return <BigValue value={{ ...value, title: undefined }} sparkline={sparkline} theme={theme} width={width} height={height}
    graphMode={panel.options?.graphMode ?? "area"} colorMode="value" justifyMode="auto" textMode="auto" />;
}

function Graph({ panel, answers, theme, width, height, range }) {
  const { defaults } = panel.fieldConfig;
  const steps = defaults.thresholds?.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  const thresholds = steps && { ...defaults.thresholds, steps };
  const frames = series({ ...panel, fieldConfig: { ...panel.fieldConfig, defaults: { ...defaults, thresholds } } }, answers, theme);
  if (!frames.length) return <p>No data</p>;
  const legend = panel.options?.legend ?? { displayMode: "list", placement: "bottom", showLegend: true, calcs: [] };
  return <TimeSeries frames={frames} timeRange={range} timeZone="utc" width={width} height={height}
    legend={{ isVisible: true, ...legend }} options={{}} tweakAxis={(axis) => axis} tweakScale={(scale) => scale} />;
}

function Bars({ panel, answers, theme, width, height }) {
  const colored = byThreshold(panel);
  const frames = series(colored, asSeries(answers), theme);
  const most = Math.max(...frames.map((frame) => frame.fields[1].values.at(-1)));
  const each = Math.floor(height / frames.length);
  return <div className="bars">{frames.map((frame) => {
    const [, field] = frame.fields;
    field.config = { ...field.config, min: 0, max: most };
    field.display = getDisplayProcessor({ field, theme });
    const value = { ...reduced(frame, panel), title: field.name };
    return <BarGauge key={field.name} value={value} field={field.config} display={field.display} theme={theme} orientation="horizontal"
      displayMode="basic" text={panel.options.text} width={width} height={each - 8} itemSpacing={8} lcdCellWidth={12} showUnfilled
      alignmentFactors={alignment(frames, panel)} />;
  })}</div>;
}

function alignment(frames, panel) {
  const longest = (texts) => texts.reduce((one, other) => (other.length > one.length ? other : one), "");
  const values = frames.map((frame) => reduced(frame, panel));
  return { title: longest(frames.map((frame) => frame.fields[1].name)), text: longest(values.map(formattedValueToString)) };
}

function Rows({ panel, answers, theme, width, height }) {
  const entries = answers[0]?.entries;
  return <Table data={entries ? talks(panel, entries, theme) : table(panel, answers, theme)} width={width} height={height} columnMinWidth={90} />;
}

function talks(panel, entries, theme) {
  const { indexByName: order, excludeByName: hidden } = panel.transformations.find(({ id }) => id === "organize").options;
  const units = new Set(panel.fieldConfig.overrides.filter(({ properties }) => properties.some(({ id }) => id === "unit")).map(({ matcher }) => matcher.options));
  const rows = entries.map(({ at, fields }) => ({ ...fields, Time: dateTime(at).utc().format("YYYY-MM-DD HH:mm:ss") }));
  for (const row of rows) for (const name of units) if (name in row) row[name] = Number(row[name]);
  const names = [...new Set(rows.flatMap(Object.keys))].filter((name) => !hidden[name]);
  names.sort((one, other) => (order[one] ?? 99) - (order[other] ?? 99));
  return columnsOf(panel, names, units, rows, theme);
}

function Heat({ panel, answers, theme, width, height, range }) {
  const bound = (text) => (text === "+Inf" ? Infinity : Number(text));
  const rows = [...answers[0].result].sort((one, other) => bound(one.metric.le) - bound(other.metric.le));
  const unit = getValueFormat(panel.options.yAxis.unit);
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const [left, bottom] = [72, 20];
  const high = (height - bottom) / rows.length;
  const at = (ms) => left + ((ms - from) / (to - from)) * (width - left);
  const step = (to - from) / 1000 / (rows[0].values.length - 1);
  const below = new Map();
  const cells = [];
  rows.forEach(({ values }, number) => {
    for (const [seconds, text] of values) {
      const count = Number(text) - (below.get(seconds) ?? 0);
      below.set(seconds, Number(text));
      if (count > 1e-9) cells.push({ number, seconds, count });
    }
  });
  const most = Math.max(...cells.map(({ count }) => count));
  const ticks = [0, 1, 2, 3, 4, 5, 6].map((part) => from + ((part + 0.5) * (to - from)) / 7);
  const text = { fill: theme.colors.text.primary, fontSize: 12 };
  return <svg width={width} height={height}>
    {cells.map(({ number, seconds, count }) => <rect className="cell" key={`${number} ${seconds}`}
      x={at((seconds - step) * 1000)} y={height - bottom - (number + 1) * high} height={high - 1}
      width={Math.max(0, at(seconds * 1000) - Math.max(left, at((seconds - step) * 1000)) - 1)}
      fill={`hsl(210 80% ${(theme.isDark ? 18 : 90) + (theme.isDark ? 62 : -62) * Math.sqrt(count / most)}%)`} />)}
    {rows.map(({ metric }, number) => number % Math.ceil(16 / high) === 0 && <text key={metric.le} {...text} textAnchor="end" x={left - 6}
      y={height - bottom - (number + 0.5) * high + 4}>{metric.le === "+Inf" ? "+Inf" : formattedValueToString(unit(bound(metric.le)))}</text>)}
    {ticks.map((ms) => <text key={ms} {...text} textAnchor="middle" x={at(ms)} y={height - 4}>{dateTime(ms).utc().format("HH:mm")}</text>)}
  </svg>;
}

function Log({ answers, height }) {
  return <ol className="log" data-cut style={{ height }}>
    {answers[0].entries.map(({ at, line }) => <li key={at + line}><time>{dateTime(at).utc().format("YYYY-MM-DD HH:mm:ss.SSS")}</time>{line}</li>)}
  </ol>;
}
