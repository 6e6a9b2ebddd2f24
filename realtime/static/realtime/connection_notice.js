/** Shows how the page is connected: a word in the top bar, and a banner when there is something to know or do. */

import { byId } from "./elements.js";
import { bannerAbout, hideBanner, showBanner } from "./notices.js";

const ABOUT = "connection";
/** A break that is over sooner is not worth moving the page for. */
const BANNER_AFTER_MS = 800;

const WORDS = {
  connecting: "Connecting…",
  online: "Connected",
  fallback: "Connected without live socket",
  offline: "Reconnecting…",
  busy: "Too many windows",
  signed_out: "Signed out",
  refused: "Not allowed",
  other_user: "Signed out",
};
const TITLES = {
  fallback: "Something between here and the server blocks live sockets. Answers come as always, in steps instead of word by word.",
};

const BANNERS = {
  offline: ({ wasUsable }) => ({
    text: wasUsable ? "The connection is lost. Connecting again; nothing is lost." : "No connection yet. Trying again…",
  }),
  busy: () => ({ text: "Too many windows are connected. Close one; this one tries again by itself." }),
  refused: ({ reason }) => ({
    text: reason || "This account may not open a connection.",
    link: { href: location.pathname, text: "Reload" },
  }),
};

let waiting = null;

/**
 * Show that the connection's state is now `state`; `reason` is the server's own words for it, `wasUsable` says
 * whether there was a connection before.
 */
export function showConnection(state, { reason, wasUsable }) {
  clearTimeout(waiting);
  const label = byId("connection");
  label.dataset.state = state;
  label.title = TITLES[state] ?? "";
  byId("connection-text").textContent = state === "offline" && !wasUsable ? WORDS.connecting : WORDS[state];
  if (state === "connecting") return;
  if (!(state in BANNERS)) {
    if (bannerAbout() === ABOUT) hideBanner();
    return;
  }
  const { text, link = null } = BANNERS[state]({ reason, wasUsable });
  const show = () => showBanner(text, { link, isClosable: false, about: ABOUT });
  if (state === "offline" && bannerAbout() !== ABOUT) waiting = setTimeout(show, BANNER_AFTER_MS);
  else show();
}
