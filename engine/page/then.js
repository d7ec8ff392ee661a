/** Then: an hour that is over, from the samples that are kept and the decisions in the store. */

import { chart } from "./charts.js";
import { h } from "./dom.js";
import { ask } from "./session.js";
import { changed, now_s, state } from "./state.js";
import { count, date, local, minute, usd } from "./words.js";
import { entries } from "./why.js";

const HOUR_S = 3600;
const BACK = 24;
const PAGE = 200;
const MOST_PAGES = 10;

const view = { of: null, asked: "", service: "", history: null, rows: [], isWhole: true, isOut: false, problem: "" };

/** `text` is an hour as addresses have it, such as 2027-06-19T20, "" for the last whole one. */
export function then(text) {
  const now = now_s();
  if (now === null) return [h("p", { class: "lede" }, "Waiting for the engine’s first step.")];
  if (view.of !== state.me) Object.assign(view, { of: state.me, asked: "", service: "" });
  const newest = Math.floor(now / HOUR_S) * HOUR_S;
  const given = /^\d{4}-\d\d-\d\dT\d\d$/.test(text) ? Date.parse(`${text}:00:00Z`) / 1000 : NaN;
  const start = Number.isFinite(given) ? given : newest - HOUR_S;
  const names = Object.keys(state.overview.services);
  if (!names.includes(view.service)) view.service = names.find((name) => state.overview.services[name].user_facing) ?? names[0] ?? "";
  const key = `${start} ${view.service}`;
  if (key !== view.asked && !view.isOut && view.service) look(key, start, view.service);
  const hours = [];
  for (let at = newest; at > newest - BACK * HOUR_S; at -= HOUR_S) hours.push(at);
  if (!hours.includes(start)) hours.push(start);
  return [
    h("section", { key: "hour", "aria-labelledby": "hour" },
      h("h2", { id: "hour" }, `${date(start)}, ${minute(start)} to ${minute(start + HOUR_S)} UTC`),
      h("p", { class: "intro" }, "What was seen and done in an hour that is over. Samples are kept for a day, decisions for as long as the store has them; the address is a permanent link."),
      h("div", { class: "asking" },
        h("label", { class: "field" }, "Hour ", h("select", {
          id: "then-hour", value: hourOf(start), on: { change: (event) => { location.hash = `#/then/${event.target.value}`; } },
        }, hours.map((at) => h("option", { key: at, value: hourOf(at), title: local(at) }, `${date(at).slice(0, 3)} ${minute(at)} UTC`)))),
        h("label", { class: "field" }, "Service ", h("select", {
          id: "then-service", value: view.service, on: { change: (event) => { view.service = event.target.value; changed(); } },
        }, names.map((name) => h("option", { key: name, value: name }, name))))),
      view.problem && h("p", { class: "problem", role: "alert", key: "problem" }, view.problem)),
    ...(view.asked === key && view.history ? seen(start) : [h("p", { class: "intro", key: "wait" }, view.problem ? "" : "…")]),
  ];
}

const hourOf = (at) => new Date(at * 1000).toISOString().slice(0, 13);

async function look(key, start, service) {
  const of = state.me;
  view.isOut = true;
  try {
    const [content, [rows, isWhole]] = await Promise.all([
      ask(`/metrics/realtime?timeRange=1h&until=${start + HOUR_S}&services=${encodeURIComponent(service)}`),
      decided(start),
    ]);
    if (of === state.me) Object.assign(view, { history: content.services[service].series, rows, isWhole, problem: "" });
  } catch (error) {
    Object.assign(view, { history: null, rows: [], problem: error.message });
  }
  view.asked = key;
  view.isOut = false;
  changed();
}

/** All steps of the hour, and whether these are really all. */
async function decided(start) {
  const rows = [];
  let cursor = "";
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer = await ask(`/decisions?kind=action&limit=${PAGE}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    rows.push(...answer.items.filter((row) => row.time_s >= start && row.time_s < start + HOUR_S));
    const oldest = answer.items[answer.items.length - 1];
    if (!answer.next || (oldest && oldest.time_s < start)) return [rows, true];
    cursor = answer.next;
  }
  return [rows, false];
}

function seen(start) {
  const { history, rows, service } = view;
  // Of an hour that is not over yet there is only what has been.
  const points = (name, times = 1) => history.time_s
    .map((t, i) => [t, history[name][i] === null ? null : history[name][i] * times]).filter(([t]) => t > start);
  const slo = state.overview.services[service].slo_p95_s * 1000;
  const isKept = points("request_rate").some(([, value]) => value !== null);
  const cost = rows.reduce((sum, row) => sum + row.cost_per_hour, 0);
  return [
    h("section", { key: "seen", "aria-labelledby": "seen" },
      h("h2", { id: "seen" }, `What ${service} was asked for`),
      !isKept ? h("p", { key: "none" }, "No sample of this hour is kept.") : [
        h("h3", { key: "t1" }, "Requests per second"),
        chart({ title: `Requests per second at ${service}`, lines: [{ name: "seen", kind: "line", points: points("request_rate") }] }),
        h("h3", { key: "t2" }, "p95, ms"),
        chart({
          title: `p95 of ${service} in milliseconds`,
          lines: [{ name: "p95", kind: "line", points: points("p95_s", 1000) }, { name: "SLO", kind: "limit", points: points("p95_s").map(([t]) => [t, slo]) }],
        }),
      ]),
    h("section", { key: "done", "aria-labelledby": "done" },
      h("h2", { id: "done" }, "What the engine did"),
      rows.length === 0 ? h("p", null, "No step of this hour is in the store.") : [
        h("p", { class: "intro", key: "sum" }, `${count(rows.length)} ${rows.length === 1 ? "step" : "steps"} at all services, ${usd(cost, true)}/h in all.`),
        entries(rows),
      ],
      !view.isWhole && h("p", { key: "more" }, "Too many steps came after this hour for all of its own to be shown.")),
  ];
}
