/** The sidebar on narrow screens: opened and closed, with the keyboard too. */

import { byId } from "./elements.js";

/** Make the sidebar's buttons work; returns a function that closes it where it is open. */
export function setUpSidebar() {
  const opener = byId("open-sidebar");
  const set = (isOpen) => {
    document.body.classList.toggle("sidebar-open", isOpen);
    opener.setAttribute("aria-expanded", String(isOpen));
    byId("pane").inert = isOpen;
  };
  const close = () => {
    if (!document.body.classList.contains("sidebar-open")) return;
    set(false);
    opener.focus();
  };
  opener.addEventListener("click", () => {
    set(true);
    byId("close-sidebar").focus();
  });
  byId("close-sidebar").addEventListener("click", close);
  byId("scrim").addEventListener("click", close);
  byId("sidebar").addEventListener("click", (event) => {
    if (event.target.closest("a, .datasets .row-main, #add-data")) close();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("confirm").open) close();
  });
  // Widened while open: the sidebar is beside the conversation again, which must not stay out of reach.
  matchMedia("(min-width: 52rem)").addEventListener("change", () => set(false));
  return close;
}
