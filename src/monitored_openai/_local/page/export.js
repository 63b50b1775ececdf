// Saves the filtered calls as CSV or JSON. The browser asks for them page by page, because the server bounds each answer.

import { ask, by, count, several } from "./format.js";

const PAGE = 200;
const MOST = { calls: 10_000, characters: 100 * 2 ** 20 }; // in a file
const COLUMNS = [
  "id", "time", "model", "operation", "provider", "environment", "service_name", "attributes", "duration_seconds",
  "first_chunk_seconds", "input_tokens", "output_tokens", "cost_usd", "cost_incomplete", "error", "retries", "asked", "answered",
];
const SHARED = new Set(["model", "operation", "provider", "environment", "service_name"]);
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/; // some spreadsheets run such a text
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

const FORMS = {
  csv: { type: "text/csv", start: `${COLUMNS.join(",")}\n`, between: "", end: "", asked: {}, write: (call) => `${values(call).map(cell).join(",")}\n` },
  json: { type: "application/json", start: "[\n", between: ",\n", end: "\n]\n", asked: { whole: "1" }, write: entry },
};

async function answerTo(path, parameters) {
  const answer = await ask(path, parameters);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

// Return the text of the newest calls of a query as parts, their number, and the number of older calls beyond the bounds.
export async function collect(question, form, { most = MOST, progress = () => {} } = {}) {
  const { write, start, between, end, asked } = FORMS[form];
  const parts = [start];
  for (let last = null, number = 0, size = 0; ; progress(number)) {
    const cursor = last && { before: last.at_ns, before_id: last.id };
    const found = await answerTo("api/calls", { ...question, ...asked, ...cursor, limit: PAGE });
    if (!found.length) return { parts: [...parts, end], number, left: 0 };
    for (const call of found) {
      const text = (number ? between : "") + write(call);
      if (number >= most.calls || size + text.length > most.characters) {
        const rest = last && { before: last.at_ns, before_id: last.id };
        return { parts: [...parts, end], number, left: (await answerTo("api/count", { ...question, ...rest })).calls };
      }
      parts.push(text);
      number++;
      size += text.length;
      last = call.row ?? call;
    }
  }
}

const attributesOf = ({ labels }) => Object.entries(labels).filter(([name]) => !SHARED.has(name));

function values(call) {
  const { labels } = call;
  const attributes = Object.fromEntries(attributesOf(call));
  const time = new Date(Number(BigInt(call.at_ns) / 1000000n));
  return [
    call.id, Number.isNaN(time.getTime()) ? "" : time.toISOString(), labels.model, labels.operation, labels.provider,
    labels.environment, labels.service_name, Object.keys(attributes).length ? JSON.stringify(attributes) : "", call.duration,
    call.first_chunk, call.input_tokens, call.output_tokens, call.cost, call.cost == null ? null : call.cost_incomplete,
    call.error, call.retries, call.asked, call.answered,
  ];
}

function cell(value) {
  if (value == null) return "";
  if (typeof value !== "string") return String(value);
  const text = value.replace(CONTROL, (sign) => `\\x${sign.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

// The columns as an object, with the log entry as the server has stored it.
function entry({ row, line }) {
  const columns = Object.fromEntries(values(row).map((value, at) => [COLUMNS[at], value ?? null]));
  return `${JSON.stringify({ ...columns, attributes: Object.fromEntries(attributesOf(row)) }).slice(0, -1)},"entry":${line}}`;
}

function save(parts, form) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: FORMS[form].type }));
  link.download = `calls.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Return what the file contains, and what it leaves out.
export function said(number, left) {
  if (!left) return `The file contains ${several(number, "call")}.`;
  const bounds = `A file contains at most ${count(MOST.calls)} calls and 100 MiB.`;
  return `The file contains the newest ${several(number, "call")}. It leaves out ${several(left, "older matching call")}. ${bounds} To save the others, choose an earlier range or add a filter.`;
}

// Let the button save the calls of the query that `question` returns.
export function exporting(button, form, question) {
  const name = button.textContent;
  button.addEventListener("click", async () => {
    button.disabled = true;
    by("saved").hidden = true;
    try {
      const { order, ...asked } = question();
      const { parts, number, left } = await collect(asked, form, { progress: (number) => (button.textContent = `${number}`) });
      save(parts, form);
      by("saved").textContent = said(number, left);
    } catch (error) {
      by("saved").textContent = `The file was not saved: ${error.message}`;
    } finally {
      by("saved").hidden = false;
      button.textContent = name;
      button.disabled = false;
    }
  });
}
