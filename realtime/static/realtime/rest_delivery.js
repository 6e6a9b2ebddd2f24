/** Delivery over HTTP, where sockets are blocked: questions by POST, events by streams or by asking. */

import { get, getAll, getPage, post, remove } from "./api.js";
import { backOff, jittered } from "./delays.js";
import { ConnectionLost } from "./delivery_errors.js";
import { RunFollower, StreamHealth } from "./run_follower.js";

const LOOK_EVERY_MS = 6_000;
const LOOK_EVERY_HIDDEN_MS = 30_000;
const RECOVERY_DELAYS = { first: 1_000, longest: 10_000 };
/** Of the few connections that a browser keeps to one host, the others are for all else. */
const MAX_STREAMS = 3;
const MAX_LATER_THREADS = 5;

/**
 * Emits `frame` (detail: a run event), `look` when it is time to see what was begun elsewhere, `gone` (detail: run
 * id), `state` (detail: online, offline), and `refused` (detail: Problem) when the server does not let this user in.
 */
export class RestDelivery extends EventTarget {
  #runs;
  #followers = new Map();
  #look = null;
  #recovery = null;
  #failures = 0;
  #streams = new StreamHealth();

  constructor({ runs }) {
    super();
    this.#runs = runs;
    this.isActive = false;
    /** online, or offline while the server does not answer */
    this.state = "offline";
  }

  /** Begin to deliver. */
  start() {
    if (this.isActive) return;
    this.isActive = true;
    this.#streams = new StreamHealth();
    this.#recovered();
  }

  /** Deliver no longer. */
  stop() {
    this.isActive = false;
    this.#pause();
    this.state = "offline";
  }

  /** After sleep, or when the network came back: do now what would be done later. */
  wake() {
    if (!this.isActive) return;
    if (this.state === "online") this.#lookNow();
    else this.#recover();
  }

  /** The computer has no network. */
  lose() {
    if (this.isActive) this.#lost();
  }

  /**
   * Ask a question; returns `{run_id, thread_id}`. Notes in `fields` the thread that it made, for the next attempt.
   * Throws Problem, or ConnectionLost when nothing is known of it.
   */
  async send(fields) {
    const { text, dataset_ids, agent, idempotency_key, mayHaveBegunThread } = fields;
    return this.#orLost(async () => {
      const isOwnThread = fields.thread_id === null;
      if (isOwnThread) fields.thread_id = (await post("threads")).id;
      try {
        const headers = { "Idempotency-Key": idempotency_key };
        const { run_id } = await post(`threads/${fields.thread_id}/runs`, { text, dataset_ids, agent }, headers);
        return { run_id, thread_id: fields.thread_id };
      } catch (error) {
        if (!(mayHaveBegunThread && error.code === "conflict")) throw error;
        await remove(`threads/${fields.thread_id}`);
        return this.#findSent(text, error);
      }
    });
  }

  /** Stop a run. Throws as `send` does. */
  async cancel(runId) {
    await this.#orLost(() => post(`runs/${runId}/cancel`));
  }

  /** Get a run's events after `lastSeq`. Throws as `send` does. */
  async fill(runId, lastSeq) {
    const { events } = await this.#orLost(() => get(`runs/${runId}/events?after=${lastSeq}`));
    for (const event of events) this.#tell("frame", event);
  }

  /** Follow every run that has not ended and is not followed yet. */
  follow() {
    if (!this.isActive || this.state !== "online") return;
    for (const [runId, follower] of this.#followers) if (follower.isOver) this.#followers.delete(runId);
    for (const record of this.#runs.openRuns()) {
      if (this.#followers.has(record.runId)) continue;
      const follower = new RunFollower(record, {
        onEvent: (event) => this.#tell("frame", event),
        onProblem: (problem, runId) => this.#noteProblem(problem, runId),
        streams: this.#streams,
      });
      const byStream = this.#followers.size < MAX_STREAMS;
      this.#followers.set(record.runId, follower);
      follower.start({ byStream });
    }
  }

  /** The question reached the server by the socket, which began a thread of its own for it: find that. */
  async #findSent(text, refusal) {
    const { results } = await getPage("threads");
    for (const thread of results.slice(0, MAX_LATER_THREADS)) {
      const { results: messages } = await getAll(`threads/${thread.id}/messages`);
      const sent = messages.findLast((message) => message.author === "user" && message.text === text);
      if (sent?.run_id) return { run_id: sent.run_id, thread_id: thread.id };
    }
    throw refusal;
  }

  async #orLost(work) {
    try {
      return await work();
    } catch (problem) {
      if (!problem.isUnreachable) throw problem;
      this.#lost();
      throw new ConnectionLost(problem.message);
    }
  }

  #noteProblem(problem, runId) {
    if (problem.status === 404) this.#tell("gone", runId);
    else if (problem.status === 401 || problem.status === 403) this.#tell("refused", problem);
    else this.#lost();
  }

  #lost() {
    if (!this.isActive) return;
    const wasOnline = this.state === "online";
    this.#pause();
    this.#recovery = setTimeout(() => this.#recover(), backOff(this.#failures, RECOVERY_DELAYS));
    this.#failures += 1;
    this.state = "offline";
    if (wasOnline) this.#tell("state", this.state);
  }

  async #recover() {
    clearTimeout(this.#recovery);
    try {
      await get("me");
    } catch (problem) {
      if (!this.isActive) return;
      if (problem.status === 401 || problem.status === 403) this.#tell("refused", problem);
      else this.#lost();
      return;
    }
    if (this.isActive) this.#recovered();
  }

  #recovered() {
    clearTimeout(this.#recovery);
    this.#failures = 0;
    this.state = "online";
    this.#tell("state", this.state);
    this.follow();
    this.#lookNow();
  }

  #lookNow() {
    clearTimeout(this.#look);
    this.#tell("look");
    this.#look = setTimeout(() => this.#lookNow(), jittered(document.hidden ? LOOK_EVERY_HIDDEN_MS : LOOK_EVERY_MS));
  }

  #pause() {
    clearTimeout(this.#look);
    clearTimeout(this.#recovery);
    for (const follower of this.#followers.values()) follower.stop();
    this.#followers.clear();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
