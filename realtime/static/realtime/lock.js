/** Hides what is the account's own, and asks to sign in instead, once nobody or somebody else is signed in. */

import { byId, element } from "./elements.js";
import { announce, hideBanner } from "./notices.js";

const PROMPTS = {
  signed_out: ({ reason, loginUrl }) => ({
    heading: "You are no longer signed in",
    text: [reason, "What you typed is kept.", "Your conversations are here again when you have signed in."].filter(Boolean).join(" "),
    link: { href: loginUrl, text: "Sign in" },
  }),
  other_user: () => ({
    heading: "Someone else has signed in in this browser",
    text: "This window belongs to the account before.",
    link: { href: location.pathname, text: "Reload" },
  }),
};

/** Whether the window is locked. */
export const isLocked = () => "locked" in document.body.dataset;

/**
 * Lock the window when `state`, the connection's, is one in which its account may not be shown, else open it again;
 * `reason` is the server's own words. What is hidden is marked `data-private` in the page.
 */
export function lockFor(state, { reason, loginUrl }) {
  const prompt = byId("lock");
  prompt.hidden = !(state in PROMPTS);
  if (prompt.hidden) {
    prompt.replaceChildren();
    delete document.body.dataset.locked;
    return;
  }
  const { heading, text, link } = PROMPTS[state]({ reason, loginUrl });
  document.body.dataset.locked = "";
  hideBanner();
  announce("");
  // It names what it asks about.
  byId("confirm").close();
  prompt.replaceChildren(
    element("h2", { text: heading }),
    element("p", { text }),
    element("a", { class: "button primary", href: link.href, text: link.text }),
  );
}
