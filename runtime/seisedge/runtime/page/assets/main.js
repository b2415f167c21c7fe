/** Puts the page together: which station, which event, which connection. */

import { Surface, colour, label } from "./canvas.js";
import { byId, setText, store, stored } from "./dom.js";
import { EventList, sentence as eventSentence } from "./events.js";
import { EventView } from "./event.js";
import { Feed, capital } from "./feed.js";
import { showDetails, showFacts, showSentence, showTable } from "./health.js";
import { Helicorder, MOST_MARKS } from "./helicorder.js";
import { Live } from "./live.js";
import { Spectrogram } from "./spectrogram.js";
import { clock, date, isLocal, useLocal, zone } from "./time.js";
import { getJson, received } from "./wire.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").StationState} StationState */
/** @typedef {import("./types.d.ts").Event} Event */
/** @typedef {import("./types.d.ts").Tick} Tick */

const HELICORDER_MS = 30_000;
const AVAILABILITY_MS = 600_000;
const AVAILABILITY_DAYS = 7;
const DAY_MS = 86_400_000;
const LINKS = /** @type {Record<import("./feed.js").Link, string>} */ ({
  connecting: "connecting",
  live: "live",
  polling: "every 10 s",
  low: "every minute",
  refused: "refused",
  lost: "no connection",
  paused: "paused",
});

const element = (/** @type {string} */ id) => byId(id, HTMLElement);
const query = new URLSearchParams(location.search);
const asked = query.get("station");
let station = asked;

/** @type {State | null} */
let state = null;
/** Milliseconds that the station's clock is ahead of the browser's. */
let ahead_ms = 0;
let helicorder_s = -Infinity;
let availability_s = -Infinity;
/** Whether samples were there when the archive was asked for; without any, it was asked up to now, which in a replay is another time. */
let askedWithData = false;
let lastReport = performance.now();
/** @type {Map<string, string>} */
const faults = new Map();

/** @param {string | null} ofStation @param {string | null} event */
function address(ofStation, event = null) {
  const parameters = new URLSearchParams();
  if (ofStation !== null) parameters.set("station", ofStation);
  if (event !== null) parameters.set("event", event);
  const text = parameters.toString();
  return text ? `/?${text}` : "/";
}

const list = new EventList(
  { list: element("event-list"), empty: element("no-events"), note: element("events-note") },
  (event) => address(event.station, event.id),
);
const view = new EventView(element("event"), () => choose(null, true));
/** @type {Live | null} */
let live = null;
/** @type {Helicorder | null} */
let helicorder = null;
/** @type {Spectrogram | null} */
let spectrogram = null;
/** What is in the archive between two times. @type {{spans: [number, number][], from_ms: number, to_ms: number} | null} */
let archive = null;
const availability = new Surface(byId("availability-canvas", HTMLCanvasElement), paintAvailability);

// ---- one station -------------------------------------------------------------------------------------------------

/** @param {string} id */
function openStation(id) {
  live = new Live(id, byId("live-canvas", HTMLCanvasElement), element("live-note"));
  helicorder = new Helicorder(
    id,
    { canvas: byId("helicorder-canvas", HTMLCanvasElement), marks: element("marks"), note: element("helicorder-note") },
    (event) => address(id, event),
  );
  spectrogram = new Spectrogram(id, byId("spectrogram-canvas", HTMLCanvasElement), element("spectrogram-note"));
  live.onFault = (text) => fault("live", text);
  helicorder.onFault = (text) => fault("helicorder", text);
  spectrogram.onFault = (text) => fault("spectrogram", text);
  live.show(1000 * Number(byId("window", HTMLSelectElement).value));
  helicorder.choose({
    hours: Number(byId("hours", HTMLSelectElement).value),
    amplitude: Number(byId("amplitude", HTMLSelectElement).value),
  });
}

/** Requests for traces that fail are said in the notice, and said no more when they work again. @param {string} of @param {string} text */
function fault(of, text) {
  if (text) faults.set(of, text);
  else faults.delete(of);
  notice();
}

function notice() {
  const texts = [...new Set([linkSentence, ...faults.values()].filter(Boolean).map(capital))];
  const box = element("notice");
  box.hidden = texts.length === 0;
  setText(box, texts.join(" "));
}

let linkSentence = "";

// ---- what the station reports ----------------------------------------------------------------------------------

