/** The list of events, newest first. A row is replaced when a newer revision of its event arrives. */

import { h, setText, span } from "./dom.js";
import { age, clock, date, minus, parse } from "./time.js";

/** @typedef {import("./types.d.ts").Event} Event */

const KEPT = 500;
export const KINDS = ["tectonic", "non-tectonic", "noise"];
const MAGNITUDES = [-0.5, 3.5]; // ends of the scale

/** "1.7–1.8", "≤ 0.0", "> 3.0" @param {NonNullable<Event["magnitude"]>} magnitude */
export function bin({ bin: [lo, hi], label }) {
  if (lo !== null && hi !== null) return minus(`${lo.toFixed(1)}`) + "–" + minus(hi.toFixed(1));
  if (hi !== null) return `≤ ${minus(hi.toFixed(1))}`;
  return lo !== null ? `> ${minus(lo.toFixed(1))}` : label;
}

/** "12.7 ± 2.1 km" @param {Event} event */
export function distance({ distance_km: km, distance_uncertainty_km: error }) {
  if (km === undefined) return "";
  const digits = km < 10 && (error ?? 1) < 2 ? 1 : 0;
  return error === undefined ? `${km.toFixed(digits)} km` : `${km.toFixed(digits)} ± ${error.toFixed(digits)} km`;
}

/** "new, 3 s after the onset" @param {Event} event */
export function stage({ status, window: { answer_s } }) {
  if (status === "final" || status === "retracted") return status;
  return `${status}, +${age(answer_s).replace(".0", "")}`;
}

/** The bar of the types: as long as they are probable. @param {Event} event */
export function typeBar(event) {
  const bar = h("span", { class: "stack", "aria-hidden": "true" });
  let from = 0;
  for (const kind of KINDS) {
    const part = event.event_type?.probabilities[kind] ?? 0;
    bar.append(span(`k-${kind}`, from, from + part));
    from += part;
  }
  return bar;
}

/** The scale of the magnitude with its 90 % interval and its bin. @param {Event} event */
export function magnitudeScale({ magnitude }) {
  const scale = h("span", { class: "scale", "aria-hidden": "true" });
  if (magnitude === undefined) return scale;
  const [low, high] = /** @type {[number, number]} */ (MAGNITUDES);
  /** @param {number} value */
  const at = (value) => (value - low) / (high - low);
  for (let tick = 0; tick < high; tick++) scale.append(span("tick", at(tick), at(tick)));
  const interval = magnitude.interval_90;
  if (interval) scale.append(span("interval", at(interval[0] ?? low), at(interval[1] ?? high)));
  const [lo, hi] = magnitude.bin;
  scale.append(span(magnitude.provisional ? "bin provisional" : "bin", at(lo ?? low), at(hi ?? high)));
  return scale;
}

/** An event in words, for the announcement of a new one. @param {Event} event */
export function sentence(event) {
  const parts = [`${clock(parse(event.onset), "tenth")}`, event.event_type?.label ?? "not classified"];
  if (event.event_type) parts.push(`probability ${Math.round(100 * event.event_type.probability)} %`);
  if (event.magnitude)
    parts.push(`magnitude ${bin(event.magnitude)}${event.magnitude.provisional ? ", provisional" : ""}`);
  if (event.distance_km !== undefined) parts.push(distance(event));
  parts.push(stage(event));
  for (const { code } of event.quality) if (code !== "ok") parts.push(code.replaceAll("_", " "));
  return parts.join(", ");
}

/** @param {Event} event @param {string} address @param {boolean} several whether the station is named */
function row(event, address, several) {
  const link = h("a", { href: address, class: `row ${event.status}`, "data-event": event.id });
  const kind = event.event_type?.label;
  const time = h("span", { class: "time" }, clock(parse(event.onset), "tenth"));
  const type = h("span", { class: `type kind-${kind ?? "none"}` }, kind ?? "not classified");
  if (event.event_type) type.append(h("b", {}, ` ${Math.round(100 * event.event_type.probability)} %`));
  const magnitude = h("span", { class: "magnitude" }, event.magnitude ? `M ${bin(event.magnitude)}` : "");
  link.append(
    time,
    type,
    magnitude,
    h("span", { class: "where" }, several ? event.station : distance(event)),
    typeBar(event),
    magnitudeScale(event),
  );
  const remarks = event.quality.filter(({ code }) => code !== "ok").map(({ code }) => code.replaceAll("_", " "));
  const foot = h("span", { class: "remarks", title: event.quality.map(({ reason }) => reason).join("\n") });
  if (event.status !== "final") foot.append(h("b", {}, stage(event)), remarks.length > 0 ? " · " : "");
  foot.append(remarks.join(" · "));
  if (foot.textContent) link.append(foot);
  return link;
}

