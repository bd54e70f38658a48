// The prompt: text, and pictures and clips from files, the clipboard, a drag or the microphone.

import { by, el, say, shown } from "./dom.js";
import { base64, record, toWav } from "./sound.js";

/** Formats of pictures that the server takes as they are. */
const PICTURES = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const media = [];
let recording = null;

/** A file as a part of a message; throws where the browser can't read it. */
async function partOf(file) {
  if (file.type.startsWith("audio/")) {
    const mp3 = ["audio/mpeg", "audio/mp3"].includes(file.type);
    const clip = mp3 || /^audio\/(x-|vnd\.)?wav/.test(file.type) ? file : await toWav(file);
    return { type: "input_audio", input_audio: { data: await base64(clip), format: mp3 ? "mp3" : "wav" } };
  }
  if (!file.type.startsWith("image/")) throw new Error("it is no picture and no clip");
  const picture = PICTURES.includes(file.type) ? file : await asPng(file);
  return { type: "image_url", image_url: { url: `data:${picture.type};base64,${await base64(picture)}` } };
}

async function asPng(file) {
  const image = await createImageBitmap(file);
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

async function attach(files) {
  for (const file of files) {
    try {
      media.push(await partOf(file));
    } catch (error) {
      say(`${file.name || "The file"} can't be used: ${error.message}`);
    }
  }
  show();
}

function show() {
  const items = media.map((part, place) => {
    const remove = el("button", { type: "button", textContent: "×" });
    remove.setAttribute("aria-label", `Remove file ${place + 1}`);
    remove.onclick = () => {
      media.splice(place, 1);
      show();
      by("text").focus();
    };
    return el("li", {}, shown(part), remove);
  });
  by("attached").replaceChildren(...items);
}

async function toggleRecording() {
  if (recording) return recording.stop();
  const button = by("record");
  button.disabled = true; // while the browser asks
  try {
    recording = await record();
    button.disabled = false;
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Stop recording";
    say("Recording");
    const clip = await recording.done;
    await attach([new File([clip], "The recording", { type: clip.type })]);
    say("Recorded");
  } catch (error) {
    say(`Can't record: ${error.message}`);
  }
  recording = null;
  button.disabled = false;
  button.setAttribute("aria-pressed", "false");
  button.textContent = "Record";
}

/** Let the prompt be written; `send` is called with `{text, media}`, `typed` after each change of the text. */
export function composer(send, typed) {
  const text = by("text");
  const submit = () => {
    const user = { text: text.value.trim(), media: [...media] };
    if (!user.text && !user.media.length) return say("There is nothing to send yet");
    if (!send(user)) return;
    text.value = "";
    media.length = 0;
    show();
    typed();
  };
  by("composer").onsubmit = (event) => {
    event.preventDefault();
    submit();
  };
  text.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
  };
  text.oninput = typed;
  by("attach").onclick = () => by("file").click();
  by("file").onchange = async ({ target }) => {
    await attach([...target.files]);
    target.value = "";
  };
  by("record").onclick = toggleRecording;
  document.addEventListener("paste", (event) => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    attach([...event.clipboardData.files]);
  });
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.toggle("dragged", kind === "dragover");
      if (kind === "drop") attach([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragged");
  });
}
