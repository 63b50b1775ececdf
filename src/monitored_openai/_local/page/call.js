// An opened call: its conversation, its facts, and its log entry.

import { ask, atLeast, clock, count, element, known, money, seconds, visible } from "./format.js";
import { isSmall, isStructure, parse, structure, tree } from "./json.js";
import { markdown } from "./markdown.js";

const MOST_SHOWN = 20_000;
const LONG = 2000; // characters from which on the layout of a text with kerning may take noticeable time
const MAIN = new Set(["input_tokens", "output_tokens", "total_usd"]); // also shown when 0
const HIDDEN_PARAMETERS = new Set(["messages", "input", "prompt", "instructions", "tools", "functions", "model", "stream", "stream_options"]);
const MARKUP = /[`*_#|>[~]|^\s*(?:-|\d+[.)])\s/m; // signs of Markdown
const SOURCES = { table: "published prices", settings: "your own prices", reply: "the provider's own charge" };

// Fill a panel with a call. `steps` contains the functions that open the previous and the next call.
export async function fill(panel, id, steps) {
  try {
    const answer = await ask(`api/calls/${encodeURIComponent(id)}`);
    if (answer.status === 404) return panel.replaceChildren("The history no longer has this call.");
    if (!answer.ok) throw new Error(await answer.text());
    const call = await answer.json();
    const entry = parse(call.line);
    panel.replaceChildren(actions(call, entry, id, steps), said(call.turns), facts(entry, call.row), raw(entry));
  } catch (error) {
    panel.replaceChildren(element("p", "error", `This call cannot be shown: ${error.message}`));
  }
}

function actions(call, entry, id, steps) {
  const texts = (side) => call.turns.filter((turn) => turn.side === side).map((turn) => turn.text).join("\n\n");
  const parts = [
    step("Previous", steps.previous),
    step("Next", steps.next),
    texts("asked") && copying("Copy prompt", () => texts("asked")),
    texts("answered") && copying("Copy answer", () => texts("answered")),
    copying("Copy JSON", () => JSON.stringify(entry, null, 2)),
    copying("Copy link", () => `${location.origin}${location.pathname}#${new URLSearchParams({ call: id })}`),
  ];
  return element("div", "actions", ...parts.filter(Boolean));
}

function step(name, go) {
  const button = element("button", "quiet", name);
  button.type = "button";
  button.disabled = !go;
  if (go) button.addEventListener("click", go);
  return button;
}

// Some browsers wait without end for a permission that they do not ask the user for.
const late = () => new Promise((_, reject) => setTimeout(reject, 1000, new Error("no permission to copy")));

// Return a button that copies a text and confirms it. Without the permission to copy, it shows the text, selected.
export function copying(name, text) {
  const button = element("button", "quiet", name);
  button.type = "button";
  button.addEventListener("click", async () => {
    try {
      await Promise.race([navigator.clipboard.writeText(text()), late()]);
      button.textContent = "Copied";
    } catch {
      const box = Object.assign(element("textarea", "copied"), { value: text(), readOnly: true });
      box.setAttribute("aria-label", "Text to copy");
      button.after(box);
      box.select();
      box.addEventListener("blur", () => box.remove());
    }
    setTimeout(() => (button.textContent = name), 1500);
  });
  return button;
}

function said(turns) {
  const parts = turns.map((turn) => {
    const speaker = turn.tool ? `${turn.role} calls ${turn.tool}` : turn.role;
    const isData = Boolean(turn.tool) || turn.role === "tool";
    const media = (turn.media ?? []).map(({ kind, detail }) => element("span", "chip media", detail ? `${kind}: ${detail}` : kind));
    return element(
      "div",
      `turn ${turn.side}${turn.text.length > LONG ? " long" : ""}`,
      element("h3", "", speaker),
      ...(turn.text || !media.length ? written(turn.text, isData, turn.side === "answered") : []),
      media.length ? element("div", "chips", ...media) : null,
    );
  });
  if (!parts.length) parts.push(element("p", "faint", "The log entry has no content."));
  return element("div", "said", ...parts);
}

// A text: data and structured answers as a tree, other answers as Markdown, anything else as it is.
function written(text, isData, isAnswer) {
  const value = isData || isAnswer ? structure(text) : null;
  if (value) return either(tree(value), "Tree", plainly(JSON.stringify(value, null, 2), true));
  const shown = plainly(text, isData);
  if (isData || !isAnswer || text.length > MOST_SHOWN || !MARKUP.test(text)) return [shown];
  return either(markdown(text), "Formatted", shown);
}

const plainly = (text, isCode) => (text.length > MOST_SHOWN ? long(text, isCode) : element("p", isCode ? "text code" : "text", text));

