/**
 * The books of a client balance: random subscriptions, wildcards and events over real sockets, without a hole or a double.
 *
 * For every topic and every stretch in which a session holds it: delivered messages are exactly the sequences between
 * the acknowledgement (or the start of the stretch) and the final one.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { StreamRig } from "../support/stream-rig.ts";
import { entriesOf, type Message } from "../support/stream-client.ts";

const SYMBOLS = ["t:A", "t:B", "t:C", "u:A", "u:B"];
let rig: StreamRig;
beforeAll(async () => {
  rig = await StreamRig.start({ commandsBurst: 10_000, topicsPerAnswerMax: 2 });
  rig.list(...SYMBOLS);
});
afterAll(() => rig.stop());

const anyTarget = fc.constantFrom(...SYMBOLS, "t:*", "u:*", "*");
const anyStep = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant("events" as const), of: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 6 }), flush: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("subscribe" as const), symbols: fc.uniqueArray(anyTarget, { minLength: 1, maxLength: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("unsubscribe" as const), symbols: fc.uniqueArray(anyTarget, { minLength: 1, maxLength: 2 }) }) },
  { weight: 1, arbitrary: fc.constant({ type: "yield" as const }) },
);

function topicsOf(message: Message): { symbol: string; seq: number }[] {
  return entriesOf(message, "topics").map((entry) => ({ symbol: String(entry["symbol"]), seq: Number(entry["seq"]) })).filter(({ symbol }) => !symbol.endsWith("*"));
}

/** Replays what the client got and says what does not add up. */
function faultsOf(messages: readonly Message[]): string[] {
  const faults: string[] = [];
  const held = new Map<string, number>();
  const replaced = (message: Message): void => {
    for (const gone of entriesOf(message, "replaced").map((entry) => String(entry["symbol"]))) {
      if (!gone.endsWith("*")) continue;
      for (const symbol of held.keys()) if (gone === "*" || symbol.startsWith(gone.slice(0, -1))) stale.add(symbol);
    }
  };
  let stale = new Set<string>();
  let named = new Set<string>();
  for (const message of messages) {
    if (message.type === "subscribed") {
      for (const { symbol, seq } of topicsOf(message)) {
        named.add(symbol);
        const at = held.get(symbol);
        if (at !== undefined && at !== seq) faults.push(`${symbol} held at ${at} acknowledged at ${seq}`);
        held.set(symbol, seq);
      }
      replaced(message);
      if (message["more"] === false) {
        for (const symbol of stale) if (!named.has(symbol)) held.delete(symbol);
        stale = new Set();
        named = new Set();
      }
    } else if (message.type === "unsubscribed") {
      for (const { symbol, seq } of topicsOf(message)) {
        if (held.get(symbol) !== seq) faults.push(`${symbol} ended at ${seq}, counted ${held.get(symbol)}`);
        held.delete(symbol);
      }
    } else if (message.type === "quote") {
      const symbol = String(message["symbol"]);
      const at = held.get(symbol);
      const seq = Number(message["seq"]);
      if (message["snapshot"] === true ? at !== seq : at === undefined || seq !== at + 1) faults.push(`${symbol} got ${seq}${message["snapshot"] === true ? " (snapshot)" : ""} at ${at}`);
      held.set(symbol, seq);
    }
  }
  return faults;
}

it("balances for every session whatever it subscribes", async () => {
  let bid = 100;
  await fc.assert(fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 30 }), async (steps) => {
    const client = await rig.session();
    for (const step of steps) {
      if (step.type === "events") {
        for (const of of step.of) rig.quote(of < 3 ? of + 1 : of + 2, ++bid);
        if (step.flush) rig.flush();
      } else if (step.type === "yield") {
        await client.settled();
      } else {
        client.say({ type: step.type, channel: "quotes", symbols: step.symbols });
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    rig.flush();
    await client.settled();
    await client.ask({ type: "unsubscribe", id: "end", all: true });
    expect(faultsOf(client.messages)).toEqual([]);
    client.close();
  }), { numRuns: 150 });
  expect(rig.sample("ticker_stream_subscriptions")).toBe(0);
}, 60_000);
