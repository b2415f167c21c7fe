/** A ring of columns over time: bounded, whatever the page has been open for. */

/** @typedef {import("./types.d.ts").Columns} Columns */

export class Track {
  /**
   * @param {number} step_ms of a column
   * @param {number} columns kept
   * @param {number} width numbers a column
   */
  constructor(step_ms, columns, width) {
    this.step_ms = step_ms;
    this.columns = columns;
    this.width = width;
    this.values = new Float32Array(columns * width).fill(NaN);
    /** Index after the newest column, in steps since 1970; 0: empty. */
    this.end = 0;
  }

  /** Time after the newest column, 0 where nothing was received. */
  get end_ms() {
    return this.end * this.step_ms;
  }

  /** Time of the oldest column with data, Infinity without any. */
  get first_ms() {
    for (let at = Math.max(this.start, 0); at < this.end; at++) {
      if (!Number.isNaN(this.values[(at % this.columns) * this.width])) return at * this.step_ms;
    }
    return Infinity;
  }

  get start() {
    return this.end - this.columns;
  }

  clear() {
    this.values.fill(NaN);
    this.end = 0;
  }

  /**
   * Takes columns over. Columns of another step are spread over, or joined into, those of the ring.
   * @param {Columns} from
   * @param {number} channel first channel to take
   */
  add(from, channel = 0) {
    if (from.n === 0) return;
    const per = from.kind === 1 ? from.channels * 2 : from.channels;
    const first = Math.round(from.start_ms / this.step_ms);
    const last = Math.max(Math.round((from.start_ms + from.n * from.step_ms) / this.step_ms), first + 1);
    this.#advance(last);
    const joined = from.step_ms < this.step_ms * 0.99;
    const offset = channel * (from.kind === 1 ? 2 : 1);
    if (joined) this.#empty(first, last);
    const spread = Math.max(Math.round(from.step_ms / this.step_ms), 1);
    for (let i = 0; i < from.n; i++) {
      const at = Math.floor((from.start_ms + i * from.step_ms) / this.step_ms + 0.001);
      for (let k = 0; k < spread; k++) this.#put(at + k, from.values, i * per + offset, joined && from.kind === 1);
    }
  }

  /** @param {number} to */
  #advance(to) {
    if (to <= this.end) return;
    this.#empty(Math.max(this.end, to - this.columns), to);
    this.end = to;
  }

  /** @param {number} from @param {number} to */
  #empty(from, to) {
    for (let at = Math.max(from, this.start); at < to; at++) {
      const slot = (at % this.columns) * this.width;
      this.values.fill(NaN, slot, slot + this.width);
    }
  }

  /** @param {number} at @param {Float32Array} values @param {number} from @param {boolean} join */
  #put(at, values, from, join) {
    if (at < this.start || at >= this.end) return;
    const slot = (at % this.columns) * this.width;
    for (let k = 0; k < this.width; k++) {
      const value = values[from + k] ?? NaN;
      const before = this.values[slot + k] ?? NaN;
      if (!join || Number.isNaN(before)) this.values[slot + k] = value;
      else if (!Number.isNaN(value)) this.values[slot + k] = k % 2 ? Math.max(before, value) : Math.min(before, value);
    }
  }

  /**
   * Smallest and largest value between two times; NaN where there are no data.
   * @param {number} from_ms
   * @param {number} to_ms
   * @param {{lo: number, hi: number}} into
   * @param {number} low number of the column that holds the smallest value
   * @param {number} high that of the largest
   */
  range(from_ms, to_ms, into, low = 0, high = 1) {
    let lo = NaN;
    let hi = NaN;
    const first = Math.max(Math.floor(from_ms / this.step_ms + 1e-6), this.start, 0);
    const last = Math.min(Math.max(Math.ceil(to_ms / this.step_ms - 1e-6), first + 1), this.end);
    for (let at = first; at < last; at++) {
      const slot = (at % this.columns) * this.width;
      const a = this.values[slot + low] ?? NaN;
      const b = this.values[slot + high] ?? NaN;
      if (Number.isNaN(a) || Number.isNaN(b)) continue;
      if (!(a > lo)) lo = a;
      if (!(b < hi)) hi = b;
    }
    into.lo = lo;
    into.hi = hi;
  }
}
