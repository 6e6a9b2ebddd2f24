/** The message box: text, files, send and stop. */

import { byId } from "./elements.js";
import { formatInteger } from "./format.js";

const COUNTED_FROM = 0.8;

/** `onSend(text, datasetIds)` and `onStop()` are called; `attachments` says what goes along. */
export class Composer {
  constructor({ attachments, maxTextLength, onSend, onStop }) {
    this.attachments = attachments;
    this.maxTextLength = maxTextLength;
    this.onSend = onSend;
    this.form = byId("composer");
    this.question = byId("question");
    this.isSending = false;
    this.isRunning = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.question.addEventListener("keydown", (event) => {
      // While an input method composes, Enter accepts its suggestion.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.question.addEventListener("input", () => this.#update());
    byId("stop").addEventListener("click", onStop);
    this.#takeFiles();
    attachments.addEventListener("change", () => this.#update());
    this.#update();
  }

  /** Put a text into the box, ready to be changed or sent. */
  fill(text) {
    this.question.value = text;
    this.#update();
    this.question.focus();
  }

  /** Put a text that could not be sent back into the box, before what was typed since. */
  giveBack(text) {
    this.fill([text, this.text].filter(Boolean).join("\n\n"));
  }

  /**
   * Say why something was refused, beside the box; empty takes the words away.
   * `about` names what could make the words untrue, for `clearProblem`.
   */
  showProblem(text, { about = "" } = {}) {
    const problem = byId("composer-problem");
    problem.dataset.about = about;
    problem.textContent = text;
    problem.hidden = !text;
  }

  /** Take away a problem that is about this, because it is no longer so. */
  clearProblem(about) {
    if (byId("composer-problem").dataset.about === about) this.showProblem("");
  }

  /** Whether a message is on its way to the server. */
  setSending(isSending) {
    this.isSending = isSending;
    this.#update();
  }

  /** Whether a run of the open conversation is under way, and can be stopped. */
  setRunning(isRunning) {
    const stop = byId("stop");
    if (!isRunning && stop === document.activeElement) this.question.focus();
    this.isRunning = isRunning;
    if (!isRunning) this.clearProblem("running");
    stop.hidden = !isRunning;
    this.#update();
  }

  /** What is typed, without spaces around it. */
  get text() {
    return this.question.value.trim();
  }

  /** In code points, as the server counts. */
  get #length() {
    return Array.from(this.text).length;
  }

  /** Whether a question may be sent now; says why not where that is not to be seen. */
  isFree() {
    if (this.isRunning && !this.isSending) {
      this.showProblem("The agents are still at work on your last question. Wait for the answer, or stop them.", { about: "running" });
    }
    return !this.isSending && !this.isRunning;
  }

  #submit() {
    const text = this.text;
    const unfinished = this.attachments.unfinished[0];
    if (!text || this.#length > this.maxTextLength || !this.isFree()) return;
    if (unfinished) {
      this.showProblem(`${unfinished.name} is not uploaded yet. Finish it, or take it away.`);
    } else {
      this.showProblem("");
      this.question.value = "";
      this.attachments.dropFailed();
      this.#update();
      this.onSend(text, this.attachments.datasetIds);
    }
  }

  #update() {
    const length = this.#length;
    const note = byId("length-note");
    note.hidden = length < this.maxTextLength * COUNTED_FROM;
    note.textContent = `${formatInteger(length)} of ${formatInteger(this.maxTextLength)} characters`;
    note.classList.toggle("too-long", length > this.maxTextLength);
    byId("send").disabled = this.isSending || this.isRunning || !length || length > this.maxTextLength;
    this.question.style.height = "auto";
    this.question.style.height = `${this.question.scrollHeight}px`;
  }

  #takeFiles() {
    const file = byId("file");
    const pane = byId("pane");
    const hint = byId("drop-hint");
    const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
    for (const id of ["choose-file", "add-data"]) byId(id).addEventListener("click", () => file.click());
    file.addEventListener("change", () => {
      this.showProblem("");
      this.attachments.addFiles([...file.files]);
      file.value = "";
    });
    pane.addEventListener("dragover", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      hint.hidden = false;
    });
    pane.addEventListener("dragleave", (event) => {
      if (!pane.contains(event.relatedTarget)) hint.hidden = true;
    });
    pane.addEventListener("drop", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      hint.hidden = true;
      this.attachments.addFiles([...event.dataTransfer.files]);
    });
  }
}
