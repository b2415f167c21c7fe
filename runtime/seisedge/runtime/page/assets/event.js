/** One event: its waveform with the marks, and everything that the station reports of it. */

import { Surface, colour, drawTrace, label } from "./canvas.js";
import { h, span } from "./dom.js";
import { KINDS, bin, distance, magnitudeScale, stage } from "./events.js";
import { capital } from "./feed.js";
import { drawMarks, drawTimeAxis } from "./live.js";
import { age, clock, date, figure, minus, parse, zone } from "./time.js";
import { Track } from "./track.js";
import { getWaveform, url } from "./wire.js";

/** @typedef {import("./types.d.ts").Event} Event */

const COLUMNS = 1600;
const AGAIN_MS = 10_000;
const STAGES = /** @type {const} */ ([
  ["record_fill", "filling of the record"],
  ["transport", "transport"],
  ["wait", "wait"],
  ["assemble", "assembly"],
  ["host_to_device", "to the device"],
  ["infer", "inference"],
  ["device_to_host", "from the device"],
  ["journal", "journal"],
  ["emit", "output"],
]);

export class EventView {
  /** @param {HTMLElement} section @param {() => void} close */
  constructor(section, close) {
    this.section = section;
    this.onClose = close;
    /** @type {Event | null} */
    this.event = null;
    /** @type {Surface | null} */
    this.surface = null;
    /** @type {{names: string[], tracks: Track[], from_ms: number, to_ms: number} | null} */
    this.waveform = null;
    this.state = "";
    /** What is filled in. */
    this.filled = "";
    /** When the waveform is asked for, the next time: it is written some seconds after the event. */
    this.again = 0;
  }

  /** @param {Event | null} event @param {boolean} snippets whether this station keeps waveforms */
  show(event, snippets) {
    const other = event?.id !== this.event?.id;
    this.event = event;
    this.section.hidden = event === null;
    if (event === null || other) {
      this.waveform = null;
      this.again = 0;
      this.state = this.filled = "";
      this.surface?.close();
      this.surface = null;
      this.section.replaceChildren();
    }
    if (event === null) return;
    if (this.surface === null) this.#build();
    this.#fill(event);
    if (this.waveform === null) this.#seek(event, snippets);
  }

