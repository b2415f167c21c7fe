/** The last hours of one component in 24 rows, as on a drum, with the events marked. */

import { Surface, colour, drawTrace, label, timeStep } from "./canvas.js";
import { h } from "./dom.js";
import { clock, figure, isLocal, parse } from "./time.js";
import { Track } from "./track.js";
import { getColumns } from "./wire.js";

/** @typedef {import("./types.d.ts").Event} Event */

const ROWS = 24;
const DAY_S = 86_400;
const HOUR_MS = 3_600_000;
const AXIS = 18;
const AGAIN_MS = 60_000; // the filter holds samples back, and packets come late
const HELD_BACK_MS = 10_000; // by the filter and in records: not yet a gap
const OVERLAP = 1.5; // heights of a row that a trace may reach into its neighbours
export const MOST_MARKS = 300;

export class Helicorder {
  /**
   * @param {string} station
   * @param {{canvas: HTMLCanvasElement, marks: HTMLElement, note: HTMLElement}} parts
   * @param {(event: string) => string} address of an event
   */
  constructor(station, { canvas, marks, note }, address) {
    this.station = station;
    this.marks = marks;
    this.note = note;
    this.address = address;
    this.hours = 24;
    this.amplitude = 1;
    this.component = "Z";
    this.track = new Track(1000, DAY_S + 3600, 2);
    /** @type {Event[]} */
    this.events = [];
    /** @type {Map<string, HTMLAnchorElement>} */
    this.links = new Map();
    this.current = "";
    this.columnsPerHour = 0;
    this.now_ms = 0;
    /** The hours from the one to the other have been received. */
    this.oldest_ms = this.newest_ms = 0;
    /** Raised with each new choice: the answers for an older one are dropped. */
    this.turn = 0;
    this.loading = false;
    this.asked = false;
    /** @type {(sentence: string) => void} */
    this.onFault = () => undefined;
    this.surface = new Surface(canvas, (context, width, height) => this.#paint(context, width, height));
    marks.addEventListener("keydown", (event) => this.#key(event));
  }

  get row_ms() {
    return (this.hours * HOUR_MS) / ROWS;
  }

  /** @param {{component?: string, amplitude?: number, hours?: number}} choice */
  choose({ component, amplitude, hours }) {
    const other = component !== undefined && component !== this.component;
    this.component = component ?? this.component;
    this.amplitude = amplitude ?? this.amplitude;
    this.hours = hours ?? this.hours;
    if (other || this.#wanted() > this.columnsPerHour) this.#forget();
    if (this.asked) void this.update();
    this.surface.draw();
  }

  #forget() {
    this.turn += 1;
    this.track.clear();
    this.loading = false;
    this.oldest_ms = this.newest_ms = 0;
    this.columnsPerHour = this.#wanted();
  }

  /** Columns an hour that the screen can show. */
  #wanted() {
    const pixels =
      Math.max(this.surface.canvas.parentElement?.clientWidth ?? 0, 300) * Math.min(window.devicePixelRatio || 1, 2);
    return Math.min(Math.ceil((pixels * ROWS) / this.hours), 3600);
  }

  /** First what is new, then what is older, an hour at a time, until the drum is full. @param {number} now_ms */
  async update(now_ms = this.now_ms) {
    this.now_ms = now_ms;
    this.asked = true;
    if (this.loading || now_ms === 0) return;
    if (Math.abs(now_ms - this.newest_ms) > HOUR_MS) this.#forget(); // the first time, after a pause, on another timeline
    this.loading = true;
    const turn = this.turn;
    try {
      if (this.newest_ms === 0) this.oldest_ms = now_ms;
      else await this.#load(Math.max(this.newest_ms - AGAIN_MS, this.oldest_ms), now_ms, turn);
      if (turn === this.turn) this.newest_ms = now_ms;
      await this.#older(now_ms - this.hours * HOUR_MS, turn);
      if (turn === this.turn) this.onFault("");
    } catch (error) {
      if (turn === this.turn) this.onFault(error instanceof Error ? error.message : String(error));
    } finally {
      if (turn === this.turn) this.loading = false;
      this.surface.draw();
    }
  }

  /** @param {number} begin @param {number} turn */
  async #older(begin, turn) {
    while (turn === this.turn && this.oldest_ms > begin) {
      const from = Math.max(this.oldest_ms - HOUR_MS, begin);
      await this.#load(from, this.oldest_ms, turn);
      if (turn === this.turn) this.oldest_ms = from;
    }
  }

