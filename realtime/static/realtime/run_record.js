/** What is known of one run, built from its numbered events; the same from the socket and from history. */

export const TERMINAL_TYPES = new Set(["agent_completed", "run_failed", "run_cancelled"]);
/** Every kind that this page knows. */
export const EVENT_TYPES = [
  "run_queued",
  "agent_started",
  "agent_thinking",
  "tool_executing",
  "tool_completed",
  "agent_handoff",
  "handoff_completed",
  "run_resumed",
  ...TERMINAL_TYPES,
];

/** How far the reader's clock is ahead of the server's (ms), at most: the least delay seen of a live event. */
let clockLead = Infinity;

function localTime(timestamp, isLive) {
  const at = Date.parse(timestamp);
  if (isLive) clockLead = Math.min(clockLead, Date.now() - at);
  return Number.isFinite(clockLead) ? at + clockLead : at;
}

/** Emits `change` after every event, `text` when the answer so far is another, and `wait` when it waits otherwise. */
export class RunRecord extends EventTarget {
  #early = new Map();

  constructor(runId, threadId) {
    super();
    this.runId = runId;
    this.threadId = threadId;
    this.lastSeq = 0;
    /** queued, running, completed, failed or cancelled */
    this.status = "queued";
    /** While it is queued, in the user's own line: 1 for the next, 0 when only a worker is waited for. */
    this.position = 0;
    /** While it is queued: `place`, `turn`, `worker`, or null when nobody has said. */
    this.waitingFor = null;
    /** What was asked: `{text, datasetIds, agent}`. */
    this.question = null;
    this.startedAt = null;
    this.durationMs = null;
    /** `{agent, reason, thoughts, tools, startedAt, durationMs}`, in the order of work. */
    this.steps = [];
    /** Texts that are not any agent's, such as a change of worker. */
    this.notes = [];
    this.text = "";
    this.completion = null;
    this.failure = null;
  }

  get isOpen() {
    return this.status === "queued" || this.status === "running";
  }

  get currentStep() {
    return this.steps.at(-1) ?? null;
  }

  /**
   * Take an event. Returns `applied`, `repeated` (known already) or `gap`: earlier ones are missing, and it is
   * kept until they are there, for the server sends no event twice to one socket.
   */
  accept(event, { isLive }) {
    if (event.seq <= this.lastSeq) return "repeated";
    this.#early.set(event.seq, { event, isLive, at: localTime(event.timestamp, isLive) });
    if (event.seq > this.lastSeq + 1) return "gap";
    while (this.#early.has(this.lastSeq + 1)) {
      const next = this.#early.get(++this.lastSeq);
      this.#early.delete(this.lastSeq);
      this.#apply(next.event, next.at);
      this.dispatchEvent(new CustomEvent("change", { detail: next }));
    }
    return "applied";
  }

  /** Take a piece of the answer; offsets count characters (code points), and a lower one starts over from there. */
  acceptDelta({ offset, text }) {
    if (!this.isOpen) return false;
    const known = Array.from(this.text);
    if (offset > known.length) return false;
    this.text = known.slice(0, offset).join("") + text;
    this.dispatchEvent(new CustomEvent("text"));
    return true;
  }

  /** Take what a queued run waits for by now. */
  noteWait({ position, waiting_for: waitingFor }) {
    if (this.status !== "queued" || (position === this.position && waitingFor === this.waitingFor)) return;
    Object.assign(this, { position, waitingFor });
    this.dispatchEvent(new CustomEvent("wait"));
  }

  #apply({ type, agent_name: agent, data }, at) {
    switch (type) {
      case "run_queued":
        this.startedAt = at;
        this.position = data.position ?? 0;
        this.waitingFor = data.waiting_for ?? null;
        this.question = { text: data.text, datasetIds: data.dataset_ids ?? [], agent: data.agent ?? null };
        break;
      case "agent_started":
        this.status = "running";
        this.startedAt ??= at;
        this.#step(agent, at);
        break;
      case "agent_thinking":
        this.#step(agent, at).thoughts.push(data.text);
        break;
      case "tool_executing":
        if (this.#tool(data.call_id)) break;
        this.#step(agent, at).tools.push({
          callId: data.call_id,
          name: data.tool_name,
          params: data.params ?? {},
          isCut: Boolean(data.is_cut),
          state: "running",
          startedAt: at,
        });
        break;
      case "tool_completed":
        this.#completeTool(data, at);
        break;
      case "agent_handoff":
        this.#step(data.to_agent, at, data.reason);
        break;
      case "handoff_completed":
        this.#endStep(at);
        break;
      case "run_resumed":
        this.status = "running";
        // What was written is not the answer any more; its pieces begin anew.
        this.text = "";
        this.notes.push(`Another worker goes on with the answer (attempt ${data.attempt}).`);
        this.dispatchEvent(new CustomEvent("text"));
        break;
      case "agent_completed":
        this.#end("completed", at, data.duration_ms);
        this.completion = data;
        break;
      case "run_failed":
        this.#end("failed", at);
        this.failure = data;
        break;
      case "run_cancelled":
        this.#end("cancelled", at);
        break;
      default:
        // A later server may tell more kinds of events; the ones known here are complete without them.
        break;
    }
  }

  #step(agent, at, reason = null) {
    const current = this.currentStep;
    if (current && current.agent === agent && current.durationMs === null) return current;
    this.#endStep(at);
    const step = { agent, reason, thoughts: [], tools: [], startedAt: at, durationMs: null };
    this.steps.push(step);
    return step;
  }

  #endStep(at) {
    const current = this.currentStep;
    if (current && current.durationMs === null) current.durationMs = Math.max(0, at - current.startedAt);
  }

  #tool(callId) {
    return this.steps.flatMap((step) => step.tools).find((known) => known.callId === callId);
  }

  #completeTool(data, at) {
    const tool = this.#tool(data.call_id);
    if (!tool) return;
    tool.state = data.ok ? "done" : "failed";
    tool.durationMs = data.duration_ms ?? at - tool.startedAt;
    tool.result = data.result;
    tool.error = data.error;
    tool.isCut ||= Boolean(data.is_cut);
  }

  #end(status, at, durationMs) {
    this.status = status;
    this.#endStep(at);
    for (const tool of this.steps.flatMap((step) => step.tools)) {
      if (tool.state === "running") Object.assign(tool, { state: "stopped", durationMs: Math.max(0, at - tool.startedAt) });
    }
    this.durationMs = durationMs ?? (this.startedAt === null ? null : Math.max(0, at - this.startedAt));
  }
}

/** All runs that this page has heard of, by id. Emits `live` (detail: `{record, event}`) after each live event. */
export class RunStore extends EventTarget {
  #records = new Map();

  get(runId) {
    return this.#records.get(runId);
  }

  ensure(runId, threadId) {
    const known = this.#records.get(runId);
    if (known) return known;
    const record = new RunRecord(runId, threadId);
    this.#records.set(runId, record);
    record.addEventListener("change", ({ detail: { event, isLive } }) => {
      // After the views, which listen to the record itself.
      if (isLive) queueMicrotask(() => this.dispatchEvent(new CustomEvent("live", { detail: { record, event } })));
    });
    return record;
  }

  /** Know nothing of a run any more. */
  forget(runId) {
    this.#records.delete(runId);
  }

  openRuns() {
    return [...this.#records.values()].filter((record) => record.isOpen);
  }

  cursors() {
    return Object.fromEntries(this.openRuns().map((record) => [record.runId, record.lastSeq]));
  }
}