  /** The waveform, or why it is not there. @param {Event} event @param {boolean} snippets */
  #seek(event, snippets) {
    const waits = event.status !== "final" && event.status !== "retracted";
    if (event.snippet || (snippets && !waits)) {
      if (performance.now() >= this.again) void this.#load(event);
      return;
    }
    this.state = snippets
      ? "The waveform is written when the event is final."
      : "This station keeps no waveforms: its station file has no table [snippets].";
    this.surface?.draw();
  }

  #build() {
    const canvas = h("canvas", { role: "img", "aria-label": "Waveform of the event" });
    const close = h("button", { type: "button", class: "close" }, "Close");
    close.addEventListener("click", this.onClose);
    this.head = h("h2", { id: "event-title" });
    this.facts = h("div", { class: "event-facts" });
    this.download = h("p", { class: "download" });
    this.section.replaceChildren(
      h("div", { class: "bar" }, this.head, close),
      h("div", { class: "plot event-plot" }, canvas),
      this.download,
      this.facts,
    );
    this.surface = new Surface(canvas, (context, width, height) => this.#paint(context, width, height));
  }

  /** @param {Event} event */
  #fill(event) {
    const onset = parse(event.onset);
    const stored = event.snippet || this.waveform !== null;
    const key = `${event.id} ${event.revision} ${event.status} ${stored} ${zone(onset)}`;
    if (key === this.filled) return; // a selection and the focus stay
    this.filled = key;
    this.head?.replaceChildren(
      h(
        "span",
        { class: `kind-${event.event_type?.label ?? "none"}` },
        capital(event.event_type?.label ?? "not classified").replace(".", ""),
      ),
      ` ${date(onset)} ${clock(onset, "tenth")} ${zone(onset)}`,
    );
    this.download?.replaceChildren(
      ...(stored
        ? [h("a", { href: url("/api/waveform.mseed", { event: event.id }), download: "" }, "Download as miniSEED"), " "]
        : []),
      h("span", { class: "dim" }, event.id),
    );
    this.facts?.replaceChildren(types(event), magnitude(event), picks(event), quality(event), latency(event));
  }

  /** @param {Event} event */
  async #load(event) {
    this.again = performance.now() + AGAIN_MS;
    this.state ||= "Loading the waveform.";
    this.surface?.draw();
    try {
      const curves = await getWaveform(event.id, COLUMNS);
      if (this.event?.id !== event.id) return;
      const tracks = curves.map(({ columns }) => {
        const track = new Track(columns.step_ms, columns.n + 1, 2);
        track.add(columns);
        return track;
      });
      const from_ms = Math.min(...curves.map(({ columns }) => columns.start_ms));
      const to_ms = Math.max(...curves.map(({ columns }) => columns.start_ms + columns.n * columns.step_ms));
      if (curves.length === 0) this.state = "The stored waveform has no record that can be read.";
      else {
        this.waveform = { names: curves.map(({ channel }) => channel), tracks, from_ms, to_ms };
        this.#fill(this.event);
      }
    } catch (error) {
      if (this.event?.id !== event.id) return;
      this.state = capital(error instanceof Error ? error.message : String(error));
    }
    this.surface?.draw();
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  #paint(context, width, height) {
    const described = this.waveform === null ? this.state : `Waveform of the event: ${this.waveform.names.join(", ")}`;
    this.surface?.canvas.setAttribute("aria-label", described);
    if (this.waveform === null || this.event === null) {
      label(context, this.state, width / 2, height / 2, colour("dim"), "center");
      return;
    }
    const { names, tracks, from_ms, to_ms } = this.waveform;
    const left = 52;
    const inner = width - left - 1;
    const lanes = height - 18;
    const each = lanes / names.length;
    const range = { lo: NaN, hi: NaN };
    drawTimeAxis(context, { from_ms, to_ms, left, inner, y: lanes });
    const start = parse(this.event.window.start);
    const at = (/** @type {number} */ t) =>
      left + (inner * (Math.min(Math.max(t, from_ms), to_ms) - from_ms)) / (to_ms - from_ms);
    context.fillStyle = colour("shade");
    context.fillRect(at(start), 0, at(start + 1000 * this.event.window.length_s) - at(start), lanes);
    names.forEach((name, i) => {
      const track = tracks[i];
      const y = each * (i + 0.5);
      label(context, name, 4, y - 6, colour("ink"));
      if (track === undefined) return;
      track.range(from_ms, to_ms, range);
      const half = (range.hi - range.lo) / 2;
      if (Number.isNaN(half)) {
        label(context, "no data", left + inner / 2, y, colour("dim"), "center");
        return;
      }
      label(context, `±${figure(half)}`, 4, y + 7, colour("dim"));
      context.fillStyle = colour("trace");
      drawTrace(context, {
        track,
        from_ms,
        to_ms,
        x: left,
        width: inner,
        y,
        perUnit: (each * 0.46) / Math.max(half, 1e-30),
        zero: (range.lo + range.hi) / 2,
        limit: each / 2,
      });
    });
    drawMarks(context, [this.event], { from_ms, to_ms, left, inner, top: 0, bottom: lanes });
  }
}

/** @param {string} title @param {(Node | string | null)[]} parts */
function block(title, ...parts) {
  return h("div", { class: "block" }, h("h3", {}, title), ...parts);
}

/** @param {Event} event */
function types(event) {
  const estimate = event.event_type;
  if (estimate === undefined) return block("Type", h("p", { class: "dim" }, "Not classified."));
  const rows = KINDS.map((kind) => {
    const part = estimate.probabilities[kind] ?? 0;
    return h(
      "div",
      { class: "meter" },
      h("span", {}, kind),
      h("span", { class: "track" }, span(`k-${kind}`, 0, part)),
      h("b", {}, `${(100 * part).toFixed(1)} %`),
    );
  });
  return block("Type", ...rows);
}

