// Makes Grafana's data frames from the answers of Prometheus and Loki to the queries of a panel.
import { FieldType, getDisplayProcessor, toDataFrame } from "@grafana/data";

/** The name of a series: its legend with the labels filled in. */
export function legendOf(target, labels) {
  const legend = (target.legendFormat ?? "").replace(/{{\s*(\w+)\s*}}/g, (_, name) => labels[name] ?? "");
  return legend.trim() || Object.values(labels).join(" ") || "Value";
}

/** The configuration of a field: the defaults of the panel, then each override that names the field. */
export function configOf(panel, name) {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const config = { color: { mode: "palette-classic" }, ...structuredClone(defaults) };
  for (const { matcher, properties } of overrides) {
    if (matcher.id === "byName" && matcher.options === name) {
      for (const { id, value } of properties) {
        if (id.startsWith("custom.")) config.custom = { ...config.custom, [id.slice(7)]: value };
        else config[id] = value;
      }
    }
  }
  return config;
}

/** A frame of one column of time and one of values for each series. */
export function series(panel, answers, theme) {
  let index = 0;
  return answers.flatMap(({ target, result }) => result.map(({ metric, values }) => {
    const name = legendOf(target, metric);
    const config = { ...configOf(panel, name), displayName: name };
    const value = { name, type: FieldType.number, config, labels: metric, values: values.map(([, text]) => number(text)) };
    const time = { name: "Time", type: FieldType.time, config: {}, values: values.map(([seconds]) => seconds * 1000) };
    const frame = toDataFrame({ refId: target.refId, fields: [time, value] });
    frame.fields[1].state = { seriesIndex: index++, displayName: name };
    return displayed(frame, theme);
  }));
}

/** One frame with a column for each label and each query, as the transformations merge and organize produce it. */
export function table(panel, answers, theme) {
  const rows = new Map();
  const columns = new Set();
  const renamed = panel.transformations.find(({ id }) => id === "organize").options.renameByName;
  for (const { target, result } of answers) {
    for (const { metric, value } of result) {
      const key = JSON.stringify(Object.entries(metric).sort());
      if (!rows.has(key)) rows.set(key, { ...metric });
      Object.keys(metric).forEach((label) => columns.add(label));
      rows.get(key)[renamed[`Value #${target.refId}`]] = number(value[1]);
    }
  }
  const numbers = answers.map(({ target }) => renamed[`Value #${target.refId}`]);
  const [sort] = panel.options.sortBy ?? [];
  const sorted = [...rows.values()];
  if (sort) sorted.sort((one, other) => (other[sort.displayName] ?? -1) - (one[sort.displayName] ?? -1));
  const frame = columnsOf(panel, [...[...columns].sort(), ...numbers], new Set(numbers), sorted, theme);
  for (const field of frame.fields) field.name = renamed[field.name] ?? field.name;
  return frame;
}

/** One frame of the rows with these columns. */
export function columnsOf(panel, names, numeric, rows, theme) {
  const fields = names.map((name) => ({
    name,
    type: numeric.has(name) ? FieldType.number : FieldType.string,
    config: configOf(panel, name),
    values: rows.map((row) => row[name] ?? (numeric.has(name) ? null : "")),
  }));
  return displayed(toDataFrame({ fields }), theme);
}

function displayed(frame, theme) {
  for (const field of frame.fields) field.display = getDisplayProcessor({ field, theme, timeZone: "utc" });
  return frame;
}

function number(text) {
  return text === "NaN" ? NaN : Number(text.replace("Inf", "Infinity"));
}
