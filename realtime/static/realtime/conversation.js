/** The open conversation: its messages, its runs, and where the page is scrolled to. */

import { get, getAll } from "./api.js";
import { byId, element } from "./elements.js";
import { pastAnswer, RunView } from "./run_view.js";

const NEAR_THE_END_PX = 120;
const MARGIN_PX = 12;

/** `onAskAgain(text)` sends a failed question once more. */
export class Conversation {
  #opening = 0;

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
    return this.views.has(record.runId);
  }

  /** A number that changes whenever another conversation is opened. */
  get visit() {
    return this.#opening;
  }

  /** Show a thread; null shows an empty, new conversation. Throws Problem when it cannot be read. */
  async open(threadId) {
    const visit = ++this.#opening;
    this.threadId = threadId;
    this.#show([], new Map());
    this.messages.setAttribute("aria-busy", String(threadId !== null));
    byId("welcome").hidden = threadId !== null;
    if (threadId === null) return;
    try {
      const messages = await getAll(`threads/${threadId}/messages`);
      const views = new Map();
      const nodes = await this.#nodesOf(messages, views);
      if (visit !== this.#opening) return;
      this.#show(nodes, views);
      this.#toTheEnd();
    } finally {
      if (visit === this.#opening) this.messages.setAttribute("aria-busy", "false");
    }
  }

  /** Make the new conversation that is shown the one that the server calls `threadId`. */
  adopt(threadId) {
    this.threadId = threadId;
  }

  /** Append what the user asks; returns the node, to be removed when it is refused. */
  showQuestion(text) {
    byId("welcome").hidden = true;
    const node = question(text);
    this.messages.append(node);
    this.#toTheEnd();
    return node;
  }

  /** Append a run's live view, once. */
  showRun(record, text) {
    if (this.views.has(record.runId)) return;
    this.messages.append(this.#view(record, text, this.views).node);
    this.#follow();
  }

  /** After an event: keep the end in sight, or, when the run has ended, the beginning of its answer. */
  followRun(record) {
    const view = this.views.get(record.runId);
    if (!view || !this.isFollowing) return;
    if (record.status === "completed") this.#toTheTopOf(view.node);
    else this.#toTheEnd();
  }

  #view(record, text, views) {
    const view = new RunView(record, { onAskAgain: () => this.onAskAgain(text) });
    views.set(record.runId, view);
    return view;
  }

  #show(nodes, views) {
    this.views = views;
    this.messages.replaceChildren(...nodes);
  }

  async #nodesOf(messages, views) {
    const answered = new Set(messages.filter(({ author }) => author === "assistant").map(({ run_id }) => run_id));
    const nodes = [];
    for (const message of messages) {
      if (message.author === "assistant") {
        nodes.push(pastAnswer(await this.#withRendering(message)));
      } else {
        nodes.push(question(message.text));
        if (message.run_id && !answered.has(message.run_id)) nodes.push(await this.#unansweredRun(message, views));
      }
    }
    return nodes;
  }

  /** The answer's HTML and cards; an older server tells them only in the run's last event. */
  async #withRendering(message) {
    const threadId = this.threadId;
    if (message.html !== undefined && message.html !== null) return { ...message, thread_id: threadId };
    const { events } = await get(`runs/${message.run_id}/events`);
    const last = events.find(({ type }) => type === "agent_completed");
    return { ...message, thread_id: threadId, html: last.data.final_response_html, recommendations: last.data.recommendations };
  }

  async #unansweredRun(message, views) {
    const record = this.runs.ensure(message.run_id, this.threadId);
    const { events } = await get(`runs/${message.run_id}/events?after=${record.lastSeq}`);
    for (const event of events) record.accept(event, { isLive: false });
    return this.#view(record, message.text, views).node;
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

function question(text) {
  return element("article", { class: "message user", "aria-label": "You asked" }, element("p", { text }));
}
