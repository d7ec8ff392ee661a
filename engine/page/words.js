/**
 * Figures as people read them, in the words of the reports.  What is not there is a dash, never a
 * zero; times are UTC, as in the record.
 */

export const NOTHING = "–";
const GAP = "\u00a0"; // between a figure and its unit

const missing = (value) => value === null || value === undefined || !Number.isFinite(value);
const grouped = (value, digits = 0) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Whole things with thousands separators: 100,000. */
export const count = (value) => (missing(value) ? NOTHING : grouped(value));

/** @type {[number, string][]} */
const SIZES = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** A rate or count in three digits or so: 412, 38.2k, 1.31M. */
export function compact(value) {
  if (missing(value)) return NOTHING;
  for (const [size, letter] of SIZES) {
    if (Math.abs(value) >= size) return String(Number((value / size).toPrecision(3))) + letter;
  }
  return String(Number(value.toPrecision(3)));
}

/** A share 0-1 as per cent where a tenth of a per cent is enough: 93 %, 4.2 %. */
export const roughly = (share) =>
  missing(share) ? NOTHING : `${grouped(100 * share, share >= 0.0995 || share === 0 ? 0 : 1)}${GAP}%`;

/** Money: $1,204, $3.20; with `signed` also +$3.20. */
export function usd(value, signed = false) {
  if (missing(value)) return NOTHING;
  const sign = value < 0 ? "−" : signed ? "+" : "";
  return `${sign}$${grouped(Math.abs(value), Math.abs(value) >= 1000 ? 0 : 2)}`;
}

/** A duration in the unit that suits it: 38 ms, 4.2 s, 12 min 5 s, 3 h 20 min. */
export function seconds(value) {
  if (missing(value)) return NOTHING;
  if (value === 0) return `0${GAP}s`;
  if (Math.abs(value) < 0.9995) return `${Number((value * 1e3).toPrecision(3))}${GAP}ms`;
  if (Math.abs(value) < 99.95) return `${Number(value.toPrecision(3))}${GAP}s`;
  const whole = Math.round(value);
  if (whole < 3600) {
    const rest = whole % 60;
    return `${Math.floor(whole / 60)}${GAP}min` + (rest ? ` ${rest}${GAP}s` : "");
  }
  const minutes = Math.round(value / 60);
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)}${GAP}h` + (rest ? ` ${rest}${GAP}min` : "");
}

/** How long ago, in whole seconds while it is recent. */
export const ago = (value) =>
  missing(value) ? NOTHING : `${value < 100 ? `${Math.floor(value)}${GAP}s` : seconds(value)} ago`;

const two = (value) => String(value).padStart(2, "0");

/** Time of day, UTC: 21:40:15. */
export function clock(time_s) {
  if (missing(time_s)) return NOTHING;
  const at = new Date(time_s * 1000);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
}

/** Time of day without seconds, UTC: 21:40. */
export const minute = (time_s) => clock(time_s).slice(0, 5);

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August",
  "September", "October", "November", "December"];

/** A day, UTC: Sat 19 June 2027. */
export function date(time_s) {
  if (missing(time_s)) return NOTHING;
  const at = new Date(time_s * 1000);
  return `${DAYS[at.getUTCDay()]} ${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
}

/** The same moment where whoever looks is, for a tooltip. */
export const local = (time_s) =>
  missing(time_s) ? "" : `here: ${new Date(time_s * 1000).toLocaleString()}`;

/** Time to go: T−1:05, T−0:08. */
export function countdown(left_s) {
  const minutes = Math.max(Math.ceil(left_s / 60), 0);
  return `T−${Math.floor(minutes / 60)}:${two(minutes % 60)}`;
}

/** An identifier as words: wedding_floor becomes "wedding floor". */
export const words = (name) => String(name).replaceAll("_", " ");

/** A count with its noun: 1 action, 2 actions. */
export const plural = (number, one, many = `${one}s`) =>
  `${count(number)} ${number === 1 ? one : many}`;

/** With a capital letter in front. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
