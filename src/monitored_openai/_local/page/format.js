// Formats numbers, times and untrusted texts; finds and creates elements and sends requests for all parts of the page.

export const by = (id) => document.getElementById(id);

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const significant = new Intl.NumberFormat("en-US", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

// Infinity and NaN count as unknown.
export const known = (number) => typeof number === "number" && Number.isFinite(number);

export const count = (number) => (known(number) ? whole.format(number) : "–");
export const compact = (number) => (known(number) ? short.format(number) : "–");
export const several = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

export function money(usd) {
  if (!known(usd)) return "–";
  if (usd === 0) return "$0";
  if (usd < 0) return `-${money(-usd)}`;
  if (usd < 1e-8) return "<$0.00000001";
  return "$" + (usd >= 1000 ? whole.format(Number(usd.toPrecision(3))) : significant.format(usd));
}

// A sum over calls, some of which have unknown values.
export function lowest(format, sum, unknown, calls) {
  if (!known(sum) || !known(unknown) || !(calls > 0)) return "–";
  if (sum === 0 && unknown >= calls) return "unknown";
  return unknown > 0 ? `≥ ${format(sum)}` : format(sum);
}

export const estimate = (text) => (text === "–" ? text : `≈ ${text}`);
export const atLeast = (incomplete, text) => (incomplete && text !== "–" ? `≥ ${text}` : text);

// The sum of two numbers; unknown if either is unknown.
export const plus = (one, other) => (known(one) && known(other) ? one + other : null);

export function seconds(value) {
  if (!known(value)) return "–";
  if (value > 0 && value < 0.00005) return "<0.1 ms";
  if (value >= 100) return `${whole.format(value)} s`;
  return value < 0.1 ? `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

// Formats for the round values of an axis.
const round = (number, digits = 3) => number.toLocaleString("en-US", { maximumSignificantDigits: digits });
export const countMark = (number) => (Number.isInteger(number) ? compact(number) : "");
export const moneyMark = (usd) => `$${round(usd)}`;
export const secondsMark = (value) => (value === 0 ? "0" : value < 0.1 ? `${round(value * 1000)} ms` : `${round(value)} s`);

export function percent(part, all) {
  if (!known(part) || !(all > 0)) return "–";
  const share = (100 * part) / all;
  return share > 0 && share < 0.05 ? "<0.1 %" : `${share.toFixed(1)} %`;
}

const LABELS = new Map([
  ["model", "Model"], ["operation", "Operation"], ["provider", "Provider"], ["environment", "Environment"], ["service_name", "Service"],
]);
export const label = (name) => LABELS.get(name) ?? (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
export const named = (value) => value || "none";

const UNITS = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

// A length of time in its largest unit.
export function span(seconds) {
  const [length, unit] = UNITS.find(([length]) => seconds >= length) ?? UNITS.at(-1);
  return `${(seconds / length).toLocaleString("en-US", { maximumFractionDigits: 1 })} ${unit}`;
}

const two = (number) => String(number).padStart(2, "0");
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

export const day = (date) => `${date.getDate()} ${MONTHS[date.getMonth()]}`;
export const minute = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;

// A time, with its date unless it is today.
export function clock(date) {
  if (!known(date.getTime())) return "–";
  const time = `${minute(date)}:${two(date.getSeconds())}`;
  return date.toDateString() === new Date().toDateString() ? time : `${day(date)} ${time}`;
}

const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const DIRECTION = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

// A text with invisible and direction-changing characters written out.
export function visible(text) {
  return text
    .replace(CONTROL, (sign) => {
      const code = sign.charCodeAt(0);
      return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? "\u2421" : `<${code.toString(16)}>`;
    })
    .replace(DIRECTION, (sign) => `<U+${sign.charCodeAt(0).toString(16).toUpperCase()}>`);
}

// Create an element with a class and children. Strings become visible text, never markup.
export function element(tag, className, ...inside) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...inside.filter((part) => part != null).map((part) => (typeof part === "string" ? visible(part) : part)));
  return made;
}

export class Unreachable extends Error {}

// Request data from the server, without the password that the page's address may contain.
export async function ask(path, parameters = {}, options = {}) {
  const url = new URL(path, location.origin + location.pathname);
  url.search = new URLSearchParams(parameters);
  try {
    return await fetch(url, { signal: AbortSignal.timeout(10_000), ...options });
  } catch (error) {
    throw new Unreachable("Not connected", { cause: error });
  }
}
