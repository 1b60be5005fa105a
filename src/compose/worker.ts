/**
 * Entry of a fan-out thread: builds one fan-out from workerData and speaks thread-channel with the stream thread.
 */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import { Fanout } from "../fanout/fanout.ts";
import { KeyTable } from "../fanout/key-table.ts";
import { Calls, type FromWorker, type ToWorker, type WorkerInit } from "../fanout/thread-channel.ts";
import type { Grant } from "../ports/access.ts";
import type { OrderEvents } from "../ports/orders.ts";
import type { FanoutSettings } from "../ports/stream-settings.ts";

const init: WorkerInit = workerData;
const acknowledged = new Int32Array(init.acknowledged);
const redemptions = new Calls<Grant | null>();
const orderReads = new Calls<OrderEvents | null>();
let isListening = false;

function say(message: FromWorker): void {
  parentPort?.postMessage(message);
}

const fanout = new Fanout({
  clock: systemClock,
  options: init.options,
  epoch: init.epoch,
  keys: new KeyTable(init.keys),
  placeTable: init.placeTable,
  redeem: (ticket, done) => say({ type: "redeem", call: redemptions.open(done), ticket }),
  onRefusedKey: (refused) => say({ type: "refused", refused }),
  demand: (index) => say({ type: "demand", index }),
  readOrders: (question, done) => say({ type: "orders", call: orderReads.open(done), question }),
});

function apply(settings: FanoutSettings): void {
  fanout.applySettings(settings);
  say({ type: "settled", revision: fanout.settingsRevision });
}

function obey(message: ToWorker): void {
  switch (message.type) {
    case "batch":
      fanout.batch({ count: message.count, words: message.words, bytes: new Uint8Array(message.words.buffer), offsets: message.offsets });
      Atomics.add(acknowledged, 0, 1);
      return;
    case "resync":
      fanout.resync(message.snapshot, message.ageMs, message.isLast);
      Atomics.add(acknowledged, 0, 1);
      if (message.isLast) listen();
      return;
    case "define": return fanout.define(message.index, message.instrument);
    case "lost": return fanout.lost(message.index, "trade", message.missed);
    case "keys": return fanout.changeKeys(message.change);
    case "settings": return apply(message.settings);
    case "redeemed": return redemptions.answer(message.call, message.grant);
    case "order_events": return fanout.orderEvents(message.events);
    case "orders": return orderReads.answer(message.call, message.answer);
    case "report": return say({ type: "report", call: message.call, sessions: fanout.sessionCount, samples: fanout.samples() });
    case "connections":
      void fanout.connections.page(message.query).then((page) => say({ type: "connections", call: message.call, page }));
      return;
    case "connection": return say({ type: "connection", call: message.call, connection: fanout.connection(message.id, message.isDisconnected) });
    case "drain":
      void fanout.drain(message.withinMs).then((sessions) => say({ type: "drained", sessions }));
      return;
    case "stop":
      void fanout.stop().then(() => parentPort?.close());
  }
}

/** Not before it can answer a subscription as the other threads would. */
function listen(): void {
  if (isListening) return;
  isListening = true;
  fanout.listen(init.host, init.port).then((port) => say({ type: "listening", port }), (error: unknown) => fail(messageOf(error)));
}

/** It cannot go on: sockets and timers are given up, so that the thread can end without taking the process along. */
function fail(message: string): void {
  say({ type: "failed", message });
  void fanout.stop().then(() => parentPort?.close());
}

process.on("uncaughtException", (error) => fail(error.stack ?? messageOf(error)));
parentPort?.on("message", obey);
if (init.settings !== null) apply(init.settings);
fanout.start().then(() => say({ type: "ready" }), (error: unknown) => fail(messageOf(error)));
