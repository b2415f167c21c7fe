/** The three components as they arrive, the marks of P and S, and the probabilities below. */

import { Surface, colour, drawTrace, label, timeStep } from "./canvas.js";
import { clock, figure, parse, zone } from "./time.js";
import { Track } from "./track.js";
import { getColumns } from "./wire.js";

/** @typedef {import("./types.d.ts").Event} Event */
/** @typedef {import("./types.d.ts").Columns} Columns */

const KEPT_MS = 600_000;
const STEP_MS = 100;
const LATE_MS = 5000; // packets out of order
const DEAD_MS = 60_000; // a component this far behind the others is not waited for
const AGAIN_MS = 60_000; // probabilities that are missing for longer than this stay missing
const COMPONENTS = ["Z", "N", "E"];
export const CLASSES = /** @type {const} */ ([
  ["tectonic", 3],
  ["non-tectonic", 4],
  ["noise", 2],
]);
const AXIS = 18;

export class Live {
  /** @param {string} station @param {HTMLCanvasElement} canvas @param {HTMLElement} note */
  constructor(station, canvas, note) {
    this.station = station;
    this.note = note;
    this.span_ms = 60_000;
    /** @type {Map<string, Track>} */
    this.tracks = new Map(COMPONENTS.map((name) => [name, new Track(STEP_MS, KEPT_MS / STEP_MS, 2)]));
    this.probabilities = new Track(STEP_MS, KEPT_MS / STEP_MS, 5);
    /** @type {Event[]} */
    this.events = [];
    this.components = COMPONENTS;
    this.end_ms = 0;
    /** Up to here all components that send have been received. */
    this.known_ms = 0;
    this.busy = false;
    /** Told when new columns are there, and when not. @type {(sentence: string) => void} */
    this.onFault = () => undefined;
    this.surface = new Surface(canvas, (context, width, height) => this.#paint(context, width, height));
  }

  /** @param {number} span_ms */
  show(span_ms) {
    this.span_ms = span_ms;
    this.surface.draw();
  }

  /**
   * Asks for what is new. A request that is still on its way is not doubled: a slow link gets fewer and longer ones.
   * @param {Record<string, number>} newest_ms of each component
   * @param {number} columns most columns a component
   */
  async update(newest_ms, columns = KEPT_MS / STEP_MS) {
    if (this.busy) return;
    this.busy = true;
    try {
      const ends = Object.values(newest_ms);
      if (ends.length === 0) return;
      const end_ms = Math.max(...ends);
      if (end_ms < this.end_ms - KEPT_MS) this.#clear(); // the station began anew, on another timeline
      const answers = await Promise.allSettled([this.#traces(newest_ms, end_ms, columns), this.#probabilities(end_ms)]);
      this.end_ms = Math.max(end_ms, this.end_ms);
      const failed = answers.find((answer) => answer.status === "rejected"); // the others are drawn nevertheless
      this.onFault(
        failed === undefined ? "" : failed.reason instanceof Error ? failed.reason.message : String(failed.reason),
      );
    } finally {
      this.busy = false;
      this.surface.draw();
    }
  }

  #clear() {
    for (const track of [...this.tracks.values(), this.probabilities]) track.clear();
    this.end_ms = this.known_ms = 0;
  }

  /**
   * All components in one answer. Each is asked for from its own newest sample on, less some time for late packets.
   * @param {Record<string, number>} newest_ms
   * @param {number} end_ms
   * @param {number} columns
   */
  async #traces(newest_ms, end_ms, columns) {
    const names = Object.keys(newest_ms).filter((name) => this.tracks.has(name));
    const to = Math.ceil(end_ms / STEP_MS) * STEP_MS;
    const from = Math.floor((this.known_ms - LATE_MS) / STEP_MS) * STEP_MS;
    const begin = Math.max(from, to - KEPT_MS);
    if (names.length === 0 || begin >= to || end_ms <= this.end_ms) return;
    const most = Math.min((to - begin) / STEP_MS, columns);
    const answer = await getColumns("/api/envelope", {
      station: this.station,
      component: names.join(""),
      from: begin,
      to,
      columns: most,
    });
    names.forEach((name, channel) => this.tracks.get(name)?.add(answer, channel));
    const recent = Object.values(newest_ms).filter((newest) => newest > end_ms - DEAD_MS);
    this.known_ms = Math.min(...recent);
  }

  /** From the first column on that was not there yet: the detector works in blocks, behind the samples. @param {number} newest_ms */
  async #probabilities(newest_ms) {
    const track = this.probabilities;
    const to = Math.ceil(newest_ms / STEP_MS) * STEP_MS;
    const range = { lo: NaN, hi: NaN };
    let from = track.end_ms;
    for (; from > to - AGAIN_MS && from > 0; from -= STEP_MS) {
      track.range(from - STEP_MS, from, range, 0, 0);
      if (!Number.isNaN(range.lo)) break;
    }
    from = Math.max(from, to - KEPT_MS);
    if (from < to) track.add(await getColumns("/api/probabilities", { station: this.station, from, to }));
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  #paint(context, width, height) {
    const left = 48;
    const inner = width - left - 1;
    const to_ms = Math.ceil(this.end_ms / 1000) * 1000;
    const from_ms = to_ms - this.span_ms;
    const lanes = height - AXIS;
    const onset = Math.round(lanes * 0.13);
    const classes = Math.round(lanes * 0.1);
    const each = (lanes - onset - classes) / 3;
    if (this.end_ms !== 0) drawTimeAxis(context, { from_ms, to_ms, left, inner, y: lanes });
    const sizes = COMPONENTS.map((name, i) =>
      this.#lane(context, name, { from_ms, to_ms, left, inner, y: each * (i + 0.5), each }),
    );
    this.#classes(context, { from_ms, to_ms, left, inner, y: 3 * each + onset, height: classes });
    this.#onsets(context, { from_ms, to_ms, left, inner, y: 3 * each, height: onset });
    drawMarks(context, this.events, { from_ms, to_ms, left, inner, top: 0, bottom: 3 * each + onset });
    const text = sizes.some((size) => !Number.isNaN(size))
      ? `in counts, to ${clock(this.end_ms, "tenth")} ${zone(this.end_ms)}`
      : "";
    if (this.note.textContent !== text) this.note.textContent = text;
    this.surface.canvas.dataset.end = String(this.end_ms);
    this.surface.canvas.setAttribute(
      "aria-label",
      `Live traces of the components Z, N and E over ${this.span_ms / 1000} seconds, with probabilities`,
    );
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {string} name
   * @param {{from_ms: number, to_ms: number, left: number, inner: number, y: number, each: number}} at
   * @returns {number} largest amplitude shown
   */
  #lane(context, name, { from_ms, to_ms, left, inner, y, each }) {
    const track = this.tracks.get(name);
    const range = { lo: NaN, hi: NaN };
    track?.range(from_ms, to_ms, range);
    const empty = track === undefined || Number.isNaN(range.lo);
    label(context, name, 4, empty ? y : y - 7, colour(empty ? "dim" : "ink"));
    context.fillStyle = colour("rule");
    context.fillRect(left, Math.round(y + each / 2) - 0.5, inner, 0.5);
    if (empty) {
      label(context, this.end_ms === 0 ? "no samples yet" : "no data", left + inner / 2, y, colour("dim"), "center");
      return NaN;
    }
    const zero = (range.lo + range.hi) / 2;
    const half = Math.max((range.hi - range.lo) / 2, 1e-30);
    label(context, `±${figure(half)}`, 4, y + 7, colour("dim"));
    context.fillStyle = colour("gap");
    const shown = (this.end_ms - from_ms) / (to_ms - from_ms); // beyond the newest sample nothing is missing yet
    drawGaps(context, track, {
      from_ms,
      to_ms: this.end_ms - STEP_MS,
      x: left,
      width: inner * shown,
      y: y - each / 2,
      height: each,
    });
    context.fillStyle = colour("trace");
    drawTrace(context, {
      track,
      from_ms,
      to_ms,
      x: left,
      width: inner,
      y,
      perUnit: (each * 0.46) / half,
      zero,
      limit: each / 2,
    });
    return half;
  }

