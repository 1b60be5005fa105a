/**
 * The thread of the embedded database: PGlite runs synchronously and would stall whatever shares its thread.
 *
 * Owns: the database in its folder. Runs on: a thread of its own; one statement at a time.
 */
import { parentPort, workerData } from "node:worker_threads";
import { PGlite, types } from "@electric-sql/pglite";
import type { EmbeddedAnswer, EmbeddedInit, EmbeddedRequest } from "./embedded-pool.ts";

const init: EmbeddedInit = workerData;

function answer(message: EmbeddedAnswer<unknown>): void {
  parentPort?.postMessage(message);
}

function failureOf(error: unknown): { readonly message: string; readonly code: string } {
  const code = typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : "";
  return { message: error instanceof Error ? error.message : String(error), code };
}

/** int8 as text, as pg gives it. */
const database = await PGlite.create({ dataDir: init.folder, parsers: { [types.INT8]: (text) => text } });

async function run(request: EmbeddedRequest): Promise<void> {
  try {
    if (request.type === "close") {
      await database.close();
      answer({ type: "result", call: request.call, rows: [], rowCount: 0 });
      parentPort?.close();
      return;
    }
    const result = request.values.length > 0 ? await database.query(request.text, [...request.values]) : (await database.exec(request.text)).at(-1);
    const rows = result?.rows ?? [];
    answer({ type: "result", call: request.call, rows, rowCount: result?.affectedRows || rows.length });
  } catch (error) {
    answer({ type: "failure", call: request.call, ...failureOf(error) });
  }
}

parentPort?.on("message", (request: EmbeddedRequest) => void run(request));
answer({ type: "ready" });
