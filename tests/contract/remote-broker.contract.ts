/**
 * What every remote broker makes of faults: whatever goes wrong, its last word equals the broker's own books.
 */
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { isFinal } from "../../src/adapters/brokers/followed-orders.ts";
import { systemClock, wait } from "../../src/core/clock.ts";
import type { Broker, BrokerOrder, BrokerRequest, FindOutcome } from "../../src/ports/broker.ts";
import type { LedgerOrder } from "../support/loopback-broker-ledger.ts";
import { FAULTS, type Fault } from "../support/loopback-broker.ts";
import { LIMITS, openRig, type RemoteRig, type RigOptions, type Vendor } from "../support/remote-rig.ts";

const UNKNOWN_PLACE: readonly Fault[] = ["silent_before", "silent_after", "throttle", "error_before", "error_after", "drop_before", "drop_after", "nonsense_before", "nonsense_after"];
const ASKS_MAX = 40;

/** The only order that the books hold of the request, or null. */
function booked(rig: RemoteRig, { clientOrderId }: BrokerRequest): LedgerOrder | null {
  const orders = rig.loopback.ledger.byClient(rig.idOf(clientOrderId));
  if (orders.length > 1) throw new Error(`${orders.length} orders of ${clientOrderId}`);
  return orders[0] ?? null;
}

/** Asks until the outcome is known, as an executor does. */
async function resolved(broker: Broker, request: BrokerRequest): Promise<Exclude<FindOutcome, { type: "unknown" }>> {
  let newest: FindOutcome = { type: "unknown", reason: "not asked", waitMs: 0 };
  for (let i = 0; i < ASKS_MAX; i++) {
    newest = await broker.find({ ...request, sentAt: systemClock.nowMicros() });
    if (newest.type !== "unknown") return newest;
    await wait(systemClock, Math.min(newest.waitMs, LIMITS.settleMs) || 10);
  }
  throw new Error(`still unknown: ${newest.type === "unknown" ? newest.reason : ""}`);
}

function stateIn(order: LedgerOrder): BrokerOrder["state"] {
  return order.state === "open" ? (order.filled === "0" ? "accepted" : "partially_filled") : order.state;
}

export function remoteBrokerContract(vendor: Vendor): void {
  const opened = async (options: RigOptions = {}): Promise<RemoteRig> => {
    const rig = await openRig(vendor, options);
    onTestFinished(() => rig.stop());
    return rig;
  };

  placing(vendor, opened);
  cancelling(vendor, opened);
  finding(vendor, opened);
  secrets(vendor, opened);

  it(`${vendor.name}: whatever the faults, the books hold each id at most once and the adapter's last word equals them`, async () => {
    const rig = await opened({ limits: { deadlineMs: 100, settleMs: 160, confirmMs: 100 } });
    rig.loopback.lateMs = 120;
    const faults = fc.array(fc.constantFrom(...FAULTS), { maxLength: 3 });
    await fc.assert(fc.asyncProperty(faults, faults, faults, fc.boolean(), async (place, cancel, read, isPlacedAgain) => {
      Object.assign(rig.loopback.faults, { place: [...place], cancel: [...cancel], read: read.filter((fault) => fault !== "refuse" && fault !== "fill_first" && fault !== "late") });
      await wordEqualsBooks(rig, isPlacedAgain);
    }), { numRuns: 20 });
    const ids = rig.loopback.ledger.orders.map(({ clientId }) => clientId);
    expect(new Set(ids).size).toBe(ids.length);
  }, 60_000);
}

async function wordEqualsBooks(rig: RemoteRig, isPlacedAgain: boolean): Promise<void> {
  const { broker, loopback } = rig;
  const request = rig.request();
  const first = await broker.place(request);
  const outcome = isPlacedAgain && first.type === "unknown" ? await broker.place(request) : first;
  const found = await resolved(broker, request);
  const order = booked(rig, request);
  if (outcome.type === "rejected") expect(order).toBe(null);
  expect(found.type).toBe(order === null ? "absent" : "found");
  if (found.type !== "found") return;
  const cancelled = await broker.cancel({ ...request, brokerOrderId: found.order.brokerOrderId });
  loopback.faults.cancel.length = 0;
  loopback.faults.read.length = 0;
  await loopback.settled();
  const last = await resolved(broker, request);
  const booking = booked(rig, request);
  expect(last).toMatchObject({ type: "found", order: { state: booking === null ? "absent" : stateIn(booking), filled: booking?.filled } });
  if (cancelled.type === "cancelled") expect(booking?.state).toBe("cancelled");
  if (cancelled.type === "refused" && cancelled.order !== null && isFinal(cancelled.order.state)) expect(cancelled.order.state).toBe(booking?.state);
}

type Open = (options?: RigOptions) => Promise<RemoteRig>;

