/** The health of the station in one sentence, what it rests on, and the table of several stations. */

import { h, setText } from "./dom.js";
import { capital } from "./feed.js";
import { age, clock, date, figure, minus } from "./time.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").StationState} StationState */
/** @typedef {import("./types.d.ts").Event} Event */

const SIGNS = /** @type {Record<string, string>} */ ({ ok: "●", degraded: "▲", outage: "■" });

/** A sign of the status: by its shape as well as by its colour. @param {string} status */
function sign(status) {
  return h("span", { class: `sign s-${status}`, "aria-hidden": "true" }, SIGNS[status] ?? "◆");
}

/** @param {string | number | null | undefined} clockText */
const clockWord = (clockText) =>
  clockText === null || clockText === undefined ? "–" : typeof clockText === "number" ? `${clockText} %` : clockText;

/**
 * @param {HTMLElement} sentence
 * @param {HTMLElement} reasons
 * @param {{status: string, sentence: string, reasons: string[]}} of
 */
export function showSentence(sentence, reasons, { status, sentence: text, reasons: list }) {
  const key = `${status}\n${text}`;
  if (sentence.dataset.key !== key) {
    sentence.dataset.key = key;
    sentence.replaceChildren(sign(status), ` ${capital(text).replace(/^Ok\b/, "OK")}`);
  }
  const joined = list.join("\n");
  if (reasons.dataset.key !== joined) {
    reasons.dataset.key = joined;
    const most = list.filter((reason) => list.length > 1 || !text.includes(reason)); // a single one is in the sentence
    reasons.replaceChildren(...most.map((reason) => h("li", {}, reason)));
  }
}

/**
 * Terms and values; a node that is there already only gets new text.
 * @param {HTMLElement} list
 * @param {[string, string, string?][]} pairs term, value, class of the value
 */
function showPairs(list, pairs) {
  if (list.childElementCount !== pairs.length) list.replaceChildren(...pairs.map(() => h("div", {}, h("dt"), h("dd"))));
  pairs.forEach(([term, value, kind], i) => {
    const [dt, dd] = list.children[i]?.children ?? [];
    if (!(dt instanceof HTMLElement) || !(dd instanceof HTMLElement)) return;
    setText(dt, term);
    setText(dd, value);
    dd.className = kind ?? "";
  });
}

/** The middle of the latest latencies. @param {Event[]} events */
function latency(events) {
  const totals = events
    .slice(0, 20)
    .map((event) => event.latency_ms.total ?? NaN)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const middle = totals[Math.floor(totals.length / 2)];
  return middle === undefined ? "–" : middle < 9950 ? `${figure(Math.round(middle))} ms` : age(middle / 1000);
}

/** @param {HTMLElement} list @param {StationState} station @param {State} state @param {Event[]} events */
export function showFacts(list, station, state, events) {
  const rate = station.sampling_rate_hz;
  const engines = [...new Set(Object.values(/** @type {Record<string, string>} */ (state.health.engines ?? {})))];
  const memory = state.health.resident_mib;
  const gaps = station.gaps_last_hour;
  const sinks = state.health.sinks ?? [];
  const lines = sinks.reduce((sum, sink) => sum + (sink.waiting_lines ?? 0), 0);
  const free = state.health.disk_free_bytes;
  showPairs(list, [
    ["Data age", age(station.data_age_s)],
    ["Clock", clockWord(station.clock)],
    ["Gaps, last hour", gaps === null ? "–" : String(gaps), gaps ? "warn" : ""],
    ["Latency, median", latency(events)],
    ["Events, 24 h", String(station.events_24h)],
    ["Components", `${station.components.join(" ") || "–"}${rate ? `, ${figure(rate)} Hz` : ""}`],
    ["Models on", engines.join(", ") || "–"],
    ["Memory", typeof memory === "number" ? `${Math.round(memory)} MiB` : "–"],
    ...(typeof free === "number" ? [/** @type {[string, string]} */ (["Disk", `${figure(free / 1e9)} GB free`])] : []),
    ...(sinks.length > 0 ? [/** @type {[string, string]} */ (["Sinks", `${lines} lines waiting`])] : []),
  ]);
}

