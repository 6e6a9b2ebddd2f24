/** The work panel: what the agents of one run think, which tools run and for how long. */

import { element, icon } from "./elements.js";
import { countOf, formatDuration, formatOrdinal, humanName } from "./format.js";
import { keepTicking, stopTicking } from "./ticker.js";

const SHOWN_CHARACTERS = 6000;

function asText(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}\n… (${text.length} characters)` : text;
}

/** The place in line is known only as of the question; it is not told when others leave the line. */
function waitingText(position) {
  if (position > 1) return `Waiting, ${formatOrdinal(position)} in line when asked`;
  return position === 1 ? "Waiting, next in line" : "Waiting for a worker";
}

function showDuration(node, item) {
  if (item.durationMs === null || item.durationMs === undefined) {
    keepTicking(node, () => (node.textContent = formatDuration(Date.now() - item.startedAt)));
  } else {
    stopTicking(node);
    node.textContent = formatDuration(item.durationMs);
  }
}

/** One call of a tool: its state, its name, its time; parameters and result on demand. */
class ToolView {
  constructor(tool) {
    this.mark = element("span", { class: "mark", "aria-hidden": "true" });
    this.state = element("span", { class: "visually-hidden" });
    this.time = element("span", { class: "time" });
    this.detail = element("div", { class: "tool-detail" });
    this.node = element(
      "li",
      { class: "tool" },
      element(
        "details",
        {},
        element(
          "summary",
          {},
          this.mark,
          element("span", { class: "tool-name", text: humanName(tool.name) }),
          this.state,
          this.time,
          icon("chevron"),
        ),
        this.detail,
      ),
    );
  }

  update(tool) {
    if (this.node.dataset.state === tool.state) return;
    this.node.dataset.state = tool.state;
    this.mark.replaceChildren(...({ done: [icon("check")], failed: [icon("alert")] }[tool.state] ?? []));
    this.state.textContent = { running: "running", done: "done", failed: "failed", stopped: "stopped" }[tool.state];
    showDuration(this.time, tool);
    this.detail.replaceChildren(
      element("p", { text: `${tool.name} was given` }),
      element("pre", { text: asText(tool.params), tabindex: "0" }),
    );
    if (tool.state === "failed") {
      this.detail.append(element("p", { text: "and failed" }), element("pre", { text: asText(tool.error ?? ""), tabindex: "0" }));
    } else if (tool.state === "done") {
      this.detail.append(element("p", { text: "and returned" }), element("pre", { text: asText(tool.result ?? null), tabindex: "0" }));
    }
  }
}

/** One agent's turn. */
class StepView {
  constructor(step, previous) {
    this.time = element("span", { class: "time" });
    this.thoughts = element("div", { class: "thoughts" });
    this.tools = element("ul", { class: "tools", "aria-label": `Tools used by ${step.agent}` });
    this.toolViews = [];
    this.node = element(
      "li",
      { class: "step" },
      element(
        "p",
        { class: "step-head" },
        element("span", { class: "agent-name", text: humanName(step.agent) }),
        this.time,
      ),
      step.reason && step.reason !== previous?.reason ? element("p", { class: "handoff", text: step.reason }) : null,
      this.thoughts,
      this.tools,
    );
  }

  update(step) {
    const isRunning = step.durationMs === null;
    this.node.dataset.state = isRunning ? "running" : "done";
    showDuration(this.time, step);
    for (const thought of step.thoughts.slice(this.thoughts.childElementCount)) {
      this.thoughts.append(element("p", { text: thought }));
    }
    step.tools.forEach((tool, position) => {
      let view = this.toolViews[position];
      if (!view) {
        view = this.toolViews[position] = new ToolView(tool);
        this.tools.append(view.node);
      }
      view.update(tool);
    });
  }
}

/** Follows a RunRecord; open while it works, folded away when it is done. */
export class WorkPanel {
  constructor(record) {
    this.record = record;
    this.stepViews = [];
    this.headline = element("span", { class: "headline" });
    this.time = element("span", { class: "time" });
    this.list = element("ol", { class: "steps" });
    this.notes = element("div", { class: "work-notes" });
    this.node = element(
      "details",
      { class: "work" },
      element("summary", {}, element("span", { class: "pulse", "aria-hidden": "true" }), this.headline, this.time, icon("chevron")),
      this.list,
      this.notes,
    );
    this.node.open = record.isOpen;
    this.update();
  }

  update() {
    const { record } = this;
    if (this.node.dataset.status && this.node.dataset.status !== record.status && !record.isOpen) this.node.open = false;
    this.node.dataset.status = record.status;
    record.steps.forEach((step, position) => {
      let view = this.stepViews[position];
      if (!view) {
        view = this.stepViews[position] = new StepView(step, record.steps[position - 1]);
        this.list.append(view.node);
      }
      view.update(step);
    });
    for (const note of record.notes.slice(this.notes.childElementCount)) {
      this.notes.append(element("p", { text: note }));
    }
    this.headline.textContent = this.#headline();
    if (record.startedAt !== null) showDuration(this.time, record);
  }

  #headline() {
    const { record } = this;
    const tools = record.steps.reduce((sum, step) => sum + step.tools.length, 0);
    const agents = new Set(record.steps.map((step) => step.agent)).size;
    const done = `${countOf(agents, "agent")}, ${countOf(tools, "tool call")}`;
    switch (record.status) {
      case "queued":
        return waitingText(record.position);
      case "running": {
        const step = record.currentStep;
        const tool = step?.tools.findLast((known) => known.state === "running");
        if (!step) return "Working";
        return tool ? `${humanName(step.agent)}: ${humanName(tool.name).toLowerCase()}` : `${humanName(step.agent)} is working`;
      }
      case "completed":
        return `Worked with ${done}`;
      case "failed":
        return `Failed after ${done}`;
      default:
        return `Stopped after ${done}`;
    }
  }
}
