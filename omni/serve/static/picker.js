// A field that chooses one of many names, with a search: the combobox pattern of WAI-ARIA.

import { el } from "./dom.js";

let count = 0;

/** The field; `names` gives the choices, `chosen` is told a new one. `set` shows a name. */
export function picker(label, names, chosen) {
  const id = `names-${count++}`;
  const list = el("ul", { id, hidden: true });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", label);
  const input = el("input", { type: "text", autocomplete: "off", spellcheck: false, placeholder: "Model" });
  const roles = { role: "combobox", "aria-label": label, "aria-controls": id, "aria-autocomplete": "list" };
  for (const [name, value] of Object.entries(roles)) input.setAttribute(name, value);
  let value = "";
  let active = -1;

  function open(search) {
    const words = search.toLowerCase().split(/\s+/);
    const found = names().filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    list.replaceChildren(
      ...found.map((name, i) => {
        const option = el("li", { id: `${id}-${i}`, textContent: name });
        option.setAttribute("role", "option");
        option.onpointerdown = (event) => event.preventDefault(); // the field keeps the focus
        option.onclick = () => choose(name);
        return option;
      }),
    );
    if (!found.length) list.append(el("li", { className: "note", textContent: "No such model" }));
    list.hidden = false;
    mark(found.length ? Math.max(0, found.indexOf(search ? found[0] : value)) : -1);
  }

  function mark(place) {
    const options = [...list.querySelectorAll("[role=option]")];
    active = place < 0 ? -1 : place % options.length;
    options.forEach((option, i) => option.setAttribute("aria-selected", String(i === active)));
    options[active]?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-expanded", String(!list.hidden));
    if (active < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", options[active].id);
  }

  function close() {
    list.hidden = true;
    input.value = value;
    mark(-1);
  }

  function choose(name) {
    value = name;
    close();
    chosen(name);
  }

  input.onfocus = () => input.select();
  input.onclick = () => list.hidden && open("");
  input.oninput = () => open(input.value);
  input.onblur = close;
  input.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && list.hidden) open("");
    else if (step) mark(active < 0 ? -1 : active + step + list.children.length);
    else if (event.key === "Enter" && !list.hidden && !event.ctrlKey) {
      if (active >= 0) choose(list.querySelectorAll("[role=option]")[active].textContent);
    } else if (event.key === "Escape" && !list.hidden) {
      close();
      event.stopPropagation(); // does not stop the answers
    } else return;
    event.preventDefault();
  };
  close();
  const set = (name) => {
    value = name;
    if (list.hidden) input.value = name;
  };
  return { element: el("div", { className: "picker" }, input, list), set };
}
