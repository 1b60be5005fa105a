/**
 * The books of a client in full mode, kept from `seq` alone and without mercy: nothing is skipped outside the lagging lane.
 */
import { entriesOf, type Entry } from "./stream-client.ts";

const CHANNEL_OF: Readonly<Record<string, string>> = { quote: "quotes", trade: "trades", bar: "bars", book: "book", ticker: "ticker" };

export class Account {
  /** Last sequence by topic: channel, symbol, interval. */
  readonly held = new Map<string, number>();
  readonly faults: string[] = [];
  isLagging = false;
  /** How often it was told `lagging`. */
  lags = 0;
  delivered = 0;
  /** Since the beginning, as far as it was told. */
  folded = 0;
  lost = 0;
  #since = { folded: 0, lost: 0 };

  /** Everything that a client has got. */
  static of(messages: readonly Entry[]): Account {
    const account = new Account();
    for (const message of messages) account.hear(message);
    return account;
  }

  hear(message: Entry): void {
    switch (message["type"]) {
      case "subscribed": return this.#begin(message);
      case "unsubscribed":
        for (const topic of entriesOf(message, "topics")) this.#end(topic);
        return;
      case "lagging": return this.#lag();
      case "caught_up": return this.#caughtUp(message);
      case "gap": return this.#gap(message);
      default:
        if (String(message["type"]) in CHANNEL_OF && message["snapshot"] !== true) this.#event(message);
    }
  }

  #begin(message: Entry): void {
    for (const topic of entriesOf(message, "topics")) {
      const name = nameOf(topic);
      const at = this.held.get(name);
      if (at !== undefined && at !== topic["seq"]) this.faults.push(`${name} held at ${at}, acknowledged at ${String(topic["seq"])}`);
      this.held.set(name, Number(topic["seq"]));
    }
  }

  #end(topic: Entry): void {
    const name = nameOf(topic);
    if (this.held.get(name) !== topic["seq"]) this.faults.push(`${name} ended at ${String(topic["seq"])}, counted ${this.held.get(name)}`);
    this.held.delete(name);
  }

  #lag(): void {
    if (this.isLagging) this.faults.push("lagging twice");
    this.isLagging = true;
    this.lags++;
    this.#since = { folded: 0, lost: 0 };
  }

  #caughtUp(message: Entry): void {
    const { folded, lost } = this.#since;
    if (!this.isLagging || message["folded"] !== folded || message["lost"] !== lost) {
      this.faults.push(`caught_up says ${String(message["folded"])}/${String(message["lost"])}, counted ${folded}/${lost}${this.isLagging ? "" : " and not lagging"}`);
    }
    this.isLagging = false;
  }

  #gap(message: Entry): void {
    if (message["from"] === undefined) return;
    const name = nameOf(message);
    const at = this.held.get(name);
    const [from, to] = [Number(message["from"]), Number(message["to"])];
    if (at === undefined || from !== at + 1 || to < from) return void this.faults.push(`${name} gap ${from} to ${to} at ${at}`);
    this.#since.lost += to - at;
    this.lost += to - at;
    this.held.set(name, to);
  }

  #event(message: Entry): void {
    const name = nameOf(message);
    const at = this.held.get(name);
    const seq = Number(message["seq"]);
    if (at === undefined) return void this.faults.push(`${name} ${seq} was not asked for`);
    const skipped = seq - at - 1;
    if (skipped < 0) this.faults.push(`${name} ${seq} comes after ${at}`);
    if (skipped > 0 && (!this.isLagging || message["type"] === "trade")) this.faults.push(`${name} hole of ${skipped} before ${seq}`);
    this.#since.folded += skipped;
    this.folded += skipped;
    this.delivered++;
    this.held.set(name, seq);
  }
}

function nameOf(topic: Entry): string {
  const channel = typeof topic["channel"] === "string" ? topic["channel"] : CHANNEL_OF[String(topic["type"])];
  const interval = typeof topic["interval"] === "string" ? ` ${topic["interval"]}` : "";
  return `${channel ?? ""} ${String(topic["symbol"])}${interval}`;
}
