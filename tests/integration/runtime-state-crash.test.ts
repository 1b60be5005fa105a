/**
 * `kill -9` during 200 concurrent changes of runtime settings: afterwards state, revision and audit chain agree, and nothing
 * that was acknowledged is lost. Many more runs: `npm run crash:settings -- --runs N`.
 */
import { describe, expect, inject, it } from "vitest";
import { newServerDatabase } from "../support/server-database.ts";
import { crashRun } from "../support/settings-crash.ts";

const CHANGES = 200;
const TIMEOUT_MS = 120_000;

describe("on the embedded database", () => {
  it.each([1, 40, 120])("survives a kill after %d answers", async (killAfter) => {
    const outcome = await crashRun(CHANGES, killAfter, null);
    expect(outcome.faults).toEqual([]);
    expect(outcome.revision).toBeGreaterThanOrEqual(outcome.acknowledged);
  }, TIMEOUT_MS);
});

describe.skipIf(inject("postgres") === "")("on a real Postgres", () => {
  it.each([1, 40, 120])("survives a kill after %d answers", async (killAfter) => {
    const { url, drop } = await newServerDatabase(inject("postgres"));
    try {
      const outcome = await crashRun(CHANGES, killAfter, url);
      expect(outcome.faults).toEqual([]);
      expect(outcome.revision).toBeGreaterThanOrEqual(outcome.acknowledged);
    } finally {
      await drop();
    }
  }, TIMEOUT_MS);
});
