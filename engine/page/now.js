/** Now: are the weddings safe, and what has each service? */

import { chart } from "./charts.js";
import { h } from "./dom.js";
import { changed, state, waiting } from "./state.js";
import { MARKS, standing, verdict } from "./verdict.js";
import { clock, compact, count, date, local, minute, plural, roughly, seconds, sentence, usd, words } from "./words.js";

const SHOWN = 60;
const view = { search: "", only: "", most: SHOWN };
const ORDER = { bad: 0, warn: 1, neutral: 2, good: 3 };

export const mark = (tone, text) =>
  h("span", { class: `mark ${tone}` }, h("span", { "aria-hidden": "true" }, `${MARKS[tone]} `), text);

export function now() {
  const { overview } = state;
  const { tone, text } = verdict();
  const head = h("section", { class: `verdict ${tone}`, "aria-label": "Verdict" },
    h("span", { class: "sign", "aria-hidden": "true" }, MARKS[tone]),
    h("h1", { id: "verdict" }, text));
  if (!overview) return [head];
  return [head, figures(overview, engine()), troubles(), weddings(overview.weddings), services(overview)];
}

/** How the engine itself stands: label, value and note of each figure. */
function engine() {
  const { readiness } = state;
  const waits = waiting();
  const how = !readiness ? "–" : readiness.ready ? (readiness.acts ? "leads and acts" : "recommends only") : "not ready";
  return [
    ["Engine", how, !readiness ? "" : readiness.ready
      ? `lead ${count(readiness.lead)}, ${plural(readiness.steps, "step")}${readiness.skipped ? `, ${count(readiness.skipped)} not made` : ""}`
      : readiness.reason],
    ["Waiting for people", count(waits), waits ? "see To do" : "nothing"],
  ];
}

/** What a record does not hold is undefined, and left out. */
export function figures({ weddings: booked, cost }, more = []) {
  const items = [
    [`${sentence(booked.noun)} in progress`, count(booked.in_progress === null ? null : Math.round(booked.in_progress)),
      booked.major_in_progress === undefined ? "" : booked.major_in_progress >= 1 ? `${count(Math.round(booked.major_in_progress))} of them major` : "none of them major"],
    ...(booked.next_peak === undefined ? [] : [["Most within a day", count(booked.next_peak === null ? null : Math.round(booked.next_peak)),
      booked.next_peak_at_s ? `around ${minute(booked.next_peak_at_s)} UTC` : "nothing is booked"]]),
    ["Cost", `${usd(cost.usd_per_hour)}/h`,
      cost.budget_usd_per_hour === null ? "no budget is set" : `budget ${usd(cost.budget_usd_per_hour)}/h`],
    ["Instances", count(cost.instances), cost.quota === null ? "no quota is set" : `quota ${count(cost.quota)}`],
    ...more,
  ];
  return h("dl", { class: "figures" }, items.map(([label, value, note]) => h("div", { key: label },
    h("dt", null, label), h("dd", { class: "value" }, value), h("dd", { class: "note" }, note))));
}

function troubles() {
  const all = Object.entries(state.troubles);
  if (!all.length) return null;
  return h("section", { key: "troubles", "aria-labelledby": "troubles" },
    h("h2", { id: "troubles" }, "Troubles"),
    h("ul", { class: "plain" }, all.flatMap(([source, texts]) => texts.map((text, i) =>
      h("li", { key: `${source} ${i}` }, mark("warn", words(source)), ` ${text}`)))));
}

/** `wording` says what the figures are, where they are not what is booked now. */
export function weddings(booked, wording = null) {
  return h("section", { key: "weddings", "aria-labelledby": "weddings" },
    h("h2", { id: "weddings" }, `${sentence(booked.noun)} in progress`),
    h("p", { class: "intro" }, wording?.intro ?? ["As booked, and as late as they usually run. ",
      booked.protection ? "Major ones are near: nothing is scaled in below what they need." : "No major one is near."]),
    h("div", { class: "pair" }, phases(booked), ahead(booked, wording?.ahead ?? "Booked for the next two hours", wording?.none ?? "The calendar does not cover them.")));
}

function phases(booked) {
  if (!booked.phases.length) return null;
  const total = Math.max(booked.phases.reduce((sum, one) => sum + one.in_progress, 0), 1);
  return h("table", { class: "phases" },
    h("caption", null, "In each phase"),
    h("thead", { class: "unseen" }, h("tr", null, ["phase", "in it", "share"].map((text) => h("th", { scope: "col", key: text }, text)))),
    h("tbody", null, booked.phases.map((one) => h("tr", { key: one.phase },
      h("th", { scope: "row" }, words(one.phase)),
      h("td", { class: "n" }, count(Math.round(one.in_progress))),
      h("td", null, bar(one.in_progress / total), h("span", { class: "unseen" }, roughly(one.in_progress / total)))))));
}

