/** Next: what will be needed, and whether it stands ready in time. */

import { chart } from "./charts.js";
import { h } from "./dom.js";
import { mark } from "./now.js";
import { ask } from "./session.js";
import { changed, now_s, state } from "./state.js";
import { compact, count, countdown, local, minute, plural, sentence, words } from "./words.js";

const TONES = { ready: "good", on_its_way: "neutral", late: "bad" };
const RENEW_MS = 3000;
const SHOWN = 60;
const view = { service: "", history: null, at: -Infinity, isOut: false };

export function next() {
  const { overview } = state;
  if (!overview) return [h("p", { class: "lede" }, "Waiting for the engine’s first step.")];
  return [board(overview), steps(overview), forecast(overview), floors(overview)];
}

function board({ majors, weddings }) {
  return h("section", { key: "board", "aria-labelledby": "board" },
    h("h2", { id: "board" }, `Major ${weddings.noun} to come`),
    h("p", { class: "intro" }, "Those that begin within four hours, by half hours: instances that their services need then, of those that users wait for."),
    majors.length === 0
      ? h("p", null, "None is booked.")
      : h("table", { class: "cards" },
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "begins"),
          ["T", "events", "ready", "needed"].map((text) => h("th", { scope: "col", class: "n", key: text }, text)),
          h("th", { scope: "col" }, "capacity"), h("th", { scope: "col" }, "short of it"))),
        h("tbody", null, majors.map((one) => h("tr", { key: one.at_s },
          h("th", { scope: "row", title: local(one.at_s) }, `${minute(one.at_s)} UTC`),
          h("td", { class: "n", "data-label": "T" }, countdown(one.at_s - now_s())),
          h("td", { class: "n", "data-label": "events" }, compact(one.events)),
          h("td", { class: "n", "data-label": "ready" }, count(one.ready)),
          h("td", { class: "n", "data-label": "needed" }, count(one.needed)),
          h("td", { class: "how" }, mark(TONES[one.state], words(one.state))),
          h("td", { "data-label": "short of it" }, one.short.length
            ? one.short.map((s) => `${s.service} ${count(s.ready)} of ${count(s.needed)}${s.desired >= s.needed ? " (booting)" : ""}`).join(", ")
              + (now_s() < one.due_s ? `; due from ${minute(one.due_s)}` : "")
            : "nothing"))))));
}

function steps(overview) {
  const { capacity } = state;
  if (!capacity) return null; // whoever looks may not have it worked out
  const rows = [];
  for (const [name, one] of Object.entries(capacity.services)) {
    let from = overview.services[name]?.desired ?? one.desired;
    for (const need of one.needed) {
      if (need.instances > from && need.at_s > now_s()) {
        rows.push({ name, from, need });
        from = need.instances;
      }
    }
  }
  rows.sort((a, b) => a.need.at_s - b.need.at_s || (a.name < b.name ? -1 : 1));
  return h("section", { key: "steps", "aria-labelledby": "steps" },
    h("h2", { id: "steps" }, "Steps to come"),
    h("p", { class: "intro" }, "By the forecasts as they are now; the engine begins each early enough to have booted. What will not be needed any more is trimmed later, when it is sure."),
    rows.length === 0
      ? h("p", null, "No service needs more than it has within two hours.")
      : h("table", { class: "cards" },
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "service"),
          ["by", "from", "to", "expected, 1/s"].map((text) => h("th", { scope: "col", class: "n", key: text }, text)))),
        h("tbody", null, rows.slice(0, SHOWN).map(({ name, from, need }) => h("tr", { key: `${name} ${need.horizon_s}` },
          h("th", { scope: "row" }, name),
          h("td", { class: "n", "data-label": "by", title: local(need.at_s) }, `${minute(need.at_s)} UTC`),
          h("td", { class: "n", "data-label": "from" }, count(from)),
          h("td", { class: "n", "data-label": "to" }, count(need.instances)),
          h("td", { class: "n", "data-label": "expected, 1/s" }, `${compact(need.request_rate_q50)} … ${compact(need.request_rate_q90)}`))))),
    rows.length > SHOWN && h("p", null, `${count(rows.length - SHOWN)} more follow.`));
}