/** @param {Event} event */
function magnitude(event) {
  const estimate = event.magnitude;
  if (estimate === undefined)
    return block("Magnitude", h("p", { class: "dim" }, "None: see the remarks on the quality."));
  const interval = estimate.interval_90;
  const ends = interval?.map((end) => (end === null ? "open" : minus(end.toFixed(1)))).join(" to ");
  return block(
    "Magnitude",
    h(
      "p",
      { class: "value" },
      `${estimate.type} ${bin(estimate)}`,
      h("span", { class: "dim" }, estimate.provisional ? " provisional" : ""),
    ),
    magnitudeScale(event),
    h("p", { class: "ends", "aria-hidden": "true" }, ...["0", "1", "2", "3"].map((text) => h("span", {}, text))),
    h(
      "p",
      { class: "dim" },
      ends
        ? `90 % interval ${ends}` + (estimate.value === undefined ? "" : `, mean ${minus(estimate.value.toFixed(1))}`)
        : "No interval: see the remarks on the quality.",
    ),
  );
}

/** @param {Event} event */
function picks(event) {
  const rows = (event.picks ?? []).map((pick) =>
    h(
      "p",
      {},
      h("b", { class: pick.phase === "P" ? "ink-p" : "ink-s" }, pick.phase),
      ` ${clock(parse(pick.time), "tenth")} ± ${pick.uncertainty_s.toFixed(2)} s `,
      h("span", { class: "dim" }, `${pick.channel}, ${Math.round(100 * pick.probability)} %`),
    ),
  );
  const far = distance(event);
  return block(
    "Distance and phases",
    h("p", { class: "value" }, far, h("span", { class: "dim" }, far ? " from S − P" : "no pick of S")),
    ...rows,
  );
}

/** @param {Event} event */
function quality(event) {
  const rows = event.quality.map(({ code, reason }) =>
    h("li", {}, h("b", {}, code.replaceAll("_", " ")), ` ${reason}`),
  );
  const { answer_s, coverage, gaps } = event.window;
  const found = block(
    "Quality",
    h("ul", {}, ...rows),
    h(
      "p",
      { class: "dim" },
      `Revision ${event.revision} (${stage(event)}): ${answer_s.toFixed(0)} s after the onset, ${Math.round(100 * coverage)} % of the window, ${gaps} gaps, clock ${event.timing}.`,
    ),
  );
  found.classList.add("wide");
  return found;
}

/** @param {Event} event */
function latency(event) {
  const stages = STAGES.map(
    ([key, name]) => /** @type {[string, number]} */ ([name, event.latency_ms[key] ?? 0]),
  ).filter(([, ms]) => ms >= 0.05);
  const sum = stages.reduce((all, [, ms]) => all + ms, 0) || 1;
  const bar = h("span", { class: "stack latency", "aria-hidden": "true" });
  let from = 0;
  stages.forEach(([, ms], i) => {
    bar.append(span(`l-${i % 4}`, from, from + ms / sum));
    from += ms / sum;
  });
  const list = h(
    "dl",
    {},
    ...stages.map(([name, ms], i) => h("div", {}, h("dt", { class: `l-${i % 4}` }, name), h("dd", {}, duration(ms)))),
  );
  const found = block(
    "Latency by stage",
    h(
      "p",
      { class: "value" },
      duration(event.latency_ms.total ?? sum),
      h("span", { class: "dim" }, " from the last sample needed"),
    ),
    bar,
    list,
  );
  found.classList.add("wide");
  return found;
}

/** "2.1 ms", "4 226 ms", "31 min" @param {number} ms */
function duration(ms) {
  if (ms >= 10_000) return age(ms / 1000);
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${figure(ms)} ms`;
}