function ahead(booked, title, none) {
  const { start_s, bin_s, events, major = [] } = booked.ahead;
  const over = (values) => values.map((value, i) => [start_s + i * bin_s, value]);
  return h("div", null,
    h("h3", null, title),
    events.length < 2 ? h("p", { class: "intro" }, none) : chart({
      title: `${sentence(booked.noun)}: ${title.toLowerCase()}`,
      lines: [
        { name: `${booked.noun} in progress`, kind: "area", points: over(events) },
        ...(major.some((value) => value >= 0.5) ? [{ name: "of them major", kind: "dashed", points: over(major) }] : []),
      ],
      isBeside: booked.phases.length > 0,
    }));
}

const bar = (share, tone = "") => h("span", { class: `bar ${tone}`, "aria-hidden": "true" },
  h("span", { style: { width: `${Math.min(Math.max(share, 0), 1) * 100}%` } }));

// --- services

export function services(overview) {
  const all = Object.entries(overview.services).map(([name, one]) => ({ name, one, how: standing(one) }));
  const kinds = new Map();
  for (const { how: [tone, text] } of all) kinds.set(text, { tone, number: (kinds.get(text)?.number ?? 0) + 1 });
  if (view.only && !kinds.has(view.only)) view.only = "";
  const asked = view.search.trim().toLowerCase();
  const chosen = all
    .filter(({ name, how }) => (!view.only || how[1] === view.only) && name.toLowerCase().includes(asked))
    .sort((a, b) => ORDER[a.how[0]] - ORDER[b.how[0]] || (a.name < b.name ? -1 : 1));
  const shown = chosen.slice(0, view.most);
  return h("section", { key: "services", "aria-labelledby": "services" },
    h("h2", { id: "services" }, "Services"),
    h("p", { class: "intro" }, "What is asked of each, what stands ready, and what that asks for. At ",
      h("time", { title: local(overview.last_updated_s) }, `${clock(overview.last_updated_s)} UTC, ${date(overview.last_updated_s)}`), "."),
    h("div", { class: "tools" },
      h("div", { class: "chips", role: "group", "aria-label": "Only those that are" },
        [...kinds].sort((a, b) => ORDER[a[1].tone] - ORDER[b[1].tone]).map(([text, { tone, number }]) => h("button", {
          key: text, type: "button", class: `chip ${tone}`, "aria-pressed": String(view.only === text),
          on: { click: () => { view.only = view.only === text ? "" : text; changed(); } },
        }, `${MARKS[tone]} ${count(number)} ${text}`))),
      h("label", { class: "search" }, h("span", { class: "unseen" }, "Search for a service"),
        h("input", {
          id: "search", type: "search", placeholder: `Search ${plural(all.length, "service")}  ( / )`, value: view.search,
          autocomplete: "off", spellcheck: "false",
          on: { input: (event) => { view.search = event.target.value; view.most = SHOWN; changed(); } },
        }))),
    h("table", { class: "services" },
      h("thead", null, h("tr", null,
        ["service", "how it fares"].map((text) => h("th", { scope: "col", key: text }, text)),
        ["demand, 1/s", "ready", "needed", "p95", "of its SLO", "USD/h"].map((text) => h("th", { scope: "col", class: "n", key: text }, text)))),
      h("tbody", null, shown.map(row))),
    shown.length < chosen.length && h("p", null,
      `${count(shown.length)} of ${count(chosen.length)} are shown. `,
      h("button", { type: "button", class: "quiet", on: { click: () => { view.most += 4 * SHOWN; changed(); } } }, "Show more")),
    !chosen.length && h("p", { class: "intro" }, "No service is called that."));
}

function row({ name, one, how: [tone, text] }) {
  const p95 = one.sample?.p95_s ?? null;
  const share = p95 === null ? null : p95 / one.slo_p95_s;
  const notes = [
    one.booting && `${count(one.booting)} booting`,
    one.draining && `${count(one.draining)} draining`,
    one.paused && "paused",
    one.wedding_floor > 0 && `wedding floor ${count(one.wedding_floor)}`,
    one.floor > 0 && `floor ${count(one.floor)}`,
    one.sample_age_s > 60 && `samples ${seconds(one.sample_age_s)} old`,
  ].filter(Boolean);
  const cell = (label, ...inside) => h("td", { class: "n", "data-label": label, key: label }, ...inside);
  return h("tr", { key: name },
    h("th", { scope: "row" }, name, notes.length > 0 && h("small", null, notes.join(", "))),
    h("td", { class: "how" }, mark(tone, text)),
    cell("demand, 1/s", compact(one.sample?.request_rate ?? null)),
    cell("ready", h("span", { title: `${count(one.min_instances)} … ${count(one.max_instances)} are allowed` }, count(one.ready)),
      one.desired !== one.ready && h("small", null, ` of ${count(one.desired)}`)),
    cell("needed", count(one.needed), bar(one.needed === null ? 0 : one.needed / Math.max(one.ready, 1), one.ready < one.needed ? "bad" : "")),
    cell("p95", seconds(p95)),
    cell("of its SLO", roughly(share), bar(share ?? 0, share > 1 ? "bad" : "")),
    cell("USD/h", usd(one.desired * one.price_per_hour)));
}
