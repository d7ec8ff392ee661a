/**
 * What is in no calendar: a launch, a TV spot, a load test.  Somebody proposes it and sees what it
 * would take, somebody else approves it, and whoever may takes it back.
 */

import { h, say } from "./dom.js";
import { mark } from "./now.js";
import { ask, change } from "./session.js";
import { allowed, changed, may, now_s, renew, state } from "./state.js";
import { clock, count, date, minute, plural, roughly, seconds, usd } from "./words.js";

const LASTS = [[900, "15 min"], [1800, "30 min"], [3600, "1 h"], [7200, "2 h"], [14400, "4 h"], [28800, "8 h"]];
const SURE = [[1, "certain"], [0.8, "80 %"], [0.5, "50 %"], [0.2, "20 %"]];
const STEPS = 6;
const AHEAD_S = 7200;
const MARKS = { proposed: "warn", approved: "neutral", under_way: "warn" };
const TO_COME = Object.keys(MARKS);

const empty = () => ({
  name: "", times: "", starts: "", for_s: 1800, sure: 1, why: "", effect: null, problem: "", said: "", isOut: false,
});
const asked = empty();
/** What went wrong with each that is there. */
const problems = new Map();

export function occasions() {
  const there = state.occasions;
  for (const id of problems.keys()) if (!there.some((one) => one.id === id)) problems.delete(id);
  return h("section", { key: "occasions", "aria-labelledby": "occasions" },
    h("h2", { id: "occasions" }, "In no calendar"),
    there.length === 0
      ? h("p", null, "No launch, TV spot or load test is expected.")
      : h("ul", { class: "plain questions" }, there.map(shown)),
    allowed("floor").length > 0 && proposal());
}

const load = (times) => Object.entries(times).map(([name, by]) => `${name} ×${by}`).join(", ");
const span = (one) => `${date(one.starts_s)}, ${minute(one.starts_s)} to ${minute(one.ends_s)} UTC`;

function shown(one) {
  const services = Object.keys(one.times);
  const isToCome = TO_COME.includes(one.status);
  const mine = one.requested_by === state.me.name;
  const canApprove = one.status === "proposed" && !mine && services.every((name) => may("approve", name));
  const withdraws = mine && one.status === "proposed" ? "floor" : "drop_floor";
  const canDrop = isToCome && services.every((name) => may(withdraws, name));
  const send = async (work, text) => {
    problems.delete(one.id);
    try {
      await work();
      say(text);
    } catch (error) {
      problems.set(one.id, error.message);
      say(`Not done: ${error.message}`);
    }
    renew("occasions", "overview");
    changed();
  };
  const at = `/occasions/${encodeURIComponent(one.id)}`;
  return h("li", { key: one.id },
    h("p", { class: "what" }, h("strong", null, one.name), " ", mark(MARKS[one.status] ?? "neutral", one.status.replace("_", " "))),
    h("dl", { class: "facts-list" }, [
      ["When", span(one)],
      ["Times the usual load", load(one.times)],
      ["How sure", roughly(one.sure)],
      ["Proposed by", `${one.requested_by || "–"}${one.why ? `: ${one.why}` : ""}`],
      ...(one.approved_by ? [["Approved by", one.approved_by]] : []),
      ...(one.ended_by ? [["Taken back by", one.ended_by]] : []),
      ...(one.came ? [["What came", load(one.came)]] : []),
      ...(one.past.length ? [["Last time", `${date(one.past[0].starts_s)}: ${load(one.past[0].came)}, expected ${load(one.past[0].expected)}`]] : []),
    ].map(([label, value]) => h("div", { key: label }, h("dt", null, label), h("dd", null, value)))),
    one.preview && preview(one.preview, one.status),
    (canApprove || canDrop) && h("div", { class: "buttons" },
      canApprove && h("button", {
        type: "button", class: "primary", key: "approve",
        on: { click: () => send(() => change(`${at}/approve`, { body: { why: "" } }), `Approved: ${one.name}.`) },
      }, "Approve"),
      canDrop && h("button", {
        type: "button", class: "quiet", key: "drop",
        on: { click: () => send(() => change(at, { method: "DELETE" }), `Taken back: ${one.name}.`) },
      }, "Take back")),
    one.status === "proposed" && mine && h("p", { class: "facts" }, "You proposed it; somebody else approves it."),
    problems.has(one.id) && h("p", { class: "problem", role: "alert" }, problems.get(one.id)));
}

