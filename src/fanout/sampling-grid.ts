/**
 * When sampled topics are due: the boundaries of every interval and phase on one monotonic clock.
 *
 * Pure. A set is one (interval, phase); a phase has one offset for all intervals, so that the intervals of a session meet.
 */
import { EVERY_MS, type EveryMs } from "../protocol/commands.ts";

/** Phases that sessions are spread over. */
export const PHASES = 10;
/** Number of sets: `interval index * PHASES + phase`. */
export const SETS = EVERY_MS.length * PHASES;

/**
 * Milliseconds. On the 10 ms grid of the shortest interval, where all ten differ; at least 20 ms apart for 250, 40 for
 * 1000 and 310 for 5000: a phase of 1,000 clients takes about 12 ms to send, and must not meet the next one.
 */
const OFFSETS_MS: readonly number[] = [0, 520, 1040, 1690, 2160, 2470, 2830, 3310, 3880, 4350];

export function setOf(everyMs: EveryMs, phase: number): number {
  return EVERY_MS.indexOf(everyMs) * PHASES + phase;
}

/** The first heartbeat of a phase after `afterMs`, milliseconds: where the period allows, in the turn of its samples, so that both leave in one write. */
export function nextBeatMs(phase: number, periodMs: number, afterMs: number): number {
  const offsetMs = OFFSETS_MS[phase] ?? 0;
  return offsetMs + periodMs * (Math.floor((afterMs - offsetMs) / periodMs) + 1);
}

export function phaseOf(set: number): number {
  return set % PHASES;
}

/** How many boundaries of the set lie after `fromMs` and up to `toMs`. */
export function boundariesBetween(set: number, fromMs: number, toMs: number): number {
  return boundaryNumber(set, toMs) - boundaryNumber(set, fromMs);
}

/** The first boundary of the set after `afterMs`, milliseconds. */
export function nextBoundaryMs(set: number, afterMs: number): number {
  return offsetOf(set) + intervalOf(set) * (boundaryNumber(set, afterMs) + 1);
}

function boundaryNumber(set: number, atMs: number): number {
  return Math.floor((atMs - offsetOf(set)) / intervalOf(set));
}

function intervalOf(set: number): EveryMs {
  return EVERY_MS[Math.floor(set / PHASES)] ?? 100;
}

function offsetOf(set: number): number {
  return OFFSETS_MS[set % PHASES] ?? 0;
}
