/**
 * Charts in SVG: few points, crisp at any size, and each with its table.  Colours are those of the
 * reports (Okabe and Ito); what they say is said by line style and label as well.
 */

import { h } from "./dom.js";
import { compact, local, minute } from "./words.js";

const LEFT = 46;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;

const HALF_LABEL = 18; // of a time of day, so that the last one is whole
const BESIDE = 440; // what stands to the left of a chart that is not alone
/** From this width on two things stand side by side, as in the style sheet. */
const WIDE = 1000;

/** Width that a chart has, alone or beside something. */
function room(isBeside) {
  const screen = document.documentElement.clientWidth;
  const whole = Math.max(Math.min(screen - (screen > 700 ? 48 : 32), 1160), 280);
  return isBeside && screen > WIDE ? whole - BESIDE : whole;
}

/**
 * A chart over time.  `lines`: [{name, kind, points: [[time_s, value]]}], kind one of area, line,
 * dashed, limit; `bands`: [{name, points: [[time_s, low, high]]}]; `now_s` draws where now is, or
 * what `mark` says.
 */
export function chart({ title, lines, bands = [], now_s = null, mark = "now", unit = "", isBeside = false }) {
  const width = room(isBeside);
  const height = 210;
  const points = [...lines.flatMap((l) => l.points), ...bands.flatMap((b) => b.points)];
  const there = points.filter((p) => p[p.length - 1] !== null);
  if (there.length < 2) return h("p", { class: "intro" }, "There are too few figures to draw yet.");
  const times = there.map((p) => p[0]);
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const [step, top] = scale(1.04 * Math.max(...there.map((p) => p[p.length - 1])));
  const x = (t) => round(LEFT + ((t - from) / (to - from || 1)) * (width - LEFT - RIGHT));
  const y = (v) => round(height - BOTTOM - (v / top) * (height - TOP - BOTTOM));
  const ticks = [];
  for (let v = 0; v <= top * 1.0001; v += step) ticks.push(v);
  const every = [300, 900, 1800, 3600, 7200, 21600]
    .find((s) => (to - from) / s <= width / 80) ?? 43200;
  const hours = [];
  for (let t = Math.ceil(from / every) * every; t <= to; t += every) hours.push(t);
  return h("figure", null,
    h("ul", { class: "legend" },
      bands.map((band) => h("li", { key: band.name }, swatch("band"), band.name)),
      lines.map((line) => h("li", { key: line.name }, swatch(line.kind), line.name))),
    h("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title },
      ticks.map((v) => h("g", { key: `y${v}` },
        h("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }),
        h("text", { x: LEFT - 7, y: y(v) + 4, "text-anchor": "end" }, compact(v)))),
      hours.map((t) => h("text", { key: `x${t}`, x: Math.min(x(t), width - HALF_LABEL), y: height - 6, "text-anchor": "middle" }, minute(t))),
      bands.map((band) => h("path", { key: `b${band.name}`, class: "band", d: closed(band.points, x, y) })),
      lines.map((line) => h("path", {
        key: `l${line.name}`, class: `line-${line.kind}`, d: path(line.points, x, y, line.kind === "area"),
      })),
      now_s !== null && now_s >= from && now_s <= to && h("g", { key: "now" },
        h("line", { class: "now", x1: x(now_s), x2: x(now_s), y1: TOP, y2: height - BOTTOM }),
        h("text", { x: x(now_s) + 4, y: TOP + 8 }, mark))),
    table(title, lines, bands, unit));
}

const round = (value) => Math.round(value * 10) / 10;

function scale(highest) {
  if (!(highest > 0)) return [1, 1];
  const size = 10 ** Math.floor(Math.log10(highest / 4));
  const step = [1, 2, 2.5, 5, 10].map((s) => s * size).find((s) => highest / s <= 4) ?? 10 * size;
  return [step, Math.ceil(highest / step - 1e-9) * step];
}

function path(points, x, y, isArea) {
  let text = "";
  let isDown = false;
  for (const [t, v] of points) {
    if (v === null || v === undefined) { isDown = false; continue; }
    text += `${isDown ? "L" : "M"}${x(t)} ${y(v)}`;
    isDown = true;
  }
  if (isArea && points.length) text += `L${x(points[points.length - 1][0])} ${y(0)}L${x(points[0][0])} ${y(0)}Z`;
  return text;
}

function closed(points, x, y) {
  const there = points.filter((p) => p[1] !== null && p[2] !== null);
  if (!there.length) return "";
  const up = there.map(([t, , high]) => `${x(t)} ${y(high)}`);
  const down = [...there].reverse().map(([t, low]) => `${x(t)} ${y(low)}`);
  return `M${[...up, ...down].join("L")}Z`;
}

function swatch(kind) {
  const inside = kind === "band" || kind === "area"
    ? h("rect", { class: kind === "band" ? "band" : "line-area", x: 1, y: 1, width: 26, height: 10 })
    : h("path", { class: `line-${kind}`, d: "M1 6H27" });
  return h("svg", { class: "key", viewBox: "0 0 28 12", "aria-hidden": "true" }, inside);
}

const ROWS = 25;

function table(title, lines, bands, unit) {
  const columns = [...bands.flatMap((b) => [[`${b.name}, low`, b, 1], [`${b.name}, high`, b, 2]]),
    ...lines.map((l) => [l.name, l, 1])];
  const rows = new Map();
  for (const [column, [, source, at]] of columns.entries()) {
    for (const point of source.points) {
      if (!rows.has(point[0])) rows.set(point[0], []);
      rows.get(point[0])[column] = point[at];
    }
  }
  const times = [...rows.keys()].sort((a, b) => a - b);
  const every = Math.max(Math.ceil(times.length / ROWS), 1);
  const shown = times.filter((_, i) => (times.length - 1 - i) % every === 0);
  return h("details", null,
    h("summary", null, "The same as a table"),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
      h("table", { class: "narrow" },
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "UTC"),
          columns.map(([name]) => h("th", { scope: "col", class: "n", key: name }, name + (unit && `, ${unit}`))))),
        h("tbody", null, shown.map((t) => h("tr", { key: t },
          h("th", { scope: "row", title: local(t) }, minute(t)),
          columns.map(([name], i) => h("td", { class: "n", key: name }, compact(rows.get(t)[i])))))))));
}
