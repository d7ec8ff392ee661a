/** The keyboard first: every view and list without a mouse, and a list of the keys. */

import { draw, h } from "./dom.js";

let views = () => [];

const keys = () => [
  ...views().map(([, title], i) => [String(i + 1), title]),
  ["/", "Search for a service"],
  ["j, k", "The next, the one before (decisions, questions)"],
  ["Enter", "Open it"],
  ["u", "Back to all decisions"],
  ["?", "These keys"],
  ["Esc", "Close, or leave a field"],
];

const listOfKeys = () => /** @type {HTMLDialogElement} */ (document.getElementById("keys"));

export function openKeys() {
  const dialog = listOfKeys();
  draw(dialog,
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", { class: "keys" }, keys().map(([key, text]) => h("div", { key }, h("dt", null, h("kbd", null, key)), h("dd", null, text)))),
    h("button", { type: "button", class: "primary", on: { click: () => dialog.close() } }, "Close"));
  if (!dialog.open) dialog.showModal();
}

/** `listed` gives the views that are there: [name, title] each. */
export function watchKeys(listed) {
  views = listed;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const on = /** @type {HTMLElement} */ (event.target);
    const field = /** @type {HTMLElement} */ (on.closest?.("input, select, textarea"));
    if (field) {
      if (event.key === "Escape") field.blur();
      return;
    }
    if (listOfKeys().open || !document.querySelector("header.top")) return;
    const view = views()[Number(event.key) - 1];
    if (view) location.hash = `#/${view[0]}`;
    else if (event.key === "?") openKeys();
    else if (event.key === "u") location.hash = "#/why";
    else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
    else if (event.key === "/") search(event);
  });
}

function step(by) {
  const items = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("a.item")]);
  if (!items.length) return;
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const to = at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(Math.max(at + by, 0), items.length - 1);
  items[to].focus();
}

function search(event) {
  event.preventDefault();
  const field = document.getElementById("search");
  if (field) {
    field.focus();
    return;
  }
  location.hash = "#/now";
  setTimeout(() => document.getElementById("search")?.focus(), 400);
}
