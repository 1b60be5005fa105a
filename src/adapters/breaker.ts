/**
 * Circuit breakers on opossum: it counts calls in a rolling window and decides when to open; time comes from the Clock.
 *
 * A breaker is a circuit that is replaced on every reset and probe: a fresh one knows nothing of calls that belong to the
 * past, so that a late answer closes nothing and one failure after a probe does not open again on old counts.
 * Owns: the circuits, operators' trips. Path: cold, 1.2 us a call.
 */
import { EventEmitter } from "node:events";
import CircuitBreaker from "opossum";
import type { Clock, Timer } from "../core/clock.ts";
import type { Component } from "../core/component.ts";
import { AppError, messageOf, StoreError, UnavailableError } from "../core/errors.ts";
import type { Breaker, BreakerChange, BreakerLimits, BreakerListener, BreakerReport, Breakers, BreakerState } from "../ports/breakers.ts";
import type { MetricSample } from "../ports/telemetry.ts";

export interface BreakerParts {
  readonly clock: Clock;
  readonly limits: BreakerLimits;
  /** Errors of a call, besides AppErrors below 500, that show the remote side at work: a statement that violates a constraint. */
  readonly isCallersFault?: (error: unknown) => boolean;
}

/** The window moves by this part of its length. */
const BUCKETS = 60;
/** opossum's own timer of the probe must not fire: the longest that a timer can be. */
const NEVER_MS = 2 ** 31 - 1;
/** Retry-After of one that stays open until somebody resets it. */
const UNTIL_RESET_RETRY_MS = 60_000;
const FAILURE_TEXT_MAX = 300;
const STORES: readonly string[] = ["database", "redis"];
const STATE_NUMBERS: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 };

type Call = () => Promise<unknown>;
type Circuit = CircuitBreaker<[Call]>;

/** All breakers of a thread. */
export class CircuitBreakers implements Breakers, Component {
  readonly name = "breakers";
  readonly #parts: BreakerParts;
  readonly #breakers = new Map<string, OpossumBreaker>();
  readonly #listeners: BreakerListener[] = [];
  /** Moves the windows of all circuits. */
  readonly #rotor = new EventEmitter().setMaxListeners(0);
  #timer: Timer | null = null;

