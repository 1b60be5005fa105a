/**
 * Entry of a fan-out thread that fails when a test says so: the real entry, and a channel to say it on.
 */
import { BroadcastChannel, threadId } from "node:worker_threads";
import "../../src/compose/worker.ts";

/** Said by a test to one thread. `hang` blocks it until `released[0]` is not 0. */
export interface Order {
  readonly to: number;
  readonly act: "throw" | "hang";
  readonly released: Int32Array;
}

const channel = new BroadcastChannel("unreliable-worker");
channel.onmessage = (event: { readonly data: Order | number }): void => {
  const order = event.data;
  if (typeof order === "number" || order.to !== threadId) return;
  if (order.act === "throw") throw new Error("told to throw");
  channel.postMessage(-threadId);
  Atomics.wait(order.released, 0, 0, 30_000);
};
channel.unref();
channel.postMessage(threadId);