  /** @param {CanvasRenderingContext2D} context @param {{from_ms: number, to_ms: number, left: number, inner: number, y: number, height: number}} at */
  #onsets(context, { from_ms, to_ms, left, inner, y, height }) {
    const track = this.probabilities;
    label(context, "P S", 4, y + height / 2, colour("ink"));
    const range = { lo: 0, hi: 0 };
    let drawn = false;
    for (const [name, channel] of /** @type {const} */ ([
      ["p", 0],
      ["s", 1],
    ])) {
      context.strokeStyle = colour(name);
      context.lineWidth = 1.25;
      context.beginPath();
      let pen = false;
      for (let x = 0; x <= inner; x++) {
        const t = from_ms + ((to_ms - from_ms) * x) / inner;
        track.range(t, t + (to_ms - from_ms) / inner, range, channel, channel);
        if (Number.isNaN(range.hi)) pen = false;
        else {
          const at = y + height - 2 - Math.min(Math.max(range.hi, 0), 1) * (height - 6);
          if (pen) context.lineTo(left + x, at);
          else context.moveTo(left + x, at);
          pen = drawn = true;
        }
      }
      context.stroke();
    }
    if (!drawn && this.end_ms !== 0) {
      label(
        context,
        "not computed while the ground is quiet",
        left + inner / 2,
        y + height / 2,
        colour("dim"),
        "center",
      );
    }
    context.lineWidth = 1;
    context.fillStyle = colour("rule");
    context.fillRect(left, Math.round(y + height) - 0.5, inner, 0.5);
  }

  /** @param {CanvasRenderingContext2D} context @param {{from_ms: number, to_ms: number, left: number, inner: number, y: number, height: number}} at */
  #classes(context, { from_ms, to_ms, left, inner, y, height }) {
    const track = this.probabilities;
    label(context, "type", 4, y + height / 2, colour("dim"));
    const range = { lo: 0, hi: 0 };
    for (let x = 0; x < inner; x++) {
      const t = from_ms + ((to_ms - from_ms) * x) / inner;
      let top = y + height - 1;
      for (const [name, channel] of CLASSES) {
        track.range(t, t + (to_ms - from_ms) / inner, range, channel, channel);
        if (Number.isNaN(range.hi)) break;
        const part = range.hi * (height - 3);
        context.fillStyle = colour(name === "noise" ? "quiet" : name);
        context.fillRect(left + x, top - part, 1, part);
        top -= part;
      }
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{from_ms: number, to_ms: number, left: number, inner: number, y: number}} at
 */
