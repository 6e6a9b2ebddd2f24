/** The logs that go with the next question: chosen from the list, or uploaded here. */

import { remove, uploadDataset } from "./api.js";
import { byId, element, icon } from "./elements.js";
import { namesModels, reasonAgainst } from "./file_kinds.js";
import { formatBytes, formatInteger } from "./format.js";
import { announce } from "./notices.js";
import { refusalText } from "./quotas.js";

/** One file or dataset: asking (which model to assume), uploading, ready or failed. */
class Attachment {
  constructor({ file = null, dataset = null }) {
    this.file = file;
    this.dataset = dataset;
    this.state = dataset ? "ready" : "asking";
    this.share = 0;
    this.problem = "";
    this.abort = null;
    this.replaces = null;
    this.node = element("li", { class: "attachment" });
  }

  get name() {
    return this.dataset?.name ?? this.file.name;
  }
}

/** Emits `change` when what is attached changed and `uploaded` (detail: dataset) when a log is stored. */
export class Attachments extends EventTarget {
  constructor({ maxUploadBytes }) {
    super();
    this.maxUploadBytes = maxUploadBytes;
    this.items = [];
    this.list = byId("attachments");
  }

  get datasetIds() {
    return this.items.filter((item) => item.state === "ready").map((item) => item.dataset.id);
  }

  /** Those not ready to be asked about: still uploading, or waiting for the reader's word. */
  get unfinished() {
    return this.items.filter((item) => item.state === "asking" || item.state === "uploading");
  }

  has(datasetId) {
    return this.items.some((item) => item.dataset?.id === datasetId);
  }

  /** Take files that were chosen or dropped; what is no log is refused, a log without models asked about. */
  async addFiles(files) {
    this.dropFailed();
    for (const file of files) {
      const item = new Attachment({ file });
      this.items.push(item);
      this.list.append(item.node);
      if (file.size > this.maxUploadBytes) {
        this.#fail(item, `The file has ${formatBytes(file.size)}; at most ${formatBytes(this.maxUploadBytes)} are taken.`);
        continue;
      }
      const reason = await reasonAgainst(file);
      if (reason) {
        this.#fail(item, reason);
      } else if (file.size === 0 || (await namesModels(file))) {
        await this.#upload(item, "");
      } else {
        this.#draw(item);
        item.node.querySelector("input").focus();
      }
    }
  }

  /** Add a dataset to the question, or take it away again. */
  toggle(dataset) {
    const present = this.items.find((item) => item.dataset?.id === dataset.id);
    if (present) {
      this.drop(present);
      return;
    }
    const item = new Attachment({ dataset });
    this.items.push(item);
    this.list.append(item.node);
    this.#draw(item);
  }

  /** Take an item away; an upload that is under way is stopped. The dataset itself stays. */
  drop(item) {
    item.abort?.abort();
    this.items = this.items.filter((other) => other !== item);
    if (item.node.contains(document.activeElement)) byId("question").focus();
    item.node.remove();
    this.dispatchEvent(new CustomEvent("change"));
  }

  dropDataset(datasetId) {
    for (const item of this.items.filter((known) => known.dataset?.id === datasetId)) this.drop(item);
  }

  clear() {
    for (const item of this.items.filter((known) => known.state === "ready" || known.state === "failed")) this.drop(item);
  }

  async #upload(item, assumeModel) {
    item.state = "uploading";
    item.share = 0;
    item.abort = new AbortController();
    this.#draw(item);
    try {
      const dataset = await uploadDataset({
        file: item.file,
        name: item.file.name,
        assumeModel,
        signal: item.abort.signal,
        onProgress: (share) => {
          item.share = share;
          this.#draw(item);
        },
      });
      // The same log with another assumption takes the place of the one before.
      const replaced = item.replaces;
      Object.assign(item, { dataset, state: "ready", replaces: null });
      if (replaced) await remove(`datasets/${replaced}`);
      announce(`${dataset.name} is ready: ${formatInteger(dataset.requests)} requests.`);
      this.dispatchEvent(new CustomEvent("uploaded", { detail: dataset }));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#fail(item, refusalText(error));
      return;
    }
    this.#draw(item);
  }

  /** Take failed items away: only the latest is of interest, older ones would push the question out of sight. */
  dropFailed() {
    for (const item of this.items.filter((known) => known.state === "failed")) this.drop(item);
  }

  #fail(item, problem) {
    this.dropFailed();
    Object.assign(item, { state: "failed", problem });
    this.#draw(item);
    announce(`${item.name}: ${problem}`);
  }

  #draw(item) {
    const { node, state } = item;
    if (state === "uploading" && node.dataset.state === "uploading") {
      node.querySelector("progress").value = item.share;
      node.querySelector(".attachment-note").textContent = uploadNote(item);
    } else {
      const hadFocus = node.contains(document.activeElement);
      node.dataset.state = state;
      node.replaceChildren(
        icon(state === "failed" ? "alert" : "file"),
        element("span", { class: "attachment-name", text: item.name }),
        ...this.#content(item),
        element(
          "button",
          {
            type: "button",
            class: "icon-button",
            "aria-label": state === "uploading" ? `Stop uploading ${item.name}` : `Take ${item.name} away`,
            on: { click: () => this.drop(item) },
          },
          icon("close"),
        ),
      );
      if (hadFocus) byId("question").focus();
    }
    this.dispatchEvent(new CustomEvent("change"));
  }

  #content(item) {
    const note = (text) => element("span", { class: "attachment-note", text });
    switch (item.state) {
      case "asking":
        return [this.#question(item)];
      case "uploading":
        return [element("progress", { max: "1", value: "0", "aria-label": `Uploading ${item.name}` }), note(uploadNote(item))];
      case "failed":
        return [element("span", { class: "attachment-note", role: "alert", text: item.problem })];
      default:
        return this.#readyContent(item, note);
    }
  }

  #readyContent(item, note) {
    const { requests, names_models: names, assumed_model: assumed } = item.dataset;
    const parts = [note(`${formatInteger(requests)} requests${assumed ? `, assumed ${assumed}` : ""}`)];
    if (!names && !assumed && item.file) {
      const choose = () => {
        Object.assign(item, { state: "asking", replaces: item.dataset.id });
        this.#draw(item);
        item.node.querySelector("input").focus();
      };
      parts.push(element("button", { type: "button", class: "link-button", text: "It names no model: choose one", on: { click: choose } }));
    }
    return parts;
  }

  #question(item) {
    const id = `assume-${this.items.indexOf(item)}`;
    const input = element("input", { id, class: "text-input", list: "models", placeholder: "e.g. gpt-4o", maxlength: "200", autocomplete: "off", spellcheck: "false" });
    const button = element("button", { type: "submit", class: "button primary" });
    const nameButton = () => (button.textContent = input.value.trim() ? "Upload" : "Upload without prices");
    input.addEventListener("input", nameButton);
    nameButton();
    const submit = (event) => {
      event.preventDefault();
      this.#upload(item, input.value.trim());
    };
    return element(
      "form",
      { class: "assume", on: { submit } },
      element("label", { for: id, text: "This log seems to name no model. Which one was used?" }),
      element("span", { class: "assume-row" }, input, button),
      element("span", { class: "attachment-note", text: "Without a model, tokens can be counted but not priced. You may also choose one after the upload." }),
    );
  }
}

function uploadNote(item) {
  return item.share < 1 ? `${Math.round(item.share * 100)} %` : "Reading…";
}