/** What it takes besides what is expected anyway. */
function preview(taken, status) {
  const rows = Object.entries(taken.services);
  const stands = status === "approved" || status === "under_way";
  return h("div", { key: "preview" },
    h("p", null, `It takes ${usd(taken.cost_usd)} more in all. `,
      !taken.is_known && "The calendar does not reach so far, so more may be needed. ",
      stands && (taken.is_ready ? "What it needs stands ready." : "What it needs does not stand ready yet.")),
    h("table", null,
      h("thead", null, h("tr", null, ["Service", "Needs", "Usually", "Ready"].map((text) => h("th", { key: text, scope: "col" }, text)))),
      h("tbody", null, rows.map(([name, one]) => h("tr", { key: name },
        h("th", { scope: "row" }, name),
        [one.needed, one.usual, one.ready].map((value, i) => h("td", { key: i }, count(value))))))),
    taken.steps.length > 0 && h("ul", { class: "plain" },
      taken.steps.slice(0, STEPS).map((step, i) => h("li", { key: i },
        `${minute(step.at_s)} UTC: ${step.service} ${count(step.from_instances)} → ${count(step.to_instances)}`
        + (step.to_instances > step.from_instances ? `, in service by ${clock(step.ready_s)}` : ""))),
      taken.steps.length > STEPS && h("li", { key: "more" }, `and ${plural(taken.steps.length - STEPS, "more step", "more steps")}`)));
}

// --- a new one

/** The value of a field for a time of day: that many minutes from now, to the minute. */
const field_time = (time_s) => new Date(Math.ceil(time_s / 60) * 60_000).toISOString().slice(0, 16);

/** The load as the API takes it; raises Error naming what is no figure. */
function times_of(text) {
  const pairs = text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
    const match = /^(.+?)\s*[=×*\s]\s*(\d+(?:\.\d+)?)$/.exec(part);
    if (!match) throw new Error(`load: "${part}" is not allowed (a service and how many times its usual load: api 3)`);
    return [match[1], Number(match[2])];
  });
  return Object.fromEntries(pairs);
}

function request(dry_run) {
  const starts_s = Date.parse(`${asked.starts}:00Z`) / 1000;
  return {
    name: asked.name.trim(), times: times_of(asked.times), starts_s, ends_s: starts_s + asked.for_s,
    sure: asked.sure, why: asked.why, dry_run,
  };
}

function proposal() {
  const put = (part) => { Object.assign(asked, { effect: null, problem: "", said: "" }, part); changed(); };
  const isWhole = asked.name.trim() && asked.times.trim() && asked.starts;
  const run = async (work) => {
    asked.isOut = true;
    changed();
    try {
      await work();
    } catch (error) {
      Object.assign(asked, { problem: error.message, effect: null });
      say(`Not done: ${error.message}`);
    }
    asked.isOut = false;
    changed();
  };
  const show = async () => {
    asked.effect = (await ask("/occasions", { method: "POST", body: request(true) })).preview;
  };
  const propose = async () => {
    const made = await change("/occasions", { body: request(false) });
    Object.assign(asked, empty(), { starts: asked.starts, said: `Proposed: ${made.name}. Somebody else approves it.` });
    say(asked.said);
    renew("occasions");
  };
  const text = (name, label, hint, attributes) => h("label", { class: "field", key: name }, `${label} `,
    h("input", {
      id: `occasion-${name}`, type: "text", autocomplete: "off", maxlength: 500, placeholder: hint, value: asked[name],
      ...attributes, on: { input: (event) => put({ [name]: event.target.value }) },
    }));
  const choice = (name, label, options) => h("label", { class: "field", key: name }, `${label} `,
    h("select", { id: `occasion-${name}`, value: String(asked[name]), on: { change: (event) => put({ [name]: Number(event.target.value) }) } },
      options.map(([value, words]) => h("option", { key: value, value: String(value) }, words))));
  return h("details", { key: "proposal" },
    h("summary", { on: { click: () => { if (!asked.starts && now_s()) put({ starts: field_time(now_s() + AHEAD_S) }); } } }, "Propose one"),
    h("form", { class: "asking", novalidate: true, on: { submit: (event) => { event.preventDefault(); if (isWhole && !asked.isOut) run(show); } } },
      text("name", "What it is", "TV spot", { maxlength: 100 }),
      text("times", "Load, times the usual", "api 3, real-time 2.5", { spellcheck: "false" }),
      text("starts", "Begins (UTC)", "", { type: "datetime-local" }),
      choice("for_s", "Lasts", LASTS),
      choice("sure", "How sure", SURE),
      h("label", { class: "field wide" }, "Reason ",
        h("input", { id: "occasion-why", type: "text", maxlength: 500, value: asked.why, autocomplete: "off", on: { input: (event) => put({ why: event.target.value }) } })),
      h("div", { class: "buttons" },
        h("button", { type: "submit", id: "occasion-show", disabled: !isWhole || asked.isOut }, "Show what it takes"),
        h("button", {
          type: "button", id: "occasion-do", class: "primary", disabled: !asked.effect || asked.isOut, on: { click: () => run(propose) },
        }, "Propose"))),
    h("div", { class: "effect", role: "status", "aria-live": "polite" },
      asked.effect && preview(asked.effect, "proposed"),
      asked.problem && h("p", { class: "problem", key: "problem" }, asked.problem),
      asked.said && h("p", { class: "done", key: "said" }, asked.said)),
    h("p", { class: "facts" }, `It lasts for at most ${seconds(LASTS.at(-1)[0])} here; longer ones, and the time in which it rises, through the API.`));
}
