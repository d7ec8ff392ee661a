/** Why: what the engine has done, in sentences, and what stands behind each. */

import { h } from "./dom.js";
import { mark } from "./now.js";
import { ask } from "./session.js";
import { changed, now_s, state } from "./state.js";
import { clock, count, date, local, roughly, seconds, usd, words } from "./words.js";

const view = { service: "", detail: null, asked: "", at: -Infinity, problem: "" };
const RENEW_MS = 2000;

const RULES = {
  cpu: "a threshold on cpu", memory: "a threshold on memory", request_rate: "a threshold on arrivals",
  response_time: "a threshold on response time", queue_depth: "a threshold on waiting requests",
  forecast: "the forecast", wedding_floor: "the floor for major events", emergency: "the emergency path",
  cost: "trimming what is not needed", rollback: "verification of the last step",
  bounds: "the bounds of the service", manual: "what a person asked for", rule: "a rule of your own",
};
const OUTCOMES = {
  requested: ["neutral", "asked for"], accepted: ["neutral", "under way"], completed: ["good", "done"],
  failed: ["bad", "failed"], awaiting: ["warn", "waits for people"], dry_run: ["neutral", "recommended only"],
};
const outcome = (row) => mark(...(OUTCOMES[row.outcome] ?? ["neutral", words(row.outcome)]));

export function why(id) {
  return id ? detail(id) : list();
}

function list() {
  const services = [...new Set(state.decisions.map((one) => one.service))].sort();
  if (view.service && !services.includes(view.service)) services.push(view.service);
  const rows = state.decisions.filter((one) => !view.service || one.service === view.service);
  return [h("section", { "aria-labelledby": "decisions" },
    h("h2", { id: "decisions" }, "Decisions"),
    h("p", { class: "intro" }, "The newest first; each has a page of its own that can be linked to."),
    h("label", { class: "field" }, "Service ",
      h("select", { value: view.service, on: { change: (event) => { view.service = event.target.value; changed(); } } },
        h("option", { value: "", key: "" }, "all"),
        services.map((name) => h("option", { value: name, key: name }, name)))),
    rows.length === 0 ? h("p", null, "None so far.") : entries(rows))];
}

/** Decisions one below the other, each with a link to its own page unless they are of an earlier run. */
export function entries(rows, isLinked = true) {
  return h("ol", { class: "decisions", key: "entries" }, rows.map((row) => h("li", { key: row.decision_id },
    h("time", { title: `${date(row.time_s)}; ${local(row.time_s)}` }, clock(row.time_s)),
    h("div", null,
      h("p", { class: "what" }, isLinked ? h("a", { href: link(row), class: "item" }, change(row)) : change(row), " ", outcome(row)),
      h("p", null, row.explanation || "–"),
      row.why && h("p", { class: "facts" }, row.why),
      h("p", { class: "facts" }, facts(row))))));
}

const link = (row) => `#/decisions/${encodeURIComponent(row.decision_id)}`;
const change = (row) => `${row.service} ${count(row.from_instances)} → ${count(row.to_instances)}`;

const facts = (row) => [
  `by ${RULES[row.reason] ?? words(row.reason)}`,
  `${usd(row.cost_per_hour, true)}/h`,
  `confidence ${roughly(row.confidence)}`,
  row.accepted_s && row.trigger_s && `taken ${seconds(Math.max(row.accepted_s - row.trigger_s, 0))} after its cause`,
].filter(Boolean).join(" · ");

// --- one decision

async function look(id) {
  view.asked = id;
  view.at = performance.now();
  try {
    view.detail = await ask(`/decisions/${encodeURIComponent(id)}/background`);
    view.problem = "";
  } catch (error) {
    view.problem = error.message;
  }
  changed();
}

function detail(id) {
  if (view.asked !== id) Object.assign(view, { detail: null, problem: "" });
  if (view.asked !== id || performance.now() - view.at > RENEW_MS) look(id);
  const back = h("p", { key: "back" }, h("a", { href: "#/why" }, "← All decisions"));
  if (view.problem) return [back, h("p", { class: "lede", key: "problem" }, view.problem)];
  if (!view.detail || view.detail.decision.decision_id !== id) return [back, h("p", { class: "intro", key: "wait" }, "…")];
  const { decision: row, wanted, rollback_plan: plan, verification } = view.detail;
  const evidence = Object.entries(row.evidence);
  return [back, h("section", { key: "detail", "aria-labelledby": "decision" },
    h("h1", { id: "decision" }, change(row), " ", outcome(row)),
    h("p", { class: "lede" }, row.explanation || "–"),
    row.why && h("p", null, row.why),
    h("dl", { class: "facts-list" }, [
      ["Rule", RULES[row.reason] ?? words(row.reason)],
      ["Decided", h("time", { title: local(row.time_s) }, `${clock(row.time_s)} UTC, ${date(row.time_s)}`)],
      ["Taken, done", `${clock(row.accepted_s)}, ${clock(row.completed_s)}`],
      ["Who may let it pass", words(row.category)],
      ["Confidence", roughly(row.confidence)],
      ["Cost", `${usd(row.cost_per_hour, true)}/h`],
      ["Events behind it", row.weddings >= 1 ? `${count(Math.round(row.weddings))} booked then, ${count(Math.round(row.major_weddings))} of them major` : "none"],
      ["Rollback plan", plan.instances === null ? "none" : `${plan.service} back to ${count(plan.instances)}`],
      ["Verification", verified(verification)],
    ].map(([label, value]) => h("div", { key: label }, h("dt", null, label), h("dd", null, value)))),
    evidence.length > 0 && [h("h3", null, "Figures that it was led by"), h("table", { class: "narrow" },
      h("thead", { class: "unseen" }, h("tr", null, h("th", { scope: "col" }, "figure"), h("th", { scope: "col" }, "value"))),
      h("tbody", null, evidence.map(([name, value]) => h("tr", { key: name },
        h("th", { scope: "row" }, words(name)), h("td", { class: "n" }, value === null ? "–" : String(Number(value.toPrecision(5))))))))],
    h("h3", null, "What was wanted in the same step"),
    wanted.length === 0 ? h("p", null, "Nothing else.") : h("table", { class: "cards" },
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "rule"), h("th", { scope: "col", class: "n" }, "wanted"),
        h("th", { scope: "col" }, "taken"), h("th", { scope: "col" }, "why not"))),
      h("tbody", null, wanted.map((one) => h("tr", { key: one.number },
        h("th", { scope: "row" }, RULES[one.reason] ?? words(one.reason)),
        h("td", { class: "n", "data-label": "wanted" }, `${count(one.from_instances)} → ${count(one.to_instances)}`),
        h("td", { class: "how" }, one.outcome === "taken" ? mark("good", "taken") : mark("neutral", "declined")),
        h("td", { "data-label": "why not" }, one.why || "–"))))),
    h("p", { class: "facts" }, "Permanent link: ", h("a", { href: link(row) }, location.origin + location.pathname + link(row))))];
}

function verified({ state: how, until_s, by }) {
  switch (how) {
    case "watched": return `watched for another ${seconds(Math.max(until_s - (now_s() ?? until_s), 0))}; if it makes things worse, it is taken back`;
    case "held": return "nothing got worse after it";
    case "taken_back": return ["things got worse, so it was taken back by ", h("a", { href: `#/decisions/${encodeURIComponent(by)}` }, "another step")];
    case "overtaken": return ["not judged: ", h("a", { href: `#/decisions/${encodeURIComponent(by)}` }, "another step"), " came before"];
    case "under_way": return "not carried out yet";
    default: return "not carried out, so there is nothing to judge";
  }
}