function placing(vendor: Vendor, opened: Open): void {
  describe(`${vendor.name}, placing`, () => {
    it.each(UNKNOWN_PLACE)("says unknown, and later what is true, when the answer is lost: %s", async (fault) => {
      const rig = await opened();
      const request = rig.request();
      rig.loopback.faults.place.push(fault);
      expect(await rig.broker.place(request)).toMatchObject({ type: "unknown" });
      const found = await resolved(rig.broker, request);
      expect(found.type).toBe(fault.endsWith("_after") ? "found" : "absent");
      expect(booked(rig, request) !== null).toBe(found.type === "found");
    });

    it("does not say absent while an order that it gave up on may still arrive", async () => {
      const rig = await opened();
      const request = rig.request();
      rig.loopback.lateMs = LIMITS.deadlineMs + 100;
      rig.loopback.faults.place.push("late");
      expect(await rig.broker.place(request)).toMatchObject({ type: "unknown" });
      expect(await rig.broker.find(request)).toMatchObject({ type: "unknown" });
      expect(await resolved(rig.broker, request)).toMatchObject({ type: "found" });
    });

    it("keeps a refusal apart from a failure", async () => {
      const rig = await opened();
      const request = rig.request();
      rig.loopback.faults.place.push("refuse");
      expect(await rig.broker.place(request)).toMatchObject({ type: "rejected" });
      expect(await rig.broker.find({ ...request, sentAt: systemClock.nowMicros() })).toEqual({ type: "absent" });
    });

    it("waits for a slow answer within the deadline, and passes on how long the broker wants to be left alone", async () => {
      const rig = await opened();
      rig.loopback.faults.place.push("slow", "throttle");
      expect(await rig.broker.place(rig.request())).toMatchObject({ type: "accepted" });
      expect(await rig.broker.place(rig.request())).toMatchObject({ type: "unknown", waitMs: 1000 });
    });

    it("takes an order up again that it lost, filled in the meantime, instead of sending a second one", async () => {
      const rig = await opened();
      const request = rig.request();
      rig.loopback.faults.place.push("drop_after");
      expect(await rig.broker.place(request)).toMatchObject({ type: "unknown" });
      const order = booked(rig, request);
      if (order !== null) rig.loopback.ledger.fill(order, order.quantity, systemClock.nowMicros() / 1000);
      expect(await rig.broker.place(request)).toMatchObject({ type: "accepted", order: { state: "filled" } });
      expect(booked(rig, request)).toBe(order);
    });

    it("makes no second order of an id that another process placed and that is filled", async () => {
      const before = await opened();
      const request = before.request();
      await before.broker.place(request);
      const order = booked(before, request);
      if (order !== null) before.loopback.ledger.fill(order, order.quantity, systemClock.nowMicros() / 1000);
      const after = await opened({ loopback: before.loopback });
      expect(await after.broker.place(request)).toMatchObject({ type: "accepted", order: { state: "filled" } });
      expect(booked(after, request)).toBe(order);
    });

    it("refuses at once what the broker would refuse or round", async () => {
      const rig = await opened();
      const wrong = rig.request({ symbol: "elsewhere:BTC-USDT" });
      expect(await rig.broker.check([rig.request(), wrong])).toMatchObject([{ index: 1, path: "symbol" }]);
      expect(await rig.broker.place(wrong)).toMatchObject({ type: "rejected" });
      expect(rig.loopback.ledger.orders).toEqual([]);
    });

    it("asks nothing of its own accord while the breaker is open, and lets the executor find out and cancel what it sent", async () => {
      const rig = await opened();
      const request = rig.request();
      const outcome = await rig.broker.place(request);
      rig.breakers.of(`broker.${vendor.name}`).trip(60_000);
      await expect(rig.broker.check([request])).rejects.toMatchObject({ code: "breaker_open" });
      await expect(rig.broker.account("owner-1")).rejects.toMatchObject({ code: "breaker_open" });
      expect(await rig.broker.find(request)).toMatchObject({ type: "found" });
      expect(await rig.broker.cancel({ ...request, brokerOrderId: outcome.type === "accepted" ? outcome.order.brokerOrderId : null })).toMatchObject({ type: "cancelled" });
    });

    it("opens the breaker when polling fails, and closes it again with the first poll that is answered", async () => {
      const rig = await opened({ breakerCallsMin: 4, breakerProbeMs: 50 });
      const breaker = rig.breakers.of(`broker.${vendor.name}`);
      const reached = (state: string): Promise<void> => new Promise((resolve) => rig.breakers.onChange((report) => report.state === state && resolve()));
      const [opens, closes] = [reached("open"), reached("closed")];
      await rig.broker.place(rig.request());
      rig.loopback.faults.read.push(...Array.from({ length: 30 }, () => "error_before" as const));
      await opens;
      rig.loopback.faults.read.length = 0;
      await closes;
      expect(breaker.report().state).toBe("closed");
    });
  });
}

