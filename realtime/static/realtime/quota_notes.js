/** What the page says of quotas outside of the meter, kept true as the figures change. */

import { bannerAbout, hideBanner, rewordBanner, showBanner } from "./notices.js";
import { isBelowSoftLimit, isFree, noteQuota, quotaChanges, refreshQuotas, refusalText, warningText } from "./quotas.js";

const REFRESH_AFTER_MS = 200;
let refreshTimer = null;

/** The name under which words about a refusal are kept; empty when no limit was the reason. */
export const refusalOf = ({ resource }) => (resource ? `refusal ${resource}` : "");

/** Fetch the quotas, once for what comes in a quick row; `tell(problem)` is called when that fails. */
export function refreshQuotasSoon(tell) {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(() => refreshQuotas().catch(tell), REFRESH_AFTER_MS);
}

/** Take a `quota_warning` frame, and say so. */
export function showWarning(frame) {
  noteQuota(frame);
  showBanner(warningText(frame), { about: `warning ${frame.resource}` });
}

/** Say why a frame was refused; `error` has `message`, and for a limit `resource` and `resets_at`. */
export function showRefusal(error) {
  showBanner(refusalText({ message: error.message, resetsAt: error.resets_at }), { about: refusalOf(error) });
}

/** Take away or change what was said of a quota, in the banner or beside `composer`, once new figures make it untrue. */
export function keepNotesTrue(composer) {
  quotaChanges.addEventListener("changed", ({ detail: row }) => {
    if (bannerAbout() === `warning ${row.resource}`) {
      if (isBelowSoftLimit(row)) hideBanner();
      else rewordBanner(warningText(row));
    }
    if (!isFree(row)) return;
    if (bannerAbout() === refusalOf(row)) hideBanner();
    composer.clearProblem(refusalOf(row));
  });
}
