/**
 * What if: the next hours, tried out in the twin from this moment on, beside what is planned.
 * Nothing is changed by it.
 */

import { chart } from "./charts.js";
import { h, say } from "./dom.js";
import { mark } from "./now.js";
import { ask } from "./session.js";
import { changed, state } from "./state.js";
import { clock, count, roughly, seconds, usd, words } from "./words.js";

const OFFERED = 200;
const ALL = "all services";
const LASTS = [[3600, "1 h"], [7200, "2 h"], [14400, "4 h"]];
const FACTORS = [0.5, 1.5, 2, 3, 5, 10];
const SHOWN = 60;
const AGAIN_MS = 5000; // an engine that is busy, or not reached, is asked anew after so long

const unasked = () => ({
  zone: "", load: "", factor: 3, pause: "", direction: "all", floor: "", instances: "", controller: "", for_s: 7200,
});
const view = {
  of: null, choices: null, isAsking: false, again: 0, problem: "", wish: unasked(), isOut: false, result: null, said: "", service: "",
};

export function whatIf() {
  if (view.of !== state.me) Object.assign(view, { of: state.me, choices: null, again: 0, problem: "", result: null, wish: unasked() });
  if (!view.choices && !view.isAsking && performance.now() >= view.again) begin();
  return [
    h("section", { key: "wish", "aria-labelledby": "wish" },
      h("h2", { id: "wish" }, "What if"),
      h("p", { class: "intro" }, "The twin goes on from this moment, with the engine’s own memory and what it expects, once as planned and once with the change, from a minute from now on. Nothing is done to the platform."),
      view.choices ? form() : !view.problem && h("p", { key: "wait", class: "intro", role: "status" }, "The twin is being started …"),
      view.problem && h("p", { class: "problem", role: "alert", key: "problem" }, view.problem)),
    ...(view.result ? answer(view.result) : []),
  ];
}

async function begin() {
  view.isAsking = true;
  try {
    const choices = await ask("/what-if");
    Object.assign(view, { choices, problem: "" });
  } catch (error) {
    const isLasting = error.status && error.status < 500;
    Object.assign(view, { again: isLasting ? Infinity : performance.now() + AGAIN_MS, problem: error.message });
    if (!isLasting) setTimeout(changed, AGAIN_MS + 1);
  }
  view.isAsking = false;
  changed();
}

// --- the question

function form() {
  const { wish, choices } = view;
  const put = (part) => { Object.assign(wish, part); view.problem = ""; changed(); };
  const names = choices.services;
  const present = choices.controllers[0];
  const body = asked();
  return h("form", { class: "wishes", novalidate: true, key: "form", on: { submit: (event) => { event.preventDefault(); run(asked()); } } },
    row("A zone is lost", select("zone", wish.zone, [["", "none"], ...choices.zones.map((zone) => [zone, zone])], (zone) => put({ zone }), "Zone")),
    row("More load, or less",
      named("load", wish.load, names, (load) => put({ load }), "Service with other load"),
      select("factor", String(wish.factor), FACTORS.map((f) => [String(f), `× ${f}`]), (f) => put({ factor: Number(f) }), "Times the load")),
    row("Scaling is paused",
      named("pause", wish.pause, [ALL, ...names], (pause) => put({ pause }), "Service that is not scaled"),
      select("direction", wish.direction, [["all", "in and out"], ["in", "in"], ["out", "out"]], (direction) => put({ direction }), "Direction that is paused")),
    row("A floor is kept",
      named("floor", wish.floor, names, (floor) => put({ floor }), "Service with a floor"),
      h("input", {
        id: "if-instances", type: "text", inputmode: "numeric", size: 7, value: wish.instances, autocomplete: "off", placeholder: "instances", "aria-label": "Instances of the floor",
        on: { input: (event) => put({ instances: event.target.value.trim() }) },
      })),
    row("Another controller", select("controller", wish.controller, [["", `${words(present)}, as now`], ...choices.controllers.slice(1).map((name) => [name, words(name)])], (controller) => put({ controller }), "Controller")),
    row("For the next", select("for", String(wish.for_s), LASTS.map(([s, text]) => [String(s), text]), (s) => put({ for_s: Number(s) }), "Hours ahead")),
    h("div", { class: "buttons" },
      h("button", { type: "submit", id: "if-try", class: "primary", disabled: !body || view.isOut }, view.isOut ? "Trying …" : "Try it"),
      h("button", { type: "button", id: "if-clear", class: "quiet", on: { click: () => put(unasked()) } }, "Clear")));
}

