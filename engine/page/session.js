/**
 * Who looks: the token stays in this tab, and goes to the engine in a header and nowhere else.
 */

const API = "/api/scalability";
const KEPT = "wedtwin-token";

/** What the engine did not do, and why (RFC 9457). */
export class Problem extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `answered ${status}`);
    this.status = status;
    this.type = (problem.type || "").replace("urn:wedtwin:problem:", "");
  }
}

export const token = () => sessionStorage.getItem(KEPT) || "";
export const keep = (shown) => sessionStorage.setItem(KEPT, shown);
export const forget = () => sessionStorage.removeItem(KEPT);

const authorization = () => ({ Authorization: `Bearer ${token()}` });

/**
 * Ask for something; raises Problem, and TypeError where nobody can be reached.
 * @param {string} path
 * @param {{ method?: string, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [how]
 */
export async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const answer = await fetch(API + path, {
    method,
    headers: {
      ...authorization(),
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    credentials: "omit",
    redirect: "error",
  });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok && path !== "/readiness") throw new Problem(answer.status, content);
  return content;
}

/**
 * The same of what changes something: sent again, it is done once.
 * @param {string} path
 * @param {{ method?: string, body?: unknown, headers?: Record<string, string> }} [how]
 */
export function change(path, { method = "POST", body, headers = {} } = {}) {
  const key = [...crypto.getRandomValues(new Uint8Array(12))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return ask(path, { method, body, headers: { "Idempotency-Key": key, ...headers } });
}

/** The stream of events after `last`. */
export async function listen(last, signal) {
  const answer = await fetch(`${API}/events`, {
    headers: { ...authorization(), ...(last ? { "Last-Event-ID": last } : {}) },
    signal,
    credentials: "omit",
    cache: "no-store",
    redirect: "error",
  });
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  return answer.body.pipeThrough(new TextDecoderStream()).getReader();
}
