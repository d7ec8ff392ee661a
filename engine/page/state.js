/**
 * All that the page knows, and how it comes to know it: events as they happen, and questions where
 * an event says that an answer has changed.  Whatever is kept is bounded.
 */

import { ask, forget, token } from "./session.js";
import { Stream } from "./stream.js";

const DRAW_MS = 200; // between two drawings
const DECISIONS = 200;
const STALE_S = 15;

export const state = {
  me: null,
  problem: "",
  live: false,
  isTried: false,
  lostAt: performance.now(),
  heardAt: 0,
  gap_s: 5,
  overview: null,
  readiness: null,
  troubles: {},
  approvals: [],
  standing: [],
  occasions: [],
  decisions: [],
  capacity: null,
  alerts: null,
};

// --- drawing

let drawing = 0;
let drawn = -Infinity;
let paint = () => {};

export const painted_by = (draw) => { paint = draw; };

/** Something has changed: draw it, at once unless something was drawn just now. */
export function changed() {
  if (drawing) return;
  drawing = setTimeout(() => {
    drawing = 0;
    drawn = performance.now();
    paint();
  }, Math.max(drawn + DRAW_MS - performance.now(), 0));
}

// --- what may be done

/** Whether whoever looks may do this now; `service` "" is all of them at once. */
export function may(permission, service) {
  const { me, overview } = state;
  if (!me || (me.services !== null && !me.services.includes(service))) return false;
  const there = overview?.services[service];
  const extent = !service ? "platform" : there?.stateful ? "stateful" : "stateless";
  const now = there ? there.state : worst(overview);
  return (me.may[extent]?.[now] ?? []).includes(permission);
}

function worst(overview) {
  const states = new Set(Object.values(overview?.services ?? {}).map((one) => one.state));
  return ["emergency", "wedding_day"].find((one) => states.has(one)) ?? "calm";
}

/** Questions, incidents and proposals that somebody has to answer. */
export const waiting = () =>
  state.approvals.length + (state.alerts ?? []).filter((one) => !one.acknowledged_by).length
  + state.occasions.filter((one) => one.status === "proposed").length;

/** Services for which something is allowed. */
export const allowed = (permission) =>
  Object.keys(state.overview?.services ?? {}).filter((name) => may(permission, name));

// --- how fresh it is

/** Seconds since the engine was heard of last, null before that. */
export const age_s = () => (state.heardAt ? (performance.now() - state.heardAt) / 1000 : null);

/** Whether what is shown may not be true any more. */
export function isStale() {
  const age = age_s();
  return age === null || age > Math.max(STALE_S, 4 * state.gap_s);
}

export const now_s = () => state.overview?.last_updated_s ?? null;

// --- questions, each asked again no sooner than it makes sense

const look = async () => {
  state.overview = await ask("/overview");
  state.heardAt ||= performance.now();
};
const questions = {
  overview: [1000, look],
  readiness: [2000, async () => { state.readiness = await ask("/readiness"); }],
  troubles: [2000, async () => { state.troubles = (await ask("/troubles")).troubles; }],
  approvals: [1000, async () => { state.approvals = (await ask("/approvals")).items; }],
  standing: [1000, async () => {
    const [floors, pauses] = await Promise.all([ask("/floors"), ask("/pauses")]);
    state.standing = [...floors.items, ...pauses.items];
  }],
  occasions: [2000, async () => { state.occasions = (await ask("/occasions")).items; }],
  decisions: [2000, async () => {
    state.decisions = (await ask(`/decisions?kind=action&limit=${DECISIONS}`)).items;
  }],
  alerts: [2000, async () => {
    state.alerts = (await ask("/alerts").catch((error) => {
      if (error.status === 404) return { items: null }; // it runs without the monitor
      throw error;
    })).items;
  }],
  capacity: [5000, async () => {
    state.capacity = canPredict() ? await ask("/predictions/capacity") : null;
  }],
};
const asked = {};

const canPredict = () => {
  const services = state.me?.services;
  return may("predict", services === null || services === undefined ? "" : services[0]);
};

/** Ask anew, soon. */
export function renew(...names) {
  for (const name of names) {
    asked[name] ??= { at: -Infinity, timer: 0, isOut: false, again: false };
    const one = asked[name];
    if (one.isOut) one.again = true;
    else if (!one.timer) {
      const wait = Math.max(one.at + questions[name][0] - performance.now(), 0);
      one.timer = setTimeout(() => send(name, one), wait);
    }
  }
}

async function send(name, one) {
  one.timer = 0;
  if (!state.me) return;
  one.isOut = true;
  one.at = performance.now();
  try {
    await questions[name][1]();
  } catch (error) {
    if (error.status === 401) leave(error.message);
  }
  one.isOut = false;
  if (one.again) {
    one.again = false;
    renew(name);
  }
  changed();
}

// --- events

function take(kind, content) {
  if (kind === "samples" || kind === "reset") {
    const now = performance.now();
    if (state.heardAt) state.gap_s += 0.2 * ((now - state.heardAt) / 1000 - state.gap_s);
    state.heardAt = now;
    const services = state.overview?.services;
    for (const [name, one] of Object.entries(content.services)) {
      if (services?.[name]) Object.assign(services[name], one);
    }
    if (state.overview && content.at_s) state.overview.last_updated_s = content.at_s;
    renew("overview");
    if (kind === "reset") renew(...Object.keys(questions));
  } else if (kind === "decision" || kind === "result") {
    remember(content);
    renew("approvals");
  } else if (kind === "approval") {
    renew("approvals", "decisions");
  } else if (kind === "trouble") {
    renew("troubles", "readiness");
  } else if (kind === "alert" || kind === "finding") {
    renew("alerts");
  } else if (kind === "request") {
    renew("standing", "overview", "occasions");
  }
  changed();
}

function remember(row) {
  const rest = state.decisions.filter((one) => one.number !== row.number);
  state.decisions = [row, ...rest].sort((a, b) => b.number - a.number).slice(0, DECISIONS);
}

let stream = null;
let timer = 0;

function turn(isLive, error) {
  if (error?.status === 401 || error?.status === 403) {
    leave(error.message);
    return;
  }
  if (state.live && !isLive) state.lostAt = performance.now();
  Object.assign(state, { live: isLive, isTried: true });
  if (isLive) renew(...Object.keys(questions));
  changed();
}

/** See who the token shows, and begin; raises Problem. */
export async function enter() {
  // Asked for at the same time, so that the first that is drawn says how it stands.
  const first = look().catch(() => {});
  state.me = await ask("/me");
  await first;
  state.problem = "";
  stream = new Stream(take, turn);
  stream.run();
  let beat = 0;
  timer = setInterval(() => {
    beat += 1;
    if (beat % 5 === 0) renew("readiness");
    // Also what events tell: one from just before the stream began is in no event.
    if (beat % 15 === 0) {
      renew("troubles", "approvals", "standing", "occasions", "capacity", "alerts", "decisions");
    }
    changed();
  }, 1000);
  changed();
}

/** Forget everything. */
export function leave(problem = "") {
  stream?.end();
  stream = null;
  clearInterval(timer);
  forget();
  Object.assign(state, {
    me: null, problem, live: false, isTried: false, heardAt: 0, overview: null, readiness: null, troubles: {},
    approvals: [], standing: [], occasions: [], decisions: [], capacity: null, alerts: null,
  });
  changed();
}

export const hasToken = () => token() !== "";
addEventListener("online", () => stream?.hurry());