const row = (label, ...fields) => h("div", { class: "wish", role: "group", "aria-label": label, key: label }, h("span", { class: "label" }, label), ...fields);

const select = (id, value, options, set, label) => h("select", { id: `if-${id}`, value, "aria-label": label, on: { change: (event) => set(event.target.value) } },
  options.map(([key, text]) => h("option", { key, value: key }, text)));

function named(id, value, names, set, label) {
  const wanted = value.toLowerCase();
  const offered = names.length <= OFFERED ? names : names.filter((name) => name.toLowerCase().includes(wanted)).slice(0, OFFERED);
  return [
    h("input", {
      id: `if-${id}`, type: "text", list: `if-${id}-names`, value, autocomplete: "off", spellcheck: "false", placeholder: "no service", "aria-label": label,
      on: { input: (event) => set(event.target.value) },
    }),
    h("datalist", { id: `if-${id}-names` }, offered.map((name) => h("option", { key: name, value: name }, name))),
  ];
}

/** What is sent, null while a name or a number is not whole. */
function asked() {
  const { wish, choices } = view;
  const body = { for_s: wish.for_s };
  const isThere = (name) => choices.services.includes(name);
  if (wish.zone) body.zone = wish.zone;
  if (wish.controller) body.controller = wish.controller;
  if (wish.load) {
    if (!isThere(wish.load)) return null;
    body.load = { service: wish.load, factor: wish.factor };
  }
  if (wish.pause) {
    if (wish.pause !== ALL && !isThere(wish.pause)) return null;
    body.pause = { service: wish.pause === ALL ? "" : wish.pause, direction: wish.direction };
  }
  if (wish.floor) {
    if (!isThere(wish.floor) || !/^[1-9]\d{0,7}$/.test(wish.instances)) return null;
    body.floor = { service: wish.floor, instances: Number(wish.instances) };
  }
  return body;
}

