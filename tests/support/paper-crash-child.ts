/**
 * A process that trades on paper until it is killed. Each line it prints is something that somebody was told.
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { Database, embeddedPool, serverPool } from "../../src/adapters/postgres/database.ts";
import { systemClock } from "../../src/core/clock.ts";
import { NO_BREAKER } from "./no-breaker.ts";
import { BTC, paperRig } from "./paper-market.ts";

const [, , folder = "", url = ""] = process.argv;
const database = new Database({
  open: () => (url === "" ? embeddedPool(join(folder, "postgres"), systemClock) : Promise.resolve(serverPool(url, 10_000, 4))), clock: systemClock, breaker: NO_BREAKER, timeoutMs: 10_000,
});
await database.start();
const { broker, market, trade } = paperRig({ database }, systemClock, { makerRate: 1000n, takerRate: 2500n });
broker.onUpdate(({ clientOrderId, state, filled }) => writeSync(1, `${clientOrderId} ${state} ${filled}\n`));
await broker.start();

async function tradeFor(owner: string): Promise<never> {
  for (let i = 0; ; i++) {
    const isBuy = i % 3 !== 2;
    const type = i % 4 === 0 ? "market" : "limit";
    const request = {
      clientOrderId: `${owner}-${i}`, owner, symbol: BTC, side: isBuy ? "buy" : "sell", type, quantity: "0.01", limitPrice: type === "market" ? null : isBuy ? "99.5" : "100.5", stopPrice: null, timeInForce: "gtc",
    } as const;
    market.book(BTC, [["99", "10"], ["98", "10"]], [["101", "10"]]);
    await broker.place(request);
    if (i % 5 === 1) trade("99.5", "0.004", "sell");
    if (i % 7 === 3) trade("100.5", "0.015", "buy");
    if (i % 6 === 5) await broker.cancel({ owner, clientOrderId: `${owner}-${i - 3}` });
  }
}

await Promise.all(["ann", "bob", "eve"].map(tradeFor));