/** @param {State} next */
function onState(next) {
  state = next;
  lastReport = performance.now();
  ahead_ms = next.now_ms - Date.now();
  if (station === null && next.stations.length === 1) station = next.stations[0]?.station ?? null;
  const one = next.stations.find((entry) => entry.station === station);
  const several = station === null && next.stations.length > 1;
  showHead(next, one, several);
  if (several) showTable(element("rows"), next, (id) => address(id));
  if (one !== undefined) onStation(one, next);
  announceStatus(one?.status ?? next.health.status);
}

/** @param {State} next @param {StationState | undefined} one @param {boolean} several */
function showHead(next, one, several) {
  element("stations").hidden = !several;
  element("traces").hidden = several || one === undefined;
  element("facts").hidden = element("more").hidden = one === undefined;
  document.body.classList.toggle("several", several);
  list.several = several;
  const name = several ? `${next.stations.length} stations` : (station ?? "");
  const whole = { status: next.health.status, sentence: next.sentence, reasons: next.health.reasons };
  const shown = asked && one ? one : whole;
  const unknown = station !== null && one === undefined;
  setText(element("title"), name);
  document.title = `${shown.status === "ok" ? "" : `${shown.status}: `}${name || "seisedge"} – seisedge`;
  setText(element("version"), `seisedge ${next.version}`);
  showSentence(
    element("sentence"),
    element("reasons"),
    unknown ? { ...whole, sentence: `There is no station ${station} here. ${capital(next.sentence)}` } : shown,
  );
}

/** @param {StationState} one @param {State} next */
function onStation(one, next) {
  if (live === null) openStation(one.station);
  showFacts(element("facts"), one, next, list.sorted());
  if (element("more").hasAttribute("open")) showDetails(element("inner"), one.station, next);
  fillComponents(one.components.length > 0 ? one.components : ["Z", "N", "E"]);
  element("availability").hidden = !next.archive;
  const low = byId("low", HTMLButtonElement);
  low.disabled = next.low_rate;
  low.title = next.low_rate ? "Set by low_rate of the station file." : "One still a minute, for a metered link.";
  if (next.low_rate && !feed.low) setLow(true, false);
  if (feed.low || link !== "live") void traces(newest(one, next));
  if (next.archive) askAvailabilityWhenDue(one);
  refreshEvent();
}

/** Without ticks, the ends of the data are worked out from their age. @param {StationState} one @param {State} next */
function newest(one, next) {
  if (one.data_age_s === null) return {};
  const end = Math.round(next.now_ms - 1000 * one.data_age_s);
  return Object.fromEntries(one.components.map((name) => [name, end]));
}

/** @param {Record<string, number>} newest_ms */
async function traces(newest_ms) {
  const ends = Object.values(newest_ms);
  if (live === null || helicorder === null || ends.length === 0) return;
  const end = Math.max(...ends);
  const seconds = performance.now() / 1000;
  const due = seconds - helicorder_s >= (feed.low ? 60 : HELICORDER_MS / 1000);
  await live.update(newest_ms, feed.low ? 300 : undefined);
  if (due) {
    helicorder_s = seconds;
    await helicorder.update(end);
  }
  await drawSpectrogram();
}

async function drawSpectrogram() {
  if (spectrogram?.on && live && live.end_ms > 0 && helicorder) {
    const to = Math.ceil(live.end_ms / 1000) * 1000;
    await spectrogram.update(helicorder.component, to - live.span_ms, to);
  }
}

/** @param {Event[]} events @param {boolean} whole @param {boolean} more */
function onEvents(events, whole, more) {
  const known = list.known;
  element("events").hidden = false;
  const fresh = list.add(events);
  if (whole && !known) {
    element("older").hidden = !more;
    if (more && !feed.low && station !== null) void fillDay();
    else if (list.chosen && !list.events.has(list.chosen)) fault("event", `no event ${list.chosen} here`);
  }
  if (known && fresh[0] !== undefined) setText(element("announce"), `Event ${eventSentence(fresh[0])}`);
  showEvents();
}

function showEvents() {
  const sorted = list.sorted();
  helicorder?.setEvents(sorted);
  if (live) {
    live.events = sorted.slice(0, 100);
    live.surface.draw();
  }
  refreshEvent();
}

let status = "";

/** @param {string} now */
function announceStatus(now) {
  if (status && now !== status) setText(element("announce"), `Status: ${now}`);
  status = now;
}

/** @type {import("./feed.js").Link} */
let link = "connecting";

