/**
 * The alpaca broker against its loopback broker: the contract of all brokers, and what it makes of faults.
 */
import { openContractHarness } from "../support/broker-harness.ts";
import { ALPACA } from "../support/remote-rig.ts";
import { brokerContract } from "./broker.contract.ts";
import { remoteBrokerContract } from "./remote-broker.contract.ts";

brokerContract("alpaca", () => openContractHarness(ALPACA));
remoteBrokerContract(ALPACA);
