/**
 * What people may ask for: a pause, a floor, a count.  A button is live only once what it would do
 * was shown, and is not any more when what was asked for has changed.
 */

import { h, say } from "./dom.js";
import { ask, change } from "./session.js";
import { allowed, changed, may, now_s, renew, state } from "./state.js";
import { clock, count, seconds, usd } from "./words.js";

const LASTS = [[1800, "30 min"], [3600, "1 h"], [7200, "2 h"], [14400, "4 h"], [86400, "1 day"]];
const MOST_PAST_S = 3600; // what passes the limits holds for so long at the most
const OFFERED = 200;
const ALL = "all services";

const empty = () => ({
  service: "", instances: "", direction: "in", for_s: 3600, why: "", past: false, effect: null, problem: "", said: "",
  isOut: false,
});
const asked = { pause: empty(), floor: empty(), scale: empty() };

/** Those forms that whoever looks may use. */
export function forms() {
  const pausable = allowed("pause");
  const floored = allowed("floor");
  const scaled = Object.keys(state.overview?.services ?? {})
    .filter((name) => may("scale_out", name) || may("scale_in", name));
  return [
    scaled.length > 0 && form("scale", "Scale by hand", scaled, [instances, past], showScale, doScale, "Scale"),
    floored.length > 0 && form("floor", "Keep a floor", floored, [instances], showFloor, doFloor, "Keep it"),
    (pausable.length > 0 || may("pause", "")) && form(
      "pause", "Pause scaling", may("pause", "") ? [ALL, ...pausable] : pausable, [direction], showPause, doPause, "Pause"),
  ];
}

function form(kind, title, names, fields, show, act, verb) {
  const one = asked[kind];
  const put = (part) => { Object.assign(one, { effect: null, problem: "", said: "" }, part); changed(); };
  const wanted = one.service.toLowerCase();
  const offered = names.length <= OFFERED ? names : names.filter((name) => name.toLowerCase().includes(wanted)).slice(0, OFFERED);
  const isPast = goesPast(one);
  const isWhole = (!isPast || one.why.trim()) && names.includes(one.service) && fields.every((field) => field !== instances || /^\d{1,8}$/.test(one.instances));
  const run = async (work) => {
    one.isOut = true;
    changed();
    try {
      await work(one);
    } catch (error) {
      Object.assign(one, { problem: error.message, effect: null });
      say(`Not done: ${error.message}`);
    }
    one.isOut = false;
    changed();
  };
  return h("section", { key: kind, "aria-labelledby": `${kind}-title` },
    h("h2", { id: `${kind}-title` }, title),
    h("form", { class: "asking", novalidate: true, on: { submit: (event) => { event.preventDefault(); if (isWhole && !one.isOut) run(show); } } },
      h("label", { class: "field" }, "Service ",
        h("input", {
          id: `${kind}-service`, type: "text", list: `${kind}-names`, value: one.service, autocomplete: "off", spellcheck: "false",
          on: { input: (event) => put({ service: event.target.value }) },
        }),
        h("datalist", { id: `${kind}-names` }, offered.map((name) => h("option", { key: name, value: name }, name)))),
      fields.map((field) => field(kind, one, put)),
      h("label", { class: "field" }, "For ",
        h("select", { id: `${kind}-for`, value: String(one.for_s), on: { change: (event) => put({ for_s: Number(event.target.value) }) } },
          LASTS.filter(([s]) => !isPast || Number(s) <= MOST_PAST_S).map(([s, text]) => h("option", { key: s, value: String(s) }, text)))),
      h("label", { class: "field wide" }, isPast ? "Reason (it needs one) " : "Reason ",
        h("input", { id: `${kind}-why`, type: "text", maxlength: 500, value: one.why, autocomplete: "off", on: { input: (event) => put({ why: event.target.value }) } })),
      h("div", { class: "buttons" },
        h("button", { type: "submit", id: `${kind}-show`, disabled: !isWhole || one.isOut }, "Show what it does"),
        h("button", {
          type: "button", id: `${kind}-do`, class: "primary", disabled: one.effect?.isPast !== isPast || one.isOut,
          on: { click: () => run(act) },
        }, isPast ? `${verb} past the limits` : verb))),
    h("div", { class: "effect", role: "status", "aria-live": "polite" },
      one.effect && [h("p", { key: "effect" }, one.effect.text),
        one.effect.warnings.length > 0 && h("ul", { key: "warnings" }, one.effect.warnings.map((text) => h("li", { key: text }, text)))],
      one.problem && h("p", { class: "problem", key: "problem" }, one.problem),
      one.said && h("p", { class: "done", key: "said" }, one.said)));
}

