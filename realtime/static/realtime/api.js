/** The REST interface, with the session cookie. */

const BASE = "/api/v1/";
/** A request that takes longer is lost: the computer slept, or the network went away without a word. */
const ANSWER_WITHIN_MS = 30_000;

/** The address of a path of the REST interface. */
export const addressOf = (path) => (path.startsWith("/") ? path : BASE + path);

/** A refusal, as RFC 9457 problem+json tells it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered with status ${status}.`);
    this.status = status;
    this.code = body.code || "error";
    this.resource = body.resource;
    this.limit = body.limit;
    this.resetsAt = body.resets_at;
  }

  /** Whether the server was not reached at all, or only a proxy that did not reach it. */
  get isUnreachable() {
    return this.status === 0 || ([502, 503, 504].includes(this.status) && this.code === "error");
  }
}

function csrfToken() {
  const cookie = document.cookie.split("; ").find((part) => part.startsWith("csrftoken="));
  return cookie ? decodeURIComponent(cookie.slice("csrftoken=".length)) : "";
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    // A proxy's HTML page, for example: the status alone says what there is to say.
    return {};
  }
}

async function call(method, path, body, extraHeaders = {}) {
  const headers = { Accept: "application/json", ...extraHeaders };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response, text;
  try {
    response = await fetch(addressOf(path), {
      method,
      headers,
      credentials: "same-origin",
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    text = await response.text();
  } catch {
    throw new Problem(0, { code: "unreachable", detail: "The server cannot be reached." });
  }
  if (!response.ok) throw new Problem(response.status, parse(text));
  return parse(text);
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}, headers = {}) => call("POST", path, body, headers);
export const remove = (path) => call("DELETE", path);

/** Get one page of a list: `{results, next}`; `next` is a path for `get`, or null. */
export async function getPage(path) {
  const page = await get(path);
  // Behind a proxy the absolute address may name another host; only its path and query matter.
  const next = page.next ? new URL(page.next, location.href) : null;
  return { results: page.results, next: next ? next.pathname + next.search : null };
}

/** Get all pages of a list from `path` on: `{results, last}`; `last` is the path of the last page, where more will be added. */
export async function getAll(path) {
  const results = [];
  let last = path;
  for (let next = path; next; ) {
    const page = await getPage(next);
    results.push(...page.results);
    last = next;
    next = page.next;
  }
  return { results, last };
}

/**
 * Upload a log. `onProgress(share)` is told 0..1 while it is sent; `signal` aborts it.
 * XMLHttpRequest, because fetch tells nothing of an upload's progress.
 */
export function uploadDataset({ file, name, assumeModel, onProgress, signal }) {
  const form = new FormData();
  form.append("name", name);
  if (assumeModel) form.append("assume_model", assumeModel);
  form.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${BASE}datasets`);
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("load", () => {
      const body = parse(request.responseText);
      if (request.status === 201) resolve(body);
      else reject(new Problem(request.status, body));
    });
    request.addEventListener("error", () =>
      reject(new Problem(0, { code: "unreachable", detail: "The connection broke while the file was sent." })),
    );
    request.addEventListener("abort", () => reject(new DOMException("Cancelled", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
