/**
 * Entry of the stream thread: feeds, ingest, and the one fan-out or a pool of fan-out threads; speaks stream-control with main.
 */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../core/clock.ts";
import { startInOrder, stopInReverse } from "../core/component.ts";
import { AppError, messageOf } from "../core/errors.ts";
import { Fanout } from "../fanout/fanout.ts";
import { KeyTable } from "../fanout/key-table.ts";
import { MainChannel } from "../fanout/main-channel.ts";
import { createPlaceTable } from "../fanout/places.ts";
import { Calls } from "../fanout/thread-channel.ts";
import { WorkerPool } from "../fanout/worker-pool.ts";
import { FeedSupervisor } from "../feeds/feed-supervisor.ts";
import { Pipeline } from "../ingest/pipeline.ts";
import type { Grant, RefusedSecret, TicketRedeemer } from "../ports/access.ts";
import type { BreakerOrder, BreakerReport } from "../ports/breakers.ts";
import { type ConnectionQuery, mergePages } from "../ports/connections.ts";
import type { OrderEvents, OrderReader } from "../ports/orders.ts";
import type { StreamCommand, StreamNotice, StreamReport } from "../ports/stream-control.ts";
import { createBreakers } from "./breakers.ts";
import { FeedOrders } from "./feed-orders.ts";
import { createFeeds } from "./feeds.ts";
import { STREAM_YOUNG_GENERATION_MB, type StreamOptions } from "./stream-options.ts";
import { LeveledLog, ThreadSettings } from "./stream-settings.ts";

const STATE_MS = 1_000;

const options: StreamOptions = workerData;
const clock = systemClock;
/** Grows with every start of this thread. */
const epoch = clock.nowMicros().toString(36);
const redemptions = new Calls<Grant | null>();
const orderReads = new Calls<OrderEvents | null>();

function say(notice: StreamNotice): void {
  parentPort?.postMessage(notice);
}

const log = new LeveledLog(options.settings.logLevel, (level, fields, message) => say({ type: "log", level, fields, message }));

const redeem: TicketRedeemer = (ticket, done) => say({ type: "redeem", call: redemptions.open(done), ticket });
const breakers = createBreakers({ config: options, clock, log });
for (const { name, leftMs } of options.trips) breakers.of(name).trip(leftMs);
breakers.onChange((report, why) => say({ type: "breaker_changed", report, why }));
const readOrders: OrderReader = (question, done) => say({ type: "orders", call: orderReads.open(done), question });
const onRefusedKey = (refused: RefusedSecret): void => say({ type: "refused", refused });
const demand = (index: number): void => feeds.demand(index);
const keys = new KeyTable(options.keys);
const placeTable = createPlaceTable();
const downstream = options.workers === 1 ? inThisThread() : inThreads();
const main = new MainChannel({ clock, log, epoch, cache: downstream.sink.cache, ...options.main, post: (notice, transfer) => parentPort?.postMessage({ type: "market", notice } satisfies StreamNotice, transfer) });
const pipeline = new Pipeline(clock, [downstream.sink, main], { flushMaxMs: options.flushMaxMs, jumpBandPct: options.jumpBandPct, instrumentsMax: options.instrumentsMax });
const created = createFeeds({ options, clock, log, sink: pipeline, keys, breakers, listed: (outcome) => say({ type: "feeds", notice: { type: "listed", outcome } }) });
const feeds = new FeedSupervisor(created.feeds, log);
const orders = new FeedOrders(feeds, options.memory, log, (notice) => say({ type: "feeds", notice }));
const settings = new ThreadSettings({ feeds, sink: downstream.sink, log, workers: downstream.settled, onApplied: (applied) => {
  say({ type: "settings", applied });
  sayState();
} });
const parts = [breakers, created.venues, main, downstream.sink, pipeline, feeds];

