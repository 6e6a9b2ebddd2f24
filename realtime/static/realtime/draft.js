/** Keeps what was typed while the reader signs in again, in this window and for this account alone. */

const NAME = "netra-draft";

/** Keep `text`, and the conversation it was typed in. */
export function keepDraft(userId, text) {
  if (text) sessionStorage.setItem(NAME, JSON.stringify({ userId, text, hash: location.hash }));
}

/** Return what was kept for this account, once: `{text, hash}`, or null. */
export function takeDraft(userId) {
  const kept = sessionStorage.getItem(NAME);
  sessionStorage.removeItem(NAME);
  const draft = kept && JSON.parse(kept);
  return draft?.userId === userId ? draft : null;
}
