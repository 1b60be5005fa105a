/**
 * The broker over the network that the configuration names, behind its circuit breaker.
 */
import { AlpacaWire } from "../adapters/brokers/alpaca.ts";
import { CcxtWire } from "../adapters/brokers/ccxt.ts";
import { KITE_URL, KiteWire } from "../adapters/brokers/kite.ts";
import { Redaction } from "../adapters/brokers/redaction.ts";
import { RemoteBroker } from "../adapters/brokers/remote-broker.ts";
import type { BrokerWire } from "../adapters/brokers/wire.ts";
import type { BrokerConfig } from "../config-broker.ts";
import type { Clock } from "../core/clock.ts";
import { unreachable } from "../core/types.ts";
import type { Breakers } from "../ports/breakers.ts";
import type { Logger } from "../ports/telemetry.ts";

/** Binance: "recvWindow must be less than 60000". */
const VALID_MAX_MS = 59_000;

type RemoteConfig = Exclude<BrokerConfig, { kind: "paper" }>;

export interface RemoteBrokerDeps {
  readonly config: { readonly broker: BrokerConfig };
  readonly clock: Clock;
  readonly breakers: Pick<Breakers, "of">;
  readonly log: Logger;
}

/** Null: orders stay here, at the paper broker. */
export function createRemoteBroker({ config, clock, breakers, log }: RemoteBrokerDeps): RemoteBroker | null {
  const { broker } = config;
  if (broker.kind === "paper") return null;
  const wire = wireOf(broker, clock);
  return new RemoteBroker({ wire, clock, log, breaker: breakers.of(`broker.${wire.broker}`), limits: broker.limits, redaction: new Redaction(secretsOf(broker)) });
}

function wireOf(config: RemoteConfig, clock: Clock): BrokerWire {
  switch (config.kind) {
    // What reaches the exchange later than we believe that it can is refused there.
    case "ccxt": return new CcxtWire({ ...config, clock, validMs: Math.max(1000, Math.min(VALID_MAX_MS, config.limits.settleMs)) });
    case "alpaca": return new AlpacaWire({ ...config, clock });
    case "kite": return new KiteWire({ ...config, url: config.url ?? KITE_URL, clock });
    default: return unreachable(config);
  }
}

function secretsOf(config: RemoteConfig): readonly string[] {
  switch (config.kind) {
    case "ccxt": return [config.apiKey, config.secret, config.password];
    case "alpaca": return [config.keyId, config.secretKey];
    case "kite": return [config.apiKey, config.accessToken];
    default: return unreachable(config);
  }
}
