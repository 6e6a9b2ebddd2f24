/** Delivery by WebSocket: frames with ids, answered or refused; connects again and takes up where it broke off by itself. */

import { backOff } from "./delays.js";
import { ConnectionLost, FrameRefused } from "./delivery_errors.js";

const DELAYS = { first: 400, longest: 20_000 };
/** While another delivery does the work there is no hurry. */
const UNHURRIED_DELAYS = { first: 400, longest: 60_000 };
const OPEN_WITHIN_MS = 10_000;
/** A handshake that takes longer may be one that something between swallows. */
const UNANSWERED_AFTER_MS = 3_000;
const ANSWER_WITHIN_MS = 15_000;
const PROBE_WITHIN_MS = 3_000;
/** A connection that stood for so long was a good one. */
const STEADY_AFTER_MS = 10_000;

const TOO_SLOW = 4408;
const TOO_MANY = 4429;
/** Closes after which the socket waits to be told to connect. */
const FINAL_CLOSES = { 4401: "signed_out", 4403: "refused" };
/** Refusals that stay what they are: what was named is gone, or cannot be had. */
const LASTING_CODES = new Set(["not_found", "invalid_request", "permission_denied"]);

/**
 * Emits `state` (detail: connecting, online, offline, busy, signed_out, refused, other_user), `frame` (detail:
 * frame), `caught_up` when after connecting everything missed was asked for, `gone` (detail: run id) for a run
 * that the server knows no more, `unanswered` when a handshake has taken long and is still waited for, and
 * `steady` when a connection has stood for a while.
 */
export class ChatSocket extends EventTarget {
  #url;
  #userId;
  #cursors;
  #socket = null;
  #begunAt = 0;
  #pending = new Map();
  #watched = new Set();
  #frames = 0;
  #failures = 0;
  #timers = [];
  #retry = null;

  /** `cursors()` must return `{run_id: last_seq}` of the runs that have not ended; `userId` is whose page it is. */
  constructor({ url, userId, cursors }) {
    super();
    this.#url = url;
    this.#userId = userId;
    this.#cursors = cursors;
    this.state = "connecting";
    this.closeReason = "";
    /** Attempts in a row that came to nothing, not even to a reason from the server. */
    this.unopened = 0;
    /** Whether another delivery does the work meanwhile. */
    this.isReplaced = false;
  }

