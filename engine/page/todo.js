/** To do: what waits for people, what they let stand, and what they may ask for. */

import { h, say } from "./dom.js";
import { alerts } from "./alerts.js";
import { forms } from "./asking.js";
import { mark } from "./now.js";
import { occasions } from "./occasions.js";
import { change } from "./session.js";
import { changed, may, now_s, renew, state } from "./state.js";
import { clock, count, local, plural, roughly, seconds, usd, words } from "./words.js";

/** What somebody has typed for each question, and what came of it. */
const answers = new Map();

export function todo() {
  return [approvals(), alerts(), occasions(), ...forms(), standing()];
}

// --- approvals

function approvals() {
  const ids = new Set(state.approvals.map((one) => one.decision_id));
  for (const id of answers.keys()) if (!ids.has(id)) answers.delete(id);
  return h("section", { key: "approvals", "aria-labelledby": "approvals" },
    h("h2", { id: "approvals" }, "Waiting for people"),
    state.approvals.length === 0
      ? h("p", null, "Nothing waits.")
      : h("ul", { class: "plain questions" }, state.approvals.map(question)));
}

function question(row) {
  const id = row.decision_id;
  const answer = answers.get(id) ?? { why: "", problem: "", isOut: false };
  const put = (part) => { answers.set(id, { ...answer, ...part }); changed(); };
  const left_s = row.expires_s - now_s();
  const mine = row.asked_by && row.asked_by === state.me.name;
  const given = row.approved_by.includes(state.me.name);
  const person = state.me.method !== "certificate";
  const canApprove = person && !mine && !given && may("approve", row.service);
  const canReject = person && may("reject", row.service);
  const down = row.to_instances < row.from_instances;
  const give = async (verb) => {
    const { why } = answers.get(id) ?? answer;
    put({ isOut: true, problem: "" });
    try {
      const result = await change(`/approvals/${encodeURIComponent(id)}/${verb}`, { body: { why } });
      const text = verb === "reject" ? `Rejected: ${row.service}.`
        : result.complete ? `Approved: ${row.service}.`
          : `Approved by you; ${plural(result.approvals_needed - result.approved_by.length, "more person has", "more people have")} to.`;
      answers.set(id, { why: "", problem: "", isOut: false, said: text });
      say(text);
    } catch (error) {
      put({ isOut: false, problem: error.message });
      say(`Not done: ${error.message}`);
    }
    renew("approvals", "decisions");
    changed();
  };
  return h("li", { key: id },
    h("p", { class: "what" }, h("a", { href: `#/decisions/${encodeURIComponent(id)}`, class: "item" },
      `${row.service} ${count(row.from_instances)} → ${count(row.to_instances)}`), " ", mark("warn", words(row.reason))),
    h("p", null, row.explanation),
    h("dl", { class: "facts-list" }, [
      ["Cost", `${usd(row.cost_per_hour, true)}/h`],
      ["Risk", `${down ? "takes instances away" : "adds instances"}; confidence ${roughly(row.confidence)}${row.approvals_needed > 1 ? "; it takes two people" : ""}`],
      ["Expires", h("span", { title: local(row.expires_s) }, left_s > 0 ? `in ${seconds(Math.round(left_s))}, at ${clock(row.expires_s)} UTC` : "now")],
      ["Approved by", `${row.approved_by.join(", ") || "nobody yet"} (${count(row.approved_by.length)} of ${count(row.approvals_needed)})`],
      ...(row.asked_by ? [["Asked for by", row.asked_by]] : []),
    ].map(([label, value]) => h("div", { key: label }, h("dt", null, label), h("dd", null, value)))),
    (canApprove || canReject) && h("div", { class: "answer" },
      h("label", { class: "field" }, canReject ? "Reason (a rejection needs one) " : "Reason ",
        h("input", {
          type: "text", maxlength: 500, value: answer.why, autocomplete: "off",
          on: { input: (event) => put({ why: event.target.value, problem: "" }) },
        })),
      canApprove && h("button", {
        type: "button", class: "primary", key: "approve", disabled: answer.isOut, on: { click: () => give("approve") },
      }, "Approve"),
      canReject && h("button", {
        type: "button", key: "reject", disabled: answer.isOut || !answer.why.trim(), on: { click: () => give("reject") },
      }, "Reject")),
    !canApprove && !canReject && h("p", { class: "facts" },
      mine ? "You asked for it; somebody else answers." : given ? "You have approved it; somebody else has to as well." : "Your roles do not answer this."),
    answer.problem && h("p", { class: "problem", role: "alert" }, answer.problem),
    answer.said && h("p", { class: "done" }, answer.said));
}

// --- what stands

function standing() {
  return h("section", { key: "standing", "aria-labelledby": "standing" },
    h("h2", { id: "standing" }, "What people let stand"),
    state.standing.length === 0
      ? h("p", null, "No pause and no floor.")
      : h("ul", { class: "plain" }, state.standing.map((one, i) => h("li", { key: `${one.kind} ${one.service} ${one.expires_s} ${i}` },
        mark("neutral", one.kind), ` ${saying(one)} `,
        may(one.kind === "floor" ? "drop_floor" : "resume", one.service) && h("button", {
          type: "button", class: "quiet", on: { click: () => withdraw(one) },
        }, one.kind === "floor" ? "Take back" : "Resume")))));
}

function saying(one) {
  const where = one.service || "all services";
  const until = one.expires_s ? `until ${clock(one.expires_s)} UTC` : "until taken back";
  const now = one.holds_now ? "" : "; not now";
  if (one.kind === "floor") return `${where}: at least ${count(one.instances)}, ${until}${one.requested_by ? `, asked for by ${one.requested_by}` : ""}${now}`;
  const how = one.pinned !== null ? `pinned at ${count(one.pinned)}` : one.direction === "all" ? "no scaling" : `no scaling ${one.direction}`;
  return `${where}: ${how}, ${until}${now}`;
}

async function withdraw(one) {
  const kind = one.kind === "floor" ? "floors" : "pauses";
  try {
    await change(`/${kind}/${encodeURIComponent(one.service || "all-services")}`, { method: "DELETE" });
    say(`Taken back: the ${one.kind} of ${one.service || "all services"}.`);
  } catch (error) {
    say(`Not done: ${error.message}`);
    state.problem = error.message;
  }
  renew("standing");
}