function told(body) {
  const parts = [
    body.zone && `zone ${body.zone} lost`,
    body.load && `${body.load.factor} times the load at ${body.load.service}`,
    body.pause && `${body.pause.service || ALL} not scaled${body.pause.direction === "all" ? "" : ` ${body.pause.direction}`}`,
    body.floor && `at least ${count(body.floor.instances)} of ${body.floor.service}`,
    body.controller && `${words(body.controller)} in control`,
  ].filter(Boolean);
  return parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}` : parts[0] ?? "";
}

async function run(body) {
  if (!body || view.isOut) return;
  const of = state.me;
  view.isOut = true;
  view.problem = "";
  changed();
  try {
    const result = await ask("/what-if", { method: "POST", body });
    if (of === state.me) {
      Object.assign(view, { result, said: told(body), service: "" });
      say(sentence(result));
    }
  } catch (error) {
    view.problem = error.message;
  }
  view.isOut = false;
  changed();
}

// --- the answer

const missed = (branch) => branch.violation_ratio;

function sentence({ plan, changed: other, for_s }) {
  const hours = seconds(for_s);
  if (!other) return `As planned, users miss ${share(missed(plan))} of what they ask for in the next ${hours}, for ${usd(plan.cost_usd)}.`;
  const gap = other.cost_usd - plan.cost_usd;
  const late = Object.entries(other.services).filter(([name, one]) => one.late_s > plan.services[name].late_s)
    .sort((a, b) => b[1].late_s - a[1].late_s);
  const slow = late.length ? ` ${late[0][0]} misses its SLO for ${seconds(late[0][1].late_s)}${late.length > 1 ? `, ${count(late.length - 1)} more for less` : ""}.` : " Each service keeps its SLO as it does as planned.";
  return `With ${view.said}, users miss ${share(missed(other))} of what they ask for in the next ${hours} (as planned ${share(missed(plan))}), for ${usd(other.cost_usd)} (${usd(gap, true)}).${slow}`;
}

const share = (ratio) => (ratio < 1e-7 ? roughly(0) : ratio < 0.0005 ? `${Number((100 * ratio).toPrecision(2))}\u00a0%` : roughly(ratio));

/** good: as planned or better; bad: more than one in a thousand more is missed. */
function tone({ plan, changed: other }) {
  if (!other) return "neutral";
  const more = missed(other) - missed(plan);
  return more > 0.001 ? "bad" : more > 0.0001 ? "warn" : "good";
}

function answer(result) {
  const { plan, changed: other } = result;
  const names = Object.keys(plan.services).sort((a, b) => weight(result, b) - weight(result, a));
  const service = names.includes(view.service) ? view.service : names[0];
  return [
    h("section", { key: "answer", "aria-labelledby": "answer" },
      h("div", { class: `verdict ${tone(result)}` },
        h("h2", { id: "answer" }, sentence(result))),
      h("p", { class: "facts" }, `Tried out in ${seconds(result.took_s)}, from the state of ${clock(result.as_of_s)} UTC. `,
        `The engine takes ${count(plan.actions)} steps as planned${other ? `, ${count(other.actions)} with the change` : ""}. `,
        result.covered_until_s < result.as_of_s + result.for_s && "The calendar does not reach so far; its last load goes on. ",
        [...new Set([...plan.notes, ...(other?.notes ?? [])])].map((note) => `${note}. `)),
      table(result, names)),
    h("section", { key: "curves", "aria-labelledby": "curves" },
      h("h2", { id: "curves" }, "How it goes"),
      h("label", { class: "field" }, "Service ",
        h("select", { id: "if-shown", value: service, on: { change: (event) => { view.service = event.target.value; changed(); } } },
          names.slice(0, OFFERED).map((name) => h("option", { key: name, value: name }, name)))),
      h("h3", null, `Instances ready at ${service}`),
      curve(result, service, "ready", `Instances ready at ${service}`, [["the load needs", "needed", "limit"]]),
      h("h3", null, `p95 of ${service}, ms`),
      curve(result, service, "p95_s", `p95 of ${service} in milliseconds`, [], 1000, plan.services[service].slo_p95_s),
      h("h3", null, "Cost of all services, USD/h"),
      overall(result, "usd_per_hour", "Cost of all services in USD per hour")),
  ];
}

/** How much a service is touched: what is to be seen first. */
function weight({ plan, changed: other }, name) {
  const [before, after] = [plan.services[name], (other ?? plan).services[name]];
  return 1e6 * Math.abs(after.late_s - before.late_s) + 1e3 * Math.abs(after.short_s - before.short_s)
    + Math.abs(after.cost_usd - before.cost_usd) + 1e-6 * before.cost_usd;
}

const at = (series) => (value, i) => [series.start_s + i * series.step_s, value];

function curve({ plan, changed: other }, name, key, title, besides, times = 1, limit = null) {
  const of = (branch, what) => branch.series.services[name][what].map((v) => (v === null ? null : v * times)).map(at(branch.series));
  const lines = [{ name: "as planned", kind: "dashed", points: of(plan, key) }];
  if (other) lines.push({ name: "with the change", kind: "line", points: of(other, key) });
  for (const [text, what, kind] of besides) lines.push({ name: text, kind, points: of(other ?? plan, what) });
  if (limit !== null) lines.push({ name: "SLO", kind: "limit", points: lines[0].points.map(([t]) => [t, limit * times]) });
  return chart({ title, lines });
}

function overall({ plan, changed: other }, key, title) {
  const lines = [{ name: "as planned", kind: "dashed", points: plan.series[key].map(at(plan.series)) }];
  if (other) lines.push({ name: "with the change", kind: "line", points: other.series[key].map(at(other.series)) });
  return chart({ title, lines });
}

function table({ plan, changed: other }, names) {
  const both = (name, text) => (other && text(other.services[name]) !== text(plan.services[name])
    ? [text(plan.services[name]), " → ", h("strong", null, text(other.services[name]))]
    : text(plan.services[name]));
  const columns = [
    ["fewest ready", (one) => count(one.ready_least)], ["most ready", (one) => count(one.ready_most)],
    ["short for", (one) => (one.short_s ? seconds(one.short_s) : "–")],
    ["p95 at most", (one) => seconds(one.p95_most_s)], ["missed", (one) => share(one.violation_ratio)],
    ["USD", (one) => usd(one.cost_usd)],
  ];
  return [
    h("table", { class: "cards tried", key: "table" },
      h("caption", { class: "unseen" }, other ? "Each service: as planned, then with the change" : "Each service, as planned"),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "service"), h("th", { scope: "col" }, "its SLO"),
        columns.map(([title]) => h("th", { scope: "col", class: "n", key: title }, title)))),
      h("tbody", null, names.slice(0, SHOWN).map((name) => {
        const one = (other ?? plan).services[name];
        return h("tr", { key: name }, h("th", { scope: "row" }, name),
          h("td", { class: "how" }, one.late_s ? mark("bad", `missed for ${seconds(one.late_s)}`) : mark("good", "kept")),
          columns.map(([title, text]) => h("td", { class: "n", "data-label": title, key: title }, both(name, text))));
      }))),
    names.length > SHOWN && h("p", { key: "more" }, `${count(SHOWN)} of ${count(names.length)} services are shown, those that are touched most.`),
  ];
}
