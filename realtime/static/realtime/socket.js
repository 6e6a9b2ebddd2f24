/** The socket: frames with ids, acknowledged or refused; reconnects and resumes by itself. */

const FIRST_DELAY_MS = 400;
const LONGEST_DELAY_MS = 20_000;
const ANSWER_WITHIN_MS = 15_000;

/** Closes after which connecting again by itself is of no use. */
const FINAL_CLOSES = { 4401: "signed_out", 4403: "refused" };

/** A frame that the server refused. */
export class FrameRefused extends Error {
  constructor(frame) {
    super(frame.message || "The server refused the request.");
    this.code = frame.code || "error";
    this.resource = frame.resource;
    this.limit = frame.limit;
    this.resetsAt = frame.resets_at;
  }
}

/** The connection went, or no answer came, before it was known whether the frame was taken. */
export class ConnectionLost extends Error {}

/**
 * Emits `state` (detail: connecting, online, offline, busy, signed_out, refused) and `frame` (detail: frame).
 * `cursors()` must return `{run_id: last_seq}` of the runs that have not ended.
 */
export class ChatSocket extends EventTarget {
  #url;
  #cursors;
  #socket = null;
  #pending = new Map();
  #watched = new Set();
  #frames = 0;
  #failures = 0;
  #heartbeat = null;
  #retry = null;

  constructor({ url, cursors }) {
    super();
    this.#url = url;
    this.#cursors = cursors;
    this.state = "connecting";
    this.closeReason = "";
    addEventListener("online", () => this.connect());
    addEventListener("offline", () => this.#socket?.close());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.state === "offline") this.connect();
    });
  }

  /** Connect now, unless there is a connection already. */
  connect() {
    if (this.#socket || Object.values(FINAL_CLOSES).includes(this.state)) return;
    clearTimeout(this.#retry);
    if (this.state !== "offline") this.#enter("connecting");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#receive(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => this.#closed(socket, event));
  }

  /** Wait until frames can be sent. */
  async untilOnline() {
    while (this.state !== "online") {
      await new Promise((resolve) => this.addEventListener("state", resolve, { once: true }));
    }
  }

  /**
   * Send a frame and wait for its answer.
   * Throws FrameRefused when it is refused, ConnectionLost when nothing is known of it.
   */
  request(type, fields = {}) {
    if (this.state !== "online") return Promise.reject(new ConnectionLost("There is no connection."));
    const id = `${type}-${++this.#frames}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new ConnectionLost("The server did not answer in time."));
      }, ANSWER_WITHIN_MS);
      this.#pending.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ type, id, ...fields }));
    });
  }

  /** Receive the events of a thread's runs, also after connecting again. */
  async watch(threadId) {
    if (this.#watched.has(threadId)) return;
    this.#watched.add(threadId);
    if (this.state === "online") await this.#subscribe(threadId);
  }

  /** Note that the server watches a thread for this socket already, because a message was sent to it. */
  noteWatched(threadId) {
    this.#watched.add(threadId);
  }

  /** Receive a thread's events no longer. */
  async unwatch(threadId) {
    if (!this.#watched.delete(threadId) || this.state !== "online") return;
    await this.request("unsubscribe", { thread_id: threadId });
  }

  async #subscribe(threadId) {
    try {
      await this.request("subscribe", { thread_id: threadId });
    } catch (error) {
      if (!(error instanceof FrameRefused)) throw error;
      // Whoever reads the thread is told why it cannot be read; there is nothing to watch.
      this.#watched.delete(threadId);
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
    this.#failures = 0;
    this.#enter("online");
    clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => this.#orReconnect(this.request("ping")), (frame.heartbeat_s || 30) * 1000);
    for (const threadId of this.#watched) this.#orReconnect(this.#subscribe(threadId));
    const cursors = this.#cursors();
    if (Object.keys(cursors).length) this.#orReconnect(this.request("resume", { cursors }));
  }

  /** An unanswered frame means a dead connection; a refused one means that what it names is gone. */
  #orReconnect(answer) {
    const socket = this.#socket;
    answer.catch((error) => {
      if (error instanceof ConnectionLost) this.#closed(socket, { code: 1006 });
      else this.dispatchEvent(new CustomEvent("frame", { detail: { type: "error", code: error.code, message: error.message, resource: error.resource, resets_at: error.resetsAt } }));
    });
  }

  #closed(socket, { code, reason = "" }) {
    if (socket !== this.#socket) return;
    this.closeReason = reason;
    this.#socket = null;
    socket.close();
    clearInterval(this.#heartbeat);
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new ConnectionLost("The connection broke."));
    }
    this.#pending.clear();
    if (code in FINAL_CLOSES) {
      this.#enter(FINAL_CLOSES[code]);
      return;
    }
    this.#enter(code === 4429 ? "busy" : "offline");
    const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures++);
    // Jitter, so that a restarted server is not met by everybody at once.
    this.#retry = setTimeout(() => this.connect(), ceiling * (0.5 + Math.random() / 2));
  }
}
