// What the server sends, for the type checker only: never loaded by the browser.

export interface StationState {
  station: string;
  status: string;
  sentence: string;
  reasons: string[];
  data_age_s: number | null;
  components: string[];
  sampling_rate_hz: number | null;
  clock: string | number | null;
  gaps_last_hour: number | null;
  events_24h: number;
  last_event_ms: number | null;
  channels?: Record<string, string>;
  curves?: boolean;
  state_of_health?: Record<string, { what: string; value: number; unit: string }>;
}

export interface Sink {
  sink: string;
  connected?: number | null;
  waiting_lines?: number | null;
  oldest_waiting_seconds?: number | null;
  down_seconds?: number | null;
}

export interface State {
  now_ms: number;
  version: string;
  sentence: string;
  health: {
    status: string;
    reasons: string[];
    engines?: Record<string, string>;
    resident_mib?: number | null;
    sinks?: Sink[];
    disk_free_bytes?: number | null;
    behind_s?: number | null;
  };
  stations: StationState[];
  low_rate: boolean;
  snippets: boolean;
  archive: boolean;
}

export interface Pick {
  phase: "P" | "S";
  time: string;
  uncertainty_s: number;
  probability: number;
  channel: string;
}

export interface Event {
  id: string;
  revision: number;
  status: "new" | "update" | "final" | "retracted";
  station: string;
  onset: string;
  trigger: { kind: string; snr?: number; probability?: number };
  picks?: Pick[];
  distance_km?: number;
  distance_uncertainty_km?: number;
  event_type?: { label: string; probability: number; probabilities: Record<string, number>; model: string };
  magnitude?: {
    label: string;
    bin: [number | null, number | null];
    probability: number;
    type: string;
    value?: number;
    interval_90?: [number | null, number | null];
    provisional?: boolean;
    model: string;
  };
  window: { start: string; length_s: number; answer_s: number; coverage: number; gaps: number };
  overlaps: string[];
  timing: string;
  quality: { code: string; reason: string }[];
  latency_ms: Record<string, number>;
  cost: { flops: number; engine: string; precision: string };
  snippet?: boolean;
}

export interface Tick {
  now_ms: number;
  newest_ms: Record<string, number>;
}

/** Values in columns: `channels` numbers a column (min and max count as two of one channel). NaN: no data. */
export interface Columns {
  kind: number;
  channels: number;
  start_ms: number;
  step_ms: number;
  n: number;
  values: Float32Array;
}
