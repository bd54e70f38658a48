// The head of a column: which model it asks, and how.

import { el } from "./dom.js";
import { picker } from "./picker.js";

const AUDIO = { format: "pcm16", voice: "alloy" };
/** What is asked for, by the name of the wanted modality. */
const WANTED = {
  any: ["What the model likes", { modalities: ["text", "image", "audio"], audio: AUDIO }],
  text: ["Text", {}],
  audio: ["Speech", { modalities: ["text", "audio"], audio: AUDIO }],
  image: ["Picture", { modalities: ["image"] }],
};
/** Number fields: label, and the attributes of their input. */
const NUMBERS = {
  temperature: ["Temperature", { min: 0, max: 2, step: 0.01 }],
  top_p: ["Top-p", { min: 0.01, max: 1, step: 0.01 }],
  max_tokens: ["Max tokens", { min: 1, step: 1 }],
  seed: ["Seed", { step: 1 }],
};
export const LETTERS = "ABCD";

/**
 * The settings of a column as fields of a request; what is left empty is left to the server. A `remote` endpoint that
 * may answer as it likes is told no modalities: few know pictures.
 */
export function settingsOf(column, remote) {
  const found = remote && column.want === "any" ? {} : { ...WANTED[column.want][1] };
  for (const name of Object.keys(NUMBERS)) if (column[name] !== null) found[name] = column[name];
  return found;
}

/** A column from what a link or a stored conversation says; what makes no sense is left out. */
export function columnFrom(given = {}) {
  const column = { model: typeof given.model === "string" ? given.model : "", want: "any" };
  if (Object.hasOwn(WANTED, given.want)) column.want = given.want;
  for (const name of Object.keys(NUMBERS)) column[name] = Number.isFinite(given[name]) ? given[name] : null;
  return column;
}

/** The head of a column; `changed` is called after each change. */
export function head(column, place, names, changed) {
  const letter = LETTERS[place];
  const models = picker(`Model ${letter}`, names, (name) => {
    column.model = name;
    changed();
  });
  models.set(column.model);
  const want = el("select", {
    onchange: () => {
      column.want = want.value;
      changed();
    },
  });
  want.append(...Object.entries(WANTED).map(([value, [label]]) => el("option", { value, textContent: label })));
  want.value = column.want;
  const fields = Object.entries(NUMBERS).map(([name, [label, attributes]]) => {
    const input = el("input", { type: "number", inputMode: "decimal", placeholder: "default", ...attributes });
    input.value = column[name] ?? "";
    input.onchange = () => {
      if (!input.reportValidity()) input.value = "";
      column[name] = input.value === "" ? null : input.valueAsNumber;
      changed();
    };
    return el("label", {}, label, input);
  });
  const settings = el("details", {}, el("summary", { textContent: "Settings" }));
  settings.append(el("div", { className: "settings" }, el("label", {}, "Wanted", want), ...fields));
  const section = el("div", { className: "head" }, el("b", { textContent: letter }), models.element, settings);
  section.setAttribute("role", "group");
  section.setAttribute("aria-label", `Column ${letter}`);
  return section;
}