export function drawTimeAxis(context, { from_ms, to_ms, left, inner, y }) {
  const step = timeStep(to_ms - from_ms, Math.max(Math.floor(inner / 80), 2));
  for (let t = Math.ceil(from_ms / step) * step; t <= to_ms; t += step) {
    const x = left + (inner * (t - from_ms)) / (to_ms - from_ms);
    context.fillStyle = colour("grid");
    context.fillRect(Math.round(x), 0, 1, y);
    const align = x > left + inner - 26 ? "right" : x < left + 26 ? "left" : "center";
    label(
      context,
      clock(t, step < 60_000 ? "second" : "minute"),
      Math.min(x, left + inner),
      y + AXIS / 2 + 1,
      colour("dim"),
      align,
    );
  }
}

/**
 * Gaps between data, hatched lightly so that they are not taken for silence.
 * @param {CanvasRenderingContext2D} context
 * @param {Track} track
 * @param {{from_ms: number, to_ms: number, x: number, width: number, y: number, height: number}} at
 */
export function drawGaps(context, track, { from_ms, to_ms, x, width, y, height }) {
  const range = { lo: 0, hi: 0 };
  let since = -1;
  for (let i = 0; i <= width; i++) {
    const t = from_ms + ((to_ms - from_ms) * i) / width;
    track.range(t, t + (to_ms - from_ms) / width, range);
    const missing = i < width && Number.isNaN(range.lo);
    if (missing && since < 0) since = i;
    if (!missing && since >= 0) {
      context.fillRect(x + since, y, i - since, height);
      since = -1;
    }
  }
}

/**
 * P and S of the events, as lines through the traces with a letter on top.
 * @param {CanvasRenderingContext2D} context
 * @param {Event[]} events
 * @param {{from_ms: number, to_ms: number, left: number, inner: number, top: number, bottom: number}} at
 */
export function drawMarks(context, events, { from_ms, to_ms, left, inner, top, bottom }) {
  for (const event of events) {
    for (const pick of event.picks ?? [{ phase: /** @type {"P"} */ ("P"), time: event.onset }]) {
      const t = parse(pick.time);
      if (t < from_ms || t > to_ms) continue;
      const x = Math.round(left + (inner * (t - from_ms)) / (to_ms - from_ms));
      context.fillStyle = colour(pick.phase === "P" ? "p" : "s");
      context.globalAlpha = event.status === "retracted" ? 0.35 : 1;
      context.fillRect(x, top, 1.25, bottom - top);
      context.fillRect(x, top, 12, 13);
      label(context, pick.phase, x + 6, top + 7, colour("paper"), "center");
      context.globalAlpha = 1;
    }
  }
}
