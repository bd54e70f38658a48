// Sound as the server takes it: WAV and MP3. Everything else is decoded here and becomes a WAV.

/** Samples in a second of clips that are made here, and of the 16-bit samples that answers are streamed as. */
export const RATE = 24000;
const MOST_SECONDS = 60;

/** 16-bit mono samples (bytes) as a WAV file. */
export function wavOf(samples) {
  const view = new DataView(new ArrayBuffer(44));
  const word = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + samples.byteLength, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, samples.byteLength, true);
  return new Blob([view, samples], { type: "audio/wav" });
}

/** A clip in any format that the browser plays as a mono WAV. */
export async function toWav(blob) {
  const context = new OfflineAudioContext(1, 1, RATE);
  const decoded = await context.decodeAudioData(await blob.arrayBuffer());
  const samples = new Int16Array(decoded.length);
  for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
    const values = decoded.getChannelData(channel);
    for (let i = 0; i < samples.length; i++) {
      samples[i] += Math.round((32767 * Math.max(-1, Math.min(1, values[i]))) / decoded.numberOfChannels);
    }
  }
  return wavOf(samples);
}

/** The base64 in a blob. */
export function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** Record from the microphone; `stop` of the result ends it, and `done` then holds the clip. */
export async function record() {
  if (!navigator.mediaDevices) throw new Error("browsers give the microphone to https and localhost only");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const done = new Promise((resolve, reject) => {
    recorder.onerror = (event) => reject(event.error ?? new Error("the microphone failed"));
    recorder.onstop = () => resolve(new Blob(pieces, { type: recorder.mimeType }));
  }).finally(() => stream.getTracks().forEach((track) => track.stop()));
  const stop = () => recorder.state === "inactive" || recorder.stop();
  setTimeout(stop, (MOST_SECONDS - 1) * 1000);
  recorder.start();
  return { stop, done };
}
