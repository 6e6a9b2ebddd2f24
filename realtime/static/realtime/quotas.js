/** The meter: how much of each limit is used, when it is free again, and what a refusal means. */

import { get } from "./api.js";
import { byId, element } from "./elements.js";
import { formatBytes, formatCompact, formatInteger, formatMoment, formatUsd } from "./format.js";

const seconds = (value) => `${formatInteger(value)} s`;

/** In the order in which they are shown; what `isAlways` is shown without unfolding. */
const SHOWN = new Map([
  ["agent_runs", { label: "Runs today", format: formatInteger, isAlways: true }],
  ["concurrent_runs", { label: "Runs at once", format: formatInteger, isLease: true }],
  ["tokens", { label: "Tokens today", format: formatCompact }],
  ["cost_usd", { label: "Model cost this month", format: formatUsd }],
  ["cpu_seconds", { label: "Computing time today", format: seconds }],
  ["storage_bytes", { label: "Storage", format: formatBytes, isAlways: true }],
  ["websocket_connections", { label: "Open windows", format: formatInteger, isLease: true }],
]);
const rows = new Map();
/** By resource: how many frames and fetches had begun when its row was begun. */
const ages = new Map();
let begun = 0;
let isDrawn = false;

/** Emits `changed` (detail: the row) for each row that was fetched or told. */
export const quotaChanges = new EventTarget();

/** Fetch and show the quotas; what was told meanwhile is newer and stays. Throws Problem. */
export async function refreshQuotas() {
  const age = ++begun;
  for (const row of await get("quotas")) take(row, age);
}

/** Take a `quota_updated` or `quota_warning` frame. */
export function noteQuota(frame) {
  take(frame, ++begun);
}

function take(row, age) {
  if (age < (ages.get(row.resource) ?? 0)) return;
  ages.set(row.resource, age);
  rows.set(row.resource, row);
  drawSoon();
  quotaChanges.dispatchEvent(new CustomEvent("changed", { detail: row }));
}

/** Whether a refusal by the limit of `row` would be untrue by now. */
export const isFree = (row) => total(row) < Number(row.limit) && Number(row.remaining) > 0;

/** Whether a warning of the soft limit of `row` would be untrue by now. */
export const isBelowSoftLimit = (row) => total(row) < Math.min(Number(row.soft_limit) || Infinity, Number(row.limit));

/** What a `quota_warning` frame says, in a sentence or two. */
export function warningText(frame) {
  const { label, format } = SHOWN.get(frame.resource) ?? { label: frame.resource, format: formatInteger };
  const amounts = `${format(total(frame))} of ${format(frame.limit)}`;
  const state = total(frame) >= Number(frame.limit) ? "used up" : "nearly used up";
  const after = frame.resets_at ? ` More is free ${formatMoment(frame.resets_at)}.` : "";
  return `${label}: ${state}, ${amounts}.${after}`;
}

/** A refusal's own words, which name the limit, with the time at which it is free again as the reader's clock shows it. */
export function refusalText({ message, resetsAt }) {
  if (!resetsAt || new Date(resetsAt).getTimezoneOffset() === 0) return message;
  return `${message} By your clock that is ${formatMoment(resetsAt)}.`;
}

const total = (row) => Number(row.used) + Number(row.reserved);

function levelOf(row, { isLease }) {
  if (total(row) >= Number(row.limit)) return "full";
  // Leases come and go by themselves: only all of them are worth a word.
  return !isLease && total(row) >= Number(row.soft_limit) ? "high" : "low";
}

function drawSoon() {
  if (isDrawn) return;
  isDrawn = true;
  requestAnimationFrame(() => {
    isDrawn = false;
    const known = [...SHOWN].filter(([resource]) => rows.has(resource)).map(([resource, kind]) => [rows.get(resource), kind]);
    const isPressing = ([row, kind]) => kind.isAlways || (levelOf(row, kind) !== "low" && !kind.isLease);
    byId("quotas").replaceChildren(...known.filter(isPressing).map(([row, kind]) => draw(row, kind)));
    byId("all-quotas").replaceChildren(...known.map(([row, kind]) => draw(row, kind, { isFull: true })));
  });
}

function draw(row, kind, { isFull = false } = {}) {
  const { label, format } = kind;
  const limit = Number(row.limit);
  const level = levelOf(row, kind);
  return element(
    "div",
    { "data-level": level },
    element("dt", { text: label }),
    element("dd", { text: `${format(total(row))} of ${format(limit)}` }),
    element(
      "dd",
      { class: "quota-bar" },
      element("progress", { max: String(limit || 1), value: String(limit ? Math.min(total(row), limit) : 1), "aria-label": label }),
    ),
    ...notesOf(row, kind, level, isFull).map((text) => element("dd", { class: "quota-note", text })),
  );
}

function notesOf(row, { format, isLease }, level, isFull) {
  const verb = level === "low" ? "resets" : "free again";
  const reset = row.resets_at && (isFull || level !== "low") ? `${verb} ${formatMoment(row.resets_at)}` : null;
  const state = { full: isLease ? "All in use" : "Used up", high: "Nearly used up", low: null }[level];
  const held = isFull && !isLease && Number(row.reserved) > 0 ? `${format(row.reserved)} set aside for work under way` : null;
  const first = [state, reset].filter(Boolean).join(", ");
  return [first && first.charAt(0).toUpperCase() + first.slice(1), held].filter(Boolean);
}
