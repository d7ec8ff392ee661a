/** The incidents that people are told of: who takes them on, and who is told next. */

import { h, say } from "./dom.js";
import { mark } from "./now.js";
import { change } from "./session.js";
import { changed, may, now_s, renew, state } from "./state.js";
import { clock, count, local, plural, seconds, sentence, words } from "./words.js";

const TONES = { critical: "bad", warning: "warn", info: "neutral" };
/** What somebody has typed for each incident, and what came of it. */
const answers = new Map();

export function alerts() {
  if (state.alerts === null) return null; // the engine runs without the monitor
  const ids = new Set(state.alerts.map((one) => one.id));
  for (const id of answers.keys()) if (!ids.has(id)) answers.delete(id);
  return h("section", { key: "alerts", "aria-labelledby": "alerts" },
    h("h2", { id: "alerts" }, "Incidents"),
    state.alerts.length === 0
      ? h("p", null, "None is open.")
      : h("ul", { class: "plain questions" }, state.alerts.map(incident)));
}

function incident(one) {
  const answer = answers.get(one.id) ?? { why: "", problem: "", said: "", isOut: false };
  const put = (part) => { answers.set(one.id, { ...answer, ...part }); changed(); };
  const canTake = !one.acknowledged_by && may("acknowledge", one.service);
  const canTell = one.level < one.levels && may("escalate", one.service);
  const give = async (verb, said) => {
    const { why } = answers.get(one.id) ?? answer;
    put({ isOut: true, problem: "" });
    try {
      await change(`/alerts/${encodeURIComponent(one.id)}/${verb}`, { body: { why } });
      answers.set(one.id, { why: "", problem: "", isOut: false, said });
      say(said);
    } catch (error) {
      put({ isOut: false, problem: error.message });
      say(`Not done: ${error.message}`);
    }
    renew("alerts");
    changed();
  };
  return h("li", { key: one.id, class: one.acknowledged_by ? "taken" : "" },
    h("p", { class: "what" }, one.service, " ", mark(TONES[one.severity] ?? "neutral", words(one.severity))),
    one.words.map((text, i) => h("p", { key: `w${i}` }, sentence(text))),
    h("dl", { class: "facts-list" }, [
      ["Open for", h("span", { title: local(one.opened_s) }, `${seconds(Math.max(Math.round((now_s() ?? one.opened_s) - one.opened_s), 0))}, since ${clock(one.opened_s)} UTC`)],
      ["Told", `level ${count(one.level)} of ${count(one.levels)}, ${plural(one.notices, "notice")}`],
      ["Taken on", one.acknowledged_by ? `by ${one.acknowledged_by}, at ${clock(one.acknowledged_s)} UTC` : "by nobody yet"],
    ].map(([label, value]) => h("div", { key: label }, h("dt", null, label), h("dd", null, value)))),
    (canTake || canTell) && h("div", { class: "answer" },
      h("label", { class: "field" }, "Reason ",
        h("input", { type: "text", maxlength: 500, value: answer.why, autocomplete: "off", on: { input: (event) => put({ why: event.target.value, problem: "" }) } })),
      canTake && h("button", { type: "button", class: "primary", key: "take", disabled: answer.isOut, on: { click: () => give("acknowledge", `Taken on: ${one.service}.`) } }, "Acknowledge"),
      canTell && h("button", { type: "button", key: "tell", disabled: answer.isOut, on: { click: () => give("escalate", `The next people are told of ${one.service}.`) } }, "Escalate")),
    answer.problem && h("p", { class: "problem", role: "alert", key: "problem" }, answer.problem),
    answer.said && h("p", { class: "done", key: "said" }, answer.said));
}
