// The compare page: one prompt, several columns, all answers at once.

import { answerBox, ask, emptyAnswer } from "./answer.js";
import { request } from "./api.js";
import { LETTERS, columnFrom, head, settingsOf } from "./column.js";
import { composer } from "./composer.js";
import { conversation, forget, keep, kept, messagesOf } from "./conversation.js";
import { by, el, say, shown } from "./dom.js";
import { exportVotes, voteBar } from "./vote.js";

let models = [];
let columns = [];
let current = conversation();
let last = null; // what is shown of the last turn
const running = new Set(); // an AbortController for each answer that grows

const names = () => models.map(({ id }) => id);
const remote = (name) => models.find(({ id }) => id === name)?.owned_by === "endpoint";

function showColumns() {
  by("columns").value = String(columns.length);
  document.body.dataset.columns = String(columns.length);
  by("heads").replaceChildren(...columns.map((column, place) => head(column, place, names, writeLink)));
}

function setColumns(given) {
  const wanted = given.slice(0, LETTERS.length);
  while (wanted.length < 2) wanted.push({});
  columns = wanted.map(columnFrom);
  columns.forEach((column, place) => (column.model ||= names()[place % names().length] ?? ""));
  showColumns();
}

// the address always says what is set up

function writeLink() {
  const setup = { text: by("text").value, columns };
  history.replaceState(null, "", `#${encodeURIComponent(JSON.stringify(setup))}`);
}

function readLink() {
  try {
    const setup = JSON.parse(decodeURIComponent(location.hash.slice(1)) || "{}");
    by("text").value = typeof setup.text === "string" ? setup.text : "";
    setColumns(Array.isArray(setup.columns) ? setup.columns : []);
  } catch {
    say("The link can't be read");
    setColumns([]);
  }
  writeLink();
}

// turns and their answers

function showTurn(owner, turns) {
  const turn = turns.at(-1);
  const asked = el("div", { className: "asked" }, ...turn.user.media.map(shown));
  if (turn.user.text) asked.append(el("p", { className: "said", textContent: turn.user.text }));
  asked.setAttribute("role", "group");
  asked.setAttribute("aria-label", "Prompt");
  const vote = voteBar(turns, () => save(owner));
  const row = el("div", { className: "answers" });
  const view = { owner, turns, row, vote, boxes: [], controllers: [] };
  turn.answers.forEach((_, place) => showAnswer(view, place));
  last?.boxes.forEach((box) => box.setAgain(false));
  last = view;
  by("empty").hidden = true;
  by("turns").append(el("section", { className: "turn" }, asked, row, vote.element));
  return view;
}

function showAnswer(view, place) {
  const answer = view.turns.at(-1).answers[place];
  const box = answerBox(LETTERS[place], answer, {
    stop: () => view.controllers[place]?.abort(),
    again: () => regenerate(view, place),
  });
  if (view.boxes[place]) view.boxes[place].element.replaceWith(box.element);
  else view.row.append(box.element);
  view.boxes[place] = box;
}

async function grow(view, place) {
  const { owner, turns } = view;
  const answer = turns.at(-1).answers[place];
  const controller = (view.controllers[place] = new AbortController());
  running.add(controller);
  by("stop").disabled = false;
  const messages = messagesOf(turns, place, remote(answer.model));
  await ask(answer, messages, controller.signal, (piece) => view.boxes[place].add(piece));
  running.delete(controller);
  by("stop").disabled = !running.size;
  view.boxes[place].show();
  view.vote.show();
  if (!running.size) say(`${turns.at(-1).answers.length} answers are done`);
  save(owner);
}

function send(user) {
  if (running.size) return say("Answers are still growing: stop them first");
  const answers = columns.map((column) => emptyAnswer(column.model, settingsOf(column, remote(column.model))));
  current.turns.push({ user, answers, vote: null });
  const view = showTurn(current, [...current.turns]);
  view.row.parentElement.scrollIntoView({ block: "start" });
  say("Asking");
  answers.forEach((_, place) => grow(view, place));
  return true;
}

function regenerate(view, place) {
  if (!columns[place]) return say("This column is gone");
  const turn = view.turns.at(-1);
  const { model } = columns[place];
  turn.answers[place] = emptyAnswer(model, settingsOf(columns[place], remote(model)));
  turn.vote = null;
  showAnswer(view, place);
  view.vote.show();
  grow(view, place);
}

function stopAll() {
  for (const controller of running) controller.abort();
}

// past conversations

function save(one) {
  if (running.size) return;
  if (one === current) one.columns = columns;
  if (!keep(one)) say("The conversation is too large to be kept here");
  showHistory();
}

function open(one) {
  stopAll();
  current = one;
  last = null;
  by("turns").replaceChildren(by("empty"));
  by("empty").hidden = current.turns.length > 0;
  current.turns.forEach((_, number) => showTurn(current, current.turns.slice(0, number + 1)));
  if (one.columns) setColumns(one.columns);
  writeLink();
  by("history").open = false;
  by("text").focus();
}

function showHistory() {
  const items = kept().map((one) => {
    const title = one.turns[0].user.text || "Files only";
    const when = new Date(one.began).toLocaleString();
    const show = el("button", { type: "button", onclick: () => open(one) }, title, el("small", { textContent: when }));
    const remove = el("button", { type: "button", textContent: "×" });
    remove.setAttribute("aria-label", `Forget ${title}`);
    remove.onclick = () => {
      forget(one.id);
      showHistory();
    };
    return el("li", {}, show, remove);
  });
  if (!items.length) items.push(el("li", { className: "note", textContent: "None yet" }));
  by("history").querySelector("ul").replaceChildren(...items);
}

async function copyLink() {
  writeLink();
  try {
    await navigator.clipboard.writeText(location.href);
    say("Link copied");
  } catch {
    say("The link is this page's address");
  }
}

composer(send, writeLink);
by("stop").onclick = stopAll;
by("new").onclick = () => open(conversation());
by("link").onclick = copyLink;
by("export").onclick = exportVotes;
by("columns").onchange = ({ target }) => {
  const count = Number(target.value);
  setColumns([...columns, ...Array(4).fill({})].slice(0, count));
  writeLink();
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running.size) stopAll();
});
window.addEventListener("hashchange", readLink);

showHistory();
try {
  models = (await (await request("v1/models")).json()).data;
} catch (error) {
  say(`The models can't be listed: ${error.message}`);
}
readLink();
by("text").focus();
