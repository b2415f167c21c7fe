/** Times: milliseconds UTC inside; UTC or the browser's own zone on the screen. */

let local = false;

/** @param {boolean} on */
export function useLocal(on) {
  local = on;
}

/** @returns {boolean} */
export function isLocal() {
  return local;
}

/** @param {number} n @param {number} width */
const pad = (n, width = 2) => String(n).padStart(width, "0");

/** Minutes that the shown zone is ahead of UTC. @param {number} ms */
function offset(ms) {
  return local ? -new Date(ms).getTimezoneOffset() : 0;
}

/** @param {number} ms */
function shown(ms) {
  return new Date(ms + 60_000 * offset(ms));
}

/** "UTC", or "UTC+2" of the browser's zone. @param {number} ms */
export function zone(ms) {
  const minutes = offset(ms);
  if (!local) return "UTC";
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? "−" : "+"}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${pad(rest)}` : ""}`;
}

/** 2026-11-29 @param {number} ms */
export function date(ms) {
  const at = shown(ms);
  return `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())}`;
}

/** 14:07, 14:07:31 or 14:07:31.2 @param {number} ms @param {"minute" | "second" | "tenth"} to */
export function clock(ms, to = "second") {
  const at = shown(ms);
  const minute = `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
  if (to === "minute") return minute;
  const second = `${minute}:${pad(at.getUTCSeconds())}`;
  return to === "second" ? second : `${second}.${Math.floor(at.getUTCMilliseconds() / 100)}`;
}

/** Milliseconds of an ISO time of the wire, NaN if it is none. @param {string} iso */
export function parse(iso) {
  return Date.parse(iso.replace(/(\.\d{3})\d+Z$/, "$1Z"));
}

/** "0.9 s", "31 s", "4 min", "2.5 h", "3 days" @param {number | null | undefined} seconds */
export function age(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 0) return `${minus(seconds.toFixed(1))} s`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** A true minus sign. @param {string} text */
export function minus(text) {
  return text.replace("-", "−");
}

/** Three figures, as an instrument gives them; a thin space between thousands. @param {number} value */
export function figure(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return minus(value.toExponential(1));
  const text = size < 10 ? String(Number(value.toPrecision(2))) : String(Math.round(value));
  return minus(text.replace(/\B(?=(\d{3})+$)/g, " "));
}
