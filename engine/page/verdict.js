/** Are the weddings safe?  One sentence, by the worst that is known. */

import { age_s, isStale, state } from "./state.js";
import { ago, compact, count, minute, plural, seconds, words } from "./words.js";

const SPARE = "no zone to spare";
export const MARKS = { good: "✓", warn: "!", bad: "✗", neutral: "○" };

/** How a service fares: [tone, words], worst first. */
export function standing(service) {
  const p95 = service.sample?.p95_s;
  if (service.state === "emergency") return ["bad", "emergency"];
  if (p95 > service.slo_p95_s && service.waited_for) return ["bad", "too slow"];
  if (service.carrying !== null && service.ready < service.carrying) {
    return [service.waited_for ? "warn" : "neutral", "short"];
  }
  if (p95 > service.slo_p95_s) return ["warn", "slow"];
  if (service.needed !== null && service.ready < service.needed) return ["neutral", SPARE];
  if (!service.sample) return ["neutral", "no samples"];
  return ["good", "well"];
}

const underWay = ({ last_updated_s, weddings }) => (weddings.in_progress === null
  ? `what is booked is not known at ${minute(last_updated_s)} UTC`
  : `${count(Math.round(weddings.in_progress))} ${weddings.noun} in progress`);

/** {tone, text} for the whole platform. */
export function verdict() {
  const { overview, troubles, approvals, readiness } = state;
  if (!overview) return { tone: "neutral", text: "Waiting for the engine’s first step." };
  if (isStale()) {
    return { tone: "warn", text: `Not known: the engine was heard of ${ago(age_s())}. Then it had ${underWay(overview)}.` };
  }
  return fares(overview, Object.keys(troubles), Boolean(readiness && !readiness.acts), approvals.length);
}

/**
 * The same of one overview, also of a moment that is over: `wrong` names what there is trouble with.
 * @param {any} overview
 * @param {string[]} wrong
 */
export function fares(overview, wrong = [], isAdvice = false, waiting = 0) {
  const booked = overview.weddings;
  const under = underWay(overview);
  const services = Object.entries(overview.services).map(([name, one]) => [name, one, standing(one)]);
  const of = (tone, text) => services.filter(([, , [t, w]]) => t === tone && w.startsWith(text));
  const drowning = of("bad", "emergency");
  if (drowning.length) {
    return { tone: "bad", text: `Not safe: ${names(drowning)} ${is(drowning)} in an emergency, with ${under}.` };
  }
  const slow = of("bad", "too slow");
  if (slow.length) {
    const [name, one] = slow[0];
    const rest = slow.length > 1 ? `, and ${plural(slow.length - 1, "other service")} too` : "";
    return { tone: "bad", text: `Not safe: ${name} answers in ${seconds(one.sample.p95_s)} (p95), its SLO is ${seconds(one.slo_p95_s)}${rest}, with ${under}.` };
  }
  const short = of("warn", "short");
  if (short.length) {
    const [name, one] = short[0];
    const rest = short.length > 1 ? `, and ${plural(short.length - 1, "other service")} short too` : "";
    return { tone: "warn", text: `At risk: ${name} has ${count(one.ready)} of the ${count(one.carrying)} instances that its load needs${one.booting ? `, ${count(one.booting)} booting` : ""}${rest}; all answer in time, with ${under}.` };
  }
  const late = (overview.majors ?? []).filter((one) => one.state === "late");
  if (late.length) {
    return { tone: "warn", text: `At risk: the capacity for ${compact(late[0].events)} major ${booked.noun} is late, with ${under}.` };
  }
  if (wrong.length) {
    return { tone: "warn", text: `Safe, but there is trouble with ${wrong.map(words).join(", ")}: ${under}.` };
  }
  if (isAdvice) {
    return { tone: "good", text: `Safe; the engine only recommends: ${under}.` };
  }
  const unspared = services.filter(([, , how]) => how[1] === SPARE);
  const comes = unspared.length ? `; ${names(unspared)} could not lose a zone now` : "";
  const waits = waiting ? ` ${plural(waiting, "decision waits", "decisions wait")} for people.` : "";
  return { tone: "good", text: `Safe: ${under}, and ${services.length === 1 ? "the service has" : `all ${count(services.length)} services have`} what they need${comes}.${waits}` };
}

function names(services) {
  const shown = services.slice(0, 3).map(([name]) => name).join(", ");
  return services.length > 3 ? `${shown} and ${count(services.length - 3)} more` : shown;
}

const is = (services) => (services.length === 1 ? "is" : "are");
