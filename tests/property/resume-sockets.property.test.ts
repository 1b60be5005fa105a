/**
 * Over real sockets: a client that is cut off at any message and resumes has every trade once, or a gap that says which it has not.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { entriesOf, type Message, type StreamClient } from "../support/stream-client.ts";
import { StreamRig } from "../support/stream-rig.ts";

const SYMBOLS = ["t:A", "t:B", "t:C"];

/** What one reader has over all its connections: by symbol, how often each trade came, and what gaps said. */
class Account {
  readonly at = new Map<string, number>();
  readonly faults: string[] = [];
  /** Sum of the positions at which counting began. */
  from = 0;
  delivered = 0;
  lost = 0;

  read(message: Message): void {
    if (message.type === "subscribed") {
      for (const topic of entriesOf(message, "topics")) {
        const symbol = String(topic["symbol"]);
        const at = this.at.get(symbol);
        if (at !== undefined && topic["seq"] !== at) this.faults.push(`${symbol} at ${at} resumed at ${JSON.stringify(topic)}`);
        if (at === undefined) this.from += Number(topic["seq"]);
        this.at.set(symbol, Number(topic["seq"]));
      }
      return;
    }
    if (message.type !== "trade" && message.type !== "gap") return;
    const symbol = String(message["symbol"]);
    const at = this.at.get(symbol) ?? Number.NaN;
    const from = Number(message.type === "gap" ? message["from"] : message["seq"]);
    const to = Number(message.type === "gap" ? message["to"] : message["seq"]);
    if (from !== at + 1 || message["snapshot"] === true) this.faults.push(`${symbol} at ${at} got ${JSON.stringify(message)}`);
    if (message.type === "gap") this.lost += to - at;
    else this.delivered++;
    this.at.set(symbol, to);
  }
}

/** Reads so many messages while trades go on, and is cut off there. */
async function readSome(client: StreamClient, account: Account, count: number, burst: () => void): Promise<void> {
  const feeding = setInterval(burst, 1);
  try {
    for (let i = 0; i < count; i++) account.read(await client.next(() => true));
  } finally {
    clearInterval(feeding);
    client.close();
  }
}

it("has every trade once across connections", async () => {
  const outcomes = new Map<string, number>();
  await fc.assert(fc.asyncProperty(
    fc.constantFrom(16, 300, 4096), fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 2, maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 4, maxLength: 12 }), fc.boolean(),
    async (ringTradesMax, cuts, bursts, wild) => {
      const rig = await StreamRig.start({ ringTradesMax });
      const indexes = rig.list(...SYMBOLS);
      const account = new Account();
      let turn = 0;
      const burst = (): void => {
        for (let i = bursts[turn++ % bursts.length] ?? 1; i > 0; i--) rig.trade(indexes[(turn + i) % indexes.length] ?? 0, 100 + i);
        rig.flush();
      };
      for (const cut of cuts) {
        burst();
        const client = await rig.session();
        burst();
        client.say({ type: "subscribe", id: 1, channel: "trades", symbols: wild ? ["t:*"] : SYMBOLS, resume: [...account.at].map(([symbol, seq]) => ({ symbol, epoch: "epoch1", seq })) });
        await readSome(client, account, cut, burst);
      }
      // The last connection reads everything that there is.
      const client = await rig.session();
      client.say({ type: "subscribe", id: 1, channel: "trades", symbols: SYMBOLS, resume: [...account.at].map(([symbol, seq]) => ({ symbol, epoch: "epoch1", seq })) });
      // Answered when the subscription has wholly begun.
      const list = await client.ask({ type: "list", id: 2 });
      for (const message of client.messages) account.read(message);
      expect(account.faults.slice(0, 5)).toEqual([]);
      const newest = Object.fromEntries(entriesOf(list, "topics").map((topic) => [String(topic["symbol"]), Number(topic["seq"])]));
      expect(Object.fromEntries(account.at)).toEqual(newest);
      expect(account.from + account.delivered + account.lost).toBe(Object.values(newest).reduce((sum, seq) => sum + seq, 0));
      for (const { name, labels, value } of rig.fanout.samples()) if (name === "ticker_stream_resumes_total") outcomes.set(labels["outcome"] ?? "", (outcomes.get(labels["outcome"] ?? "") ?? 0) + value);
      await rig.stop();
    },
  ), { numRuns: 40 });
  for (const outcome of ["exact", "expired"]) expect([outcome, (outcomes.get(outcome) ?? 0) > 0]).toEqual([outcome, true]);
}, 60_000);
