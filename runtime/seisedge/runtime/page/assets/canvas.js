/** Drawing surfaces: sharp on each screen, in the colours of the style sheet. */

/** @type {Map<string, string>} */
const colours = new Map();

/** A colour of the style sheet, by the name of its custom property. @param {string} name */
export function colour(name) {
  let value = colours.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    colours.set(name, value);
  }
  return value;
}

export const FONT = '11px system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif';

/** Surfaces to draw again when the colours change. @type {Set<Surface>} */
const surfaces = new Set();

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours.clear();
  for (const surface of surfaces) surface.draw();
});

/**
 * A canvas that follows its size on the screen.
 * @typedef {(context: CanvasRenderingContext2D, width: number, height: number) => void} Paint
 */
export class Surface {
  /** @param {HTMLCanvasElement} canvas @param {Paint} paint */
  constructor(canvas, paint) {
    this.canvas = canvas;
    this.paint = paint;
    this.width = 0;
    this.height = 0;
    this.scale = 1;
    this.due = false;
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("this browser has no canvas");
    this.context = context;
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(canvas.parentElement ?? canvas);
    surfaces.add(this);
  }

  /** Removes the surface for good. */
  close() {
    this.observer.disconnect();
    surfaces.delete(this);
  }

  /** Draws with the next frame; several calls before it draw once. */
  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.#paint();
    });
  }

  #paint() {
    const box = this.canvas.parentElement ?? this.canvas;
    const width = Math.floor(box.clientWidth);
    const height = Math.floor(box.clientHeight);
    if (width < 20 || height < 10) return; // hidden
    const scale = Math.min(window.devicePixelRatio || 1, 3);
    if (width !== this.width || height !== this.height || scale !== this.scale) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      [this.width, this.height, this.scale] = [width, height, scale];
    }
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.context.font = FONT;
    this.context.lineWidth = 1;
    this.paint(this.context, width, height);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {string} fill
 * @param {CanvasTextAlign} align
 */
export function label(context, text, x, y, fill, align = "left") {
  context.fillStyle = fill;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.fillText(text, x, y);
}

/**
 * A min/max trace, a column of pixels at a time; where a range is empty, a gap.
 * @param {CanvasRenderingContext2D} context
 * @param {{track: import("./track.js").Track, from_ms: number, to_ms: number, x: number, width: number, y: number,
 *   perUnit: number, zero: number, limit: number, low?: number}} trace `limit`: largest distance from y that is drawn
 */
export function drawTrace(context, { track, from_ms, to_ms, x, width, y, perUnit, zero, limit, low = 0 }) {
  const range = { lo: NaN, hi: NaN };
  const pixel = 1 / context.getTransform().a;
  const step_ms = ((to_ms - from_ms) / width) * pixel;
  const count = Math.round(width / pixel);
  let before = NaN;
  for (let i = 0; i < count; i++) {
    track.range(from_ms + i * step_ms, from_ms + (i + 1) * step_ms, range, low, low + 1);
    if (Number.isNaN(range.lo)) {
      before = NaN;
      continue;
    }
    let top = Math.max(-(range.hi - zero) * perUnit, -limit);
    let bottom = Math.min(-(range.lo - zero) * perUnit, limit);
    if (before > bottom) bottom = Math.min(before, limit); // joined to the column before: a line, not islands
    const middle = (top + bottom) / 2;
    if (before < top) top = Math.max(before, -limit);
    before = middle;
    const height = Math.max(bottom - top, pixel * 1.2);
    context.fillRect(x + i * pixel, y + top - (height - (bottom - top)) / 2, pixel, height);
  }
}

/** A round step of time for axes. @param {number} span_ms @param {number} most marks */
export function timeStep(span_ms, most) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 21_600, 43_200, 86_400];
  for (const step of steps) if (span_ms / (1000 * step) <= most) return 1000 * step;
  return 86_400_000;
}
