/** Tables wider than the page: they scroll sideways, and say so while there are columns out of sight. */

import { element } from "./elements.js";

const HALF_PIXELS = 2;

/** Return a frame around `table`; `label` names it for those who cannot see it. */
export function scrollingTable(table, label) {
  const scroller = element("div", { class: "table-scroll", role: "region", tabindex: "0", "aria-label": label }, table);
  const hint = element("p", { class: "table-hint", "aria-hidden": "true", text: "More columns: scroll sideways →" });
  const frame = element("div", { class: "table-frame" }, element("div", { class: "table-edges" }, scroller), hint);
  const update = () => {
    const hiddenWidth = scroller.scrollWidth - scroller.clientWidth;
    frame.classList.toggle("scrolls", hiddenWidth > HALF_PIXELS);
    frame.classList.toggle("more-left", scroller.scrollLeft > HALF_PIXELS);
    frame.classList.toggle("more-right", hiddenWidth - scroller.scrollLeft > HALF_PIXELS);
  };
  scroller.addEventListener("scroll", update, { passive: true });
  // Told of the first layout, too, and of each change of the window's width.
  const observer = new ResizeObserver(update);
  observer.observe(scroller);
  observer.observe(table);
  return frame;
}
