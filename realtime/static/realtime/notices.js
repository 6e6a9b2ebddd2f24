/** What the page says beside the conversation: the banner, the announcements for screen readers, questions. */

import { byId, element, icon } from "./elements.js";

const ANNOUNCE_AFTER_MS = 250;
let announcement = null;

/** Have a screen reader say `text`; of several in a quick row only the last is said. */
export function announce(text) {
  clearTimeout(announcement);
  announcement = setTimeout(() => (byId("announcer").textContent = text), ANNOUNCE_AFTER_MS);
}

/**
 * Show one line above the conversation; `link` is `{href, text}`.
 * `about` names what could make the words untrue, for `bannerAbout` to tell.
 */
export function showBanner(text, { link = null, isClosable = true, about = "" } = {}) {
  const banner = byId("banner");
  banner.dataset.about = about;
  banner.replaceChildren(
    element("span", { text }),
    ...(link ? [element("a", { class: "button", href: link.href, text: link.text })] : []),
    ...(isClosable
      ? [element("button", { type: "button", class: "icon-button", "aria-label": "Close this note", on: { click: hideBanner } }, icon("close"))]
      : []),
  );
  banner.hidden = false;
}

export function hideBanner() {
  byId("banner").hidden = true;
  byId("banner").dataset.about = "";
}

/** What the banner that is shown is about; empty when there is none. */
export const bannerAbout = () => byId("banner").dataset.about ?? "";

/** Change the banner's words in place; the same words are not read out again. */
export function rewordBanner(text) {
  const words = byId("banner").querySelector("span");
  if (words.textContent !== text) words.textContent = text;
}

/** Ask before something is deleted; resolves to whether it was agreed to. */
export function confirmDeletion(heading, text) {
  const dialog = byId("confirm");
  byId("confirm-heading").textContent = heading;
  byId("confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }),
  );
}