// A formatted text, the plain one, and a button that changes between them.
function either(formatted, name, plain) {
  const toggle = element("button", "quiet", "Plain text");
  toggle.type = "button";
  plain.hidden = true;
  toggle.addEventListener("click", () => {
    plain.hidden = !plain.hidden;
    formatted.hidden = !plain.hidden;
    toggle.textContent = plain.hidden ? "Plain text" : name;
  });
  return [formatted, plain, toggle];
}

function long(text, isCode) {
  const shown = element("p", isCode ? "text code" : "text", text.slice(0, MOST_SHOWN));
  const all = element("button", "quiet", `Show all ${count(text.length)} characters`);
  all.type = "button";
  all.addEventListener("click", () => (shown.replaceChildren(visible(text)), all.remove()));
  return element("div", "", shown, all);
}

const FEW = 8; // a value with at most so many parts is shown open, beside its name
const plain = (value) => (typeof value === "string" ? value : isStructure(value) ? tree(value, isSmall(value, FEW) ? Infinity : 0) : JSON.stringify(value));
const named = (name) => name.replaceAll("_", " ").replace(/ (tokens|usd)$/, "");

const unknown = (reason) => ({ unknown: typeof reason === "string" ? named(reason) : null });

// The parts of a call's cost, the source of the prices, and the reasons for an incomplete cost.
function costs(entry) {
  const parts = shown(entry.cost, money);
  if (parts == null) return null;
  const reasons = Array.isArray(entry.cost_incomplete) ? entry.cost_incomplete.map(String) : [];
  if ("total" in parts) parts.total = atLeast(reasons.length, parts.total);
  return { ...parts, source: SOURCES[entry.cost_source] ?? entry.cost_source, incomplete: reasons.map(named).join(", ") };
}

const object = (value) => (value != null && typeof value === "object" && !Array.isArray(value) ? value : {});
const objects = (value) => (Array.isArray(value) ? value.filter((one) => one != null && typeof one === "object") : []);

function facts(entry, row) {
  const { usage, attributes } = entry;
  const request = object(entry.request);
  const groups = [
    ["Error", { type: entry.error_type, status: entry.error_type && entry.http_status, message: entry.error_message, ...object(entry.api_error) }],
    ["Time", {
      started: entry.started && clock(new Date(entry.started)),
      "whole answer": row.duration == null ? null : seconds(row.duration),
      "first chunk": row.first_chunk == null ? null : seconds(row.first_chunk),
      chunks: entry.chunks,
      retries: entry.retries || null,
    }],
    ["Tokens", shown(usage, count) ?? unknown(entry.usage_unknown)],
    ["Cost", costs(entry) ?? unknown(entry.unpriced)],
    ["Call", {
      id: row.id,
      model: entry.response_model ?? entry.request_model,
      finished: Array.isArray(entry.finish_reasons) ? entry.finish_reasons.join(", ") : null,
      tier: entry.service_tier,
      server: entry.server,
      request: entry.request_id,
      trace: entry.trace_id,
    }],
    ["Parameters", Object.fromEntries(Object.entries(request).filter(([name]) => !HIDDEN_PARAMETERS.has(name)))],
    ["Tools offered", offered(request)],
    ["Attributes", attributes],
  ];
  const list = element("dl", "facts");
  for (const [title, pairs] of groups) {
    const known = (Array.isArray(pairs) ? pairs : Object.entries(pairs ?? {})).filter(([, value]) => value != null && value !== "");
    if (!known.length) continue;
    const group = element("div", title === "Error" ? "group error" : "group", element("h3", "", title), ...known.map(pair));
    if (title === "Cost" && entry.unpriced) group.append(hint(entry.unpriced));
    list.append(group);
  }
  return list;
}

// The tools that the model could call, each with its description and its definition.
function offered(request) {
  return objects(request.tools ?? request.functions).map((tool) => {
    const inner = object(tool.function ?? tool.custom ?? tool);
    const text = String(inner.description ?? tool.type ?? "") || "no description";
    return [String(inner.name ?? tool.type ?? "?"), element("div", "", text, tree(tool, 0))];
  });
}

// Return the advice for a call without a cost.
function hint(reason) {
  const name = String(reason);
  if (name === "usage_unknown" || name === "background") return element("p", "hint", "The response did not report its tokens, so it has no price.");
  return element("p", "hint", "To give this model a price, set ", element("code", "", "prices"), " in the settings, or update the package.");
}

const pair = ([name, value]) => element("div", "pair", element("dt", "", name), element("dd", "", value instanceof Element ? value : plain(value)));

function shown(parts, format) {
  if (parts == null || typeof parts !== "object") return null;
  const numbers = Object.entries(parts).filter(([name, value]) => known(value) && (value || MAIN.has(name)));
  return Object.fromEntries(numbers.map(([name, value]) => [named(name), format(value)]));
}

function raw(entry) {
  const box = element("details", "raw", element("summary", "", "The log entry"));
  box.addEventListener("toggle", () => box.open && box.children.length === 1 && box.append(tree(entry, 1)));
  return box;
}
