/** Two earlier runs beside each other, by the figures of their records. */

import { h } from "./dom.js";
import { ask } from "./session.js";
import { changed, state } from "./state.js";
import { compact, NOTHING, roughly, words } from "./words.js";

const view = { of: null, items: null, unreadable: 0, one: "", other: "", isOut: false };

/** The newest records; null while they are not there yet. */
export function records() {
  if (view.of !== state.me) Object.assign(view, { of: state.me, items: null, isOut: false, one: "", other: "" });
  if (view.items === null && !view.isOut) look();
  return view.items;
}

/** The section; empty where there are no records. */
export function compare() {
  const items = records() ?? [];
  const find = (id) => items.find((record) => record.id === id);
  const [one, other] = [find(view.one) ?? items[1] ?? items[0], find(view.other) ?? items[0]];
  return h("section", { key: "compare", "aria-labelledby": "compare" },
    h("h2", { id: "compare" }, "Two runs beside each other"),
    h("p", { class: "intro" }, "By the figures of the run records that are in the output folder.",
      view.unreadable > 0 && ` ${compact(view.unreadable)} more cannot be read.`),
    items.length < 2 ? h("p", { key: "few" }, view.items === null ? "…" : "There are not two records yet: one is written when a run ends, or a day is over.") : [
      h("div", { class: "asking", key: "which" },
        choice("one", "One", items, one), choice("other", "The other", items, other),
        h("button", { type: "button", class: "quiet", on: { click: () => { view.items = null; changed(); } } }, "Look again")),
      table(one, other),
    ]);
}

const choice = (name, label, items, chosen) => h("label", { class: "field", key: name }, `${label} `, h("select", {
  id: `compare-${name}`, value: chosen.id, on: { change: (event) => { view[name] = event.target.value; changed(); } },
}, items.map((record) => h("option", { key: record.id, value: record.id }, title(record)))));

export const title = (record) =>
  `${record.scenario}, ${record.controller}, ${record.started_at.slice(0, 16).replace("T", " ")}${record.partial ? ", cut short" : ""}`;

function table(one, other) {
  const paths = [...new Set([...Object.keys(one.figures), ...Object.keys(other.figures)])]
    .filter((path) => one.figures[path] !== null || other.figures[path] !== null);
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Two runs", key: "table" },
    h("table", { class: "narrow" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "figure"),
        ["one", "the other", "difference"].map((name) => h("th", { scope: "col", class: "n", key: name }, name)))),
      h("tbody", null, paths.map((path) => h("tr", { key: path },
        h("th", { scope: "row" }, words(path).replaceAll(".", " · ")),
        h("td", { class: "n" }, compact(one.figures[path])),
        h("td", { class: "n" }, compact(other.figures[path])),
        h("td", { class: "n" }, difference(one.figures[path], other.figures[path])))))));
}

/** How much more the other is: as a share where that says something. */
function difference(one, other) {
  if (one === null || other === null || one === undefined || other === undefined) return NOTHING;
  const more = other - one;
  if (more === 0) return "none";
  const sign = more < 0 ? "−" : "+";
  return one === 0 ? `${sign}${compact(Math.abs(more))}` : `${sign}${roughly(Math.abs(more / one))}`;
}

async function look() {
  const of = state.me;
  view.isOut = true;
  let [items, unreadable] = [[], 0];
  try {
    ({ items, unreadable } = await ask("/records"));
  } catch {
    // An engine without records has none to compare.
  }
  if (of === state.me) Object.assign(view, { items, unreadable });
  view.isOut = false;
  changed();
}
