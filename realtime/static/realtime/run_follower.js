/** Follows one run over HTTP: by server-sent events, or by asking again and again where those do not get through. */

import { addressOf, get } from "./api.js";
import { jittered } from "./delays.js";
import { EVENT_TYPES } from "./run_record.js";

const POLLS = { first: 1_000, longest: 5_000, growth: 1.5 };
/** A stream that is silent for so long is compared with the log; longer each time that nothing was missed. */
const CHECKS = { first: 4_000, longest: 30_000, growth: 2 };
const FAILURES_IN_A_ROW = 3;

/** Whether streams get through here; one for all the runs of a window. */
export class StreamHealth {
  #missed = 0;
  #isBroken = !("EventSource" in window);

  get isGood() {
    return !this.#isBroken && this.#missed < 2;
  }

  noteEvent() {
    this.#missed = 0;
  }

  /** The log had what no stream has brought. Once may be chance: the stream was about to bring it. */
  noteMissed() {
    this.#missed += 1;
  }

  /** Streams break off, or are refused, where asking works. */
  noteBroken() {
    this.#isBroken = true;
  }
}

/**
 * `onEvent(frame)` takes each event; `onProblem(problem, runId)` is told when the log cannot be read, which ends the
 * following; `streams` is the window's StreamHealth.
 */
export class RunFollower {
  #source = null;
  #timer = null;
  #isStopped = false;
  #failures = 0;
  #check = CHECKS.first;

  constructor(record, { onEvent, onProblem, streams }) {
    Object.assign(this, { record, onEvent, onProblem, streams });
  }

  /** Begin; by asking alone unless `byStream`. */
  start({ byStream }) {
    if (byStream && this.streams.isGood) this.#listen();
    else this.#poll();
  }

  /** Follow no longer. */
  stop() {
    this.#isStopped = true;
    this.#closeStream();
  }

  get isOver() {
    return this.#isStopped;
  }

  #listen() {
    const source = new EventSource(addressOf(`runs/${this.record.runId}/events?after=${this.record.lastSeq}`));
    this.#source = source;
    for (const type of EVENT_TYPES) {
      source.addEventListener(type, ({ data }) => {
        this.#failures = 0;
        this.#check = CHECKS.first;
        this.streams.noteEvent();
        this.#take(JSON.parse(data));
        this.#checkLater();
      });
    }
    source.addEventListener("error", () => {
      this.#failures += 1;
      // While it is CONNECTING the browser tries again by itself, from the last event on.
      if (source.readyState === EventSource.CLOSED || this.#failures >= FAILURES_IN_A_ROW) this.#giveStreamUp();
    });
    this.#checkLater();
  }

  #checkLater() {
    clearTimeout(this.#timer);
    if (!this.#isStopped) this.#timer = setTimeout(() => this.#compare(), jittered(this.#check));
  }

  /** A proxy that collects the whole stream before it passes anything on looks like a silent run. */
  async #compare() {
    const news = await this.#ask();
    if (news) this.streams.noteMissed();
    if (this.#isStopped || !this.#source) return;
    this.#check = news ? CHECKS.first : Math.min(CHECKS.longest, this.#check * CHECKS.growth);
    if (this.streams.isGood) this.#checkLater();
    else this.#giveStreamUp();
  }

  #giveStreamUp() {
    if (this.#isStopped) return;
    this.#closeStream();
    this.#poll({ afterStream: true });
  }

  async #poll({ afterStream = false } = {}) {
    let delay = POLLS.first;
    while (!this.#isStopped) {
      const news = await this.#ask();
      // Asking works where the stream did not, and the run's end was not the reason.
      if (afterStream && !this.#isStopped) this.streams.noteBroken();
      afterStream = false;
      delay = news ? POLLS.first : Math.min(POLLS.longest, delay * POLLS.growth);
      const pause = jittered(delay);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  /** Take what the log has beyond what is known; returns whether there was anything. */
  async #ask() {
    try {
      const { events } = await get(`runs/${this.record.runId}/events?after=${this.record.lastSeq}`);
      if (this.#isStopped) return false;
      const before = this.record.lastSeq;
      for (const event of events) this.#take(event);
      // Its end may have been learned otherwise, too.
      if (!this.record.isOpen) this.stop();
      return this.record.lastSeq > before;
    } catch (problem) {
      if (this.#isStopped) return false;
      this.stop();
      this.onProblem(problem, this.record.runId);
      return false;
    }
  }

  #take(event) {
    this.onEvent(event);
    if (!this.record.isOpen) this.stop();
  }

  #closeStream() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}
