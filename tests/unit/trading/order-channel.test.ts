/**
 * What the stream is told of orders: whom it asked about, in bounded reading.
 */
import { expect, it } from "vitest";
import type { OrderEvent, OrderEventLog, OrderEvents } from "../../../src/ports/orders.ts";
import { OrderChannel } from "../../../src/trading/order-channel.ts";
import { KeepingLog } from "../../support/silent-log.ts";

const POSITION = { epoch: "e", seq: 3 };
const event = (owner: string): OrderEvent => ({ n: 1, owner, seq: 4, epoch: "e", orderId: "o", state: "sent", json: "{}" });

/** A log whose answers wait until they are let go. */
class SlowLog implements OrderEventLog {
  readonly waiting: ((isWell: boolean) => void)[] = [];
  tell: (events: readonly OrderEvent[]) => void = () => {};

  onEvents(listener: (events: readonly OrderEvent[]) => void): void {
    this.tell = listener;
  }

  position(): Promise<typeof POSITION> {
    return new Promise((resolve, reject) => this.waiting.push((isWell) => (isWell ? resolve(POSITION) : reject(new Error("a mistake")))));
  }

  async since(): Promise<OrderEvents> {
    await this.position();
    return { type: "events", events: [], position: POSITION };
  }
}

function channel(): { readonly log: SlowLog; readonly told: OrderEvent[]; readonly lines: KeepingLog; readonly channel: OrderChannel } {
  const log = new SlowLog();
  const told: OrderEvent[] = [];
  const lines = new KeepingLog();
  return { log, told, lines, channel: new OrderChannel({ events: log, tell: (events) => told.push(...events), log: lines }) };
}

it("tells events of owners that were asked about, from the question on", () => {
  const { log, told, channel: tested } = channel();
  log.tell([event("a"), event("b")]);
  tested.read({ owner: "a", from: null }, () => {});
  log.tell([event("a"), event("b")]);
  expect(told).toEqual([event("a")]);
});

it("reads for eight at a time, lets 10,000 wait, and refuses one more", async () => {
  const { log, channel: tested } = channel();
  const answers: (OrderEvents | null)[] = [];
  const ask = (): void => tested.read({ owner: "a", from: POSITION }, (answer) => answers.push(answer));
  for (let i = 0; i < 8 + 10_000; i++) ask();
  expect([log.waiting.length, answers]).toEqual([8, []]);
  ask();
  expect(answers).toEqual([null]);
  while (answers.length < 8 + 10_000 + 1) {
    for (const answer of log.waiting.splice(0)) answer(true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(answers.filter((answer) => answer === null)).toHaveLength(1);
  expect(tested.samples()).toMatchObject([{}, { value: 8 + 10_000 }, { value: 0 }, { name: "ticker_orders_read_refused_total", value: 1 }, { value: 0 }]);
});

it("answers that nothing can be read when reading fails, and says when that is our mistake", async () => {
  const { log, lines, channel: tested } = channel();
  const answer = new Promise((resolve) => tested.read({ owner: "a", from: null }, resolve));
  log.waiting[0]?.(false);
  expect(await answer).toBeNull();
  expect(lines.lines).toMatchObject([{ level: "error", fields: { reason: "a mistake" } }]);
});