/**
 * Everything else of the health document: channels, state of health, models, sinks, disk.
 * @param {HTMLElement} inner @param {string} station @param {State} state
 */
export function showDetails(inner, station, state) {
  const { engines, sinks, disk_free_bytes: free, behind_s: behind } = state.health;
  const its = state.stations.find((one) => one.station === station);
  const groups = /** @type {[string, [string, string][]][]} */ ([
    ["Channels", pairs(its?.channels)],
    [
      "State of health",
      Object.entries(its?.state_of_health ?? {}).map(([name, one]) => [
        `${name} ${one.what}`,
        `${minus(String(Number(one.value.toPrecision(4))))} ${one.unit}`,
      ]),
    ],
    ["Models", pairs(engines)],
    ["Delivery", (sinks ?? []).map(({ sink, ...rest }) => [sink, waiting(rest)])],
    [
      "Machine",
      [
        ...(typeof free === "number"
          ? [/** @type {[string, string]} */ (["free on the disk", `${figure(free / 1e9)} GB`])]
          : []),
        ...(typeof behind === "number" ? [/** @type {[string, string]} */ (["behind the stream", age(behind)])] : []),
      ],
    ],
  ]);
  const shown = groups.filter(([, list]) => list.length > 0);
  const key = JSON.stringify(shown);
  if (inner.dataset.key === key) return;
  inner.dataset.key = key;
  inner.replaceChildren(
    ...shown.map(([title, list]) =>
      h(
        "div",
        { class: "block" },
        h("h3", {}, title),
        h("dl", {}, ...list.flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)])),
      ),
    ),
  );
}

/** @param {{connected?: number | null, waiting_lines?: number | null, oldest_waiting_seconds?: number | null, down_seconds?: number | null}} sink */
function waiting({ connected, waiting_lines: lines, oldest_waiting_seconds: oldest, down_seconds: down }) {
  const parts = [`${lines ?? 0} lines waiting`];
  if (lines && oldest) parts.push(`the oldest for ${age(oldest)}`);
  if (down) parts.push(`down for ${age(down)}`);
  else if (connected === 0) parts.push("not connected");
  return parts.join(", ");
}

/** Terms and values of a part of the document whose keys are the station's. @param {unknown} part @returns {[string, string][]} */
function pairs(part) {
  if (part === null || typeof part !== "object") return [];
  return Object.entries(part).map(([name, value]) => [name.replaceAll("_", " "), plain(value)]);
}

/** @param {unknown} value @returns {string} */
function plain(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "object")
    return Object.entries(value)
      .map(([name, one]) => `${name.replaceAll("_", " ")} ${plain(one)}`)
      .join(", ");
  return typeof value === "number"
    ? figure(value)
    : typeof value === "boolean"
      ? value
        ? "yes"
        : "no"
      : String(value);
}

/** @param {HTMLElement} rows @param {State} state @param {(station: string) => string} address */
export function showTable(rows, state, address) {
  const key = JSON.stringify(state.stations.map((one) => ({ ...one, data_age_s: age(one.data_age_s) })));
  if (rows.dataset.key === key) return;
  rows.dataset.key = key;
  const focused = document.activeElement?.getAttribute("href");
  const within = rows.contains(document.activeElement);
  rows.replaceChildren(
    ...state.stations.map((one) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, h("a", { href: address(one.station) }, one.station)),
        h("td", {}, sign(one.status), ` ${one.status}`, h("span", { class: "why" }, one.reasons.join("; "))),
        h("td", { class: "num" }, age(one.data_age_s)),
        h("td", {}, one.components.join(" ") || "–"),
        h("td", {}, clockWord(one.clock)),
        h("td", { class: "num" }, one.gaps_last_hour === null ? "–" : String(one.gaps_last_hour)),
        h("td", { class: "num" }, String(one.events_24h)),
        h(
          "td",
          {},
          one.last_event_ms === null ? "–" : `${date(one.last_event_ms).slice(5)} ${clock(one.last_event_ms)}`,
        ),
      ),
    ),
  );
  if (within && focused)
    for (const link of rows.querySelectorAll("a")) if (link.getAttribute("href") === focused) link.focus();
}