function cancelling(vendor: Vendor, opened: Open): void {
  describe(`${vendor.name}, cancelling`, () => {
    const placed = async (rig: RemoteRig): Promise<{ request: BrokerRequest; brokerOrderId: string }> => {
      const request = rig.request();
      const outcome = await rig.broker.place(request);
      if (outcome.type !== "accepted") throw new Error(JSON.stringify(outcome));
      return { request, brokerOrderId: outcome.order.brokerOrderId };
    };

    it("is refused with the order as it stands when the broker says no", async () => {
      const rig = await opened();
      const { request, brokerOrderId } = await placed(rig);
      rig.loopback.faults.cancel.push("refuse");
      expect(await rig.broker.cancel({ ...request, brokerOrderId })).toMatchObject({ type: "refused", order: { state: "accepted" } });
    });

    it("says that the order was filled while it was being cancelled", async () => {
      const rig = await opened();
      const { request, brokerOrderId } = await placed(rig);
      rig.loopback.faults.cancel.push("fill_first");
      expect(await rig.broker.cancel({ ...request, brokerOrderId })).toMatchObject({ type: "refused", order: { state: "filled", filled: vendor.quantity } });
    });

    it.each(UNKNOWN_PLACE)("looks when the answer to a cancel is lost: %s", async (fault) => {
      const rig = await opened();
      const { request, brokerOrderId } = await placed(rig);
      rig.loopback.faults.cancel.push(fault);
      const outcome = await rig.broker.cancel({ ...request, brokerOrderId });
      expect(outcome.type).toBe(fault.endsWith("_after") ? "cancelled" : "unknown");
      expect(booked(rig, request)?.state).toBe(fault.endsWith("_after") ? "cancelled" : "open");
    });

    it("cancels what is cancelled already once more without complaint", async () => {
      const rig = await opened();
      const { request, brokerOrderId } = await placed(rig);
      for (let i = 0; i < 2; i++) expect(await rig.broker.cancel({ ...request, brokerOrderId })).toMatchObject({ type: "cancelled" });
    });
  });
}

function finding(vendor: Vendor, opened: Open): void {
  describe(`${vendor.name}, finding`, () => {
    it.each(["silent_before", "throttle", "error_before", "drop_before", "nonsense_before"] as const)("never says absent on a failure: %s", async (fault) => {
      const rig = await opened();
      await rig.broker.place(rig.request());
      rig.loopback.faults.read.push(fault);
      expect(await rig.broker.find({ ...rig.request(), sentAt: systemClock.nowMicros() })).toMatchObject({ type: "unknown" });
    });

    it("does not believe absent right after a start: an earlier process may have sent the order", async () => {
      const rig = await opened({ limits: { settleMs: 60_000 } });
      const outcome = await rig.broker.find({ ...rig.request(), sentAt: systemClock.nowMicros() });
      expect(outcome).toMatchObject({ type: "unknown" });
      if (outcome.type === "unknown") expect(outcome.waitMs).toBeGreaterThan(50_000);
    });

    it("tells of orders that it found again, though it was another process that placed them", async () => {
      const before = await opened();
      const request = before.request();
      await before.broker.place(request);
      const after = await opened({ loopback: before.loopback });
      const filled = new Promise<BrokerOrder>((resolve) => after.broker.onUpdate((update) => update.state === "filled" && resolve(update)));
      await after.broker.find(request);
      const order = booked(after, request);
      if (order !== null) after.loopback.ledger.fill(order, order.quantity, systemClock.nowMicros() / 1000);
      expect(await filled).toMatchObject({ clientOrderId: request.clientOrderId, filled: vendor.quantity });
    });
  });
}

function secrets(vendor: Vendor, opened: Open): void {
  it(`${vendor.name}: credentials are in no outcome, log line, error or breaker report`, async () => {
    const credentials = ["Wrong-Key-123456", "Wrong-Secret-abcdef"];
    const rig = await opened({ secrets: credentials });
    const said: unknown[] = [];
    rig.loopback.faults.place.push("drop_before");
    for (let i = 0; i < 3; i++) said.push(await rig.broker.place(rig.request()));
    said.push(await rig.broker.find(rig.request()), await rig.broker.cancel({ ...rig.request(), brokerOrderId: "1" }));
    for (const fail of [() => rig.broker.check([rig.request()]), () => rig.broker.account("owner-1")]) {
      said.push(await fail().catch((error: unknown) => (error instanceof Error ? `${error.stack ?? ""} ${String(error.cause)}` : error)));
    }
    const text = JSON.stringify([said, rig.logged, rig.breakers.reports(), rig.broker.samples()]);
    expect(text.length).toBeGreaterThan(200);
    for (const secret of credentials) expect(text).not.toContain(secret);
    expect(text).not.toMatch(/signature=[0-9a-f]{8}/);
  });
}
