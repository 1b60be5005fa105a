/**
 * A small producer for the push feed: authenticates, publishes a random walk, prints what was acknowledged.
 *
 * `node tests/support/push-producer.ts --help`
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { systemClock, wait } from "../../src/core/clock.ts";
import { messageOf } from "../../src/core/errors.ts";
import { Random } from "../../src/feeds/sim/random.ts";

const HELP = `Publishes a random walk of trades and quotes to the push feed (FEEDS=push).

  node tests/support/push-producer.ts --key tk_... [options]

  --key KEY         API key with the scope publish (required)
  --host HOST       default 127.0.0.1
  --port PORT       default 8082
  --venue VENUE     default mine
  --symbols A,B     default ABC-USD,XYZ-USD
  --rate N          events a second, all symbols together; default 20
  --seconds N       stops after this time; default 10
  --seed N          the same seed gives the same walk; default 1
  --help            this text

Prints each acknowledgement; ends with 0 when every event was accepted, else with 1.`;

/** Events are sent this often, milliseconds. */
const SLICE_MS = 20;
const ANSWER_DEADLINE_MS = 5000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      key: { type: "string" }, host: { type: "string", default: "127.0.0.1" }, port: { type: "string", default: "8082" },
      venue: { type: "string", default: "mine" }, symbols: { type: "string", default: "ABC-USD,XYZ-USD" }, rate: { type: "string", default: "20" },
      seconds: { type: "string", default: "10" }, seed: { type: "string", default: "1" }, help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [rate, seconds, seed, port] = [values.rate, values.seconds, values.seed, values.port].map(Number);
  if (!values.key) throw new Error("--key: expected an API key with the scope publish; see --help");
  if (!(rate !== undefined && rate > 0) || !(seconds !== undefined && seconds > 0) || !Number.isSafeInteger(seed) || !Number.isInteger(port)) {
    throw new Error("--rate, --seconds, --seed, --port: expected numbers, the first two above 0; see --help");
  }
  const socket = connect({ host: values.host, port: port ?? 0 });
  await once(socket, "connect");
  const walk = new Walk(values.symbols.split(",").map((symbol) => `${values.venue}:${symbol}`), new Random(seed ?? 1));
  return publish(socket, values.key, walk, rate, seconds * 1000);
}

async function publish(socket: Socket, key: string, walk: Walk, rate: number, lengthMs: number): Promise<number> {
  const answers = new Answers(socket);
  socket.write(`${JSON.stringify({ type: "auth", api_key: key })}\n`);
  const start = systemClock.monotonicMs();
  const total = Math.max(1, Math.round((rate * lengthMs) / 1000));
  for (let sent = 0; sent < total && !answers.isClosed;) {
    const due = Math.min(total, Math.floor(((systemClock.monotonicMs() - start) * rate) / 1000));
    let lines = "";
    for (; sent < due; sent++) lines += `${JSON.stringify(walk.next())}\n`;
    // The service slows a producer down by not reading: then there is nothing to do but wait.
    if (lines !== "" && !socket.write(lines)) await Promise.race([once(socket, "drain"), answers.closed]);
    await wait(systemClock, SLICE_MS);
  }
  socket.end();
  const deadline = systemClock.after(ANSWER_DEADLINE_MS, () => socket.destroy());
  await answers.closed;
  deadline.stop();
  if (answers.accepted === total) return 0;
  console.error(`sent ${total}, accepted ${answers.accepted}`);
  return 1;
}

/** Prints the acknowledgements and keeps the last count. */
class Answers {
  accepted = 0;
  isClosed = false;
  readonly closed: Promise<void>;

  constructor(socket: Socket) {
    let unfinished = "";
    socket.on("data", (chunk) => {
      const lines = (unfinished + chunk.toString()).split("\n");
      unfinished = lines.pop() ?? "";
      for (const line of lines) {
        console.log(line);
        const answer: unknown = JSON.parse(line);
        if (typeof answer === "object" && answer !== null && "accepted" in answer && typeof answer.accepted === "number") this.accepted = answer.accepted;
      }
    });
    socket.on("error", (error) => console.error(`connection failed: ${error.message}`));
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.isClosed = true;
        resolve();
      });
    });
  }
}

/** Prices in steps of 0.01 from 100.00; every third event is a trade. */
class Walk {
  readonly #ids: readonly string[];
  readonly #random: Random;
  readonly #cents: number[];
  #sent = 0;

  constructor(ids: readonly string[], random: Random) {
    this.#ids = ids;
    this.#random = random;
    this.#cents = ids.map(() => 10_000);
  }

  next(): object {
    const which = this.#random.below(this.#ids.length);
    const cents = Math.max(100, (this.#cents[which] ?? 10_000) + this.#random.below(5) - 2);
    this.#cents[which] = cents;
    const size = () => `${1 + this.#random.below(100)}`;
    const common = { symbol: this.#ids[which], create: true, price_scale: 2, size_scale: 0 };
    if (this.#sent++ % 3 === 0) return { type: "trade", ...common, price: (cents / 100).toFixed(2), size: size(), side: this.#random.unit() < 0.5 ? "buy" : "sell" };
    return { type: "quote", ...common, bid: ((cents - 1) / 100).toFixed(2), bid_size: size(), ask: ((cents + 1) / 100).toFixed(2), ask_size: size() };
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 2;
}
