/**
 * What the station reports, as it happens: server-sent events; where all their places are taken, a request every ten
 * seconds; in low rate, one a minute. A lost connection is retried with growing pauses, for as long as the page is open.
 */

import { RequestError, getJson, received, url } from "./wire.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Event} Event */
/** @typedef {import("./types.d.ts").Tick} Tick */
/** @typedef {"connecting" | "live" | "polling" | "low" | "refused" | "lost" | "paused"} Link */

const POLL_MS = 10_000;
const LOW_MS = 60_000;
const SILENT_MS = 12_000; // the server sends a tick every second
const PAUSES_MS = [1000, 2000, 4000, 8000, 15_000];
const STREAM_AGAIN_MS = 60_000; // while polling: how often a place for the stream is asked for
const HIDDEN_MS = 60_000; // after this long in the background the place at the station is given back
const EVENTS = 50;
const FEW = 8; // of a minute, in low rate

/**
 * @typedef {object} Listener
 * @property {(state: State) => void} state
 * @property {(events: Event[], whole: boolean, more: boolean) => void} events `whole`: the newest events, not single revisions
 * @property {(tick: Tick) => void} tick
 * @property {(link: Link, sentence: string) => void} link
 */

export class Feed {
  /** @param {string | null} station @param {Listener} listener */
  constructor(station, listener) {
    this.station = station;
    this.listener = listener;
    this.low = false;
    this.seen = false;
    /** @type {EventSource | null} */
    this.stream = null;
    this.timer = 0;
    this.watch = 0;
    this.hidden = 0;
    this.failures = 0;
    this.streamAgain = 0;
    /** Raised by each new start: the answers of an older one are dropped. */
    this.turn = 0;
    document.addEventListener("visibilitychange", () => this.#visibility());
    window.addEventListener("online", () => this.start());
  }

  /** Connects anew, at once. */
  start() {
    this.#stop();
    this.failures = 0;
    this.streamAgain = 0;
    void this.#round();
  }

  /** @param {boolean} on one request a minute, and no stream */
  setLow(on) {
    if (this.low === on) return;
    this.low = on;
    this.start();
  }

  #stop() {
    this.turn += 1;
    this.stream?.close();
    this.stream = null;
    clearTimeout(this.timer);
    clearTimeout(this.watch);
  }

  #visibility() {
    clearTimeout(this.hidden);
    if (document.visibilityState === "hidden") {
      this.hidden = setTimeout(() => {
        this.#stop();
        this.listener.link("paused", "Paused while the page is in the background.");
      }, HIDDEN_MS);
    } else if (this.stream === null) this.start();
  }

  /** State and events by request; then the stream, or the next request. */
  async #round() {
    const turn = this.turn;
    try {
      const state = /** @type {State} */ (await getJson("/api/state"));
      if (turn !== this.turn) return;
      this.listener.state(state);
      const page = await getJson("/api/events", {
        station: this.station ?? undefined,
        limit: this.low && this.seen ? FEW : EVENTS,
      });
      if (turn !== this.turn) return;
      this.listener.events(page.events, true, page.more);
      this.seen = true;
    } catch (error) {
      if (turn === this.turn) this.#failed(error);
      return;
    }
    this.failures = 0;
    if (this.low) {
      this.listener.link("low", "");
      this.#later(LOW_MS);
    } else if (performance.now() >= this.streamAgain) this.#open();
    else {
      this.listener.link("polling", "Live updates are not available now: this page asks every 10 s.");
      this.#later(POLL_MS);
    }
  }

  /** @param {number} pause_ms */
  #later(pause_ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.#round(), pause_ms);
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof RequestError)) console.error(error); // a fault of this page; it goes on with the next round
    const { message, status, retryAfter_s } =
      error instanceof RequestError ? error : new RequestError("the answer of the station cannot be shown", 0);
    const pause_ms = PAUSES_MS[Math.min(this.failures, PAUSES_MS.length - 1)] ?? POLL_MS;
    this.failures += 1;
    const refused = [401, 403, 429, 503].includes(status);
    this.listener.link(refused ? "refused" : "lost", capital(message));
    const jitter = 0.75 + 0.5 * Math.random();
    this.#later(Math.max(pause_ms, 1000 * retryAfter_s, this.low ? LOW_MS / 4 : 0) * jitter);
  }

  #open() {
    const turn = this.turn;
    const stream = new EventSource(url("/api/updates", { station: this.station ?? undefined }));
    this.stream = stream;
    let opened = false;
    /** @param {string} name @param {(data: any) => void} then */
    const on = (name, then) =>
      stream.addEventListener(name, (message) => {
        if (turn !== this.turn || !(message instanceof MessageEvent)) return;
        this.#watch();
        received.bytes += message.data.length;
        then(JSON.parse(message.data));
      });
    stream.addEventListener("open", () => {
      opened = true;
      this.#watch();
      this.listener.link("live", "");
    });
    stream.addEventListener("error", () => {
      if (turn !== this.turn) return;
      this.#lost(opened);
    });
    on("state", this.listener.state);
    on("tick", this.listener.tick);
    on("event", (event) => this.listener.events([event], false, false));
  }

  /** The stream ended, or never began. The next request tells why. @param {boolean} opened */
  #lost(opened) {
    this.#stop();
    if (!opened) this.streamAgain = performance.now() + STREAM_AGAIN_MS;
    else this.listener.link("connecting", "");
    this.#later(opened ? 500 + 1000 * Math.random() : 0);
  }

  #watch() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => {
      this.listener.link("lost", "The station has sent nothing for 12 s.");
      this.#lost(true);
    }, SILENT_MS);
  }
}

/** @param {string} sentence */
export function capital(sentence) {
  const text = sentence.charAt(0).toUpperCase() + sentence.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
