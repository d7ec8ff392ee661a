/** Then: a moment that is over as it was shown then, what was done in its hour, and earlier runs. */

import { chart } from "./charts.js";
import { compare, records, title } from "./compare.js";
import { h } from "./dom.js";
import { figures, services, weddings } from "./now.js";
import { ask } from "./session.js";
import { changed, now_s, state } from "./state.js";
import { fares, MARKS } from "./verdict.js";
import { clock, count, date, local, minute, usd } from "./words.js";
import { entries } from "./why.js";

const HOUR_S = 3600;
const MINUTE_S = 60;
const BACK = 24;
const MOST_HOURS = 200;
const PAGE = 200;
const MOST_PAGES = 10;

const NOTHING = { asked: "", history: null, rows: [], more: "", problem: "" };
const NO_MOMENT = { at: null, overview: null, why: "" };
const NO_RUN = { asked: "", content: null, problem: "" };
const view = { of: null, service: "", isOut: false, hour: NOTHING, moment: NO_MOMENT, isLooking: false, run: NO_RUN };

/**
 * `text` is an hour or a minute as addresses have them, 2027-06-19T20 or 2027-06-19T20:35, and after
 * a stroke the record of the run that it is of; without it the engine that runs.
 */
export function then(text) {
  const now = now_s();
  if (now === null) return [h("p", { class: "lede" }, "Waiting for the engine’s first step.")];
  if (view.of !== state.me) Object.assign(view, { of: state.me, hour: NOTHING, moment: NO_MOMENT, run: NO_RUN, service: "" });
  const [, hourly, minutes, id = ""] = text.match(/^(?:(\d{4}-\d\d-\d\dT\d\d)(?::(\d\d))?)?(?:\/(.+))?$/) ?? [];
  const given = hourly ? Date.parse(`${hourly}:00:00Z`) / 1000 : NaN;
  const start = Number.isFinite(given) ? given : null;
  const within = Math.min(minutes === undefined ? 59 : Number(minutes), 59) * MINUTE_S;
  return [...(id ? recorded(id, start, within) : running(now, start, within)), compare()];
}

/** Of the engine that runs: what it still knows, and its store. */
function running(now, asked, within) {
  const newest = Math.floor(now / HOUR_S) * HOUR_S;
  const start = asked ?? newest - HOUR_S;
  const at = start + within;
  const all = state.overview.services;
  const service = chosen(Object.keys(all), (name) => all[name].user_facing);
  const key = `${start} ${service}`;
  if (key !== view.hour.asked && !view.isOut && service) look(key, start, service);
  if (at !== view.moment.at && !view.isLooking) remember(at);
  const { hour, moment } = view;
  return [
    choices("", start, at, newest - (BACK - 1) * HOUR_S, newest, Object.keys(all), hour.problem),
    ...stood(moment),
    ...(hour.asked === key && hour.history ? seen(start, at, hour, all[service].slo_p95_s) : [waits(hour.problem)]),
  ];
}

/** Of a run that is over: what its record holds. */
function recorded(id, asked, within) {
  const at = asked === null ? 0 : asked + within;
  const key = `${id} ${at} ${view.service}`;
  if (key !== view.run.asked && !view.isOut) replay(key, id, at);
  const { content, problem } = view.run;
  if (!content || content.id !== id) {
    const start = asked ?? Math.floor(now_s() / HOUR_S) * HOUR_S;
    return [choices(id, start, start + within, start, start, [], problem), waits(problem)];
  }
  // What is shown is at or before what was asked for: the run may have begun or ended in that hour.
  const { overview, from_s, until_s, series, decisions, more, world } = content;
  const start = Math.floor(overview.last_updated_s / HOUR_S) * HOUR_S;
  const none = "The record does not hold them.";
  const wording = world === "twin"
    ? { intro: "As they were: the twin knows.", ahead: "In the two hours after", none }
    : { intro: "As booked, and as late as they usually run.", ahead: "Booked for the two hours after", none };
  const hour = { history: series, rows: decisions, more: more > 0 ? `${count(more)} more of this hour are in the record.` : "" };
  return [
    choices(id, start, asked === null ? overview.last_updated_s : at, Math.floor(from_s / HOUR_S) * HOUR_S, until_s, Object.keys(overview.services), problem),
    ...stood({ overview }, wording),
    ...seen(start, overview.last_updated_s, hour, overview.services[content.service]?.slo_p95_s, false),
  ];
}

function chosen(names, isFirst) {
  if (!names.includes(view.service)) view.service = names.find(isFirst) ?? names[0] ?? "";
  return view.service;
}

const waits = (problem) => h("p", { class: "intro", key: "wait" }, problem ? "" : "…");

