/** Requests to the station, and its binary answers. */

/** @typedef {import("./types.d.ts").Columns} Columns */

const NO_DATA = -32768;
const HEADER_BYTES = 32;
const TIMEOUT_MS = 15_000;

/** Bytes of answers since the page was opened, as they came out of the decompression. */
export const received = { bytes: 0 };

/** An answer other than success. `status` 0: the station could not be reached. */
export class RequestError extends Error {
  /** @param {string} message @param {number} status @param {number} retryAfter_s */
  constructor(message, status, retryAfter_s = 0) {
    super(message);
    this.status = status;
    this.retryAfter_s = retryAfter_s;
  }
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} parameters
 */
export function url(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value));
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} parameters
 * @returns {Promise<Response>}
 */
async function get(path, parameters) {
  let answer;
  try {
    answer = await fetch(url(path, parameters), { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new RequestError("the station does not answer", 0);
  }
  if (answer.ok) return answer;
  let sentence = `the station answered ${answer.status} to ${path}`;
  try {
    const document = await answer.json();
    if (typeof document.error === "string") sentence = document.error;
  } catch {
    // not JSON: an older station, or something between it and the browser
  }
  throw new RequestError(sentence, answer.status, Number(answer.headers.get("Retry-After")) || 0);
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} parameters
 * @returns {Promise<any>}
 */
export async function getJson(path, parameters = {}) {
  const text = await body(await get(path, parameters), (answer) => answer.text());
  received.bytes += text.length;
  try {
    return JSON.parse(text);
  } catch {
    throw new RequestError("the answer is not from a station of this kind", 0);
  }
}

/**
 * @template T
 * @param {Response} answer
 * @param {(answer: Response) => Promise<T>} read
 */
async function body(answer, read) {
  try {
    return await read(answer);
  } catch {
    throw new RequestError("the answer of the station ended early", 0);
  }
}

/**
 * @param {string} path
 * @param {Record<string, string | number | undefined>} parameters
 * @returns {Promise<Columns>}
 */
export async function getColumns(path, parameters) {
  return (await getAnswer(path, parameters)).columns;
}

/**
 * The columns with the headers of their answer.
 * @param {string} path
 * @param {Record<string, string | number | undefined>} parameters
 * @returns {Promise<{columns: Columns, headers: Headers}>}
 */
export async function getAnswer(path, parameters) {
  const answer = await get(path, parameters);
  const bytes = await body(answer, (found) => found.arrayBuffer());
  received.bytes += bytes.byteLength;
  return { columns: decode(bytes), headers: answer.headers };
}

/** @typedef {{component: string, channel: string, sensor: string, columns: Columns}} Curve */

/**
 * The stored waveform of an event: a line of JSON, then the columns of one channel after the other.
 * @param {string} event
 * @param {number} columns most columns a channel
 * @returns {Promise<Curve[]>}
 */
export async function getWaveform(event, columns) {
  const bytes = await body(await get("/api/waveform", { event, columns }), (answer) => answer.arrayBuffer());
  received.bytes += bytes.byteLength;
  let at = new Uint8Array(bytes).indexOf(10) + 1;
  if (at === 0) throw new RequestError("the answer has no header line", 0);
  const { curves } = JSON.parse(new TextDecoder().decode(bytes.slice(0, at)));
  return curves.map((/** @type {{component: string, channel: string, sensor: string, bytes: number}} */ curve) => {
    const found = { ...curve, columns: decode(bytes.slice(at, at + curve.bytes)) };
    at += curve.bytes;
    return found;
  });
}

/**
 * @param {ArrayBuffer} bytes little endian: "SEW1", kind, channels, start, step, columns, scale, then int16
 * @returns {Columns}
 */
export function decode(bytes) {
  if (bytes.byteLength < HEADER_BYTES) throw new RequestError("the answer is shorter than its header", 0);
  const view = new DataView(bytes);
  if (view.getUint32(0) !== 0x53455731) throw new RequestError("the answer is not of the format SEW1", 0);
  const kind = view.getUint16(4, true);
  const channels = view.getUint16(6, true);
  const n = view.getUint32(24, true);
  const scale = view.getFloat32(28, true);
  const perColumn = channels * (kind === 1 ? 2 : 1);
  if (bytes.byteLength < HEADER_BYTES + 2 * n * perColumn)
    throw new RequestError("the answer of the station ended early", 0);
  const values = new Float32Array(n * perColumn);
  for (let i = 0; i < values.length; i++) {
    const value = view.getInt16(HEADER_BYTES + 2 * i, true);
    values[i] = value === NO_DATA ? NaN : value * scale;
  }
  return { kind, channels, start_ms: Number(view.getBigInt64(8, true)), step_ms: view.getFloat64(16, true), n, values };
}
