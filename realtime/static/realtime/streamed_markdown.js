/**
 * Shows Markdown while it is being written: headings, lists, tables, emphasis and code, built node by node.
 * A preview only: the server's own rendering replaces it when the answer is complete.
 */

import { element } from "./elements.js";

const INLINE = /(\*\*[^*]+\*\*|`[^`]+`|!\[[^\]]*\]\([^)]*\)|\[[^\]]*\]\([^)]*\)|(?<![\w*])\*[^*\s][^*]*\*(?![\w*]))/;

function inline(parent, text) {
  for (const part of text.split(INLINE)) {
    if (!part) continue;
    const label = /^!?\[([^\]]*)\]/.exec(part);
    if (part.startsWith("**")) parent.append(element("strong", { text: part.slice(2, -2) }));
    else if (part.startsWith("`")) parent.append(element("code", { text: part.slice(1, -1) }));
    else if (part.startsWith("![") && label) parent.append(element("span", { class: "pending-chart", text: label[1] }));
    else if (label && part.endsWith(")")) parent.append(label[1]);
    else if (part.startsWith("*") && part.endsWith("*") && part.length > 2) parent.append(element("em", { text: part.slice(1, -1) }));
    else parent.append(part);
  }
  return parent;
}

const cellsOf = (line) =>
  line
    .replace(/^\s*\|/, "")
    .replace(/\|\s*$/, "")
    .split("|")
    .map((cell) => cell.trim());

function table(lines) {
  const [head, , ...rows] = lines;
  const row = (line, tag) => element("tr", {}, ...cellsOf(line).map((cell) => inline(element(tag), cell)));
  return element(
    "div",
    { class: "table-scroll" },
    element("table", {}, element("thead", {}, row(head, "th")), element("tbody", {}, ...rows.map((line) => row(line, "td")))),
  );
}

function list(lines) {
  const isOrdered = /^\s*\d/.test(lines[0]);
  return element(
    isOrdered ? "ol" : "ul",
    {},
    ...lines.map((line) => inline(element("li"), line.replace(/^\s*(?:[-*+]|\d+[.)])\s+/, ""))),
  );
}

/** Kinds of blocks: how their lines start, and what they become. */
const BLOCKS = [
  [/^#{1,6}\s/, (lines) => lines.map((line) => inline(element(`h${Math.min(6, Math.max(2, line.indexOf(" ")))}`), line.replace(/^#+\s*/, "")))],
  [/^\s*\|/, (lines) => [table(lines)]],
  [/^\s*(?:[-*+]|\d+[.)])\s/, (lines) => [list(lines)]],
];
const PARAGRAPH = [/^/, (lines) => [inline(element("p"), lines.join(" "))]];

/** Return the nodes that show `markdown` so far. */
export function renderStreamed(markdown) {
  const nodes = [];
  let kind = null;
  let lines = [];
  const flush = () => {
    if (lines.length) nodes.push(...kind[1](lines));
    lines = [];
  };
  for (const line of markdown.split("\n")) {
    const next = line.trim() === "" ? null : (BLOCKS.find(([start]) => start.test(line)) ?? PARAGRAPH);
    if (next !== kind) flush();
    kind = next;
    if (next) lines.push(line);
  }
  flush();
  return nodes;
}
