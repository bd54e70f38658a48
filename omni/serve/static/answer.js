// One answer: asked for, shown while it grows, and measured.

import { events } from "./api.js";
import { el, say, shown } from "./dom.js";
import { base64, wavOf } from "./sound.js";

/** An answer that is not there yet. */
export function emptyAnswer(model, settings) {
  return { model, settings, parts: [], transcript: "", finish: null, error: null, measured: {} };
}

/** Ask for an answer and let it grow; `grown` is called with each part that is new or longer. Never throws. */
export async function ask(answer, messages, signal, grown) {
  const began = performance.now();
  const sound = { pieces: [], place: 0 };
  const body = {
    model: answer.model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    ...answer.settings,
  };
  try {
    for await (const event of events("v1/chat/completions", body, signal)) {
      if (event.error) throw new Error(event.error.message);
      if (event.usage) measureTokens(answer.measured, event.usage);
      const choice = event.choices?.[0];
      if (!choice) continue;
      if (take(answer, choice.delta ?? {}, sound, grown)) {
        answer.measured.first_token_seconds ??= (performance.now() - began) / 1000;
      }
      answer.finish = choice.finish_reason ?? answer.finish;
    }
  } catch (error) {
    if (signal.aborted) answer.finish = "stopped";
    else answer.error = error.message;
  }
  const { measured } = answer;
  measured.seconds = (performance.now() - began) / 1000;
  if (measured.completion_tokens) measured.tokens_per_second = measured.completion_tokens / measured.seconds;
  measured.finish_reason = answer.finish;
  if (sound.pieces.length) {
    const data = await base64(wavOf(joined(sound.pieces)));
    answer.parts.splice(sound.place, 0, { type: "input_audio", input_audio: { data, format: "wav" } });
  }
}

function measureTokens(measured, usage) {
  measured.prompt_tokens = usage.prompt_tokens;
  measured.completion_tokens = usage.completion_tokens;
  measured.completion_tokens_details = usage.completion_tokens_details;
}

/** Take what is new; whether it is something that is seen or heard. */
function take(answer, delta, sound, grown) {
  let told = false;
  if (delta.content) {
    const last = answer.parts.at(-1);
    if (last?.type === "text") last.text += delta.content;
    else answer.parts.push({ type: "text", text: delta.content });
    grown(delta.content);
    told = true;
  }
  for (const { image_url } of delta.images ?? []) {
    const part = { type: "image_url", image_url: { url: image_url.url } };
    answer.parts.push(part);
    grown(part);
    told = true;
  }
  if (delta.audio?.data) {
    if (!sound.pieces.length) sound.place = answer.parts.length;
    sound.pieces.push(Uint8Array.from(atob(delta.audio.data), (letter) => letter.charCodeAt(0)));
    told = true;
  }
  if (delta.audio?.transcript) answer.transcript += delta.audio.transcript;
  return told;
}

function joined(pieces) {
  const all = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** The box of an answer; `add` shows what is new, `finish` what is there at the end. */
export function answerBox(letter, answer, { stop, again }) {
  const content = el("div", { className: "content" });
  const facts = el("dl", { className: "facts" });
  const buttons = {
    stop: el("button", { type: "button", textContent: "Stop", onclick: stop }),
    again: el("button", { type: "button", textContent: "Regenerate", onclick: again }),
    copy: el("button", { type: "button", textContent: "Copy", onclick: () => copy(answer) }),
  };
  const box = el("article", { className: "answer" }, el("h2", { textContent: `${letter} · ${answer.model}` }));
  box.setAttribute("aria-label", `Answer of ${letter}, ${answer.model}`);
  box.append(content, facts, el("div", { className: "tools" }, ...Object.values(buttons)));
  let text = null;

  function add(piece) {
    if (typeof piece === "string") {
      if (!text) content.append((text = el("p", { className: "said" })));
      text.append(piece);
    } else {
      text = null;
      content.append(shown(piece));
    }
  }

  function show() {
    text = null;
    content.replaceChildren();
    const running = answer.measured.seconds === undefined;
    for (const part of answer.parts) add(part.type === "text" ? part.text : part);
    if (answer.transcript) content.append(el("p", { className: "note", textContent: `“${answer.transcript}”` }));
    if (answer.error) content.append(el("p", { className: "error", textContent: answer.error }));
    box.setAttribute("aria-busy", String(running));
    buttons.stop.hidden = !running;
    buttons.again.hidden = buttons.copy.hidden = running;
    if (!running) facts.replaceChildren(...factsOf(answer));
  }

  show();
  return { element: box, add, show, setAgain: (may) => (buttons.again.disabled = !may) };
}

function factsOf({ measured, finish, error }) {
  const seconds = (value) => (value === undefined ? "–" : value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`);
  const rows = [
    ["First token", seconds(measured.first_token_seconds)],
    ["Tokens/s", measured.tokens_per_second?.toFixed(1) ?? "–"],
    ["Tokens", `${measured.prompt_tokens ?? "–"} in, ${measured.completion_tokens ?? "–"} out`],
    ["Ended", error ? "error" : (finish ?? "–")],
  ];
  return rows.map(([name, value]) => el("div", {}, el("dt", { textContent: name }), el("dd", { textContent: value })));
}

/** Text of an answer, or its transcript; the picture where it has no text. */
async function copy(answer) {
  const text = answer.parts.map((part) => part.text ?? "").join("") || answer.transcript;
  const picture = answer.parts.find((part) => part.type === "image_url");
  try {
    if (text || !picture) await navigator.clipboard.writeText(text);
    else {
      const bytes = Uint8Array.from(atob(picture.image_url.url.split(",")[1]), (letter) => letter.charCodeAt(0));
      await navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) })]);
    }
    say("Copied");
  } catch (error) {
    say(`Can't copy: ${error.message}`);
  }
}