  constructor(parts: BreakerParts) {
    this.#parts = parts;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#timer?.stop();
    this.#timer = null;
    for (const breaker of this.#breakers.values()) breaker.stop();
    return Promise.resolve();
  }

  of(name: string): Breaker {
    const known = this.#breakers.get(name);
    if (known) return known;
    const { clock, limits } = this.#parts;
    this.#timer ??= clock.every(Math.ceil(limits.windowMs / BUCKETS), () => this.#rotor.emit("rotate"));
    const breaker = new OpossumBreaker(name, this.#parts, this.#rotor, (report, why) => {
      for (const tell of this.#listeners) tell(report, why);
    });
    this.#breakers.set(name, breaker);
    return breaker;
  }

  find(name: string): Breaker | null {
    return this.#breakers.get(name) ?? null;
  }

  /** By name. */
  reports(): readonly BreakerReport[] {
    return [...this.#breakers.values()].map((breaker) => breaker.report()).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  onChange(listener: BreakerListener): void {
    this.#listeners.push(listener);
  }

  remove(name: string): void {
    this.#breakers.get(name)?.stop();
    this.#breakers.delete(name);
  }

  samples(): MetricSample[] {
    return [...this.#breakers.values()].flatMap((breaker) => breaker.samples());
  }
}

/** An operator's order to stay open. */
interface Trip {
  /** When it ends; Infinity: when it is reset. */
  readonly endsMs: number;
  readonly timer: Timer | null;
  /** What it was before: a remote side that was failing is probed when the trip ends. */
  readonly wasClosed: boolean;
}

class OpossumBreaker implements Breaker {
  readonly name: string;
  readonly #parts: BreakerParts;
  readonly #rotor: EventEmitter;
  readonly #tell: BreakerListener;
  #circuit: Circuit;
  #trip: Trip | null = null;
  #probe: Timer | null = null;
  #probeAtMs = 0;
  #calls = 0;
  #failures = 0;
  #refused = 0;
  #opened = 0;
  #lastFailure = "";

  constructor(name: string, parts: BreakerParts, rotor: EventEmitter, tell: BreakerListener) {
    this.name = name;
    this.#parts = parts;
    this.#rotor = rotor;
    this.#tell = tell;
    this.#circuit = this.#fresh(false);
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#trip !== null) throw this.#refusal();
    // The circuit answers `unknown`: the value is taken where its type is known.
    let answer: { readonly value: T } | null = null;
    const settled = this.#circuit.fire(async () => {
      this.#calls++;
      answer = { value: await call() };
    });
    await settled.catch((error: unknown) => {
      throw CircuitBreaker.isOurError(asError(error)) ? this.#refusal() : error;
    });
    return takenFrom<T>(answer);
  }

  report(): BreakerReport {
    const { fires, rejects, failures } = this.#circuit.stats;
    const { endsMs = null } = this.#trip ?? {};
    return {
      name: this.name, state: this.#state(), calls: fires - rejects, failures, refused: this.#refused, opened: this.#opened,
      probeInMs: endsMs === Number.POSITIVE_INFINITY ? null : this.#waitMs(), isTripped: endsMs !== null, lastFailure: this.#lastFailure,
    };
  }

  reset(): void {
    const wasClosed = this.#state() === "closed";
    this.#endTrip();
    this.#replace(false);
    if (!wasClosed) this.#say("reset");
  }

  trip(ttlMs: number): void {
    const { clock } = this.#parts;
    const wasClosed = this.#trip?.wasClosed ?? this.#state() === "closed";
    const wasOpen = this.#state() === "open";
    this.#endTrip();
    this.#trip = {
      wasClosed, endsMs: ttlMs > 0 ? clock.monotonicMs() + ttlMs : Number.POSITIVE_INFINITY,
      timer: ttlMs > 0 ? clock.after(ttlMs, () => this.#tripOver(wasClosed)) : null,
    };
    this.#replace(false);
    if (!wasOpen) this.#opened++;
    this.#say("tripped");
  }

  stop(): void {
    this.#endTrip();
    this.#probe?.stop();
    this.#circuit.shutdown();
  }

  samples(): MetricSample[] {
    const labels = { breaker: this.name };
    const sample = (name: string, help: string, type: "counter" | "gauge", value: number): MetricSample => ({ name, help, type, labels, value });
    return [
      sample("ticker_breaker_state", "0 closed, 1 half open, 2 open", "gauge", STATE_NUMBERS[this.#state()]),
      sample("ticker_breaker_calls_total", "Calls let through", "counter", this.#calls),
      sample("ticker_breaker_failures_total", "Calls that failed", "counter", this.#failures),
      sample("ticker_breaker_refused_total", "Calls refused because the breaker was open", "counter", this.#refused),
      sample("ticker_breaker_opened_total", "Times the breaker opened, tripped or not", "counter", this.#opened),
    ];
  }

  #state(): BreakerState {
    if (this.#trip !== null || this.#circuit.opened) return "open";
    return this.#circuit.halfOpen ? "half_open" : "closed";
  }

  /** A circuit without a past, in force from now on. */
  #replace(isHalfOpen: boolean): void {
    this.#probe?.stop();
    this.#circuit.shutdown();
    this.#circuit = this.#fresh(isHalfOpen);
  }

  #fresh(isHalfOpen: boolean): Circuit {
    const { limits } = this.#parts;
    const circuit: Circuit = new CircuitBreaker((call: Call) => call(), {
      name: this.name, timeout: false, resetTimeout: NEVER_MS, volumeThreshold: limits.callsMin,
      // opossum opens above the percentage, we at it.
      errorThresholdPercentage: limits.failedPct - 1e-9, errorFilter: (error: unknown) => this.#isCallersFault(error),
      rollingCountTimeout: limits.windowMs, rollingCountBuckets: BUCKETS, rotateBucketController: this.#rotor,
      rollingPercentilesEnabled: false, enableSnapshots: false,
      ...(isHalfOpen ? { state: { closed: false, halfOpen: true } } : {}),
    });
    circuit.on("open", () => this.#onOpen());
    circuit.on("close", () => this.#onClose());
    circuit.on("failure", (error) => this.#onFailure(error));
    circuit.on("success", () => this.#judge(circuit));
    return circuit;
  }

  /** opossum judges when a call fails only; a window of which half failed opens also when a success completes it. */
  #judge(circuit: Circuit): void {
    const { callsMin, failedPct } = this.#parts.limits;
    const { fires, failures } = circuit.stats;
    if (circuit.closed && fires >= callsMin && failures * 100 >= fires * failedPct) circuit.open();
  }

  #isCallersFault(error: unknown): boolean {
    return (error instanceof AppError && error.status < 500) || this.#parts.isCallersFault?.(error) === true;
  }

  #onFailure(error: unknown): void {
    this.#failures++;
    this.#lastFailure = messageOf(error).slice(0, FAILURE_TEXT_MAX);
  }

  #onOpen(): void {
    this.#opened++;
    this.#armProbe();
    this.#say("failures");
  }

  #onClose(): void {
    this.#replace(false);
    this.#say("probe");
  }

  #armProbe(): void {
    const { clock, limits } = this.#parts;
    const probeMs = STORES.includes(this.name) ? limits.probeStoresMs : limits.probeMs;
    this.#probe?.stop();
    this.#probeAtMs = clock.monotonicMs() + probeMs;
    this.#probe = clock.after(probeMs, () => this.#letProbe());
  }

  /** The next call goes through. One that never settles does not keep it half open: a period later another one may. */
  #letProbe(): void {
    const wasHalfOpen = this.#circuit.halfOpen;
    this.#replace(true);
    this.#armProbe();
    if (!wasHalfOpen) this.#say("probe");
  }

  #tripOver(wasClosed: boolean): void {
    this.#trip = null;
    this.#replace(!wasClosed);
    if (!wasClosed) this.#armProbe();
    this.#say("trip_ended");
  }

  #endTrip(): void {
    this.#trip?.timer?.stop();
    this.#trip = null;
  }

  /** Until it is probed or the trip ends; null while it is closed or half open. */
  #waitMs(): number | null {
    if (this.#state() !== "open") return null;
    return Math.max(0, Math.ceil((this.#trip?.endsMs ?? this.#probeAtMs) - this.#parts.clock.monotonicMs()));
  }

  #refusal(): AppError {
    this.#refused++;
    const probeInMs = this.#circuit.halfOpen ? 1000 : this.#waitMs() ?? 0;
    const waitMs = Number.isFinite(probeInMs) ? probeInMs : UNTIL_RESET_RETRY_MS;
    const seconds = Math.max(1, Math.ceil(waitMs / 1000));
    const why = this.#trip !== null ? "an operator opened it" : `calls failed, the last one: ${this.#lastFailure}`;
    const message = `the circuit breaker ${this.name} is open (${why}); try again in ${seconds} s`;
    return this.name === "database" ? new StoreError(message) : new UnavailableError(message, "breaker_open", seconds);
  }

  #say(why: BreakerChange): void {
    this.#tell(this.report(), why);
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function takenFrom<T>(answer: { readonly value: T } | null): T {
  if (answer === null) throw new Error("expected the call to have answered");
  return answer.value;
}
