/** The side lists: conversations and datasets, a page at a time. */

import { getPage, remove } from "./api.js";
import { byId, element, icon } from "./elements.js";
import { formatBytes, formatInteger } from "./format.js";
import { confirmDeletion, showBanner } from "./notices.js";

/** A list that is fetched in pages; subclasses draw the rows. */
class PagedList extends EventTarget {
  constructor({ path, list, note, more, emptyText }) {
    super();
    Object.assign(this, { path, emptyText, rows: [], next: null, deleting: new Set() });
    this.list = byId(list);
    this.note = byId(note);
    this.more = byId(more);
    this.more.addEventListener("click", () => this.#fetch(this.next, this.rows));
  }

  /** Fetch the newest page again. */
  refresh() {
    return this.#fetch(this.path, []);
  }

  async #fetch(path, before) {
    try {
      const { results, next } = await getPage(path);
      Object.assign(this, { rows: [...before, ...results], next });
      this.note.textContent = this.emptyText;
      this.note.hidden = this.rows.length > 0;
      this.more.hidden = next === null;
      this.draw();
    } catch (error) {
      this.note.textContent = error.message;
      this.note.hidden = false;
    }
  }

  /** Whether a row was deleted here, or is about to be. */
  isDeleting(id) {
    return this.deleting.has(id);
  }

  async deleteRow(row, { heading, text }) {
    if (!(await confirmDeletion(heading, text))) return;
    this.deleting.add(row.id);
    try {
      await remove(`${this.path}/${row.id}`);
    } catch (error) {
      this.deleting.delete(row.id);
      showBanner(error.message);
      return;
    }
    this.dispatchEvent(new CustomEvent("deleted", { detail: row }));
    await this.refresh();
  }

  draw() {
    const hadFocus = this.list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.list.replaceChildren(...this.rows.map((row) => this.drawRow(row)));
    if (hadFocus) this.list.querySelector(`[data-key="${CSS.escape(hadFocus)}"]`)?.focus();
  }
}

function deleteButton(key, label, onClick) {
  return element("button", { type: "button", class: "icon-button row-delete", "data-key": key, "aria-label": label, title: label, on: { click: onClick } }, icon("trash"));
}

/** Conversations, the most recently used first; each is a link. */
export class ThreadList extends PagedList {
  constructor({ isBusy }) {
    super({ path: "threads", list: "threads", note: "threads-note", more: "more-threads", emptyText: "None yet." });
    this.isBusy = isBusy;
    this.currentId = null;
  }

  select(threadId) {
    this.currentId = threadId;
    this.draw();
  }

  titleOf(threadId) {
    return this.rows.find((row) => row.id === threadId)?.title || "";
  }

  drawRow(thread) {
    const title = thread.title || "Untitled";
    const isCurrent = thread.id === this.currentId;
    return element(
      "li",
      { class: "row" },
      element(
        "a",
        { class: "row-main", href: `#/threads/${thread.id}`, "data-key": thread.id, "aria-current": isCurrent ? "page" : null, title },
        element("span", { class: "row-title", text: title }),
        this.isBusy(thread.id) ? element("span", { class: "pulse", role: "img", "aria-label": "agents at work" }) : null,
      ),
      deleteButton(`delete-${thread.id}`, `Delete the conversation ${title}`, () =>
        this.deleteRow(thread, {
          heading: "Delete this conversation?",
          text: `“${title}” and its answers are deleted. The data it used stays.`,
        }),
      ),
    );
  }
}

/** The organisation's datasets; pressing one adds it to the question. */
export class DatasetList extends PagedList {
  constructor({ attachments }) {
    super({ path: "datasets", list: "datasets", note: "datasets-note", more: "more-datasets", emptyText: "None yet. Add a CSV, JSON or JSON Lines log." });
    this.attachments = attachments;
    attachments.addEventListener("change", () => this.draw());
  }

  draw() {
    super.draw();
    const uploads = this.attachments.unfinished.filter((item) => item.state === "uploading");
    this.list.prepend(
      ...uploads.map((item) =>
        element("li", { class: "row uploading" }, element("span", { class: "row-main" }, element("span", { class: "row-title", text: item.name }), element("span", { class: "row-note", text: "uploading…" }))),
      ),
    );
  }

  drawRow(dataset) {
    const isAttached = this.attachments.has(dataset.id);
    const model = dataset.assumed_model ? `, assumed ${dataset.assumed_model}` : dataset.names_models ? "" : ", no model";
    return element(
      "li",
      { class: "row" },
      element(
        "button",
        {
          type: "button",
          class: "row-main",
          "data-key": dataset.id,
          "aria-pressed": String(isAttached),
          title: isAttached ? "Take it from the question" : "Add it to the question",
          on: { click: () => this.attachments.toggle(dataset) },
        },
        element("span", { class: "row-title", text: dataset.name }),
        element("span", { class: "row-note", text: `${formatInteger(dataset.requests)} requests${model}` }),
      ),
      deleteButton(`delete-${dataset.id}`, `Delete the dataset ${dataset.name}`, () =>
        this.deleteRow(dataset, {
          heading: "Delete this dataset?",
          text: `“${dataset.name}” (${formatBytes(dataset.stored_bytes)}) is deleted for everyone in your organisation. Answers that used it stay.`,
        }),
      ),
    );
  }
}
