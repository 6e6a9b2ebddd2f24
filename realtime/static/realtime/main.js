/** Puts the page together: addresses, the socket's frames, sending and stopping. */

import { get } from "./api.js";
import { Attachments } from "./attachments.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { byId } from "./elements.js";
import { humanName } from "./format.js";
import { DatasetList, ThreadList } from "./lists.js";
import { announce, bannerAbout, hideBanner, rewordBanner, showBanner } from "./notices.js";
import { isBelowSoftLimit, isFree, noteQuota, quotaChanges, refreshQuotas, refusalText, warningText } from "./quotas.js";
import { RunStore, TERMINAL_TYPES } from "./run_record.js";
import { setUpSidebar } from "./sidebar.js";
import { ChatSocket, ConnectionLost } from "./socket.js";

const page = document.body.dataset;
const runs = new RunStore();
const attachments = new Attachments({ maxUploadBytes: Number(page.maxUploadBytes) });
const socket = new ChatSocket({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/chat/`,
  cursors: () => runs.cursors(),
});
const conversation = new Conversation({ runs, onAskAgain: (text) => send(text, attachments.datasetIds) });
const composer = new Composer({ attachments, maxTextLength: Number(page.maxTextLength), onSend: send, onStop: stop });
const threads = new ThreadList({ isBusy: (threadId) => runs.openRuns().some((record) => record.threadId === threadId) });
const datasets = new DatasetList({ attachments });
const asked = new Set();
const REFRESH_AFTER_MS = 200;

/** Random and unguessable, also where `crypto.randomUUID` is kept from pages without TLS. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(text, datasetIds) {
  const { visit, threadId } = conversation;
  const question = conversation.showQuestion(text);
  const fields = { thread_id: threadId, text, dataset_ids: datasetIds, idempotency_key: newKey() };
  composer.showProblem("");
  composer.setSending(true);
  try {
    const ack = await deliver(fields);
    const record = runs.ensure(ack.run_id, ack.thread_id);
    socket.noteWatched(ack.thread_id);
    if (conversation.visit === visit) {
      if (threadId === null) showAddress(ack.thread_id);
      conversation.adopt(ack.thread_id);
      conversation.showRun(record, text);
    }
    await threads.refresh();
  } catch (error) {
    question.remove();
    if (conversation.visit === visit) byId("welcome").hidden = conversation.threadId !== null;
    composer.fill(text);
    composer.showProblem(refusalText(error), { about: refusalOf(error) });
  } finally {
    composer.setSending(false);
    showState();
  }
}

/** Send once: after a break the same key makes the server answer with the same run. */
async function deliver(fields) {
  for (;;) {
    await socket.untilOnline();
    try {
      return await socket.request("send_message", fields);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    }
  }
}

async function stop() {
  for (const record of conversation.openRuns) {
    try {
      await socket.request("cancel_run", { run_id: record.runId });
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
  const title = threads.titleOf(conversation.threadId) || (conversation.threadId ? "Conversation" : "New conversation");
  byId("thread-title").textContent = title;
  document.title = `${title} · Netra`;
}

async function openAddress() {
  const threadId = /^#\/threads\/([0-9a-f-]{36})$/.exec(location.hash)?.[1] ?? null;
  const left = conversation.threadId;
  if (left && left !== threadId && !conversation.openRuns.length) socket.unwatch(left).catch(tell);
  composer.showProblem("");
  attachments.clear();
  threads.select(threadId);
  // Watched before it is read, so that no event falls between.
  if (threadId) socket.watch(threadId).catch(tell);
  try {
    const opening = conversation.open(threadId);
    showState();
    // A touch keyboard would cover what there is to read.
    if (matchMedia("(pointer: fine)").matches) byId("question").focus();
    await opening;
  } catch (error) {
    showBanner(error.code === "not_found" ? "This conversation does not exist any more." : error.message);
    if (error.code === "not_found") location.hash = "#/";
  }
  showState();
  await showMissingRuns();
}

function tell(error) {
  if (!(error instanceof ConnectionLost)) showBanner(error.message);
}

async function takeEvent(frame) {
  const record = runs.ensure(frame.run_id, frame.thread_id);
  const outcome = record.accept(frame, { isLive: true });
  if (outcome === "gap" && !asked.has(record.runId)) {
    asked.add(record.runId);
    await socket.request("resume", { cursors: { [record.runId]: record.lastSeq } }).catch(tell);
    asked.delete(record.runId);
  }
  await showMissingRuns();
}

/** A question asked in another window: its text comes with the thread's messages. */
async function showMissingRuns() {
  const isMissing = (record) => record.threadId === conversation.threadId && !conversation.shows(record);
  if (composer.isSending || conversation.isOpening || !runs.openRuns().some(isMissing)) return;
  await conversation.open(conversation.threadId).catch(tell);
  showState();
}

function takeProgress({ record, event }) {
  if (record.threadId === conversation.threadId) {
    conversation.followRun(record);
    sayProgress(event);
  }
  showState();
  if (TERMINAL_TYPES.has(event.type)) {
    refreshQuotas().catch(tell);
    threads.refresh().then(showState);
  }
}

function sayProgress({ type, agent_name: agent, data }) {
  const words = {
    agent_thinking: () => `${humanName(agent)}: ${data.text}`,
    tool_executing: () => `${humanName(agent)} runs ${humanName(data.tool_name).toLowerCase()}.`,
    agent_completed: () => "The answer is ready.",
    run_failed: () => `The run failed. ${data.message}`,
    run_cancelled: () => "Stopped.",
  }[type];
  if (words) announce(words());
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
      noteQuota(frame);
      showBanner(warningText(frame), { about: `warning ${frame.resource}` });
      break;
    case "session_expiring":
      showBanner("Your session ends soon.", { link: { href: page.loginUrl, text: "Sign in again" } });
      break;
    case "error":
      showBanner(refusalText({ message: frame.message, resetsAt: frame.resets_at }), { about: refusalOf(frame) });
      break;
    default:
      // Frames of a later protocol that this page need not know.
      break;
  }
}

const refusalOf = ({ resource }) => (resource ? `refusal ${resource}` : "");

/** Take away or change what the page said of a quota and what its new figures make untrue. */
function correctNotes(row) {
  if (bannerAbout() === `warning ${row.resource}`) {
    if (isBelowSoftLimit(row)) hideBanner();
    else rewordBanner(warningText(row));
  }
  if (!isFree(row)) return;
  if (bannerAbout() === refusalOf(row)) hideBanner();
  composer.clearProblem(refusalOf(row));
}

let refreshTimer = null;

/** Fetch the quotas, once for what comes in a quick row. */
function refreshQuotasSoon() {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(() => refreshQuotas().catch(tell), REFRESH_AFTER_MS);
}

const CONNECTION_WORDS = {
  connecting: "Connecting…",
  online: "Connected",
  offline: "Offline",
  busy: "Too many windows",
  signed_out: "Signed out",
  refused: "Not allowed",
};

function showConnection(state) {
  // This window counts from now on, and what was told meanwhile was not heard.
  if (state === "online") refreshQuotasSoon();
  byId("connection").dataset.state = state;
  byId("connection-text").textContent = CONNECTION_WORDS[state];
  if (state === "online" || state === "connecting") {
    if (bannerAbout() === "connection") hideBanner();
    return;
  }
  const about = "connection";
  const signIn = { link: { href: page.loginUrl, text: "Sign in" }, isClosable: false, about };
  if (state === "signed_out") showBanner(`You are no longer signed in. ${socket.closeReason}`, signIn);
  else if (state === "refused") {
    const why = socket.closeReason || "This account may not open a connection.";
    showBanner(why, { link: { href: location.pathname, text: "Reload" }, isClosable: false, about });
  }
  else if (state === "busy") showBanner("Too many windows are connected. Close one; this one tries again by itself.", { isClosable: false, about });
  else showBanner("The connection is lost. Connecting again; nothing is lost.", { isClosable: false, about });
}

async function start() {
  setUpSidebar();
  socket.addEventListener("state", ({ detail }) => showConnection(detail));
  socket.addEventListener("frame", ({ detail }) => takeFrame(detail));
  quotaChanges.addEventListener("changed", ({ detail }) => correctNotes(detail));
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
    if (detail.id === conversation.threadId) location.hash = "#/";
  });
  for (const button of document.querySelectorAll(".suggestion")) {
    button.addEventListener("click", () => composer.fill(button.dataset.question));
  }
  addEventListener("hashchange", openAddress);
  socket.connect();
  await Promise.all([openAddress(), threads.refresh(), datasets.refresh(), refreshQuotas().catch(tell), showAccount().catch(tell)]);
  showState();
}

async function showAccount() {
  const { tenant } = await get("me");
  byId("tenant").textContent = tenant.name;
}

await start();
