// The server: its key, plain requests, and streams of events.

import { by } from "./dom.js";

const KEY = "omni-key";
let asking = null;

/** Ask for the key, once for all requests that wait for it; false where none is given. */
function askKey() {
  asking ??= new Promise((resolve) => {
    const dialog = by("key");
    const input = dialog.querySelector("input");
    input.value = dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        const given = dialog.returnValue === "ok" && input.value.trim();
        if (given) sessionStorage.setItem(KEY, given);
        asking = null;
        resolve(Boolean(given));
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}

/** A response that is fine. Throws an `Error` with what the server says otherwise. */
export async function request(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = new Headers(options.headers);
    if (key) headers.set("Authorization", `Bearer ${key}`);
    const response = await fetch(path, { ...options, headers });
    if (response.ok) return response;
    const changed = () => sessionStorage.getItem(KEY) !== key;
    if (response.status === 401 && (changed() || (await askKey()))) continue;
    throw new Error(await reason(response));
  }
}

async function reason(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error.message;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

/** Send JSON; the response. */
export function post(path, body, signal) {
  return request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

/** The events of a stream, parsed, until `[DONE]`. */
export async function* events(path, body, signal) {
  const response = await post(path, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  let over = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done && over) return;
      if (done) throw new Error("the connection ended before the answer did");
      const blocks = (waiting + value.replaceAll("\r", "")).split("\n\n");
      waiting = blocks.pop();
      for (const block of blocks) {
        const lines = block.split("\n").filter((line) => line.startsWith("data:"));
        const data = lines.map((line) => line.slice(5).trimStart()).join("\n");
        if (data === "[DONE]") over = true;
        else if (data) yield JSON.parse(data);
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // of an answer that is given up
  }
}
