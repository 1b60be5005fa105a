/**
 * Orders and batches of protocol 3.1: schemas for the documentation. What is sent is judged by trading, leg by leg.
 */
import { z } from "@hono/zod-openapi";
import { ORDER_SIDES, ORDER_TYPES, TIMES_IN_FORCE } from "../ports/broker.ts";
import { BATCH_MODES, ORDER_STATES } from "../ports/orders.ts";

const decimal = z.string().openapi({ description: "Plain decimal, exact", example: "67000.00" });
const fault = z.object({ code: z.string(), message: z.string() }).nullable();
const members = {
  client_order_id: z.string(), broker_order_id: z.string().nullable(), symbol: z.string(), side: z.string(), type: z.string(), quantity: decimal,
  limit_price: decimal.nullable(), stop_price: decimal.nullable(), time_in_force: z.string(), state: z.enum(ORDER_STATES), filled: decimal,
  average_price: decimal.nullable(), created_at: z.int(), updated_at: z.int(), error: fault,
};

export const OrderSchema = z.object({ id: z.string(), ...members, owner: z.string(), broker: z.string(), batch_id: z.string() }).openapi("Order");

/** Legs of rejected and checked batches are no orders: without id, and null where something could not be read. */
const leg = z.object({ index: z.int(), ...members }).extend({
  id: z.string().nullable(), client_order_id: z.string().nullable(), symbol: z.string().nullable(), side: z.string().nullable(), type: z.string().nullable(),
  quantity: decimal.nullable(), time_in_force: z.string().nullable(),
});

export const BatchSchema = z.object({
  id: z.string().nullable().openapi({ description: "Null for a dry run" }),
  state: z.enum(["running", "completed", "partial", "rejected", "rolled_back", "rollback_incomplete", "checked"]), mode: z.enum(BATCH_MODES),
  orders: z.array(leg), residual_exposure: z.array(z.object({ symbol: z.string(), quantity: decimal })),
}).openapi("Batch");

const text = { type: "string" } as const;
const legProperties = {
  client_order_id: { ...text, maxLength: 128, description: "Unique per owner, for ever; ours when it is left out" }, symbol: { ...text, example: "sim:BTC-USD" },
  side: { ...text, enum: [...ORDER_SIDES] }, type: { ...text, enum: [...ORDER_TYPES] }, quantity: { ...text, description: "Plain decimal, a multiple of the lot size", example: "0.01" },
  limit_price: { ...text, description: "Of limit and stop_limit orders", example: "67000.00" }, stop_price: { ...text, description: "Of stop and stop_limit orders" },
  time_in_force: { ...text, enum: [...TIMES_IN_FORCE], default: "gtc" },
};
const required = ["symbol", "side", "type", "quantity"];

/** Any JSON: trading lists every fault by leg, and a rejected batch is an answer of its own. */
export const NewOrderSchema = z.unknown().openapi("NewOrder", { type: "object", properties: legProperties, required, additionalProperties: false });

export const NewBatchSchema = z.unknown().openapi("NewBatch", {
  type: "object", required: ["orders"], additionalProperties: false,
  properties: {
    mode: { ...text, enum: [...BATCH_MODES], default: "all_or_none" }, dry_run: { type: "boolean", default: false },
    timeout_ms: { type: "integer", minimum: 1, default: 30_000, description: "No leg is sent after it" },
    placement: { ...text, enum: ["sequential", "parallel"], default: "sequential", description: "One leg after another, or all at once" },
    orders: { type: "array", minItems: 1, maxItems: 20, items: { type: "object", properties: legProperties, required, additionalProperties: false } },
  },
});

export const AccountSchema = z.object({
  broker: z.string(), balances: z.array(z.object({ currency: z.string(), total: decimal, available: decimal })),
}).openapi("Account");

export const PositionSchema = z.object({ symbol: z.string(), quantity: decimal, average_price: decimal.nullable() }).openapi("Position");
