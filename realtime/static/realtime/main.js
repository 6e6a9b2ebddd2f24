/** Puts the page together: addresses, what the connection brings, sending and stopping. */

import { get } from "./api.js";
import { Attachments } from "./attachments.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { showConnection } from "./connection_notice.js";
import { Conversation } from "./conversation.js";
import { ConnectionLost } from "./delivery_errors.js";
import { keepDraft, takeDraft } from "./draft.js";
import { byId } from "./elements.js";
import { DatasetList, ThreadList } from "./lists.js";
import { isLocked, lockFor } from "./lock.js";
import { showBanner } from "./notices.js";
import { sayProgress } from "./progress.js";
import { keepNotesTrue, refreshQuotasSoon, refusalOf, showRefusal, showWarning } from "./quota_notes.js";
import { noteQuota, refreshQuotas, refusalText } from "./quotas.js";
import { RunStore, TERMINAL_TYPES } from "./run_record.js";
import { setUpSidebar } from "./sidebar.js";

const page = document.body.dataset;
const runs = new RunStore();
const attachments = new Attachments({ maxUploadBytes: Number(page.maxUploadBytes) });
const connection = new Connection({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/chat/`,
  userId: page.userId,
  runs,
});
const conversation = new Conversation({ runs, onAskAgain: askAgain });
const composer = new Composer({ attachments, maxTextLength: Number(page.maxTextLength), onSend: send, onStop: stop });
const threads = new ThreadList({ isBusy: (threadId) => runs.openRuns().some((record) => record.threadId === threadId) });
const datasets = new DatasetList({ attachments });
const closeSidebar = setUpSidebar();
const asked = new Set();
/** The question that is on its way, until the server has it. */
let unsent = null;
/** Whether the conversation may have got something that is not shown yet. */
let isBehind = false;
let isCatchingUp = false;
let wasOffline = false;

/** Random and unguessable, also where `crypto.randomUUID` is kept from pages without TLS. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Ask; returns whether the server has taken the question. */
async function send(text, datasetIds, { agent = null, isRepeated = false } = {}) {
  const { visit, threadId } = conversation;
  const question = conversation.showQuestion(text);
  let isTaken = false;
  composer.showProblem("");
  composer.setSending(true);
  unsent = question;
  conversation.noteWaiting(question, !connection.isUsable);
  try {
    const started = await connection.send({ thread_id: threadId, text, dataset_ids: datasetIds, agent, idempotency_key: newKey() });
    const record = runs.ensure(started.run_id, started.thread_id);
    if (conversation.visit === visit) {
      if (threadId === null) showAddress(started.thread_id);
      conversation.adopt(started.thread_id);
      conversation.showRun(record, question);
    }
    isTaken = true;
    connection.follow();
    await threads.refresh();
  } catch (error) {
    conversation.takeBack(question);
    if (!isRepeated) composer.giveBack(text);
    composer.showProblem(refusalText(error), { about: refusalOf(error) });
  } finally {
    unsent = null;
    composer.setSending(false);
    showState();
  }
  if (isBehind) await catchUp();
  return isTaken;
}

/** Ask what failed once more, as it was asked; returns whether the server has taken it. */
async function askAgain({ text, datasetIds, agent }) {
  return composer.isFree() && send(text, datasetIds, { agent, isRepeated: true });
}

async function stop() {
  for (const record of conversation.openRuns) {
    try {
      await connection.cancel(record.runId);
    } catch (error) {
      if (record.isOpen) composer.showProblem(error.message);
    }
  }
}

function showAddress(threadId) {
  history.replaceState(null, "", `#/threads/${threadId}`);
  threads.select(threadId);
}

function showState() {
  composer.setRunning(conversation.openRuns.length > 0);
  if (isLocked()) {
    byId("thread-title").textContent = "Netra";
    document.title = "Netra";
    return;
  }
  const title = threads.titleOf(conversation.threadId) || (conversation.threadId ? "Conversation" : "New conversation");
  byId("thread-title").textContent = title;
  document.title = `${title} · Netra`;
}

async function openAddress() {
  const threadId = /^#\/threads\/([0-9a-f-]{36})$/.exec(location.hash)?.[1] ?? null;
  const left = conversation.threadId;
  if (left && left !== threadId && !conversation.openRuns.length) connection.unwatch(left).catch(tell);
  composer.showProblem("");
  attachments.clear();
  threads.select(threadId);
  try {
    // Watched before it is read, so that no event falls between.
    const opening = conversation.open(threadId, threadId ? connection.watch(threadId) : null);
    showState();
    // A touch keyboard would cover what there is to read.
    if (matchMedia("(pointer: fine)").matches) byId("question").focus();
    await opening;
    connection.follow();
  } catch (error) {
    noteUnreadable(error, threadId);
  }
  showState();
  if (isBehind || isMissing()) await catchUp();
}

function noteUnreadable(error, threadId) {
  connection.noteRefusal(error);
  // Whoever deleted it, or went on to another one, knows.
  if (threadId !== conversation.threadId || threads.isDeleting(threadId) || isLocked()) return;
  if (error.code === "not_found") {
    showBanner("This conversation does not exist any more.");
    location.hash = "#/";
  } else if (error.isUnreachable) isBehind = true;
  else showBanner(error.message);
}

function tell(error) {
  connection.noteRefusal(error);
  // A connection that is lost, or a sign-in that has ended, is told of as such.
  if (!isLocked() && !(error instanceof ConnectionLost || error.isUnreachable)) showBanner(error.message);
}

/** Whether a run of this conversation is known that was begun in another window: its question is to be fetched. */
const isMissing = () =>
  runs.openRuns().some((record) => record.threadId === conversation.threadId && !conversation.shows(record));

/** Show what the conversation has got meanwhile: questions of other windows, answers that came while this one was away. */
async function catchUp() {
  isBehind = true;
  if (composer.isSending || conversation.isOpening || isCatchingUp) return;
  isCatchingUp = true;
  let threadId;
  try {
    while (isBehind) {
      isBehind = false;
      ({ threadId } = conversation);
      await conversation.refresh();
    }
    connection.follow();
  } catch (error) {
    noteUnreadable(error, threadId);
  } finally {
    isCatchingUp = false;
  }
  showState();
}

async function takeEvent(frame) {
  const record = runs.ensure(frame.run_id, frame.thread_id);
  const outcome = record.accept(frame, { isLive: true });
  if (outcome === "gap" && !asked.has(record.runId)) {
    asked.add(record.runId);
    await connection.fill(record.runId, record.lastSeq).catch((error) => (error.code === "not_found" ? forgetRun(record.runId) : tell(error)));
    asked.delete(record.runId);
  }
  if (isMissing()) await catchUp();
}

function takeProgress({ record, event }) {
  if (record.threadId === conversation.threadId) {
    conversation.followRun(record);
    sayProgress(record, event);
  }
  showState();
  if (TERMINAL_TYPES.has(event.type)) {
    refreshQuotas().catch(tell);
    threads.refresh().then(showState);
  }
}

function takeFrame(frame) {
  if (typeof frame.seq === "number") {
    takeEvent(frame);
    return;
  }
  switch (frame.type) {
    case "message_delta":
      runs.get(frame.run_id)?.acceptDelta(frame);
      break;
    case "quota_updated":
      noteQuota(frame);
      break;
    case "quota_warning":
      showWarning(frame);
      break;
    case "session_expiring":
      showBanner("Your session ends soon.", { link: { href: page.loginUrl, text: "Sign in again" } });
      break;
    case "error":
      showRefusal(frame);
      break;
    default:
      // Frames of a later protocol that this page need not know.
      break;
  }
}

/** A run was deleted, here or in another window. */
function forgetRun(runId) {
  const record = runs.get(runId);
  if (!record) return;
  runs.forget(runId);
  if (record.threadId === conversation.threadId) openAddress();
}

function followConnection() {
  const { state, reason, wasUsable } = connection;
  showConnection(state, { reason, wasUsable });
  lockFor(state, { reason, loginUrl: page.loginUrl });
  if (isLocked()) {
    composer.showProblem("");
    closeSidebar();
  }
  showState();
  if (unsent) conversation.noteWaiting(unsent, !connection.isUsable);
  if (state === "offline" || isLocked()) wasOffline = true;
  if (!connection.isUsable) return;
  // This window counts from now on, and what was told meanwhile was not heard.
  refreshQuotasSoon(tell);
  if (!wasOffline) return;
  wasOffline = false;
  threads.refresh().then(showState);
  datasets.refresh();
}

function restoreDraft() {
  const draft = takeDraft(page.userId);
  if (!draft) return;
  if (!location.hash) history.replaceState(null, "", draft.hash || "#/");
  composer.fill(draft.text);
}

async function start() {
  connection.addEventListener("state", followConnection);
  connection.addEventListener("frame", ({ detail }) => takeFrame(detail));
  connection.addEventListener("look", catchUp);
  connection.addEventListener("gone", ({ detail }) => forgetRun(detail));
  keepNotesTrue(composer);
  runs.addEventListener("live", ({ detail }) => takeProgress(detail));
  attachments.addEventListener("uploaded", () => {
    datasets.refresh();
    refreshQuotas().catch(tell);
  });
  datasets.addEventListener("deleted", ({ detail }) => {
    attachments.dropDataset(detail.id);
    refreshQuotas().catch(tell);
  });
  threads.addEventListener("deleted", ({ detail }) => {
    for (const record of runs.openRuns()) if (record.threadId === detail.id) runs.forget(record.runId);
    if (detail.id === conversation.threadId) location.hash = "#/";
  });
  for (const button of document.querySelectorAll(".suggestion")) {
    button.addEventListener("click", () => composer.fill(button.dataset.question));
  }
  addEventListener("hashchange", openAddress);
  addEventListener("pagehide", () => {
    if (connection.state === "signed_out") keepDraft(page.userId, composer.text);
  });
  restoreDraft();
  connection.start();
  await Promise.all([openAddress(), threads.refresh(), datasets.refresh(), refreshQuotas().catch(tell), showAccount().catch(tell)]);
  showState();
}

async function showAccount() {
  const { tenant } = await get("me");
  byId("tenant").textContent = tenant.name;
}

await start();
