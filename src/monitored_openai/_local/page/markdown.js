// Shows Markdown as elements. Texts become text nodes, so no markup in them runs; pictures become links.

import { element, visible } from "./format.js";

const FENCE = /^(?:```|~~~)/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^(\s*)(?:[-*+]|\d{1,9}[.)])\s+(.*)$/;
const ORDERED = /^\s*\d/;
const RULE = /^\s*(?:-{3,}|\*{3,}|_{3,})\s*$/;
const QUOTE = /^>\s?/;
const TABLE = /^\s*\|.*\|\s*$/;
const DIVIDER = /^\s*\|(?:\s*:?-+:?\s*\|)+\s*$/;
const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|__([^_\n]+)__|\*([^*\s][^*\n]*)\*|(?<!\w)_([^_\s][^_\n]*)_(?!\w)|!?\[([^[\]\n]*)\]\(([^()\s]+)\)/;
const MOST_LINES = 2000;
const MOST_DEPTH = 20;

// Return the elements of a text.
export function markdown(text) {
  const lines = text.split("\n");
  const shown = blocks(lines.slice(0, MOST_LINES), 0);
  if (lines.length > MOST_LINES) shown.push(element("p", "text", lines.slice(MOST_LINES).join("\n")));
  return element("div", "markdown", ...shown);
}

function blocks(lines, depth) {
  const made = [];
  for (let at = 0; at < lines.length; ) {
    const [block, next] = read(lines, at, depth);
    if (block) made.push(block);
    at = next;
  }
  return made;
}

function read(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  if (FENCE.test(line)) return code(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return [element("p", `heading level-${heading[1].length}`, ...inline(heading[2])), at + 1];
  if (RULE.test(line)) return [element("hr", ""), at + 1];
  if (depth < MOST_DEPTH && QUOTE.test(line)) {
    const end = following(lines, at, (one) => QUOTE.test(one));
    return [element("blockquote", "", ...blocks(lines.slice(at, end).map((one) => one.replace(QUOTE, "")), depth + 1)), end];
  }
  if (depth < MOST_DEPTH && ITEM.test(line)) return items(lines, at, depth);
  if (TABLE.test(line) && DIVIDER.test(lines[at + 1] ?? "")) return table(lines, at);
  const end = following(lines, at + 1, (one) => one.trim() && !FENCE.test(one) && !HEADING.test(one) && !ITEM.test(one) && !QUOTE.test(one));
  return [element("p", "", ...inline(lines.slice(at, end).join("\n"))), end];
}

function following(lines, at, belongs) {
  while (at < lines.length && belongs(lines[at])) at++;
  return at;
}

function code(lines, at) {
  const fence = lines[at].slice(0, 3);
  const end = following(lines, at + 1, (one) => !one.startsWith(fence));
  return [element("pre", "", lines.slice(at + 1, end).join("\n")), end + 1];
}

function items(lines, at, depth) {
  const indent = ITEM.exec(lines[at])[1].length;
  const list = element(ORDERED.test(lines[at]) ? "ol" : "ul", "");
  while (at < lines.length) {
    const found = ITEM.exec(lines[at]);
    if (!found || found[1].length !== indent) break;
    const end = following(lines, at + 1, (one) => one.trim() && /^\s*/.exec(one)[0].length > indent);
    const inside = lines.slice(at + 1, end);
    list.append(element("li", "", ...inline(found[2]), ...blocks(inside, depth + 1)));
    at = end;
  }
  return [list, at];
}

function table(lines, at) {
  const end = following(lines, at + 2, (one) => TABLE.test(one));
  const cells = (line, tag) => line.trim().slice(1, -1).split("|").map((cell) => element(tag, "", ...inline(cell.trim())));
  const head = element("thead", "", element("tr", "", ...cells(lines[at], "th")));
  const body = element("tbody", "", ...lines.slice(at + 2, end).map((line) => element("tr", "", ...cells(line, "td"))));
  return [element("div", "scrolls", element("table", "", head, body)), end];
}

function inline(text) {
  const parts = [];
  while (text) {
    const found = INLINE.exec(text);
    if (!found) break;
    if (found.index) parts.push(text.slice(0, found.index));
    parts.push(marked(found));
    text = text.slice(found.index + found[0].length);
  }
  return text ? [...parts, text] : parts;
}

function marked([whole, code, strong, strong2, emphasis, emphasis2, label, target]) {
  if (code != null) return element("code", "", code);
  if (strong != null || strong2 != null) return element("strong", "", strong ?? strong2);
  if (emphasis != null || emphasis2 != null) return element("em", "", emphasis ?? emphasis2);
  return link(label, target) ?? whole;
}

// A link shows its target, because its label may name another one.
function link(label, target) {
  let url;
  try {
    url = new URL(target);
  } catch {
    return null;
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  const made = element("a", "", label && label !== target ? `${label} (${url.host})` : visible(target));
  Object.assign(made, { href: url.href, rel: "noopener noreferrer nofollow", target: "_blank", title: url.href });
  return made;
}
