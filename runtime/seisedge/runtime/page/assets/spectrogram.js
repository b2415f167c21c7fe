/** Spectrogram of one component over the window of the live traces; worked out by the station when asked for. */

import { Surface, colour, label } from "./canvas.js";
import { drawTimeAxis } from "./live.js";
import { getAnswer } from "./wire.js";

/** @typedef {import("./types.d.ts").Columns} Columns */

/** Dark blue to pale yellow, of even steps in lightness (cividis): also for readers who do not see all colours. */
const STOPS = [
  [0, 32, 77],
  [35, 62, 108],
  [87, 93, 109],
  [124, 123, 120],
  [165, 154, 117],
  [209, 188, 99],
  [255, 234, 70],
];

export class Spectrogram {
  /** @param {string} station @param {HTMLCanvasElement} canvas @param {HTMLElement} note */
  constructor(station, canvas, note) {
    this.station = station;
    this.note = note;
    this.on = false;
    this.busy = false;
    this.row_hz = 1;
    /** @type {Columns | null} */
    this.columns = null;
    this.image = document.createElement("canvas");
    this.surface = new Surface(canvas, (context, width, height) => this.#paint(context, width, height));
    this.from_ms = 0;
    this.to_ms = 0;
    /** @type {(sentence: string) => void} */
    this.onFault = () => undefined;
  }

  /** @param {string} component @param {number} from_ms @param {number} to_ms */
  async update(component, from_ms, to_ms) {
    if (!this.on || this.busy || to_ms <= 0) return;
    this.busy = true;
    try {
      const { columns, headers } = await getAnswer("/api/spectrogram", {
        station: this.station,
        component,
        from: Math.floor(from_ms),
        to: Math.ceil(to_ms),
      });
      this.columns = columns;
      this.row_hz = Number(headers.get("Seisedge-Row-Hz")) || 1;
      [this.from_ms, this.to_ms] = [from_ms, to_ms];
      this.note.textContent = `component ${component}, 0 to ${this.#top().toFixed(0)} Hz`;
      this.#colour(this.columns);
      this.onFault("");
    } catch (error) {
      this.onFault(error instanceof Error ? error.message : String(error));
    } finally {
      this.busy = false;
      this.surface.draw();
    }
  }

  /** The highest frequency. */
  #top() {
    return this.row_hz * (this.columns?.channels ?? 1);
  }

  /** @param {Columns} columns */
  #colour({ values, n, channels }) {
    if (n === 0) return;
    const sorted = values.filter((value) => !Number.isNaN(value)).sort();
    const low = sorted[Math.floor(sorted.length * 0.05)] ?? 0;
    const high = Math.max(sorted[Math.floor(sorted.length * 0.995)] ?? 1, low + 6);
    this.image.width = n;
    this.image.height = channels;
    const context = this.image.getContext("2d");
    if (context === null) return;
    const pixels = context.createImageData(n, channels);
    for (let column = 0; column < n; column++) {
      for (let row = 0; row < channels; row++) {
        const value = values[column * channels + row] ?? NaN;
        if (Number.isNaN(value)) continue; // transparent: a gap
        const at = 4 * ((channels - 1 - row) * n + column);
        pixels.data.set(shade((value - low) / (high - low)), at);
      }
    }
    context.putImageData(pixels, 0, 0);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  #paint(context, width, height) {
    const left = 48;
    const inner = width - left - 1;
    const lanes = height - 18;
    const { columns, from_ms, to_ms } = this;
    if (columns === null || columns.n === 0) {
      label(
        context,
        columns === null ? "Loading." : "No samples in these minutes.",
        width / 2,
        lanes / 2,
        colour("dim"),
        "center",
      );
      return;
    }
    const x = left + (inner * (columns.start_ms - from_ms)) / (to_ms - from_ms);
    const shown = (inner * columns.n * columns.step_ms) / (to_ms - from_ms);
    drawTimeAxis(context, { from_ms, to_ms, left, inner, y: lanes });
    context.save();
    context.beginPath();
    context.rect(left, 0, inner, lanes);
    context.clip();
    context.imageSmoothingEnabled = true;
    context.drawImage(this.image, x, 0, shown, lanes);
    context.restore();
    for (let i = 0; i <= 4; i++)
      label(
        context,
        `${Math.round((this.#top() * i) / 4)}`,
        left - 5,
        Math.min(Math.max(lanes * (1 - i / 4), 6), lanes - 6),
        colour("dim"),
        "right",
      );
  }
}

/** Red, green, blue and opacity of a level from 0 to 1. @param {number} level */
function shade(level) {
  const place = Math.min(Math.max(level, 0), 1) * (STOPS.length - 1);
  const below = STOPS[Math.floor(place)] ?? [0, 0, 0];
  const above = STOPS[Math.ceil(place)] ?? below;
  return [...below.map((value, c) => value + ((above[c] ?? value) - value) * (place % 1)), 255];
}