  /** Connect now, unless there is a connection already or a final close forbids it. */
  connect() {
    if (this.#socket || this.#isFinal) return;
    clearTimeout(this.#retry);
    if (!["offline", "busy"].includes(this.state)) this.#enter("connecting");
    let socket;
    try {
      socket = new WebSocket(this.#url);
    } catch {
      // Some protection software makes the constructor itself fail.
      this.#noteClosed({ code: 1006 });
      return;
    }
    this.#socket = socket;
    this.#begunAt = Date.now();
    this.#timers = [
      setTimeout(() => this.dispatchEvent(new CustomEvent("unanswered")), UNANSWERED_AFTER_MS),
      setTimeout(() => this.#drop(socket), OPEN_WITHIN_MS),
    ];
    socket.addEventListener("message", (event) => {
      // What a given-up connection still brings would be older than what its successor has brought.
      if (socket === this.#socket) this.#receive(JSON.parse(event.data));
    });
    socket.addEventListener("close", (event) => this.#drop(socket, event));
  }

  /** Connect although a final close forbade it, or later when `delayed`. */
  connectAgain({ delayed = false } = {}) {
    this.#enter("offline");
    if (delayed) this.#retryLater();
    else this.connect();
  }

  /** Stop for good, until `connectAgain`. */
  halt(state) {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#letGo();
    socket?.close();
    this.#enter(state);
  }

  /** Find out at once whether the connection still stands: after sleep it often only seems to. */
  wake() {
    if (this.state === "online") {
      this.#probe(PROBE_WITHIN_MS);
      return;
    }
    if (this.#socket && Date.now() - this.#begunAt > PROBE_WITHIN_MS) this.#drop(this.#socket);
    this.connect();
  }

  /** Give the connection up, because the computer has no network; it comes back by itself. */
  lose() {
    if (this.#socket) this.#drop(this.#socket);
  }

  /** Ask a question; returns `{run_id, thread_id}`. Throws FrameRefused, or ConnectionLost when nothing is known of it. */
  async send({ thread_id, text, dataset_ids, agent, idempotency_key }) {
    return this.#request("send_message", { thread_id, text, dataset_ids, agent, idempotency_key });
  }

  /** Stop a run. Throws as `send` does. */
  async cancel(runId) {
    await this.#request("cancel_run", { run_id: runId });
  }

  /** Have a run's events after `lastSeq` sent. Throws ConnectionLost: then they come with the next connection. */
  async fill(runId, lastSeq) {
    await this.#resume({ [runId]: lastSeq });
  }

  /** Receive the events of a thread's runs, also after connecting again. Throws ConnectionLost. */
  async watch(threadId) {
    if (this.#watched.has(threadId)) return;
    this.#watched.add(threadId);
    if (this.state === "online") await this.#subscribe(threadId);
  }

  /** Note that the server watches a thread for this socket already, because a message was sent to it. */
  noteWatched(threadId) {
    this.#watched.add(threadId);
  }

  /** Receive a thread's events no longer. Throws as `send` does. */
  async unwatch(threadId) {
    if (!this.#watched.delete(threadId) || this.state !== "online") return;
    try {
      await this.#request("unsubscribe", { thread_id: threadId });
    } catch (error) {
      // The thread was deleted, and with it there is nothing more to receive.
      if (error.code !== "not_found") throw error;
    }
  }

  get #isFinal() {
    return ["signed_out", "refused", "other_user"].includes(this.state);
  }

  #request(type, fields = {}, within = ANSWER_WITHIN_MS) {
    const socket = this.#socket;
    if (this.state !== "online") return Promise.reject(new ConnectionLost("There is no connection."));
    const id = `${type}-${++this.#frames}`;
    return new Promise((resolve, reject) => {
      // An unanswered frame means a dead connection.
      const timer = setTimeout(() => this.#drop(socket), within);
      this.#pending.set(id, { resolve, reject, timer });
      socket.send(JSON.stringify({ type, id, ...fields }));
    });
  }

  async #probe(within) {
    try {
      await this.#request("ping", {}, within);
    } catch (error) {
      // Any answer is a sign of life, and without one the connection was given up already.
      if (!(error instanceof ConnectionLost || error instanceof FrameRefused)) throw error;
    }
  }

  async #subscribe(threadId) {
    const socket = this.#socket;
    try {
      await this.#request("subscribe", { thread_id: threadId });
    } catch (error) {
      if (!(error instanceof FrameRefused)) throw error;
      // Whoever reads the thread is told why it cannot be read; there is nothing to watch.
      if (LASTING_CODES.has(error.code)) this.#watched.delete(threadId);
      else this.#drop(socket);
    }
  }

  async #resume(cursors) {
    const socket = this.#socket;
    const runIds = Object.keys(cursors);
    if (!runIds.length) return;
    try {
      await this.#request("resume", { cursors });
    } catch (error) {
      if (!(error instanceof FrameRefused)) throw error;
      if (!LASTING_CODES.has(error.code)) this.#drop(socket);
      else if (runIds.length === 1) this.dispatchEvent(new CustomEvent("gone", { detail: runIds[0] }));
      // All of them are refused for one that is gone: the others are had one by one.
      else await Promise.all(runIds.map((runId) => this.#resume({ [runId]: cursors[runId] })));
    }
  }

  #enter(state) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  #receive(frame) {
    if (frame.type === "connection_established") {
      this.#established(frame);
    } else if (this.#pending.has(frame.id) && ["ack", "error", "pong"].includes(frame.type)) {
      const { resolve, reject, timer } = this.#pending.get(frame.id);
      this.#pending.delete(frame.id);
      clearTimeout(timer);
      if (frame.type === "error") reject(new FrameRefused(frame));
      else resolve(frame);
    } else {
      this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
    }
  }

  #established(frame) {
    if (frame.user_id !== this.#userId) {
      this.halt("other_user");
      return;
    }
    this.unopened = 0;
    this.#clearTimers();
    const steady = () => {
      this.#failures = 0;
      this.dispatchEvent(new CustomEvent("steady"));
    };
    const beat = () => this.#probe(ANSWER_WITHIN_MS);
    this.#timers = [setTimeout(steady, STEADY_AFTER_MS), setInterval(beat, (frame.heartbeat_s || 30) * 1000)];
    this.#enter("online");
    this.#catchUp();
  }

  /** Subscribed before resumed: what happens between the two is among what is resumed. */
  async #catchUp() {
    const socket = this.#socket;
    try {
      await Promise.all([...[...this.#watched].map((threadId) => this.#subscribe(threadId)), this.#resume(this.#cursors())]);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    }
    if (socket && socket === this.#socket) this.dispatchEvent(new CustomEvent("caught_up"));
  }

  #drop(socket, { code = 1006, reason = "" } = {}) {
    if (socket !== this.#socket) return;
    this.#letGo();
    socket.close();
    this.#noteClosed({ code, reason });
  }

  #letGo() {
    this.#socket = null;
    this.#clearTimers();
    const unanswered = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject, timer } of unanswered) {
      clearTimeout(timer);
      reject(new ConnectionLost("The connection broke."));
    }
  }

  #noteClosed({ code, reason = "" }) {
    this.closeReason = reason;
    // Codes of Netra's own, and 1011 and 1012, say that the server was reached.
    const isServersWord = code >= 4000 || code === 1011 || code === 1012;
    if (isServersWord) this.unopened = 0;
    else if (this.state !== "online") this.unopened += 1;
    if (code in FINAL_CLOSES) {
      this.#enter(FINAL_CLOSES[code]);
      return;
    }
    this.#retryLater(code);
    this.#enter(code === TOO_MANY ? "busy" : "offline");
  }

  #retryLater(code) {
    clearTimeout(this.#retry);
    const isAtOnce = code === TOO_SLOW && this.#failures === 0;
    const delay = isAtOnce ? 0 : backOff(this.#failures, this.isReplaced ? UNHURRIED_DELAYS : DELAYS);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.connect(), delay);
  }

  #clearTimers() {
    // Both kinds have their ids from one list (WHATWG HTML, section 8.7).
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers = [];
  }
}
