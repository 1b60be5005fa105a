/**
 * The command line beside the service: streams to the terminal, and lists, creates and revokes keys.
 */
import { parseArgs } from "node:util";
import { loadConfig } from "../config.ts";
import { AppError, messageOf } from "../core/errors.ts";
import { keysCommand } from "./keys.ts";
import { tail } from "./tail.ts";

const HELP = `usage: npm run cli -- COMMAND

  tail SYMBOL...        stream to this terminal, e.g. tail sim:BTC-USD 'sim:*'
      --channels LIST   trades,quotes,book,ticker,status (default trades,quotes)
      --key KEY         an API key; without one a ticket is fetched over HTTP
      --http URL        the service's HTTP side (default http://127.0.0.1:8080)
      --stream URL      the stream (default ws://127.0.0.1:8081/v1/stream)
      --count N         end after N messages
  keys list             keys of DATA_DIR
  keys create --scope S a new key (read, trade, admin, publish, breakglass), shown once
  keys revoke ID        a running service closes its sessions within a second

  node src/cli/record.ts --help    records a venue's traffic for FEEDS=replay:PATH

The environment is read as by the service: DATA_DIR says which keys.`;

const options = {
  channels: { type: "string", default: "trades,quotes" }, key: { type: "string" }, http: { type: "string" }, stream: { type: "string" },
  count: { type: "string" }, scope: { type: "string" }, help: { type: "boolean", short: "h" },
} as const;

async function run(words: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({ args: [...words], options, allowPositionals: true });
  const [command, ...rest] = positionals;
  if (values.help === true || command === undefined) {
    console.log(HELP);
    return values.help === true ? 0 : 2;
  }
  if (command === "keys") return keysCommand(rest, values.scope, loadConfig());
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
