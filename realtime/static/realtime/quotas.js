/** The small lines that say how much of the tier is used. */

import { get } from "./api.js";
import { byId, element } from "./elements.js";
import { formatBytes, formatInteger } from "./format.js";

const SHOWN = [
  ["agent_runs", "Runs today", formatInteger],
  ["storage_bytes", "Storage", formatBytes],
];

/** Fetch and show the quotas. Throws Problem. */
export async function refreshQuotas() {
  const rows = new Map((await get("quotas")).map((row) => [row.resource, row]));
  byId("quotas").replaceChildren(
    ...SHOWN.filter(([resource]) => rows.has(resource)).map(([resource, label, format]) => {
      const row = rows.get(resource);
      const used = Number(row.used) + Number(row.reserved);
      const limit = Number(row.limit);
      return element(
        "div",
        { "data-level": used >= limit ? "full" : used >= Number(row.soft_limit) ? "high" : "low" },
        element("dt", { text: label }),
        element("dd", { text: `${format(used)} of ${format(limit)}` }),
        element("dd", { class: "quota-bar" }, element("progress", { max: String(limit || 1), value: String(Math.min(used, limit)), "aria-label": label })),
      );
    }),
  );
}
