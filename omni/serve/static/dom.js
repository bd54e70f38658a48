// Elements. Whatever a model or a server says becomes text, never markup.

/** An element with properties, listeners (`onclick`), attributes (`aria-label`) and children. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** The element with this id. */
export const by = (id) => document.getElementById(id);

/** Say something where screen readers hear it. */
export function say(text) {
  by("status").textContent = text;
}

/** A picture or clip as it is shown; its address is a data: URL, anything else is only named. */
export function shown(part) {
  if (part.type === "input_audio") {
    const { data, format } = part.input_audio;
    return el("audio", { controls: true, src: `data:audio/${format};base64,${data}`, "aria-label": "Clip" });
  }
  const { url } = part.image_url;
  if (!url.startsWith("data:image/")) return el("p", { className: "note", textContent: `Picture at ${url}` });
  return el("img", { src: url, alt: "Picture" });
}
