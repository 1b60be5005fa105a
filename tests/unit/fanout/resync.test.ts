/**
 * What the sessions of a worker see when it goes on after a hole: one pair of messages, in one turn, slice by slice when they are many.
 */
import { describe, expect, it } from "vitest";
import { Backlog } from "../../../src/fanout/backlog.ts";
import { Fanout } from "../../../src/fanout/fanout.ts";
import { KeyTable } from "../../../src/fanout/key-table.ts";
import { createPlaceTable } from "../../../src/fanout/places.ts";
import { RecordCache } from "../../../src/fanout/record-cache.ts";
import { price, quantity } from "../../../src/market/price.ts";
import { RecordWriter } from "../../../src/protocol/record.ts";
import { QUOTES_SLOT, topicKey } from "../../../src/protocol/topic.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { FakeServer, type FakeSocket } from "../../support/fake-server.ts";
import { instrument, keyRecord, READ_KEY, TEST_OPTIONS } from "../../support/stream-rig.ts";

class Rig {
  readonly clock = new FakeClock();
  readonly fanout: Fanout;
  readonly cache = new RecordCache(TEST_OPTIONS);
  readonly backlog = new Backlog();
  readonly #writer = new RecordWriter();
  readonly #sequences: number[] = [];
  #server: FakeServer | null = null;

  constructor(instruments: number) {
    this.fanout = new Fanout({
      clock: this.clock, options: { ...TEST_OPTIONS, commandsBurst: 1_000 }, epoch: "e", keys: new KeyTable([keyRecord(READ_KEY, "k", ["read"])]), redeem: (_ticket, done) => done(null), placeTable: createPlaceTable(), demand: () => {},
      createServer: (_options, events) => (this.#server = new FakeServer(events)),
    });
    for (let i = 0; i < instruments; i++) this.fanout.define(i, instrument(`t:S${i}`));
  }

  /** A session that holds the quotes of every instrument. */
  session(kernelMax = 1e9): FakeSocket {
    const socket = this.#server?.connect(kernelMax);
    if (!socket) throw new Error("no server");
    for (const command of [{ type: "auth", api_key: READ_KEY }, { type: "subscribe", channel: "quotes", symbols: ["*"] }]) {
      const text = JSON.stringify(command);
      this.#server?.events.frame(socket.session, text, text.length);
    }
    do {
      socket.read(1e6, () => {});
      this.clock.runTurn();
    } while (socket.session.start !== null || socket.unread > 0);
    return socket;
  }

  /** Quotes that the fan-out is not sent. */
  missed(...instruments: number[]): void {
    this.#writer.clear();
    for (const index of instruments) {
      const sequence = (this.#sequences[index] = (this.#sequences[index] ?? 0) + 1);
      const now = this.clock.nowMicros();
      this.#writer.quote({ kind: "quote", instrument: index, bid: price(sequence), bidSize: quantity(1), ask: price(sequence + 1), askSize: quantity(1), eventTime: now, receiveTime: now }, topicKey(index, QUOTES_SLOT), sequence, 0);
    }
    const { words, offsets, count } = this.#writer;
    for (let i = 0; i < count; i++) this.cache.put(words, offsets[i] ?? 0, offsets[i + 1] ?? 0);
    this.backlog.skip(this.#writer);
  }

  resync(bytesMax = 1e9): void {
    const snapshot = this.backlog.take(this.cache, bytesMax);
    this.fanout.resync(snapshot, 1_234, this.backlog.isEmpty);
  }
}

function heard(socket: FakeSocket): unknown[] {
  const messages: unknown[] = [];
  socket.read(1e6, (text) => {
    const parsed: unknown = JSON.parse(text);
    messages.push(...(Array.isArray(parsed) ? parsed : [parsed]));
  });
  return messages;
}

describe("a resync", () => {
  it("takes one turn of the loop for sessions that everything fits: lagging, newest values, caught_up, live", () => {
    const rig = new Rig(2);
    const socket = rig.session();
    rig.missed(0, 0, 0, 1);
    rig.resync();
    expect(heard(socket)).toMatchObject([
      { type: "lagging", since: rig.clock.nowMicros(), age_ms: 1_234, unsent_bytes: 0 },
      { type: "quote", symbol: "t:S0", seq: 3, bid: "0.03" }, { type: "quote", symbol: "t:S1", seq: 1 },
      { type: "caught_up", folded: 2, lost: 0 },
    ]);
    expect(socket.session.lag).toBe(null);
    expect(rig.fanout.samples().filter(({ labels }) => labels["reason"] === "worker_behind")).toMatchObject([{ name: "ticker_stream_lagging_total", value: 1 }]);
  });

  it("tells everybody there, also whom nothing has passed", () => {
    const rig = new Rig(1);
    const socket = rig.session();
    rig.resync();
    expect(heard(socket)).toMatchObject([{ type: "lagging" }, { type: "caught_up", folded: 0, lost: 0 }]);
  });

  it("in parts is one pair of messages, and is over with the last part", () => {
    const rig = new Rig(3);
    const socket = rig.session();
    rig.missed(0, 1, 2);
    rig.resync(1);
    rig.resync(1);
    expect(heard(socket)).toMatchObject([{ type: "lagging" }]);
    rig.resync(1);
    expect(heard(socket).map((message) => typeof message === "object" && message !== null && "type" in message && message.type)).toEqual(["quote", "quote", "quote", "caught_up"]);
  });

  it("switches some 20,000 topics in a turn, and goes on in the next", () => {
    const rig = new Rig(2_500);
    const sockets = Array.from({ length: 10 }, () => rig.session());
    const live = (): number => sockets.filter(({ session }) => session.lag === null).length;
    rig.missed(7);
    rig.resync();
    // 2,501 each: the eighth reaches the budget.
    expect(live()).toBe(8);
    rig.clock.runTurn();
    expect(live()).toBe(10);
    for (const socket of sockets) expect(heard(socket)).toMatchObject([{ type: "lagging" }, { symbol: "t:S7" }, { type: "caught_up" }]);
  });

  it("forgets who goes between two of these turns", () => {
    const rig = new Rig(2_500);
    const sockets = Array.from({ length: 10 }, () => rig.session());
    rig.resync();
    const waiting = sockets.filter(({ session }) => session.lag !== null);
    waiting[0]?.close();
    rig.clock.runTurn();
    expect(waiting.map(({ session, topics }) => [session.lag, session.phase, topics.size > 1])).toEqual([[null, "closed", false], [null, "open", true]]);
    const lanes = rig.fanout.samples().filter(({ name }) => name === "ticker_stream_lane_sessions");
    expect(lanes.map(({ labels, value }) => [labels["lane"], value])).toEqual([["live", 9], ["lagging", 0]]);
  });

  it("leaves whom more than the soft limit is on its way to, until a pong shows that it reads", () => {
    const rig = new Rig(1);
    const socket = rig.session(1_000);
    for (let i = 0; i < 3; i++) socket.send(`{"type":"filler","text":"${"x".repeat(TEST_OPTIONS.softLimitBytes / 2)}"}`);
    rig.missed(0);
    rig.resync();
    expect([socket.getBufferedAmount() > TEST_OPTIONS.softLimitBytes, socket.session.lag?.served]).toEqual([true, 0]);
    const types = heard(socket).map((message) => (typeof message === "object" && message !== null && "type" in message ? message.type : null));
    expect(types).toEqual(["filler", "filler", "filler", "lagging", "quote", "caught_up"]);
  });
});
