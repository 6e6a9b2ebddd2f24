/** The server's rendering of an answer, made easy to read: scrolling tables, linked charts, recommendations. */

import { element } from "./elements.js";
import { recommendationCards } from "./recommendations.js";
import { scrollingTable } from "./scrolling_table.js";

function scrollable(table, position) {
  const place = document.createComment("");
  table.replaceWith(place);
  place.replaceWith(scrollingTable(table, `Table ${position + 1}`));
}

function linked(image) {
  if (image.closest("a")) return;
  const link = element("a", { class: "chart", href: image.getAttribute("src"), target: "_blank", rel: "noopener", title: "Open the chart by itself" });
  image.replaceWith(link);
  link.append(image, element("span", { class: "chart-hint", text: "Open larger" }));
}

/**
 * Return an element with `html`, which must be the server's sanitised rendering and nothing else.
 * The cards follow the opening paragraphs: what to do comes before how it was found.
 */
export function renderAnswer({ html, recommendations }) {
  const answer = element("div", { class: "answer" });
  answer.innerHTML = html;
  answer.querySelectorAll("table").forEach(scrollable);
  answer.querySelectorAll("img").forEach(linked);
  const cards = recommendationCards(recommendations);
  if (cards) answer.insertBefore(cards, answer.querySelector(":scope > :is(h1, h2, h3, h4)"));
  return answer;
}
