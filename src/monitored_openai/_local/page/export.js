// Saves the filtered calls as CSV or JSON. The browser asks for them page by page, because the server bounds each answer.

import { ask } from "./format.js";

const PAGE = 200;
const COLUMNS = [
  "id", "time", "model", "operation", "provider", "environment", "service_name", "attributes", "duration_seconds",
  "first_chunk_seconds", "input_tokens", "output_tokens", "cost_usd", "cost_incomplete", "error", "retries", "asked", "answered",
];
const SHARED = new Set(["model", "operation", "provider", "environment", "service_name"]);
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/; // some spreadsheets run such a text
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

// Return all calls of a query, newest first; `progress` receives their number so far.
async function all(question, progress) {
  const calls = [];
  for (let last = null; ; ) {
    const answer = await ask("api/calls", { ...question, limit: PAGE, ...(last && { before: last.at_ns, before_id: last.id }) });
    if (!answer.ok) throw new Error(await answer.text());
    const found = await answer.json();
    calls.push(...found);
    progress(calls.length);
    last = found.at(-1);
    if (!found.length || (found.length < PAGE && !(await more(question, last)))) return calls;
  }
}

// A page may be short because its calls are large, so only an empty next page is the end.
async function more(question, last) {
  const answer = await ask("api/calls", { ...question, limit: 1, before: last.at_ns, before_id: last.id });
  if (!answer.ok) throw new Error(await answer.text());
  return (await answer.json()).length > 0;
}

function row(call) {
  const { labels } = call;
  const attributes = Object.fromEntries(Object.entries(labels).filter(([name]) => !SHARED.has(name)));
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

const csv = (calls) => [COLUMNS.join(","), ...calls.map((call) => row(call).map(cell).join(","))].join("\n") + "\n";
const json = (calls) => JSON.stringify(calls.map((call) => Object.fromEntries(row(call).map((value, at) => [COLUMNS[at], value ?? null]))), null, 1);

// Let the button save the calls of the query that `question` returns.
export function exporting(button, form, question) {
  const name = button.textContent;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { order, ...asked } = question();
      const calls = await all(asked, (number) => (button.textContent = `${number}`));
      const body = form === "csv" ? csv(calls) : json(calls);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([body], { type: form === "csv" ? "text/csv" : "application/json" }));
      link.download = `calls.${form}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      button.textContent = name;
    } catch (error) {
      button.textContent = `${name} (failed: ${error.message})`;
    } finally {
      button.disabled = false;
    }
  });
}
