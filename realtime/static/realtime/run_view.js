/** One run in the conversation: its work panel, the answer as it is written, then the answer, or why there is none. */

import { get } from "./api.js";
import { renderAnswer } from "./answer.js";
import { element, icon } from "./elements.js";
import { announce } from "./notices.js";
import { RunRecord } from "./run_record.js";
import { renderStreamed } from "./streamed_markdown.js";
import { keepAsking, waitingText } from "./waiting.js";
import { WorkPanel } from "./work_panel.js";

function article() {
  const heading = element("h2", { class: "visually-hidden", text: "Answer" });
  return element("article", { class: "message assistant", "aria-label": "Netra’s answer" }, heading);
}

/** Follows a RunRecord until it ends. `onAskAgain(question)` asks the same once more, and resolves to whether it was taken. */
export class RunView {
  constructor(record, { onAskAgain }) {
    this.record = record;
    this.onAskAgain = onAskAgain;
    this.panel = new WorkPanel(record);
    this.answer = element("div", { class: "answer streaming", "aria-busy": "true" });
    this.node = article();
    this.node.append(this.panel.node, this.answer);
    this.isDrawn = false;
    record.addEventListener("change", () => this.#update());
    record.addEventListener("text", () => this.#drawSoon());
    record.addEventListener("wait", () => {
      this.panel.update();
      announce(`${waitingText(record)}.`);
    });
    keepAsking(record, this.node);
    this.#update();
    this.#drawSoon();
  }

  #drawSoon() {
    if (this.isDrawn) return;
    this.isDrawn = true;
    requestAnimationFrame(() => {
      this.isDrawn = false;
      if (!this.record.isOpen) return;
      this.answer.replaceChildren(...renderStreamed(this.record.text));
      this.node.dispatchEvent(new CustomEvent("grown", { bubbles: true }));
    });
  }

  #update() {
    const { record } = this;
    this.panel.update();
    if (record.isOpen || this.node.dataset.status) return;
    this.node.dataset.status = record.status;
    if (record.status === "completed") {
      const { final_response_html: html, recommendations } = record.completion;
      this.answer.replaceWith(renderAnswer({ html, recommendations }));
    } else if (record.status === "failed") {
      this.answer.replaceWith(this.#failure(record.failure));
    } else {
      this.answer.replaceWith(element("p", { class: "notice", text: "Stopped before there was an answer." }));
    }
  }

  #failure({ message, retryable }) {
    const problem = element("div", { class: "problem", role: "alert" }, element("p", { text: message || "The run failed." }));
    if (retryable) {
      const button = element("button", { type: "button", class: "button", text: "Try again" });
      button.addEventListener("click", async () => {
        button.disabled = true;
        if (await this.onAskAgain(this.record.question)) button.remove();
        else button.disabled = false;
      });
      problem.append(button);
    }
    return problem;
  }
}

/** An answer from history; its work panel is fetched when it is opened. */
export function pastAnswer({ html, recommendations, run_id: runId, thread_id: threadId }) {
  const node = article();
  if (runId) node.append(pastWork(runId, threadId));
  node.append(renderAnswer({ html, recommendations }));
  return node;
}

function pastWork(runId, threadId) {
  const body = element("div", { class: "steps", role: "status" });
  const headline = element("span", { class: "headline", text: "How this was worked out" });
  const fold = element("details", { class: "work" }, element("summary", {}, headline, icon("chevron")), body);
  const load = async () => {
    if (!fold.open) return;
    body.textContent = "Loading…";
    try {
      const record = new RunRecord(runId, threadId);
      const { events } = await get(`runs/${runId}/events`);
      for (const event of events) record.accept(event, { isLive: false });
      const panel = new WorkPanel(record);
      panel.node.open = true;
      const hadFocus = fold.contains(document.activeElement);
      fold.replaceWith(panel.node);
      if (hadFocus) panel.node.querySelector("summary").focus();
    } catch (error) {
      // Closing and opening the panel tries again.
      body.textContent = error.message;
    }
  };
  fold.addEventListener("toggle", load);
  return fold;
}
