/** Then: a moment that is over as it was shown then, what was done in its hour, and earlier runs. */

import { chart } from "./charts.js";
import { compare } from "./compare.js";
import { h } from "./dom.js";
import { figures, services, weddings } from "./now.js";
import { ask } from "./session.js";
import { changed, now_s, state } from "./state.js";
import { clock, count, date, local, minute, usd } from "./words.js";
import { entries } from "./why.js";

const HOUR_S = 3600;
const MINUTE_S = 60;
const BACK = 24;
const PAGE = 200;
const MOST_PAGES = 10;

const NOTHING = { asked: "", history: null, rows: [], isWhole: true, problem: "" };
const NO_MOMENT = { at: null, overview: null, why: "" };
const view = { of: null, service: "", isOut: false, hour: NOTHING, moment: NO_MOMENT, isLooking: false };

/** `text` is an hour or a minute as addresses have them, 2027-06-19T20 or 2027-06-19T20:35. */
export function then(text) {
  const now = now_s();
  if (now === null) return [h("p", { class: "lede" }, "Waiting for the engine’s first step.")];
  if (view.of !== state.me) Object.assign(view, { of: state.me, hour: NOTHING, moment: NO_MOMENT, service: "" });
  const newest = Math.floor(now / HOUR_S) * HOUR_S;
  const [, hourly, minutes] = text.match(/^(\d{4}-\d\d-\d\dT\d\d)(?::(\d\d))?$/) ?? [];
  const given = hourly ? Date.parse(`${hourly}:00:00Z`) / 1000 : NaN;
  const start = Number.isFinite(given) ? given : newest - HOUR_S;
  const at = start + Math.min(minutes === undefined ? 59 : Number(minutes), 59) * MINUTE_S;
  const names = Object.keys(state.overview.services);
  if (!names.includes(view.service)) view.service = names.find((name) => state.overview.services[name].user_facing) ?? names[0] ?? "";
  const key = `${start} ${view.service}`;
  if (key !== view.hour.asked && !view.isOut && view.service) look(key, start, view.service);
  if (at !== view.moment.at && !view.isLooking) remember(at);
  const hours = [];
  for (let one = newest; one > newest - BACK * HOUR_S; one -= HOUR_S) hours.push(one);
  if (!hours.includes(start)) hours.push(start);
  const { hour, moment } = view;
  return [
    h("section", { key: "hour", "aria-labelledby": "hour" },
      h("h2", { id: "hour" }, `${date(start)}, ${minute(start)} to ${minute(start + HOUR_S)} UTC`),
      h("p", { class: "intro" }, "What was seen and done in an hour that is over, and how all stood in each of its minutes. That and samples are kept for a day, decisions for as long as the store has them; the address is a permanent link."),
      h("div", { class: "asking" },
        h("label", { class: "field" }, "Hour ", h("select", {
          id: "then-hour", value: hourOf(start), on: { change: (event) => { location.hash = `#/then/${event.target.value}`; } },
        }, hours.map((one) => h("option", { key: one, value: hourOf(one), title: local(one) }, `${date(one).slice(0, 3)} ${minute(one)} UTC`)))),
        h("label", { class: "field" }, `Minute, ${minute(at)} UTC `, h("input", {
          id: "then-minute", type: "range", min: 0, max: 59, step: 1, value: String((at - start) / MINUTE_S),
          on: { input: (event) => { stay(`#/then/${hourOf(start)}:${event.target.value.padStart(2, "0")}`); } },
        })),
        h("label", { class: "field" }, "Service ", h("select", {
          id: "then-service", value: view.service, on: { change: (event) => { view.service = event.target.value; changed(); } },
        }, names.map((name) => h("option", { key: name, value: name }, name))))),
      hour.problem && h("p", { class: "problem", role: "alert", key: "problem" }, hour.problem)),
    ...stood(moment),
    ...(hour.asked === key && hour.history ? seen(start, at) : [h("p", { class: "intro", key: "wait" }, hour.problem ? "" : "…")]),
    compare(),
  ];
}

/** Another address, without a step in the browser's history and without a jump to the top. */
function stay(address) {
  history.replaceState(null, "", address);
  changed();
}

/** How all stood at the moment that is chosen, in the view of now. */
function stood({ overview, why }) {
  if (!overview) return [h("section", { key: "stood" }, h("p", { class: "intro" }, why || "…"))];
  return [
    h("section", { key: "stood", "aria-labelledby": "stood" },
      h("h2", { id: "stood" }, `As it stood at ${clock(overview.last_updated_s)} UTC`),
      figures(overview)),
    weddings(overview.weddings), services(overview),
  ];
}

async function remember(at) {
  const of = state.me;
  view.isLooking = true;
  let moment = { at, overview: null, why: "" };
  try {
    moment = { ...moment, overview: await ask(`/overview?at=${at}`) };
  } catch (error) {
    moment = { ...moment, why: error.status === 404 ? "How all stood then is not kept: it is for a day, from when the engine was started." : error.message };
  }
  if (of === state.me) view.moment = moment;
  view.isLooking = false;
  changed();
}

const hourOf = (at) => new Date(at * 1000).toISOString().slice(0, 13);

async function look(key, start, service) {
  const of = state.me;
  view.isOut = true;
  let hour = { ...NOTHING, asked: key };
  try {
    const [content, [rows, isWhole]] = await Promise.all([
      ask(`/metrics/realtime?timeRange=1h&until=${start + HOUR_S}&services=${encodeURIComponent(service)}`),
      decided(start),
    ]);
    hour = { ...hour, history: content.services[service].series, rows, isWhole };
  } catch (error) {
    hour = { ...hour, problem: error.message };
  }
  if (of === state.me) view.hour = hour;
  view.isOut = false;
  changed();
}

/**
 * All steps of the hour, and whether these are really all.
 * @returns {Promise<[any[], boolean]>}
 */
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

function seen(start, at) {
  const { hour: { history, rows, isWhole }, service } = view;
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
        chart({ title: `Requests per second at ${service}`, lines: [{ name: "seen", kind: "line", points: points("request_rate") }], now_s: at, mark: "then" }),
        h("h3", { key: "t2" }, "p95, ms"),
        chart({
          title: `p95 of ${service} in milliseconds`,
          lines: [{ name: "p95", kind: "line", points: points("p95_s", 1000) }, { name: "SLO", kind: "limit", points: points("p95_s").map(([t]) => [t, slo]) }],
          now_s: at, mark: "then",
        }),
      ]),
    h("section", { key: "done", "aria-labelledby": "done" },
      h("h2", { id: "done" }, "What the engine did"),
      rows.length === 0 ? h("p", null, "No step of this hour is in the store.") : [
        h("p", { class: "intro", key: "sum" }, `${count(rows.length)} ${rows.length === 1 ? "step" : "steps"} at all services, ${usd(cost, true)}/h in all.`),
        entries(rows),
      ],
      !isWhole && h("p", { key: "more" }, "Too many steps came after this hour for all of its own to be shown.")),
  ];
}