const feed = new Feed(asked, {
  state: onState,
  events: onEvents,
  tick(tick) {
    lastReport = performance.now();
    ahead_ms = tick.now_ms - Date.now();
    void traces(tick.newest_ms);
  },
  link(now, text) {
    if (now === "live" && link !== "live") {
      // of requests while the station was away; they are made again
      for (const of of [...faults.keys()]) if (of !== "event") faults.delete(of);
      helicorder_s = -Infinity;
    }
    link = now;
    linkSentence = text;
    const box = element("link");
    box.dataset.state = now;
    setText(box, LINKS[now]);
    notice();
  },
});

// ---- one event -------------------------------------------------------------------------------------------------

/** @param {string | null} id @param {boolean} move whether the address changes with it */
function choose(id, move) {
  list.chosen = id ?? "";
  if (move) history.pushState(null, "", address(asked ?? (id ? station : null), id));
  refreshEvent();
  list.draw();
  if (id !== null) {
    element("event").scrollIntoView({ block: "nearest" });
    element("event").focus({ preventScroll: true });
  } else if (move) element("events").querySelector("a")?.focus({ preventScroll: true });
}

function refreshEvent() {
  view.show(list.events.get(list.chosen) ?? null, state?.snippets ?? false);
}

document.addEventListener("click", (click) => {
  const target = click.target instanceof Element ? click.target.closest("a[data-event]") : null;
  if (target === null || click.ctrlKey || click.metaKey || click.shiftKey || station === null) return;
  click.preventDefault();
  choose(target.getAttribute("data-event"), true);
});
document.addEventListener("keydown", (key) => {
  if (key.key === "Escape" && list.chosen) choose(null, true);
});
window.addEventListener("popstate", () => choose(new URLSearchParams(location.search).get("event"), false));

/** One page of older events. @returns {Promise<boolean>} whether there are more */
async function older() {
  try {
    const page = await getJson("/api/events", { station: station ?? undefined, limit: 50, before: list.oldest_ms });
    list.add(page.events);
    element("older").hidden = !page.more;
    fault("events", "");
    showEvents();
    return page.more && page.events.length > 0;
  } catch (error) {
    fault("events", error instanceof Error ? error.message : String(error));
    return false;
  }
}
element("older").addEventListener("click", () => void older());

/** In a swarm, fifty events are an hour: the helicorder marks those of its whole day, as far as it can mark them. */
async function fillDay() {
  const begin = (list.newest_ms ?? 0) - DAY_MS; // of the stream, which may be a replay
  const goes = () => (list.oldest_ms ?? 0) > begin && list.events.size < MOST_MARKS;
  const sought = () => list.chosen !== "" && !list.events.has(list.chosen);
  while ((goes() || sought()) && (await older()));
  if (sought()) fault("event", `no event ${list.chosen} here`);
}

// ---- choices ---------------------------------------------------------------------------------------------------

/** @param {string[]} names */
function fillComponents(names) {
  const select = byId("component", HTMLSelectElement);
  if ([...select.options].map((option) => option.value).join() === names.join()) return;
  const before = select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  select.value = names.includes(before) ? before : (names[0] ?? "");
  helicorder?.choose({ component: select.value });
}

byId("component", HTMLSelectElement).addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) helicorder?.choose({ component: event.target.value });
  void drawSpectrogram();
});
byId("amplitude", HTMLSelectElement).addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) helicorder?.choose({ amplitude: Number(event.target.value) });
});
byId("hours", HTMLSelectElement).addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) helicorder?.choose({ hours: Number(event.target.value) });
});
byId("window", HTMLSelectElement).addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) live?.show(1000 * Number(event.target.value));
  void drawSpectrogram();
});
byId("spectrogram", HTMLButtonElement).addEventListener("click", () => {
  if (spectrogram === null) return;
  spectrogram.on = !spectrogram.on;
  element("spectrogram").setAttribute("aria-pressed", String(spectrogram.on));
  element("spectrogram-box").hidden = !spectrogram.on;
  spectrogram.surface.draw();
  void drawSpectrogram();
});
element("more").addEventListener("toggle", () => {
  if (state && station) showDetails(element("inner"), station, state);
});

/** @param {boolean} on @param {boolean} keep whether the browser remembers it */
function setLow(on, keep) {
  element("low").setAttribute("aria-pressed", String(on));
  if (keep) store("low", on ? "1" : "0");
  feed.setLow(on);
}
element("low").addEventListener("click", () => setLow(!feed.low, true));

