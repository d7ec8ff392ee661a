/** The frame: who looks, where, and how fresh what he sees is. */

import { draw, h, say } from "./dom.js";
import { openKeys, watchKeys } from "./keys.js";
import { next } from "./next.js";
import { now } from "./now.js";
import { ask, keep } from "./session.js";
import { age_s, changed, enter, hasToken, isStale, leave, now_s, painted_by, state, waiting } from "./state.js";
import { then } from "./then.js";
import { todo } from "./todo.js";
import { MARKS, verdict } from "./verdict.js";
import { whatIf } from "./whatif.js";
import { why } from "./why.js";
import { ago, clock, date, local } from "./words.js";

/**
 * Each view: its place in the address, its name, and what draws it.
 * @type {[string, string, (id?: string) => unknown[]][]}
 */
const VIEWS = [
  ["now", "Now", now], ["next", "Next", next], ["why", "Why", why], ["todo", "To do", todo], ["if", "What if", whatIf], ["then", "Then", then],
];
/** Those that are there for whoever looks. */
const views = () => VIEWS.filter(([name]) => name !== "if" || state.me?.what_if);

const place = () => {
  const [, name, id] = location.hash.match(/^#\/([a-z]+)(?:\/(.*))?$/) ?? [];
  if (name === "decisions" && id) return { name: "why", id: decoded(id) };
  return { name: views().some(([one]) => one === name) ? name : "now", id: name === "then" && id ? decoded(id) : "" };
};

const decoded = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

let heard = "";

function paint() {
  const { name, id } = place();
  const inside = state.me !== null;
  draw(document.getElementById("bar"), inside && [bar(name), emergency()]);
  const main = document.getElementById("main");
  if (!inside) {
    draw(main, h("div", { key: "login", class: "view" }, login()));
    document.title = "WedTwin";
    heard = "";
    say("");
    return;
  }
  const [, title, view] = VIEWS.find(([one]) => one === name);
  const isHeaded = name === "now" || (name === "why" && id !== ""); // those have a heading of their own
  draw(main, h("div", { key: name === "then" ? name : `${name} ${id}`, class: "view" }, !isHeaded && h("h1", { class: "unseen", key: "title" }, title), view(id)));
  const { tone } = verdict();
  document.title = `${MARKS[tone]} ${title} · WedTwin`;
  const sound = `${tone} ${state.live} ${waiting()}`;
  if (state.overview && state.isTried && sound !== heard) {
    heard = sound;
    say(state.live ? verdict().text : "The connection to the engine is lost; trying again.");
  }
}

function bar(name) {
  const [tone, text] = freshness();
  return h("header", { class: "top" },
    h("a", { class: "brand", href: "#/now", "aria-label": "WedTwin, now" }, h("img", { src: "/page/icon.svg", alt: "", width: 22, height: 22 }), h("span", null, "WedTwin")),
    h("nav", { "aria-label": "Views" }, views().map(([one, title]) => h("a", {
      key: one, href: `#/${one}`, "aria-current": one === name ? "page" : null,
    }, title, one === "todo" && waiting() > 0 && h("span", { class: "number" }, String(waiting()))))),
    h("div", { class: "fresh" },
      h("span", { class: `mark ${tone}`, id: "fresh" }, `${MARKS[tone]} ${text}`),
      now_s() !== null && h("time", { title: `${date(now_s())}; ${local(now_s())}` }, `${clock(now_s())} UTC`)),
    h("div", { class: "who" },
      h("span", { title: state.me.roles.join(", ") }, state.me.name),
      h("button", { type: "button", class: "quiet", "aria-label": "Keys", on: { click: openKeys } }, "?"),
      h("button", { type: "button", class: "quiet", id: "leave", on: { click: () => leave() } }, "Log out")));
}

/** Emergency access is never without a word. */
function emergency() {
  if (state.me.method !== "break_glass") return null;
  return h("p", { class: "emergency bad", role: "status", key: "emergency" },
    `Emergency access of ${state.me.name}, until ${clock(state.me.expires_s)} UTC: everybody is told, all of it is written down, and somebody else reviews it.`);
}

function freshness() {
  const age = age_s();
  if (!state.isTried) return ["neutral", "Connecting"];
  if (!state.live) return ["bad", `Disconnected${age === null ? "" : `, figures are ${ago(age).replace(" ago", " old")}`}; trying again`];
  if (age === null) return ["neutral", "Connected"];
  if (isStale()) return ["warn", `Stale: heard of ${ago(age)}`];
  return ["good", `Live, ${ago(age)}`];
}

// --- who looks

const typed = { token: "", code: "", reason: "", isOut: false };

function login() {
  return h("form", {
    class: "login", novalidate: true,
    on: {
      submit: (event) => {
        event.preventDefault();
        begin(typed.token.trim());
      },
    },
  },
    h("img", { src: "/page/icon.svg", alt: "", width: 44, height: 44 }),
    h("h1", null, "WedTwin"),
    h("p", { class: "intro" }, "Are the weddings safe? Show who you are with a token: the engine prints one at its first start (", h("code", null, "token: wt_…"), "), and makes others with ", h("code", null, "python -m engine token create"), "."),
    h("label", { class: "field" }, "Token ", h("input", {
      id: "token", type: "password", autocomplete: "off", spellcheck: "false", value: typed.token,
      on: { input: (event) => { typed.token = event.target.value; } },
    })),
    h("button", { type: "submit", class: "primary", disabled: typed.isOut }, "Log in"),
    emergencyEntry(),
    state.problem && h("p", { class: "problem", role: "alert" }, state.problem),
    h("p", { class: "facts" }, "It stays in this tab, and goes when the tab is closed."));
}

/** Where nobody can log in: a code that was sealed beforehand gives a token for an hour. */
function emergencyEntry() {
  const open = () => {
    typed.isOut = true;
    ask("/break-glass", { method: "POST", body: { code: typed.code.trim(), reason: typed.reason.trim() } })
      .then((answer) => {
        Object.assign(typed, { code: "", reason: "" });
        return begin(answer.token);
      })
      .catch((error) => {
        state.problem = error.status ? error.message : "The engine cannot be reached.";
        typed.isOut = false;
        changed();
      });
    changed();
  };
  const field = (name, label, more) => h("label", { class: "field" }, `${label} `, h("input", {
    id: `emergency-${name}`, autocomplete: "off", spellcheck: "false", value: typed[name], ...more,
    on: { input: (event) => { typed[name] = event.target.value; changed(); } },
  }));
  return h("details", { key: "emergency" },
    h("summary", null, "Nobody can log in?"),
    h("p", { class: "intro" }, "A code that was sealed for you opens the engine once, for an hour. Everybody is told at once, and somebody else reviews what you did."),
    field("code", "Sealed code", { type: "password" }),
    field("reason", "What happens", { type: "text", placeholder: "at least ten characters" }),
    h("button", { type: "button", id: "emergency-open", disabled: typed.isOut || !typed.code.trim() || typed.reason.trim().length < 10, on: { click: open } }, "Open emergency access"));
}

async function begin(shown) {
  if (!/^[!-~]{1,8000}$/.test(shown)) {
    state.problem = "That is no token.";
    changed();
    return;
  }
  typed.isOut = true;
  keep(shown);
  try {
    await enter();
    typed.token = "";
  } catch (error) {
    leave(error.status ? error.message : "The engine cannot be reached.");
  }
  typed.isOut = false;
  changed();
}

painted_by(paint);
addEventListener("hashchange", () => {
  changed();
  scrollTo(0, 0);
});
addEventListener("resize", changed);
watchKeys(views);
if (hasToken()) enter().catch((error) => leave(error.status ? error.message : "The engine cannot be reached."));
else paint();
