/** The work panel: what the agents of one run think, which tools run and for how long. */

import { get } from "./api.js";
import { element, icon } from "./elements.js";
import { countOf, formatDuration, humanName } from "./format.js";
import { keepTicking, stopTicking } from "./ticker.js";
import { waitingText } from "./waiting.js";

const SHOWN_CHARACTERS = 6000;

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

const isLong = (value) => asText(value).length > SHOWN_CHARACTERS;

function block(value, isWhole) {
  const text = asText(value);
  const shown = isWhole || !isLong(value) ? text : `${text.slice(0, SHOWN_CHARACTERS)}\n… (${text.length} characters)`;
  return element("pre", { text: shown, tabindex: "0" });
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
  constructor(tool, runId) {
    this.runId = runId;
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
    this.#show(tool, false);
  }

  #show(tool, isWhole) {
    const outcome = { failed: ["and failed", tool.error ?? ""], done: ["and returned", tool.result ?? null] }[tool.state];
    this.detail.replaceChildren(
      element("p", { text: `${tool.name} was given` }),
      block(tool.params, isWhole),
      ...(outcome ? [element("p", { text: outcome[0] }), block(outcome[1], isWhole)] : []),
    );
    const isShort = !tool.isCut && !isLong(tool.params) && !(outcome && isLong(outcome[1]));
    if (!isWhole && !isShort) this.detail.append(this.#showEverything(tool));
  }

  /** What is longer than an event may be is fetched. */
  #showEverything(tool) {
    const button = element("button", { type: "button", class: "link-button", text: "Show everything" });
    const note = element("p", { role: "status" });
    button.addEventListener("click", async () => {
      button.disabled = true;
      const { state } = tool;
      try {
        const call = tool.isCut ? await get(`runs/${this.runId}/calls/${encodeURIComponent(tool.callId)}`) : tool;
        // What was fetched while it ran has no outcome; by now it may be shown.
        if (tool.state !== state) return;
        const hadFocus = this.detail.contains(document.activeElement) || document.activeElement === document.body;
        this.#show({ ...tool, params: call.params, result: call.result, error: call.error }, true);
        if (hadFocus) this.detail.querySelector("pre").focus();
      } catch (error) {
        note.textContent = error.message;
        button.disabled = false;
      }
    });
    return element("div", {}, button, note);
  }
}

/** One agent's turn. */
class StepView {
  constructor(step, previous, runId) {
    this.runId = runId;
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
        view = this.toolViews[position] = new ToolView(tool, this.runId);
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
    this.node.dataset.waitingFor = (record.status === "queued" && record.waitingFor) || "";
    record.steps.forEach((step, position) => {
      let view = this.stepViews[position];
      if (!view) {
        view = this.stepViews[position] = new StepView(step, record.steps[position - 1], record.runId);
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
        return waitingText(record);
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
