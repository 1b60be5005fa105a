/**
 * Which broker is configured, and that its credentials come from variables or files and are never shown.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createRemoteBroker } from "../../src/compose/broker.ts";
import { loadConfig, printConfig } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { ConfigurationError, messageOf } from "../../src/core/errors.ts";
import { NO_BREAKER } from "../support/no-breaker.ts";
import { KeepingLog } from "../support/silent-log.ts";

const SECRET = "s3cr3t-of-a-broker";

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigurationError) return error.faults;
    throw new Error(messageOf(error), { cause: error });
  }
}

function file(content: string): string {
  const path = join(mkdtempSync(join(tmpdir(), "broker-secret-")), "secret");
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

const brokerOf = (environment: Record<string, string>) => createRemoteBroker({ config: loadConfig(environment), clock: systemClock, breakers: { of: () => NO_BREAKER }, log: new KeepingLog() });

describe("the broker", () => {
  it("is the paper broker unless told otherwise, and then nothing remote is made", () => {
    expect(loadConfig({}).broker).toEqual({ kind: "paper" });
    expect(brokerOf({})).toBe(null);
  });

  it.each([
    [{ TICKER_BROKER: "ccxt", TICKER_CCXT_EXCHANGE: "kraken", TICKER_CCXT_API_KEY: "k", TICKER_CCXT_SECRET: SECRET }, "ccxt.kraken"],
    [{ TICKER_BROKER: "alpaca", TICKER_ALPACA_KEY_ID: "k", TICKER_ALPACA_SECRET_KEY: SECRET }, "alpaca"],
    [{ TICKER_BROKER: "kite", TICKER_BROKER_TEST_MODE: "off", TICKER_KITE_API_KEY: "k", TICKER_KITE_ACCESS_TOKEN: SECRET }, "kite"],
  ])("is made of %o", (environment, name) => {
    expect(brokerOf(environment)?.broker).toBe(name);
  });

  it("is in test mode by default, which is refused for Kite, which has none", () => {
    expect(loadConfig({ TICKER_BROKER: "alpaca", TICKER_ALPACA_KEY_ID: "k", TICKER_ALPACA_SECRET_KEY: "s" }).broker).toMatchObject({ isTest: true });
    expect(faultsOf({ TICKER_BROKER: "kite", TICKER_KITE_API_KEY: "k", TICKER_KITE_ACCESS_TOKEN: "t" })).toMatchObject([expect.stringMatching(/^TICKER_BROKER_TEST_MODE: Kite has no test system/)]);
  });

  it("names a broker that ccxt does not know when it starts", async () => {
    const broker = brokerOf({ TICKER_BROKER: "ccxt", TICKER_CCXT_EXCHANGE: "nowhere", TICKER_CCXT_API_KEY: "k", TICKER_CCXT_SECRET: "s" });
    await expect(broker?.start()).rejects.toThrow(/TICKER_CCXT_EXCHANGE: expected an exchange of ccxt .*found "nowhere"/);
  });

  it("refuses an exchange without a test system in test mode, and takes it without", async () => {
    const environment = { TICKER_BROKER: "ccxt", TICKER_CCXT_EXCHANGE: "kraken", TICKER_CCXT_API_KEY: "k", TICKER_CCXT_SECRET: "s" };
    for (const exchange of ["kraken", "bitget", "weex"]) {
      await expect(brokerOf({ ...environment, TICKER_CCXT_EXCHANGE: exchange })?.start()).rejects.toThrow(/TICKER_BROKER_TEST_MODE: \w+ has no test system/);
    }
    const started = ["binance", "bybit", "okx", "gate"].map((exchange) => brokerOf({ ...environment, TICKER_CCXT_EXCHANGE: exchange }));
    started.push(brokerOf({ ...environment, TICKER_BROKER_TEST_MODE: "off" }));
    for (const broker of started) {
      await broker?.start();
      await broker?.stop();
    }
  });
});

describe("credentials", () => {
  it("come from a file just as well, without its last line break", () => {
    const config = loadConfig({ TICKER_BROKER: "alpaca", TICKER_ALPACA_KEY_ID: "k", TICKER_ALPACA_SECRET_KEY_FILE: file(`${SECRET}\n`) });
    expect(config.broker).toMatchObject({ keyId: "k", secretKey: SECRET });
  });

  it("are named when they are missing, given twice, unreadable, empty or more than one line", () => {
    const alpaca = (more: Record<string, string>) => faultsOf({ TICKER_BROKER: "alpaca", TICKER_ALPACA_KEY_ID: "k", ...more }).join("\n");
    expect(alpaca({})).toMatch(/TICKER_ALPACA_SECRET_KEY: expected a credential.*set it or TICKER_ALPACA_SECRET_KEY_FILE/);
    expect(alpaca({ TICKER_ALPACA_SECRET_KEY: SECRET, TICKER_ALPACA_SECRET_KEY_FILE: file(SECRET) })).toMatch(/is set, and so is/);
    expect(alpaca({ TICKER_ALPACA_SECRET_KEY_FILE: "/nowhere/secret" })).toMatch(/expected a file that can be read/);
    for (const content of ["", `${SECRET}\n${SECRET}`, "x".repeat(4097)]) {
      const text = alpaca({ TICKER_ALPACA_SECRET_KEY_FILE: file(content) });
      expect(text).toMatch(/expected one line of at most 4096 bytes/);
      expect(text).not.toContain(SECRET);
    }
    expect(alpaca({ TICKER_ALPACA_SECRET_KEY_FILE: file("x".repeat(4096)) })).toBe("");
  });

  it("are masked where the configuration is printed", () => {
    const printed = printConfig({ TICKER_BROKER: "kite", TICKER_KITE_API_KEY: SECRET, TICKER_KITE_ACCESS_TOKEN: SECRET, TICKER_CCXT_PASSWORD: SECRET });
    expect(printed).toContain("TICKER_KITE_ACCESS_TOKEN=[set, not shown]");
    expect(printed).not.toContain(SECRET);
  });
});
