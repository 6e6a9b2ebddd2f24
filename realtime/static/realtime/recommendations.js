/** Recommendations as cards: what to do, what it saves, what it takes, and how the figure was computed. */

import { element } from "./elements.js";
import { formatPercent, formatUsd, formatWholeUsd } from "./format.js";

function disclosure(title, ...content) {
  return element("details", {}, element("summary", { text: title }), ...content);
}

const textList = (tag, lines) => element(tag, {}, ...lines.map((line) => element("li", { text: line })));

/** `medium: It may answer worse.` → its level and its sentence; a level is not always given. */
function partsOfRisk(risk) {
  const [, level, sentence] = /^(?:(low|medium|high):\s*)?(.*)$/is.exec(risk ?? "");
  return { level: level?.toLowerCase(), sentence };
}

/** A month's 730 hours over a week's 168: a log that is multiplied by more covers less than a week. */
const WEEK_FACTOR = 730 / 168;

/** Carried on from less than a week, the figure holds only if the month is like it, which the card must say. */
function monthlyWords({ saving_usd: saving, monthly_saving_usd: monthly }, assumptions) {
  const isExtrapolated =
    assumptions.some((assumption) => /extrapolated/i.test(assumption)) || Number(monthly) > Number(saving) * WEEK_FACTOR;
  const condition = isExtrapolated ? "if every hour were like these" : "at this pace";
  return `${formatWholeUsd(monthly)} a month ${condition}`;
}

const tag = (label, level) => element("span", { class: "tag", "data-level": level, text: `${label}: ${level}` });

function card(recommendation, position) {
  const { title, saving_usd, saving_percent, monthly_saving_usd, effort } = recommendation;
  const risk = partsOfRisk(recommendation.risk);
  const assumptions = recommendation.assumptions ?? [];
  const steps = recommendation.steps ?? [];
  const hasReckoning = assumptions.length || recommendation.formula;
  return element(
    "li",
    { class: "card" },
    element("h4", {}, element("span", { class: "rank", "aria-hidden": "true", text: String(position + 1) }), title),
    saving_usd
      ? element(
          "p",
          { class: "saving" },
          element("span", { class: "visually-hidden", text: "Saves " }),
          element("strong", { text: formatUsd(saving_usd) }),
          saving_percent ? element("span", { class: "saving-share", text: ` ${formatPercent(saving_percent)}` }) : null,
        )
      : null,
    monthly_saving_usd ? element("p", { class: "monthly", text: monthlyWords(recommendation, assumptions) }) : null,
    element("p", { class: "tags" }, tag("Effort", effort), risk.level ? tag("Risk", risk.level) : null),
    risk.sentence ? element("p", { class: "risk", text: risk.sentence }) : null,
    steps.length ? disclosure("What to do", textList("ol", steps)) : null,
    hasReckoning
      ? disclosure(
          "How this is computed",
          assumptions.length ? textList("ul", assumptions) : null,
          recommendation.formula ? element("pre", { text: recommendation.formula, tabindex: "0" }) : null,
        )
      : null,
  );
}

/** Return the cards' section, or null when there is nothing to recommend. */
export function recommendationCards(recommendations) {
  if (!recommendations?.length) return null;
  return element(
    "section",
    { class: "recommendations", "aria-label": "Recommendations" },
    element("h3", { text: "Recommendations" }),
    element("ol", { class: "cards" }, ...recommendations.map(card)),
  );
}
