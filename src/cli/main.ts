/**
 * The command line beside the service: streams to the terminal, and lists, creates, rotates and revokes keys.
 */
import { parseArgs } from "node:util";
import { loadConfig } from "../config.ts";
import { AppError, messageOf } from "../core/errors.ts";
import { type KeyOptions, keysCommand } from "./keys.ts";
import { tail } from "./tail.ts";

const HELP = `usage: npm run cli -- COMMAND

  tail SYMBOL...        stream to this terminal, e.g. tail sim:BTC-USD 'sim:*'
      --channels LIST   trades,quotes,book,ticker,status (default trades,quotes)
      --key KEY         an API key; without one a ticket is fetched over HTTP
      --http URL        the service's HTTP side (default http://127.0.0.1:8080)
      --stream URL      the stream (default ws://127.0.0.1:8081/v1/stream)
      --count N         end after N messages
  keys list             all keys
  keys create --scope S a new key (read, trade, admin, publish, breakglass), shown once
      --name TEXT       what it is for
      --expires TIME    RFC 3339, e.g. 2027-01-01T00:00:00Z
      --addresses LIST  addresses and networks that it may be used from
  keys revoke ID        a running service closes its sessions within a second
  keys rotate ID        another secret; the old one works for --grace seconds more (3600)
      --reason TEXT     for the audit
      --key KEY         an admin key: needed while an embedded service runs
      --http URL        that service (default http://127.0.0.1:8080)

  node src/cli/record.ts --help    records a venue's traffic for FEEDS=replay:PATH

The environment is read as by the service: DATABASE_URL or DATA_DIR says which keys.`;

const options = {
  channels: { type: "string", default: "trades,quotes" }, key: { type: "string" }, http: { type: "string" }, stream: { type: "string" },
  count: { type: "string" }, scope: { type: "string" }, name: { type: "string" }, expires: { type: "string" }, addresses: { type: "string" },
  grace: { type: "string" }, reason: { type: "string" }, help: { type: "boolean", short: "h" },
} as const;

const NO_OPTIONS: KeyOptions = { scope: undefined, name: undefined, expires: undefined, addresses: undefined, grace: undefined, reason: undefined, key: undefined, http: undefined };

async function run(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...words], options, allowPositionals: true });
  const [command, ...rest] = positionals;
  if (values.help === true || command === undefined) {
    console.log(HELP);
    return values.help === true ? 0 : 2;
  }
  if (command === "keys") return keysCommand(rest, { ...NO_OPTIONS, ...values }, loadConfig());
  if (command !== "tail") throw new TypeError(`unknown command ${command}; see npm run cli -- --help`);
  const { stream, httpPort } = loadConfig();
  const count = values.count === undefined ? null : Number(values.count);
  if (count !== null && !(Number.isSafeInteger(count) && count > 0)) throw new TypeError("--count needs a whole number above 0");
  return tail({
    symbols: rest, channels: values.channels.split(","), key: values.key ?? null, count,
    httpUrl: values.http ?? `http://127.0.0.1:${httpPort}`, streamUrl: values.stream ?? `ws://127.0.0.1:${stream.streamPort}/v1/stream`,
  });
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof AppError || error instanceof TypeError ? messageOf(error) : error);
  process.exitCode = 1;
}
