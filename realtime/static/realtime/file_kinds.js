/** Tells files that cannot be a log from those that may be one, before anything is asked or sent. */

const LOOKED_AT_BYTES = 65_536;
const READ = "Netra reads CSV, JSON and JSON Lines.";

/** Names of kinds by the file's extension; what is not listed is judged by its bytes alone. */
const BY_EXTENSION = {
  pdf: "a PDF",
  xls: "an Excel workbook",
  xlsx: "an Excel workbook",
  ods: "a spreadsheet",
  numbers: "a spreadsheet",
  doc: "a Word document",
  docx: "a Word document",
  pptx: "a presentation",
  png: "a picture",
  jpg: "a picture",
  jpeg: "a picture",
  gif: "a picture",
  webp: "a picture",
  zip: "a ZIP archive",
  gz: "a compressed file",
  parquet: "a Parquet file",
};

/** First bytes (as Latin-1) of kinds that are mistaken for logs. */
const BY_FIRST_BYTES = [
  ["%PDF", "a PDF"],
  ["PK\x03\x04", "a ZIP archive or an Office document"],
  ["\x89PNG", "a picture"],
  ["\xff\xd8\xff", "a picture"],
  ["GIF8", "a picture"],
  ["\x1f\x8b", "a compressed file"],
  ["PAR1", "a Parquet file"],
];

/** Return why `file` cannot be a log, in one sentence; empty when it may be one. */
export async function reasonAgainst(file) {
  const bytes = new Uint8Array(await file.slice(0, LOOKED_AT_BYTES).arrayBuffer());
  if (!bytes.length) return "";
  const first = String.fromCharCode(...bytes.slice(0, 8));
  const extension = /\.([^.]+)$/.exec(file.name)?.[1].toLowerCase() ?? "";
  const kind = (Object.hasOwn(BY_EXTENSION, extension) && BY_EXTENSION[extension]) || BY_FIRST_BYTES.find(([start]) => first.startsWith(start))?.[1];
  if (kind) return `This is ${kind}; ${READ}`;
  if (first.startsWith("\xff\xfe") || first.startsWith("\xfe\xff")) return `This text is in UTF-16; save it as UTF-8. ${READ}`;
  if (bytes.includes(0)) return `This is not a text file; ${READ}`;
  return "";
}

/** Whether the beginning of `file` speaks of models. */
export async function namesModels(file) {
  return /model/i.test(await file.slice(0, LOOKED_AT_BYTES).text());
}
