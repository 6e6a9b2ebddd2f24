/** Notices that the page may have missed something: the computer slept, the window was hidden, the network came back. */

const LOOK_EVERY_MS = 2_000;
const JUMP_MS = 8_000;

/** Call `listener` whenever what was connected before may not be connected any more. */
export function onWake(listener) {
  let lookedAt = Date.now();
  setInterval(() => {
    const now = Date.now();
    // A timer that is this late was asleep, and the computer with it, or the window was frozen.
    if (now - lookedAt > LOOK_EVERY_MS + JUMP_MS) listener();
    lookedAt = now;
  }, LOOK_EVERY_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) listener();
  });
  addEventListener("online", () => listener());
  addEventListener("pageshow", (event) => {
    if (event.persisted) listener();
  });
}
