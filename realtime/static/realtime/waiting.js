/** What a queued run waits for: in words, and asked again for as long as somebody looks at it. */

import { get } from "./api.js";
import { jittered } from "./delays.js";

const EVERY_MS = 4_000;
/** What an event said so long ago may not be so any more. */
const OLD_AFTER_MS = 2_000;

/** Words for what a run's record says that it waits for. */
export function waitingText({ position, waitingFor }) {
  if (waitingFor === "worker") return "No worker is running: your question is kept and is answered as soon as one starts";
  if (position === 2) return "Waiting: 1 of your questions is before this one";
  if (position > 2) return `Waiting: ${position - 1} of your questions are before this one`;
  return position === 1 ? "Waiting, next in line" : "Waiting for a free worker";
}

/** Keep a queued run's record true while `node` is on the page, until the run begins. */
export function keepAsking(record, node) {
  let wasShown = false;
  const ask = async () => {
    if (record.status !== "queued" || (wasShown && !node.isConnected)) return;
    wasShown ||= node.isConnected;
    if (!document.hidden && wasShown) {
      try {
        const run = await get(`runs/${record.runId}`);
        if (run.status === "queued") record.noteWait(run);
      } catch (problem) {
        // Whoever cannot be reached now may be the next time; a run that is gone waits for nothing.
        if (problem.status === 404) return;
      }
    }
    later(EVERY_MS);
  };
  const later = (ms) => setTimeout(ask, jittered(ms));
  const isOld = record.startedAt !== null && Date.now() - record.startedAt > OLD_AFTER_MS;
  later(isOld ? 0 : EVERY_MS);
}
