/** Numbers, money, sizes, durations and names as people read them. */

const integers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const money = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dates = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long" });
const percents = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

/** `19366` → `19,366` */
export const formatInteger = (value) => integers.format(Number(value));

/** `12345678` → `12.3M`, and numbers below 10,000 as they are */
export const formatCompact = (value) => (Number(value) < 10_000 ? formatInteger(value) : compact.format(Number(value)));

/** A decimal string in USD → `$96.79` */
export const formatUsd = (value) => money.format(Number(value));

/** A decimal string in USD → `~$1,234`, `under $1`: as exact as a projection is. */
export const formatWholeUsd = (value) => (Number(value) < 0.5 ? "under $1" : `~$${integers.format(Number(value))}`);

/** A decimal string → `93.9 %` */
export const formatPercent = (value) => `${percents.format(Number(value))} %`;

/** Bytes → `1.2 MB` (powers of ten, as the limits are given). */
export function formatBytes(value) {
  let amount = Number(value);
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (amount < 1000) return `${amount < 10 && unit !== "B" ? Math.round(amount * 10) / 10 : Math.round(amount)} ${unit}`;
    amount /= 1000;
  }
  return `${Math.round(amount * 10) / 10} TB`;
}

/** Milliseconds → `0.42 s`, `12.3 s`, `2 min 5 s`, `3 h 7 min` */
export function formatDuration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A moment → `at 14:05`, `tomorrow at 02:00`, `on 1 December at 01:00`, by the reader's clock */
export function formatMoment(timestamp) {
  const moment = new Date(timestamp);
  const tomorrow = new Date();
  tomorrow.setDate(tomorrow.getDate() + 1);
  const at = `at ${clock.format(moment)}`;
  if (moment.toDateString() === new Date().toDateString()) return at;
  if (moment.toDateString() === tomorrow.toDateString()) return `tomorrow ${at}`;
  return `on ${dates.format(moment)} ${at}`;
}

/** `spend_breakdown` → `Spend breakdown` */
export function humanName(identifier) {
  const words = String(identifier).replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** `1, "tool"` → `1 tool`; `2, "tool"` → `2 tools` */
export const countOf = (count, noun) => `${formatInteger(count)} ${noun}${count === 1 ? "" : "s"}`;
