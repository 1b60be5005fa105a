/**
 * What the detailed health asks: database, Redis, stream thread, workers, feeds, disk, event loop, breakers, settings.
 */
import { diskSpace } from "../adapters/disk-space.ts";
import type { LoopDelay } from "../adapters/event-loop-delay.ts";
import type { SettingsApplied } from "../http/runtime-state-routes.ts";
import type { BreakerReport } from "../ports/breakers.ts";
import type { FeedReport } from "../ports/feeds.ts";
import type { HealthProbe, ProbeFinding } from "../services/health-detail.ts";
import type { VenueListState } from "../services/instrument-registry.ts";
import type { StreamHealth } from "../services/health-service.ts";

export interface HealthProbesDeps {
  readonly pingDatabase: () => Promise<void>;
  /** Null: there is no Redis. */
  readonly pingRedis: (() => Promise<void>) | null;
  readonly stream: () => StreamHealth;
  /** Null: the thread did not answer. */
  readonly askStream: () => Promise<unknown>;
  readonly dataDir: string;
  /** Below this the disk counts as degraded. */
  readonly diskFreeBytesMin: number;
  readonly loopDelay: () => LoopDelay;
  /** Above this, as the longest of a minute or two, the event loop counts as degraded. */
  readonly loopDelayMaxMs: number;
  readonly breakers: () => readonly BreakerReport[];
  /** Probes of other parts, e.g. instrument lists. */
  readonly more: readonly HealthProbe[];
}

const OK: ProbeFinding = { status: "ok", detail: "" };

export function healthProbes(deps: HealthProbesDeps): readonly HealthProbe[] {
  const { pingDatabase, pingRedis } = deps;
  const stream = deps.stream();
  return [
    remote("database", async () => {
      await pingDatabase();
      return OK;
    }),
    ...(pingRedis === null ? [] : [remote("redis", async () => {
      await pingRedis();
      return OK;
    })]),
    remote("stream", async () => {
      if (!stream.isListening) return { status: "down", detail: `it does not listen: ${stream.reason}` };
      return await deps.askStream() === null ? { status: "down", detail: "the stream thread did not answer" } : OK;
    }),
    local("workers", () => workersOf(stream)),
    ...stream.feeds.map((feed) => local(`feed.${feed.name}`, () => feedOf(feed))),
    remote("disk", () => diskOf(deps)),
    local("event_loop", () => loopOf(deps)),
    local("breakers", () => breakersOf(deps.breakers())),
    ...deps.more,
  ];
}

/** Instrument lists of the venues. */
export function listProbes(lists: readonly VenueListState[]): readonly HealthProbe[] {
  return lists.map(({ venue, source, count, ageMs, isStale, why }) => local(`instruments.${venue}`, () => ({
    status: isStale ? "degraded" : "ok", detail: why, figures: { source, count, age_ms: ageMs === null ? null : Math.round(ageMs) },
  })));
}

/** The revision of the settings, and the ones that the threads work by; a change is on its way to them for less than a second. */
export function settingsProbe(revision: number, { main, stream, workers }: SettingsApplied): HealthProbe {
  return local("settings", () => ({ ...OK, figures: { revision, main, stream, workers_min: workers.length === 0 ? null : Math.min(...workers) } }));
}

function remote(name: string, probe: HealthProbe["probe"]): HealthProbe {
  return { name, isRemote: true, probe };
}

function local(name: string, probe: () => ProbeFinding): HealthProbe {
  return { name, isRemote: false, probe };
}

function workersOf({ workers: { listening, wanted } }: StreamHealth): ProbeFinding {
  const status = listening === 0 ? "down" : listening < wanted ? "degraded" : "ok";
  return { status, detail: status === "ok" ? "" : `${listening} of ${wanted} listen`, figures: { listening, wanted } };
}

function feedOf({ state, reason, ageMs, reconnects, instruments, simulated }: FeedReport): ProbeFinding {
  const status = state === "live" ? "ok" : state === "down" ? "down" : "degraded";
  return { status, detail: reason, figures: { state, age_ms: ageMs === null ? null : Math.round(ageMs), reconnects, instruments, simulated } };
}

async function diskOf({ dataDir, diskFreeBytesMin }: HealthProbesDeps): Promise<ProbeFinding> {
  const { freeBytes, totalBytes } = await diskSpace(dataDir);
  const figures = { free_bytes: freeBytes, total_bytes: totalBytes };
  if (freeBytes >= diskFreeBytesMin) return { ...OK, figures };
  return { status: "degraded", detail: `less than ${diskFreeBytesMin} bytes are free where DATA_DIR is: make room`, figures };
}

function loopOf({ loopDelay, loopDelayMaxMs }: HealthProbesDeps): ProbeFinding {
  const { p99Ms, maxMs } = loopDelay();
  const figures = { p99_ms: p99Ms, max_ms: maxMs };
  if (maxMs <= loopDelayMaxMs) return { ...OK, figures };
  return { status: "degraded", detail: `the main thread kept timers waiting for ${maxMs} ms`, figures };
}

function breakersOf(reports: readonly BreakerReport[]): ProbeFinding {
  const open = reports.filter(({ state }) => state !== "closed").map(({ name, state }) => `${name} ${state}`);
  return { status: open.length === 0 ? "ok" : "degraded", detail: open.join(", "), figures: { breakers: reports.length, not_closed: open.length } };
}