const instances = (kind, one, put) => h("label", { class: "field", key: "instances" }, "Instances ",
  h("input", {
    id: `${kind}-instances`, type: "text", inputmode: "numeric", pattern: "[0-9]*", size: 7, value: one.instances, autocomplete: "off",
    on: { input: (event) => put({ instances: event.target.value.trim() }) },
  }));

/** In an emergency, for whoever may: all at once. */
const past = (kind, one, put) => may("override", one.service) && h("label", { class: "field", key: "past" }, "How ",
  h("select", {
    id: `${kind}-past`, value: one.past ? "past" : "within",
    on: { change: ({ target }) => put({ past: target.value === "past", for_s: Math.min(one.for_s, target.value === "past" ? MOST_PAST_S : Infinity) }) },
  }, [["within", "within the limits"], ["past", "past the limits"]].map(([value, text]) => h("option", { key: value, value }, text))));

/** Whether that is asked for, and may be still: an emergency can be over since. */
const goesPast = (one) => one.past && may("override", one.service);

const direction = (kind, one, put) => h("label", { class: "field", key: "direction" }, "What ",
  h("select", { id: `${kind}-direction`, value: one.direction, on: { change: (event) => put({ direction: event.target.value }) } },
    [["in", "no scaling in"], ["out", "no scaling out"], ["all", "no scaling at all"]].map(([value, text]) => h("option", { key: value, value }, text))));

const until = (one) => `until ${clock(now_s() + one.for_s)} UTC (${seconds(one.for_s)})`;
const finished = (kind, text) => {
  asked[kind] = Object.assign(empty(), { said: text, service: asked[kind].service });
  say(text);
  renew("standing", "overview", "approvals", "decisions");
};

// --- a count

const scaling = (one, dry_run) => ({
  service: one.service, instances: Number(one.instances), why: one.why, for_s: one.for_s, dry_run, override: goesPast(one),
});

async function showScale(one) {
  const { version } = await ask(`/services/${encodeURIComponent(one.service)}`);
  const result = await ask("/actions/scale", { method: "POST", body: scaling(one, true) });
  one.version = version;
  one.effect = {
    isPast: result.override,
    text: `${result.service} goes from ${count(result.from_instances)} to ${count(result.to_instances)} instances, `
      + `${usd(result.cost_per_hour, true)}/h, done at about ${clock(result.estimated_completion_s)} UTC, and stays there ${until(one)}. `
      + `Taken back, it goes to ${count(result.rollback_plan.instances)}.`,
    warnings: result.override
      ? ["in one step, past the rest after it, budget and quota: what it costs is taken from what other services could have", ...result.warnings]
      : result.warnings,
  };
}

async function doScale(one) {
  const result = await change("/actions/scale", { body: scaling(one, false), headers: { "If-Match": `"${one.version}"` } });
  finished("scale", `Asked for: ${result.service} to ${count(result.to_instances)}. The engine takes it at its next step.`);
}

// --- a floor

async function showFloor(one) {
  const { desired, price_per_hour, max_instances, floors } = await ask(`/services/${encodeURIComponent(one.service)}`);
  const least = Number(one.instances);
  if (least < 1 || least > max_instances) throw new Error(`instances: 1 … ${count(max_instances)} are allowed`);
  const more = Math.max(least - desired, 0);
  one.effect = {
    isPast: false,
    text: `${one.service} has ${count(desired)}; it keeps at least ${count(least)} ${until(one)}. `
      + (more ? `That is ${count(more)} more, ${usd(more * price_per_hour, true)}/h.` : "That costs nothing now."),
    warnings: floors.length ? [`it takes the place of the floor of ${count(floors[0].instances)} that stands`] : [],
  };
}

async function doFloor(one) {
  await change("/floors", { body: { service: one.service, instances: Number(one.instances), for_s: one.for_s, why: one.why } });
  finished("floor", `${one.service} keeps at least ${count(Number(one.instances))}.`);
}

// --- a pause

function showPause(one) {
  const all = one.service === ALL;
  const services = Object.entries(state.overview.services).filter(([name]) => all || name === one.service);
  const short = services.filter(([, s]) => s.carrying !== null && s.ready < s.carrying).map(([name]) => name);
  const what = { in: "is scaled in", out: "is scaled out", all: "is scaled" }[one.direction];
  const warnings = [];
  if (one.direction !== "in") {
    warnings.push("what comes meanwhile has to be carried by what is there");
    if (short.length) warnings.push(`short already: ${short.slice(0, 5).join(", ")}`);
  }
  if (one.direction !== "out") warnings.push("what is not needed any more goes on costing");
  one.effect = { isPast: false, text: `${all ? "Nothing" : `${one.service}: nothing`} ${what} ${until(one)}.`, warnings };
}

async function doPause(one) {
  const service = one.service === ALL ? "" : one.service;
  await change("/pauses", { body: { service, direction: one.direction, for_s: one.for_s, why: one.why } });
  finished("pause", `Paused: ${one.service}.`);
}