  /** @param {number} from @param {number} to @param {number} turn */
  async #load(from, to, turn) {
    if (to <= from) return;
    const columns = Math.max(Math.ceil(((to - from) / HOUR_MS) * this.columnsPerHour), 1);
    const answer = await getColumns("/api/helicorder", {
      station: this.station,
      component: this.component,
      from: Math.floor(from),
      to: Math.ceil(to),
      columns,
    });
    if (turn !== this.turn) return;
    this.track.add(answer);
    this.surface.draw();
  }

  /** @param {Event[]} events newest first */
  setEvents(events) {
    this.events = events.slice(0, MOST_MARKS);
    this.surface.draw();
  }

  /** Largest amplitude that fills a row: what nearly all columns stay below. */
  #full() {
    const sizes = [];
    const { values, width } = this.track;
    for (let i = 0; i < values.length; i += 7 * width) {
      const size = Math.max(Math.abs(values[i] ?? NaN), Math.abs(values[i + 1] ?? NaN));
      if (!Number.isNaN(size)) sizes.push(size);
    }
    if (sizes.length === 0) return NaN;
    sizes.sort((a, b) => a - b);
    return Math.max(3.2 * (sizes[Math.floor(sizes.length * 0.9)] ?? 0), 1e-30) / this.amplitude;
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  #paint(context, width, height) {
    const left = 40;
    const right = isLocal() ? 40 : 4;
    const inner = width - left - right;
    const each = (height - AXIS - 6) / ROWS;
    const newest = this.track.end_ms;
    const full = this.#full();
    const now = Math.max(this.now_ms, newest) || Date.now();
    const begin = (Math.ceil(now / this.row_ms) - ROWS) * this.row_ms;
    const first = this.track.first_ms; // nothing is missing before the first sample
    const shape = { begin, left, inner, each, full, first };
    this.#grid(context, shape, height);
    for (let row = 0; row < ROWS; row++) this.#row(context, row, shape, right);
    if (Number.isNaN(full))
      label(
        context,
        this.loading ? "loading" : this.asked ? "no data in these hours" : "no samples yet",
        left + inner / 2,
        height / 2,
        colour("dim"),
        "center",
      );
    else for (const event of this.events) this.#colourEvent(context, event, shape);
    this.#place(shape);
    const text = Number.isNaN(full) ? "" : `a row is ±${figure(full)} counts, band-passed`;
    if (this.note.textContent !== text) this.note.textContent = text;
    this.surface.canvas.setAttribute(
      "aria-label",
      `Helicorder: ${this.hours} hours of component ${this.component}, ${this.events.length} events`,
    );
  }

  /** @param {CanvasRenderingContext2D} context @param {Shape} shape @param {number} height */
  #grid(context, { left, inner, each }, height) {
    const step = timeStep(this.row_ms, inner > 500 ? 12 : 4);
    for (let t = 0; t <= this.row_ms; t += step) {
      const x = Math.round(left + (inner * t) / this.row_ms);
      context.fillStyle = colour("grid");
      context.fillRect(x, 0, 1, ROWS * each + 6);
      const text = step < 60_000 ? `+${t / 1000} s` : `+${t / 60_000}`;
      const last = t + step > this.row_ms;
      label(
        context,
        last && step >= 60_000 ? `${text} min` : text,
        x,
        height - AXIS / 2,
        colour("dim"),
        t === 0 ? "left" : last ? "right" : "center",
      );
    }
  }

  /**
   * @typedef {{begin: number, left: number, inner: number, each: number, full: number, first: number}} Shape
   * @param {CanvasRenderingContext2D} context
   * @param {number} row
   * @param {Shape} shape
   * @param {number} right width of the labels there
   */
  #row(context, row, { begin, left, inner, each, full, first }, right) {
    const from_ms = begin + row * this.row_ms;
    const y = (row + 0.5) * each + 3;
    const ahead = from_ms > this.now_ms;
    const every = each < 11 ? 2 : 1;
    if (row % every === 0) {
      const midnight = new Date(from_ms).getUTCHours() + new Date(from_ms).getUTCMinutes() === 0;
      label(
        context,
        midnight ? new Date(from_ms).toISOString().slice(5, 10) : utc(from_ms),
        left - 5,
        y,
        colour(midnight ? "ink" : "dim"),
        "right",
      );
      if (right > 4) label(context, clock(from_ms, "minute"), left + inner + 5, y, colour("dim"));
    }
    if (Number.isNaN(full) || ahead) return;
    context.fillStyle = colour("gap");
    const known = {
      from_ms: Math.max(from_ms, this.oldest_ms, first),
      to_ms: Math.min(from_ms + this.row_ms, this.newest_ms - HELD_BACK_MS),
    };
    gaps(context, this.track, known, (t) => left + (inner * (t - from_ms)) / this.row_ms, y - each * 0.34, each * 0.68);
    context.fillStyle = colour(row % 2 ? "trace2" : "trace");
    drawTrace(context, {
      track: this.track,
      from_ms,
      to_ms: from_ms + this.row_ms,
      x: left,
      width: inner,
      y,
      perUnit: each / 2 / full,
      zero: 0,
      limit: each * OVERLAP,
    });
  }

  /** @param {CanvasRenderingContext2D} context @param {Event} event @param {Shape} shape */
  #colourEvent(context, event, { begin, left, inner, each, full }) {
    const onset = parse(event.onset);
    const end = Math.max(parse(event.window.start) + 1000 * event.window.length_s, onset + (2.5 * this.row_ms) / inner);
    if (event.status === "retracted") return;
    context.fillStyle = colour(event.event_type?.label ?? "dim");
    for (let from_ms = onset; from_ms < end;) {
      const row = Math.floor((from_ms - begin) / this.row_ms);
      const rowEnd = begin + (row + 1) * this.row_ms;
      const to_ms = Math.min(end, rowEnd);
      if (row >= 0 && row < ROWS) {
        const scale = inner / this.row_ms;
        const x = left + Math.floor((from_ms - (rowEnd - this.row_ms)) * scale);
        const width = Math.max(Math.ceil((to_ms - from_ms) * scale), 1);
        const y = (row + 0.5) * each + 3;
        const start = rowEnd - this.row_ms + (x - left) / scale;
        drawTrace(context, {
          track: this.track,
          from_ms: start,
          to_ms: start + width / scale,
          x,
          width,
          y,
          perUnit: each / 2 / full,
          zero: 0,
          limit: each * OVERLAP,
        });
      }
      from_ms = to_ms;
    }
  }

  /** Links over the drawing: clickable, and reached with the keyboard. @param {Shape} shape */
  #place({ begin, left, inner, each }) {
    const seen = new Set();
    for (const event of this.events) {
      const onset = parse(event.onset);
      const row = Math.floor((onset - begin) / this.row_ms);
      if (row < 0 || row >= ROWS) continue;
      seen.add(event.id);
      let link = this.links.get(event.id);
      if (link === undefined) {
        link = h("a", { href: this.address(event.id), tabindex: -1, "data-event": event.id });
        this.links.set(event.id, link);
        this.marks.append(link);
      }
      const kind = event.event_type?.label ?? "not classified";
      link.className = `kind-${event.event_type?.label ?? "none"}${event.status === "retracted" ? " retracted" : ""}`;
      const text = `${clock(onset)} ${kind}${event.magnitude ? `, magnitude ${event.magnitude.label}` : ""}`;
      if (link.title !== text) {
        link.title = text;
        link.setAttribute("aria-label", text);
      }
      link.style.left = `${(left + (inner * (onset - begin - row * this.row_ms)) / this.row_ms).toFixed(1)}px`;
      link.style.top = `${((row + 0.5) * each + 3).toFixed(1)}px`;
      link.style.height = `${Math.max(each, 12).toFixed(1)}px`;
    }
    for (const [id, link] of this.links) {
      if (seen.has(id)) continue;
      link.remove();
      this.links.delete(id);
    }
    this.#rove();
  }

  /** One mark takes part in the tab order, the arrow keys lead to the others. */
  #rove() {
    if (!this.links.has(this.current)) this.current = this.#order()[0] ?? "";
    for (const [id, link] of this.links) link.tabIndex = id === this.current ? 0 : -1;
  }

  #order() {
    return this.events.filter((event) => this.links.has(event.id)).map((event) => event.id);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowRight: -1, ArrowUp: -1, ArrowLeft: 1, ArrowDown: 1 }[event.key];
    if (step === undefined) return;
    const order = this.#order();
    const at = Math.min(Math.max(order.indexOf(this.current) + step, 0), order.length - 1);
    this.current = order[at] ?? "";
    this.#rove();
    this.links.get(this.current)?.focus();
    event.preventDefault();
  }
}

/** @param {number} ms */
function utc(ms) {
  return new Date(ms).toISOString().slice(11, 16);
}

/**
 * Stretches without data, as a plain band.
 * @param {CanvasRenderingContext2D} context
 * @param {Track} track
 * @param {{from_ms: number, to_ms: number}} span
 * @param {(ms: number) => number} place
 * @param {number} y
 * @param {number} height
 */
function gaps(context, track, { from_ms, to_ms }, place, y, height) {
  const range = { lo: 0, hi: 0 };
  let since = NaN;
  for (let t = from_ms; t < to_ms + 5000; t += 5000) {
    track.range(t, Math.min(t + 5000, to_ms), range);
    const missing = t < to_ms && Number.isNaN(range.lo);
    if (missing && Number.isNaN(since)) since = t;
    if (!missing && !Number.isNaN(since)) {
      const x = place(since);
      context.fillRect(x, y, Math.max(place(Math.min(t, to_ms)) - x, 1), height);
      since = NaN;
    }
  }
}
