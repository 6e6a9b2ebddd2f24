/** The page's one connection: the socket, or REST where sockets are blocked; whichever it is, events are the same. */

import { get } from "./api.js";
import { areSocketsBlocked, noteSockets } from "./blocked_sockets.js";
import { ConnectionLost, SignedOut } from "./delivery_errors.js";
import { RestDelivery } from "./rest_delivery.js";
import { ChatSocket } from "./socket.js";
import { onWake } from "./wakefulness.js";

const BLOCKED_AFTER_ATTEMPTS = 3;
const FINAL_STATES = ["signed_out", "refused", "other_user"];

/**
 * Emits `state` when `state` has changed, `frame` (detail: frame), `look` when it is time to see what the page missed,
 * and `gone` (detail: run id) for a run that the server knows no more.
 */
export class Connection extends EventTarget {
  #userId;
  #socket;
  #rest;
  #isChecking = false;
  /** The server answered over REST, and since then the socket has not had its chance. */
  #isSocketsTurn = false;
  /** After 4401 it was connected once more already, for the sign-in still held. */
  #wasGivenAnotherChance = false;

  constructor({ url, userId, runs }) {
    super();
    this.#userId = userId;
    this.#socket = new ChatSocket({ url, userId, cursors: () => runs.cursors() });
    this.#rest = new RestDelivery({ runs });
    /** connecting, online, fallback (online over REST), offline, busy, signed_out, refused or other_user */
    this.state = "connecting";
    /** The server's own words for a final state; may be empty. */
    this.reason = "";
    /** Whether there has been a connection at all since the page was opened. */
    this.wasUsable = false;
    for (const delivery of [this.#socket, this.#rest]) {
      for (const name of ["frame", "gone", "look"]) delivery.addEventListener(name, ({ detail }) => this.#tell(name, detail));
    }
    this.#socket.addEventListener("state", ({ detail }) => this.#followSocket(detail));
    this.#socket.addEventListener("unanswered", () => this.#considerSwallowed());
    this.#socket.addEventListener("caught_up", () => this.#tell("look"));
    this.#socket.addEventListener("steady", () => (this.#wasGivenAnotherChance = false));
    this.#rest.addEventListener("state", ({ detail }) => this.#enter(detail === "online" ? "fallback" : "offline"));
    this.#rest.addEventListener("refused", ({ detail }) => this.#endFor(detail));
    // Nobody tells a window without a socket that it was signed out.
    this.#rest.addEventListener("look", () => this.#isStillSignedIn());
    onWake(() => this.#wake());
    addEventListener("offline", () => this.#lose());
  }

  /** Whether what is sent now is on its way at once. */
  get isUsable() {
    return this.state === "online" || this.state === "fallback";
  }

  /** Connect for the first time; where sockets were blocked before, the socket is waited for no more. */
  start() {
    if (areSocketsBlocked()) this.#replaceSocket();
    this.#socket.connect();
  }

  /**
   * Ask a question, as soon as there is a connection, and once whatever happens to it: after a break the same
   * `idempotency_key` makes the server answer with the same run. Returns `{run_id, thread_id}`.
   * Throws FrameRefused or Problem when it is refused, SignedOut when nobody is signed in any more.
   */
  async send(question) {
    const fields = { ...question, mayHaveBegunThread: false };
    for (;;) {
      await this.#untilUsable();
      const delivery = this.#delivery;
      try {
        const started = await delivery.send(fields);
        this.#socket.noteWatched(started.thread_id);
        return started;
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        if (delivery === this.#socket && fields.thread_id === null) fields.mayHaveBegunThread = true;
      }
    }
  }

  /** Stop a run. Throws FrameRefused, Problem or ConnectionLost. */
  async cancel(runId) {
    await this.#delivery.cancel(runId);
  }

  /** Have a run's events after `lastSeq` brought. Throws as `cancel` does. */
  async fill(runId, lastSeq) {
    await this.#delivery.fill(runId, lastSeq);
  }

  /** Have the events of a thread's runs brought, from now on and after every break. */
  async watch(threadId) {
    try {
      await this.#socket.watch(threadId);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    }
  }

  /** Have the events of a thread brought no longer. */
  async unwatch(threadId) {
    try {
      await this.#socket.unwatch(threadId);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    }
  }

  /** Take a refusal that a request of the page has met: it may be the first to say that nobody is signed in. */
  noteRefusal(problem) {
    if (problem.status === 401) this.#endFor(problem);
  }

  /** Have the runs that became known brought to their end; a socket does so by itself. */
  follow() {
    this.#rest.follow();
  }

  get #delivery() {
    return this.#rest.isActive ? this.#rest : this.#socket;
  }

  async #untilUsable() {
    for (;;) {
      if (FINAL_STATES.includes(this.state)) throw new SignedOut("This window is signed out. Sign in again, then send it.");
      if (this.#delivery.state === "online") return;
      await new Promise((resolve) => this.addEventListener("state", resolve, { once: true }));
    }
  }

  #enter(state, reason = "") {
    this.reason = reason;
    if (state === this.state) return;
    this.state = state;
    this.#tell("state");
    this.wasUsable ||= this.isUsable;
  }

  #followSocket(state) {
    if (FINAL_STATES.includes(this.state)) return;
    if (state === "online") {
      this.#isSocketsTurn = false;
      this.#socket.isReplaced = false;
      noteSockets({ areBlocked: false });
      this.#rest.stop();
      this.#enter("online");
    } else if (state === "signed_out") {
      this.#checkSignIn();
    } else if (state === "refused" || state === "other_user") {
      this.#end(state, this.#socket.closeReason);
    } else if (!this.#rest.isActive) {
      this.#enter(state);
      if (state === "offline" && this.#socket.unopened >= BLOCKED_AFTER_ATTEMPTS) this.#considerRest();
    }
  }

  /** Where REST answers and the socket does not, again and again, something between blocks sockets. */
  async #considerRest() {
    if (this.#isSocketsTurn) {
      this.#replaceSocket();
    } else if (await this.#isStillSignedIn()) {
      // The network may be back just now: then this attempt succeeds.
      this.#isSocketsTurn = true;
      this.#socket.connect();
    }
  }

  /** Where REST answers while a handshake goes unanswered, something between swallows it; should it succeed yet, good. */
  async #considerSwallowed() {
    if (this.#rest.isActive || !(await this.#isStillSignedIn())) return;
    if (this.#socket.state !== "online" && !FINAL_STATES.includes(this.state)) this.#replaceSocket();
  }

  #replaceSocket() {
    this.#isSocketsTurn = false;
    this.#socket.isReplaced = true;
    noteSockets({ areBlocked: true });
    this.#rest.start();
  }

  /** A session's key may only have been changed, by a new password for example: then the cookie is a good one. */
  async #checkSignIn() {
    const { closeReason } = this.#socket;
    if (!this.#rest.isActive) this.#enter("connecting");
    if (this.#wasGivenAnotherChance) {
      this.#end("signed_out", closeReason);
    } else if (await this.#isStillSignedIn({ closeReason })) {
      this.#wasGivenAnotherChance = true;
      this.#socket.connectAgain();
    } else if (!FINAL_STATES.includes(this.state)) {
      this.#socket.connectAgain({ delayed: true });
    }
  }

  /** Ask the server who is signed in; what it says against it ends the connection. */
  async #isStillSignedIn({ closeReason = "" } = {}) {
    if (this.#isChecking) return false;
    this.#isChecking = true;
    try {
      const { id } = await get("me");
      if (id === this.#userId) return true;
      this.#end("other_user");
    } catch (problem) {
      if (!problem.isUnreachable) this.#endFor(problem, closeReason);
    } finally {
      this.#isChecking = false;
    }
    return false;
  }

  #endFor(problem, reason = "") {
    if (problem.status === 401) this.#end("signed_out", reason);
    else if (problem.status === 403) this.#end("refused", problem.message);
  }

  #end(state, reason = "") {
    if (FINAL_STATES.includes(this.state)) return;
    this.#rest.stop();
    // Told before the socket is, whose own end is then nothing new.
    this.#enter(state, reason);
    if (this.#socket.state !== state) this.#socket.halt(state);
  }

  async #wake() {
    if (this.state === "signed_out" || this.state === "other_user") {
      // Maybe somebody has signed in again in another window.
      await this.#returnIfSignedIn();
    } else if (this.state !== "refused") {
      this.#rest.wake();
      this.#socket.wake();
    }
  }

  async #returnIfSignedIn() {
    try {
      const { id } = await get("me");
      if (id !== this.#userId || !FINAL_STATES.includes(this.state)) return;
    } catch {
      // Still signed out, or the server does not answer: what is shown stays true.
      return;
    }
    this.#wasGivenAnotherChance = false;
    this.#enter("connecting");
    this.#socket.connectAgain();
  }

  #lose() {
    this.#socket.lose();
    this.#rest.lose();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