export class EventList {
  /**
   * @param {{list: HTMLElement, empty: HTMLElement, note: HTMLElement}} parts
   * @param {(event: Event) => string} address
   */
  constructor({ list, empty, note }, address) {
    this.list = list;
    this.empty = empty;
    this.note = note;
    this.address = address;
    this.several = false;
    /** @type {Map<string, Event>} */
    this.events = new Map();
    /** @type {Map<string, HTMLElement>} */
    this.rows = new Map();
    this.known = false;
    this.chosen = "";
  }

  /** Newest first. */
  sorted() {
    return [...this.events.values()].sort((a, b) =>
      a.onset < b.onset ? 1 : a.onset > b.onset ? -1 : a.id < b.id ? 1 : -1,
    );
  }

  /**
   * @param {Event[]} events
   * @returns {Event[]} those that were not there
   */
  add(events) {
    const fresh = [];
    for (const event of events) {
      const before = this.events.get(event.id);
      if (before !== undefined && before.revision > event.revision) continue;
      if (before === undefined) fresh.push(event);
      else if (before.revision === event.revision && before.snippet === event.snippet) continue;
      this.events.set(event.id, event);
      this.rows.delete(event.id);
    }
    for (const old of this.sorted().slice(KEPT)) this.events.delete(old.id);
    this.known = true;
    this.draw();
    return fresh;
  }

  get newest_ms() {
    const first = this.sorted()[0];
    return first === undefined ? undefined : parse(first.onset);
  }

  /** The oldest onset that is listed. */
  get oldest_ms() {
    const last = this.sorted().at(-1);
    return last === undefined ? undefined : parse(last.onset);
  }

  /** All rows anew: the zone of the times has changed. */
  redraw() {
    this.rows.clear();
    this.draw();
  }

  draw() {
    const wanted = this.#wanted();
    const focused = this.list.contains(document.activeElement) && document.activeElement?.getAttribute("data-event");
    this.#replace(wanted);
    if (focused) this.rows.get(focused)?.focus({ preventScroll: true }); // its row was perhaps replaced
    const keep = new Set(wanted);
    for (const [key, item] of this.rows) if (!keep.has(item)) this.rows.delete(key);
    this.empty.hidden = !this.known || this.events.size > 0;
    setText(this.note, this.events.size === 0 ? "" : `${this.events.size} listed`);
  }

  /** The rows as they should be, with a heading for each day. */
  #wanted() {
    const wanted = [];
    let day = "";
    for (const event of this.sorted()) {
      const its = date(parse(event.onset));
      if (its !== day) wanted.push(this.#cached(`day ${its}`, () => h("h3", { class: "day" }, its)));
      day = its;
      const item = this.#cached(event.id, () => row(event, this.address(event), this.several));
      if (event.id === this.chosen) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
      wanted.push(item);
    }
    return wanted;
  }

  /** Rows that stay are not moved: the place in the list, a selection and the focus stay as well. @param {HTMLElement[]} wanted */
  #replace(wanted) {
    const keep = new Set(/** @type {Node[]} */ (wanted));
    for (const item of [...this.list.childNodes]) if (!keep.has(item)) item.remove();
    let at = this.list.firstChild;
    for (const item of wanted) {
      if (item === at) at = at.nextSibling;
      else this.list.insertBefore(item, at);
    }
  }

  /** @param {string} key @param {() => HTMLElement} make */
  #cached(key, make) {
    let item = this.rows.get(key);
    if (item === undefined) {
      item = make();
      this.rows.set(key, item);
    }
    return item;
  }
}