/** @param {boolean} on */
function setLocal(on) {
  useLocal(on);
  element("local").setAttribute("aria-pressed", String(on));
  list.redraw();
  showTime();
  view.show(null, false);
  refreshEvent();
  if (state) {
    delete element("rows").dataset.key;
    onState(state);
  }
  for (const surface of [live?.surface, helicorder?.surface, spectrogram?.surface, availability]) surface?.draw();
}
element("local").addEventListener("click", () => {
  store("local", isLocal() ? "0" : "1");
  setLocal(!isLocal());
});

// ---- archive ---------------------------------------------------------------------------------------------------

/** Every ten minutes, and with the first samples. @param {StationState} one */
function askAvailabilityWhenDue(one) {
  const seconds = performance.now() / 1000;
  const withData = live !== null && live.end_ms > 0;
  const due = seconds - availability_s > AVAILABILITY_MS / 1000 || (withData && !askedWithData);
  if (!due || !(withData || one.data_age_s === null)) return;
  availability_s = seconds;
  askedWithData = withData;
  void askAvailability(one.station);
}

/** The days before the newest sample, in parts: the disk of a station may be slow. @param {string} id */
async function askAvailability(id) {
  const to_ms = Math.ceil(live?.end_ms || Date.now() + ahead_ms);
  const begin = to_ms - AVAILABILITY_DAYS * DAY_MS;
  const found = { spans: /** @type {[number, number][]} */ ([]), from_ms: to_ms, to_ms };
  const began_s = availability_s;
  try {
    while (found.from_ms > begin) {
      const days = Math.ceil((found.from_ms - begin) / DAY_MS);
      const part = await getJson("/api/availability", { station: id, days, to: found.from_ms });
      if (began_s !== availability_s) return; // asked for again in the meantime
      found.spans.push(...part.spans);
      if (!(part.from_ms < found.from_ms)) break;
      found.from_ms = part.from_ms;
      archive = found;
      availability.draw();
    }
    fault("availability", "");
  } catch (error) {
    if (began_s !== availability_s) return;
    fault("availability", error instanceof Error ? error.message : String(error));
  }
}

/** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
function paintAvailability(context, width, height) {
  if (archive === null) return;
  const { spans, from_ms: known, to_ms: to } = archive;
  const from = to - AVAILABILITY_DAYS * DAY_MS;
  const x = (/** @type {number} */ t) => (width * (Math.min(Math.max(t, from), to) - from)) / (to - from);
  context.fillStyle = colour("gap");
  context.fillRect(x(known), 0, width - x(known), 10);
  context.fillStyle = colour("have");
  let there = 0;
  for (const [a, b] of spans) {
    there += Math.max(Math.min(b, to) - Math.max(a, known), 0);
    context.fillRect(x(a), 0, Math.max(x(b) - x(a), 1), 10);
  }
  for (let day = Math.ceil(from / DAY_MS) * DAY_MS; day < to; day += DAY_MS) {
    context.fillStyle = colour("rule");
    context.fillRect(Math.round(x(day)), 0, 1, height - 12);
    if (x(day) < width - 34) label(context, date(day).slice(5), x(day) + 3, height - 6, colour("dim"));
  }
  const days = Math.round((to - known) / DAY_MS);
  setText(
    element("availability-note"),
    `${((100 * there) / (to - known)).toFixed(1)} % of ${days} days, to ${date(to)} ${clock(to, "minute")} ${zone(to)}`,
  );
}

// ---- clock -----------------------------------------------------------------------------------------------------

function showTime() {
  const now = Date.now() + ahead_ms;
  setText(element("clock"), `${date(now)} ${clock(now)}`);
  setText(element("zone"), zone(now));
  const kb = received.bytes / 1000;
  setText(
    element("received"),
    `${kb < 1000 ? `${kb.toFixed(0)} kB` : `${(kb / 1000).toFixed(1)} MB`} of data received`,
  );
  const silent_s = (performance.now() - lastReport) / 1000;
  document.body.classList.toggle("stale", silent_s > (feed.low ? 90 : 25));
}
setInterval(showTime, 1000);

setText(element("title"), asked ?? "");
list.chosen = query.get("event") ?? "";
if (stored("low") === "1" || query.has("low")) setLow(true, false);
setLocal(stored("local") === "1");
feed.start();