/** The one fan-out lives here: no hop between tick and socket. */
function inThisThread() {
  const fanout = new Fanout({ clock, options: options.fanout, epoch, keys, redeem, placeTable, demand, readOrders, onRefusedKey });
  return {
    sink: fanout,
    listen: () => fanout.listen(options.host, options.streamPort),
    workers: () => ({ listening: 1, wanted: 1 }),
    report: async () => ({ sessions: fanout.sessionCount, samples: fanout.samples() }),
    settled: () => [fanout.settingsRevision],
    connections: async (query: ConnectionQuery) => mergePages([await fanout.connections.page(query)], query.limit),
    connection: async (id: string, isDisconnected: boolean) => {
      const found = fanout.connection(id, isDisconnected);
      return found === null ? null : { ...found, worker: 0 };
    },
  };
}

function inThreads() {
  const pool = new WorkerPool({
    clock, log, options: options.fanout, epoch, workers: options.workers, host: options.host, port: options.streamPort,
    entry: new URL("./worker.ts", import.meta.url), placeTable, youngGenerationMb: STREAM_YOUNG_GENERATION_MB, redeem, demand, readOrders, onHung: (reason) => say({ type: "failed", message: reason }),
    onChange: () => {
      sayState();
      settings.say();
    },
    onRefusedKey,
  }, options.keys);
  return {
    sink: pool, listen: async () => pool.port, workers: () => ({ listening: pool.listening, wanted: options.workers }), report: () => pool.report(), settled: () => pool.settled,
    connections: (query: ConnectionQuery) => pool.connections(query), connection: (id: string, isDisconnected: boolean) => pool.connection(id, isDisconnected),
  };
}

function sayState(): void {
  say({ type: "state", feeds: feeds.reports(), workers: downstream.workers(), breakers: breakers.reports() });
}

async function report(): Promise<StreamReport> {
  const { sessions, samples } = await downstream.report();
  return { feeds: feeds.reports(), sessions, samples: [...pipeline.samples(), ...feeds.samples(), ...breakers.samples(), ...main.samples(), ...samples] };
}

/** Feeds first, so that nothing new arrives; what has arrived leaves; then the sockets. */
async function stop(): Promise<void> {
  stateTimer.stop();
  await stopInReverse(parts, (part, error) => log.error({ part, error: messageOf(error) }, "a part did not stop"));
  say({ type: "stopped" });
  parentPort?.close();
}

function fail(error: unknown): void {
  // A sentence for failures that somebody outside can mend, a stack for ours.
  const isOurs = error instanceof Error && !(error instanceof AppError);
  say({ type: "failed", message: isOurs ? error.stack ?? error.message : messageOf(error) });
  void stop();
}

function orderBreaker(name: string, order: BreakerOrder): BreakerReport | null {
  const breaker = breakers.find(name);
  if (order.type === "reset") breaker?.reset();
  else breaker?.trip(order.ttlMs);
  sayState();
  return breaker?.report() ?? null;
}

function obey(command: StreamCommand): void {
  switch (command.type) {
    case "keys":
      downstream.sink.changeKeys(command.change);
      if (options.workers !== 1) keys.apply(command.change);
      created.keysRevoked(command.change.revoked);
      return;
    case "redeemed": return redemptions.answer(command.call, command.grant);
    case "settings": return settings.apply(command.settings);
    case "order_events": return downstream.sink.orderEvents(command.events);
    case "orders": return orderReads.answer(command.call, command.answer);
    case "report":
      void report().then((made) => say({ type: "report", call: command.call, report: made }));
      return;
    case "connections":
      void downstream.connections(command.query).then((list) => say({ type: "connections", call: command.call, list }));
      return;
    case "connection":
      void downstream.connection(command.id, command.isDisconnected).then((connection) => say({ type: "connection", call: command.call, connection }));
      return;
    case "breaker": return say({ type: "breaker", call: command.call, report: orderBreaker(command.name, command.order) });
    case "feeds": return orders.obey(command.order);
    case "drain":
      void downstream.sink.drain(command.withinMs).then((sessions) => say({ type: "drained", sessions }));
      return;
    case "stop":
      void stop();
  }
}

process.on("uncaughtException", fail);
parentPort?.on("message", obey);
const stateTimer = clock.every(STATE_MS, sayState);
settings.apply(options.settings);
settings.settled().then(() => startInOrder(parts)).then(downstream.listen).then((port) => {
  sayState();
  say({ type: "listening", port });
}, fail);
