/** The open conversation: its messages, its runs, and where the page is scrolled to. */

import { get, getAll } from "./api.js";
import { byId, element } from "./elements.js";
import { pastAnswer, RunView } from "./run_view.js";

const NEAR_THE_END_PX = 120;
const MARGIN_PX = 12;

/** `onAskAgain({text, datasetIds, agent})` sends a failed question once more; it resolves to whether it was taken. */
export class Conversation {
  #opening = 0;
  /** What is shown, by author and run, or by the message where its run is not kept any more. */
  #nodes = new Map();
  #lastPage = null;

  constructor({ runs, onAskAgain }) {
    this.runs = runs;
    this.onAskAgain = onAskAgain;
    this.threadId = null;
    this.messages = byId("messages");
    this.transcript = byId("transcript");
    this.views = new Map();
    // Whether the reader is at the end is known before something is added there, not after.
    this.isFollowing = true;
    this.transcript.addEventListener("scroll", () => (this.isFollowing = this.#isNearTheEnd), { passive: true });
    this.messages.addEventListener("grown", () => this.#follow());
  }

  /** The runs of this conversation that have not ended. */
  get openRuns() {
    return [...this.views.keys()].map((id) => this.runs.get(id)).filter((record) => record?.isOpen);
  }

  /** Whether a thread is being fetched. */
  get isOpening() {
    return this.messages.getAttribute("aria-busy") === "true";
  }

  /** Whether a run has its place in what is shown. */
  shows(record) {
    return this.#nodes.has(keyOf({ author: "assistant", run_id: record.runId }));
  }

  /** A number that changes whenever another conversation is opened. */
  get visit() {
    return this.#opening;
  }

  /**
   * Show a thread, fetched when `ready` has come true; null shows an empty, new conversation.
   * Throws Problem when it cannot be read.
   */
  async open(threadId, ready = null) {
    const visit = ++this.#opening;
    this.threadId = threadId;
    this.views = new Map();
    this.#nodes = new Map();
    this.#lastPage = null;
    this.messages.replaceChildren();
    this.messages.setAttribute("aria-busy", String(threadId !== null));
    byId("welcome").hidden = threadId !== null;
    if (threadId === null) return;
    try {
      await ready;
      if (await this.#load(visit)) this.#toTheEnd();
    } finally {
      if (visit === this.#opening) this.messages.setAttribute("aria-busy", "false");
    }
  }

  /** Add what the thread has got since it was fetched: questions of other windows, answers missed. Throws Problem. */
  async refresh() {
    if (this.threadId === null || this.isOpening) return;
    if (await this.#load(this.#opening)) this.#follow();
  }

  /** Make the new conversation that is shown the one that the server calls `threadId`. */
  adopt(threadId) {
    this.threadId = threadId;
  }

  /** Append what the user asks; returns the node, for `showRun` or `takeBack`. */
  showQuestion(text) {
    byId("welcome").hidden = true;
    const node = question(text);
    this.messages.append(node);
    this.#toTheEnd();
    return node;
  }

  /** Say below a question whether it waits for a connection to be sent. */
  noteWaiting(node, isWaiting) {
    node.querySelector(".waiting-note")?.remove();
    if (isWaiting) node.append(element("p", { class: "waiting-note", text: "Waiting for the connection…" }));
  }

  /** Remove a question that was refused. */
  takeBack(node) {
    node.remove();
    if (this.threadId === null) byId("welcome").hidden = this.messages.childElementCount > 0;
  }

  /** Show a run's live view below its question, once. */
  showRun(record, node) {
    if (this.shows(record)) {
      // It was found among the thread's messages before it was known to be this one.
      node.remove();
      return;
    }
    this.#nodes.set(keyOf({ author: "user", run_id: record.runId }), node);
    node.after(this.#view(record).node);
    this.#follow();
  }

  /** After an event: keep the end in sight, or, when the run has ended, the beginning of its answer. */
  followRun(record) {
    const view = this.views.get(record.runId);
    if (!view || !this.isFollowing) return;
    if (record.status === "completed") this.#toTheTopOf(view.node);
    else this.#toTheEnd();
  }

  #view(record) {
    const view = new RunView(record, { onAskAgain: this.onAskAgain });
    this.views.set(record.runId, view);
    this.#nodes.set(keyOf({ author: "assistant", run_id: record.runId }), view.node);
    return view;
  }

  /** Fetch the messages from the last page known on, and place those that are new; returns whether it is still wanted. */
  async #load(visit) {
    const { results, last } = await getAll(this.#lastPage ?? `threads/${this.threadId}/messages`);
    const answered = new Set(results.filter(({ author }) => author === "assistant").map(({ run_id }) => run_id));
    const messages = [];
    for (const message of results) {
      if (message.run_id) await this.#readEvents(message, answered);
      messages.push(this.#nodes.has(keyOf(message)) ? message : await this.#completed(message));
    }
    if (visit !== this.#opening) return false;
    this.#lastPage = last;
    let previous = null;
    for (const message of messages) previous = this.#placed(message, previous, answered);
    return true;
  }

  /** Return the last node of a message, made and placed after `previous` unless it is there already. */
  #placed(message, previous, answered) {
    const key = keyOf(message);
    if (!this.#nodes.has(key)) {
      const node = message.author === "assistant" ? pastAnswer(message) : question(message.text);
      this.#nodes.set(key, node);
      if (previous) previous.after(node);
      else this.messages.prepend(node);
    }
    const node = this.#nodes.get(key);
    if (message.author === "assistant" || !message.run_id) return node;
    // Its answer may be there while the messages do not have it yet.
    const answer = this.#nodes.get(keyOf({ ...message, author: "assistant" }));
    if (answer || answered.has(message.run_id)) return answer ?? node;
    const view = this.#view(this.runs.ensure(message.run_id, this.threadId));
    node.after(view.node);
    return view.node;
  }

  /** With an answer's HTML and cards; an older server tells them only in the run's last event. */
  async #completed(message) {
    const whole = { ...message, thread_id: this.threadId };
    if (message.author !== "assistant" || (message.html !== undefined && message.html !== null)) return whole;
    const { events } = await get(`runs/${message.run_id}/events`);
    const { data } = events.find(({ type }) => type === "agent_completed");
    return { ...whole, html: data.final_response_html, recommendations: data.recommendations };
  }

  /** Read the events of a run that is to be shown without an answer, or whose answer has come without its events. */
  async #readEvents({ author, run_id: runId }, answered) {
    const isNew = author === "user" && !answered.has(runId) && !this.#nodes.has(keyOf({ author, run_id: runId }));
    const isLate = author === "assistant" && this.runs.get(runId)?.isOpen;
    if (!isNew && !isLate) return;
    const record = this.runs.ensure(runId, this.threadId);
    if (!record.isOpen) return;
    const { events } = await get(`runs/${runId}/events?after=${record.lastSeq}`);
    for (const event of events) record.accept(event, { isLive: Boolean(isLate) });
  }

  get #isNearTheEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.transcript;
    return scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX;
  }

  #follow() {
    if (this.isFollowing) this.#toTheEnd();
  }

  #toTheTopOf(node) {
    // Not scrollIntoView, which would move what is around the transcript, too.
    const distance = node.getBoundingClientRect().top - this.transcript.getBoundingClientRect().top;
    this.transcript.scrollBy({ top: distance - MARGIN_PX, behavior: "smooth" });
  }

  #toTheEnd() {
    this.isFollowing = true;
    this.transcript.scrollTop = this.transcript.scrollHeight;
  }
}

const keyOf = ({ author, run_id: runId, id }) => (runId ? `${author} ${runId}` : id);

function question(text) {
  return element("article", { class: "message user", "aria-label": "You asked" }, element("p", { text }));
}
