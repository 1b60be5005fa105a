/**
 * The broker of the configuration: which one, with which limits and credentials, the latter from the environment or from files.
 */
import { readFileSync } from "node:fs";
import type { SettingName, Settings } from "./config-schema.ts";
import { messageOf } from "./core/errors.ts";
import { unreachable } from "./core/types.ts";

export interface BrokerLimitSettings {
  readonly deadlineMs: number;
  readonly callsMax: number;
  readonly confirmMs: number;
  readonly confirmEveryMs: number;
  readonly settleMs: number;
  readonly pollMs: number;
  readonly pollOrdersMax: number;
  readonly ordersMax: number;
}

interface RemoteSettings {
  readonly limits: BrokerLimitSettings;
  /** Null: the broker's own. */
  readonly url: string | null;
}

/** The broker that orders go to. */
export type BrokerConfig =
  | { readonly kind: "paper" }
  | (RemoteSettings & {
    readonly kind: "ccxt"; readonly exchange: string; readonly isTest: boolean; readonly venues: readonly string[];
    readonly apiKey: string; readonly secret: string; readonly password: string;
  })
  | (RemoteSettings & { readonly kind: "alpaca"; readonly isTest: boolean; readonly venues: readonly string[]; readonly keyId: string; readonly secretKey: string })
  | (RemoteSettings & { readonly kind: "kite"; readonly product: "CNC" | "NRML" | "MIS"; readonly apiKey: string; readonly accessToken: string });

type SecretName = {
  [Name in SettingName]: `${Name}_FILE` extends SettingName ? Name : never;
}[SettingName];

/** Where Alpaca's instruments come from. */
const ALPACA_VENUES: readonly string[] = ["alpaca", "nasdaq", "nyse", "arca", "amex", "bats", "otc"];
const SECRET_BYTES_MAX = 4096;
const NO_FAULTS = (_fault: string): void => undefined;

/** Everything wrong with the broker's settings; no fault shows a credential. */
export function faultsOfBroker(s: Settings): string[] {
  const faults: string[] = [];
  const config = brokerOf(s, (fault) => faults.push(fault));
  if (config.kind === "kite" && config.url === null && s.TICKER_BROKER_TEST_MODE === "on") {
    faults.push("TICKER_BROKER_TEST_MODE: Kite has no test system; set it to off to trade with real money, or TICKER_BROKER_URL to a system of your own");
  }
  return faults;
}

/** Credentials that cannot be read are empty and told to `fault`. */
export function brokerOf(s: Settings, fault: (text: string) => void = NO_FAULTS): BrokerConfig {
  const url = s.TICKER_BROKER_URL?.replace(/\/+$/, "") ?? null;
  const isTest = s.TICKER_BROKER_TEST_MODE === "on";
  const common = { limits: limitsOf(s), url };
  const secret = (name: SecretName, isNeeded = true): string => credential(s, name, isNeeded, fault);
  switch (s.TICKER_BROKER) {
    case "ccxt": return {
      ...common, kind: "ccxt", exchange: s.TICKER_CCXT_EXCHANGE, isTest,
      venues: s.TICKER_BROKER_VENUES.length > 0 ? s.TICKER_BROKER_VENUES : [s.TICKER_CCXT_EXCHANGE],
      apiKey: secret("TICKER_CCXT_API_KEY"), secret: secret("TICKER_CCXT_SECRET"), password: secret("TICKER_CCXT_PASSWORD", false),
    };
    case "alpaca": return {
      ...common, kind: "alpaca", isTest, venues: s.TICKER_BROKER_VENUES.length > 0 ? s.TICKER_BROKER_VENUES : ALPACA_VENUES,
      keyId: secret("TICKER_ALPACA_KEY_ID"), secretKey: secret("TICKER_ALPACA_SECRET_KEY"),
    };
    case "kite": return {
      ...common, kind: "kite", url, product: s.TICKER_KITE_PRODUCT, apiKey: secret("TICKER_KITE_API_KEY"), accessToken: secret("TICKER_KITE_ACCESS_TOKEN"),
    };
    case "paper": return { kind: "paper" };
    default: return unreachable(s.TICKER_BROKER);
  }
}

function limitsOf(s: Settings): BrokerLimitSettings {
  return {
    deadlineMs: s.TICKER_BROKER_DEADLINE_MS, callsMax: s.TICKER_BROKER_CALLS_MAX, confirmMs: s.TICKER_BROKER_CONFIRM_MS,
    confirmEveryMs: s.TICKER_BROKER_CONFIRM_EVERY_MS, settleMs: s.TICKER_BROKER_SETTLE_MS, pollMs: s.TICKER_BROKER_POLL_MS,
    pollOrdersMax: s.TICKER_BROKER_POLL_ORDERS_MAX, ordersMax: s.TICKER_BROKER_ORDERS_MAX,
  };
}

function credential(s: Settings, name: SecretName, isNeeded: boolean, fault: (text: string) => void): string {
  const path = s[`${name}_FILE`];
  const given = s[name];
  if (path !== null && given !== null) fault(`${name}: is set, and so is ${name}_FILE; unset one of them`);
  const text = path === null ? given ?? "" : contentOf(path, `${name}_FILE`, fault);
  if (text === "" && isNeeded && path === null) fault(`${name}: expected a credential for the broker ${s.TICKER_BROKER}, found none; set it or ${name}_FILE`);
  return text;
}

/** Without the line break at its end. */
function contentOf(path: string, name: string, fault: (text: string) => void): string {
  let text = "";
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    fault(`${name}: expected a file that can be read, found ${messageOf(error)}`);
    return "";
  }
  if (text !== "" && text.length <= SECRET_BYTES_MAX && !/[\r\n\0]/.test(text)) return text;
  fault(`${name}: expected one line of at most ${SECRET_BYTES_MAX} bytes in ${path}, found ${text.length} bytes (not shown)`);
  return "";
}