/** Which run, hour, minute and service; hours from `first` to `last` can be chosen. */
function choices(id, start, at, first, last, names, problem) {
  const hours = [];
  for (let one = Math.floor(last / HOUR_S) * HOUR_S; one >= first && hours.length < MOST_HOURS; one -= HOUR_S) hours.push(one);
  if (!hours.includes(start)) hours.push(start);
  const runs = (records() ?? []).filter((record) => record.id !== id);
  const own = (records() ?? []).find((record) => record.id === id);
  const minutes = Math.min(Math.max(Math.floor((at - start) / MINUTE_S), 0), 59);
  return h("section", { key: "hour", "aria-labelledby": "hour" },
    h("h2", { id: "hour" }, `${date(start)}, ${minute(start)} to ${minute(start + HOUR_S)} UTC`),
    h("p", { class: "intro" }, id
      ? "An hour of an earlier run, from its record: what was seen and done, and how all stood in each of its minutes. Floors and pauses of people are not in it. The address is a permanent link."
      : "What was seen and done in an hour that is over, and how all stood in each of its minutes. That and samples are kept for a day, decisions for as long as the store has them; what is older is in the records of earlier runs. The address is a permanent link."),
    h("div", { class: "asking" },
      h("label", { class: "field" }, "Run ", h("select", {
        id: "then-run", value: id, on: { change: (event) => { location.hash = event.target.value ? `#/then//${event.target.value}` : "#/then"; } },
      }, h("option", { key: "", value: "" }, "this engine"),
      id && h("option", { key: id, value: id }, own ? title(own) : id),
      runs.map((record) => h("option", { key: record.id, value: record.id }, title(record))))),
      h("label", { class: "field" }, "Hour ", h("select", {
        id: "then-hour", value: hourOf(start), on: { change: (event) => { location.hash = address(event.target.value, id); } },
      }, hours.map((one) => h("option", { key: one, value: hourOf(one), title: local(one) }, `${date(one).slice(0, 3)} ${minute(one)} UTC`)))),
      h("label", { class: "field" }, `Minute, ${minute(start + minutes * MINUTE_S)} UTC `, h("input", {
        id: "then-minute", type: "range", min: 0, max: 59, step: 1, value: String(minutes),
        on: { input: (event) => { stay(address(`${hourOf(start)}:${event.target.value.padStart(2, "0")}`, id)); } },
      })),
      h("label", { class: "field" }, "Service ", h("select", {
        id: "then-service", value: view.service || view.run.content?.service || "", on: { change: (event) => { view.service = event.target.value; changed(); } },
      }, names.map((name) => h("option", { key: name, value: name }, name))))),
    problem && h("p", { class: "problem", role: "alert", key: "problem" }, problem));
}

const address = (when, id) => `#/then/${when}${id && `/${id}`}`;

/** Another address, without a step in the browser's history and without a jump to the top. */
function stay(place) {
  history.replaceState(null, "", place);
  changed();
}

/** How all stood at the moment that is chosen, in the view of now. */
function stood({ overview, why = "" }, given = null) {
  if (!overview) return [h("section", { key: "stood" }, h("p", { class: "intro" }, why || "…"))];
  const { tone, text } = fares(overview);
  const { known_until_s, major_in_progress } = overview.weddings;
  const wording = known_until_s === null && major_in_progress === null
    ? { intro: "Which of them were major is not known.", ahead: "Booked for the two hours after", none: "That is not known." }
    : given;
  return [
    h("section", { key: "stood", "aria-labelledby": "stood" },
      h("h2", { id: "stood" }, `As it stood at ${clock(overview.last_updated_s)} UTC`),
      h("p", { class: `verdict ${tone}` }, h("span", { class: "sign", "aria-hidden": "true" }, MARKS[tone]), h("span", { class: "said" }, text)),
      figures(overview)),
    weddings(overview.weddings, wording), services(overview),
  ];
}

async function remember(at) {
  const of = state.me;
  view.isLooking = true;
  let moment = { at, overview: null, why: "" };
  try {
    moment = { ...moment, overview: await ask(`/overview?at=${at}`) };
  } catch (error) {
    moment = { ...moment, why: error.status === 404 ? "How all stood then is not kept: it is for a day, as far as the engine’s journal goes back. The record of an earlier run may hold it: choose it above." : error.message };
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
    const more = isWhole ? "" : "Too many steps came after this hour for all of its own to be shown.";
    hour = { ...hour, history: content.services[service].series, rows, more };
  } catch (error) {
    hour = { ...hour, problem: error.message };
  }
  if (of === state.me) view.hour = hour;
  view.isOut = false;
  changed();
}

async function replay(key, id, at) {
  const of = state.me;
  view.isOut = true;
  let run = { ...view.run, asked: key, problem: "" };
  const service = view.run.content?.id === id ? view.service : "";
  try {
    const place = id.split("/").map(encodeURIComponent).join("/");
    run.content = await ask(`/records/${place}/hour?at=${at}&service=${encodeURIComponent(service)}`);
    view.service = run.content.service;
    run.asked = `${id} ${at} ${view.service}`;
  } catch (error) {
    run = { ...run, content: null, problem: error.message };
  }
  if (of === state.me) view.run = run;
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

function seen(start, at, { history, rows, more }, slo_s, isLinked = true) {
  const { service } = view;
  // Of an hour that is not over yet there is only what has been.
  const points = (name, times = 1) => history.time_s
    .map((t, i) => [t, history[name][i] === null ? null : history[name][i] * times]).filter(([t]) => t > start);
  const slo = slo_s * 1000;
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
      rows.length === 0 ? h("p", null, isLinked ? "No step of this hour is in the store." : "No step was made in this hour.") : [
        h("p", { class: "intro", key: "sum" }, `${count(rows.length)} ${rows.length === 1 ? "step" : "steps"} at all services, ${usd(cost, true)}/h in all.`),
        entries(rows, isLinked),
      ],
      more && h("p", { key: "more" }, more)),
  ];
}
