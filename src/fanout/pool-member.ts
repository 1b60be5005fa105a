/**
 * One fan-out thread as the pool keeps it, and how messages go to it.
 *
 * Owns: its fields, written by the pool. Runs on: stream thread.
 */
import type { Worker } from "node:worker_threads";
import type { Backlog } from "./backlog.ts";
import type { ToWorker } from "./thread-channel.ts";

export interface Member {
  readonly worker: Worker;
  /** Revision of the settings that it works by; NaN before it takes messages. */
  settled: number;
  readonly acknowledged: Int32Array;
  /** It takes messages. */
  ready: boolean;
  listening: boolean;
  /** When it began to listen; NaN before. */
  listeningSinceMs: number;
  /** Workers in a row before it that failed too soon. */
  readonly failures: number;
  /** Bytes of each batch not acknowledged yet, oldest first. */
  readonly inFlight: number[];
  inFlightBytes: number;
  /** Acknowledgements already accounted for. */
  seen: number;
  /** When it last took something in, or had nothing to take in. */
  seenAtMs: number;
  /** What it has not been sent, while it is behind; null: it gets every batch. */
  backlog: Backlog | null;
  behindSinceMs: number;
  onListening: (port: number) => void;
  onDrained: (sessions: number) => void;
}

export function post(member: Member, message: ToWorker, transfer: readonly ArrayBuffer[] = []): void {
  member.worker.postMessage(message, transfer);
}

/** A batch, its memory moved. */
export function send(member: Member, words: Float64Array<ArrayBuffer>, offsets: Uint32Array<ArrayBuffer>, count: number): void {
  member.inFlight.push(words.byteLength);
  member.inFlightBytes += words.byteLength;
  post(member, { type: "batch", count, words, offsets }, [words.buffer, offsets.buffer]);
}