// --- the forecast of one service

async function look(name) {
  view.isOut = true;
  view.at = performance.now();
  try {
    const content = await ask(`/metrics/realtime?timeRange=2h&services=${encodeURIComponent(name)}`);
    if (name === view.service) view.history = content.services[name];
  } catch {
    view.history = null;
  }
  view.isOut = false;
  changed();
}

function forecast(overview) {
  const names = Object.keys(overview.services);
  if (!names.includes(view.service)) {
    view.service = names.find((name) => overview.services[name].user_facing) ?? names[0] ?? "";
    view.history = null;
    view.at = -Infinity;
  }
  if (!view.isOut && view.service && performance.now() - view.at > RENEW_MS) look(view.service);
  const { history } = view;
  const one = overview.services[view.service];
  return h("section", { key: "forecast", "aria-labelledby": "forecast" },
    h("h2", { id: "forecast" }, "Demand, so far and forecast"),
    h("label", { class: "field" }, "Service ",
      h("select", {
        value: view.service,
        on: { change: (event) => { view.service = event.target.value; view.history = null; view.at = -Infinity; changed(); } },
      }, names.map((name) => h("option", { key: name, value: name }, name)))),
    !history || !one ? h("p", { class: "intro" }, "…") : picture(history, one));
}

function picture(history, one) {
  const rates = history.series.request_rate;
  const past = history.series.time_s.map((t, i) => [t, rates[i]]);
  const last = [...past].reverse().find(([, v]) => v !== null);
  const come = history.predictions.filter((p) => p.q50 !== null && (!last || p.at_s > last[0]));
  const begin = last ? [[last[0], last[1], last[1]]] : [];
  const carried = one.ready * one.rate_per_instance;
  const ends = [past[0]?.[0], come.length ? come[come.length - 1].at_s : last?.[0]];
  return [
    chart({
      title: `Requests per second at ${view.service}, two hours back and two ahead`,
      bands: come.length ? [{ name: "forecast, 10 … 90 %", points: [...begin, ...come.map((p) => [p.at_s, p.q10, p.q90])] }] : [],
      lines: [
        { name: "demand", kind: "line", points: past },
        ...(come.length ? [{ name: "forecast", kind: "dashed", points: [...begin.map((p) => p.slice(0, 2)), ...come.map((p) => [p.at_s, p.q50])] }] : []),
        { name: "what the ready ones could carry", kind: "limit", points: ends.map((t) => [t, carried]) },
      ],
      now_s: now_s(),
      unit: "1/s",
    }),
    come.length === 0 && h("p", { class: "intro", key: "none" }, "There is no forecast of it: the calendar does not cover it, or it was not seen for long enough."),
  ];
}

function floors({ services, weddings }) {
  const held = Object.entries(services).filter(([, one]) => one.wedding_floor > 0);
  const asked = state.standing.filter((one) => one.kind === "floor");
  return h("section", { key: "floors", "aria-labelledby": "floors" },
    h("h2", { id: "floors" }, "Floors and protection"),
    h("p", null, weddings.protection
      ? `Major ${weddings.noun} are in progress or near: no service is scaled in below what the next two hours need.`
      : `No major ${weddings.noun} within the time that protection looks ahead.`),
    held.length > 0 && h("ul", { class: "plain", key: "held" }, held.slice(0, SHOWN).map(([name, one]) => h("li", { key: name },
      h("strong", null, name), ` keeps ${count(one.wedding_floor)} for them; it has ${count(one.ready)}.`))),
    held.length > SHOWN && h("p", { key: "more" }, `${plural(held.length - SHOWN, "more service")}.`),
    asked.length > 0 && h("ul", { class: "plain", key: "asked" }, asked.map((one, i) => h("li", { key: i },
      h("strong", null, one.service), ` keeps ${count(one.instances)}, as ${one.requested_by || "somebody"} asked${one.holds_now ? "" : " (not now)"}`,
      one.expires_s ? `, until ${minute(one.expires_s)} UTC.` : "."))),
    !held.length && !asked.length && h("p", { class: "intro", key: "none" }, sentence("no floor stands.")));
}
