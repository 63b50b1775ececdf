// Shows JSON as a tree of collapsible parts. Its texts become text nodes, and the parts of a part are built when it opens.

import { count, element, several } from "./format.js";

const MOST_PARTS = 100; // at once in an object or array
const MOST_CHARACTERS = 2000; // at once of a text
const MOST_OPEN = 40; // a value with at most so many parts opens as a whole

// An integer that JavaScript would round.
class Exact {
  constructor(digits) {
    this.digits = digits;
  }

  toJSON() {
    return JSON.rawJSON ? JSON.rawJSON(this.digits) : Number(this.digits);
  }
}

// Parse JSON; in browsers that tell how a number is written, no integer loses digits.
export function parse(text) {
  const exact = (value, source) => (/^-?\d{16,}$/.test(source) && !Number.isSafeInteger(value) ? new Exact(source) : value);
  return JSON.parse(text, (_, value, context) => (typeof value === "number" ? exact(value, context?.source) : value));
}

// Return the object or array that a text contains; null for any other text.
export function structure(text) {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return parse(text);
  } catch {
    return null;
  }
}

export const isStructure = (value) => value !== null && typeof value === "object" && !(value instanceof Exact);
const entriesOf = (value) => (Array.isArray(value) ? [...value.entries()] : Object.entries(value));

// Return true if a value has at most so many parts.
export function isSmall(value, most = MOST_OPEN) {
  const rest = [value];
  for (let parts = 0; rest.length; parts++) {
    if (parts > most) return false;
    const next = rest.pop();
    if (isStructure(next)) rest.push(...entriesOf(next).slice(0, most + 1).map(([, part]) => part));
  }
  return true;
}

// Return the tree of a value. By default, all levels of a small value are open, and the first level of a large one.
export const tree = (value, levels = isSmall(value) ? Infinity : 1) => element("div", "json", part(null, value, levels));

function part(key, value, levels) {
  const name = key == null ? null : element("span", "name", `${key}: `);
  if (!isStructure(value)) return element("div", "leaf", name, ...leaf(value));
  const entries = entriesOf(value);
  const text = Array.isArray(value) ? `[${entries.length ? several(entries.length, "item") : ""}]` : `{${entries.length ? several(entries.length, "field") : ""}}`;
  if (!entries.length) return element("div", "leaf", name, text);
  const box = element("details", "", element("summary", "", name, element("span", "faint", text)));
  const fill = () => box.children.length > 1 || box.append(element("div", "parts", ...parts(entries, levels - 1)));
  box.addEventListener("toggle", () => box.open && fill());
  if (levels > 0) fill(), (box.open = true);
  return box;
}

function parts(entries, levels) {
  const shown = entries.slice(0, MOST_PARTS).map(([key, value]) => part(String(key), value, levels));
  if (entries.length <= MOST_PARTS) return shown;
  const rest = entries.slice(MOST_PARTS);
  return [...shown, more(`Show more (${count(rest.length)} left)`, () => parts(rest, levels))];
}

function leaf(value) {
  if (value instanceof Exact) return [element("span", "number", value.digits)];
  if (typeof value !== "string") return [element("span", "number", JSON.stringify(value) ?? "")];
  if (value.length <= MOST_CHARACTERS) return [element("span", "string", `"${value}"`)];
  const rest = more(`Show all ${count(value.length)} characters`, () => [element("span", "string", `${value.slice(MOST_CHARACTERS)}"`)]);
  return [element("span", "string", `"${value.slice(0, MOST_CHARACTERS)}`), rest];
}

// A button that elements replace when it is clicked.
function more(name, make) {
  const button = element("button", "quiet", name);
  button.type = "button";
  button.addEventListener("click", () => button.replaceWith(...make()));
  return button;
}
