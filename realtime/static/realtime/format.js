/** Numbers, money, sizes, durations and names as people read them. */

const integers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const money = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });
const percents = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

/** `19366` → `19,366` */
export const formatInteger = (value) => integers.format(Number(value));

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

/** `spend_breakdown` → `Spend breakdown` */
export function humanName(identifier) {
  const words = String(identifier).replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** `1, "tool"` → `1 tool`; `2, "tool"` → `2 tools` */
export const countOf = (count, noun) => `${formatInteger(count)} ${noun}${count === 1 ? "" : "s"}`;
