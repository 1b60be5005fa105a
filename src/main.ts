/**
 * The process entry: checks Node, loads the configuration, runs embedded or served mode, handles signals, ends the process.
 *
 * Nothing is imported before the check of Node, so that a wrong one gets a sentence instead of a stack.
 */
import type { Service } from "./compose/service.ts";
import type { Config } from "./config.ts";
import type { StopSignal } from "./stop-signals.ts";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major === 22 && minor >= 18) await main(process.argv.slice(2));
else {
  console.error(`ticker-service needs Node 22.18 or a later 22, this is ${process.versions.node}; use "npm start", which runs the one of node_modules`);
  process.exitCode = 1;
}

async function main(options: readonly string[]): Promise<void> {
  const { helpText, loadConfig, printConfig } = await import("./config.ts");
  const [option] = options;
  if (option === "--help" || option === "-h") return console.log(helpText());
  if (option !== undefined && option !== "--print-config") return refuse(`unknown option ${option}; see node src/main.ts --help`, 2);
  try {
    const config = loadConfig();
    if (option === "--print-config") return console.log(printConfig());
    await run(config);
  } catch (error) {
    refuse(messageOrStack(error), 1);
  }
}

/** The sentence of a failure that somebody outside can mend; the stack of any other. */
function messageOrStack(error: unknown): unknown {
  return error instanceof Error && "retryable" in error ? error.message : error;
}

/** What backs the service: servers when they are named, otherwise nothing but this process. */
async function composition({ databaseUrl }: Config) {
  return databaseUrl === null ? (await import("./compose/embedded.ts")).embedded : (await import("./compose/served.ts")).served;
}

function refuse(what: unknown, code: number): never {
  console.error(what);
  process.exit(code);
}

async function run(config: Config): Promise<void> {
  const [compose, { systemClock }, { StopSignals }] = await Promise.all([composition(config), import("./core/clock.ts"), import("./stop-signals.ts")]);
  let isConsoleOpen = true;
  process.stdout.on("error", () => {
    isConsoleOpen = false;
  });
  const write = (line: string) => void (isConsoleOpen && process.stdout.write(line));
  const service = await compose({ config, clock: systemClock, console: write, onFatal: (reason) => die(reason), onDrain: () => process.kill(process.pid, "SIGTERM") });
  const { log } = service.log;
  const die = (reason: unknown): never => {
    log.error({ reason: reason instanceof Error ? reason.stack : reason }, "the process cannot go on");
    return leave(service, 1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
  const signals = new StopSignals();
  const starting = service.app.start();
  const stop = async (signal: StopSignal) => {
    log.info({ signal }, "stopping");
    systemClock.after(config.shutdownMs, () => die(`not stopped within ${config.shutdownMs} ms`));
    await starting.catch((error: unknown) => log.warn({ reason: String(error) }, "stopped while starting"));
    const isClean = await service.app.stop();
    log.info({ isClean }, "stopped");
    leave(service, isClean && !service.isThreadAlive() ? 0 : 1);
  };
  const onSignal = (signal: StopSignal) => {
    const decision = signals.on(signal, systemClock.monotonicMs());
    if (decision === "force") leave(service, 1);
    if (decision === "stop") void stop(signal);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  try {
    await starting;
  } catch (error) {
    console.error(messageOrStack(error));
    leave(service, 1);
  }
  if (signals.isStopping()) return;
  if (config.isProduction) log.info(service.urls(), "running");
  else announce(service, write);
}

/** Ends the process with this code. With a live stream thread `process.exit` would abort (decision 0009), so the process is replaced by one that only exits. */
function leave(service: Service, code: number): never {
  service.log.flush();
  if (service.isThreadAlive() && process.execve) process.execve("/bin/sh", ["sh", "-c", `exit ${code}`], {});
  process.exit(code);
}

function announce(service: Service, write: (line: string) => void): void {
  const { page, stream } = service.urls();
  const key = service.firstKey();
  write([
    "", `  page    ${page}/`, `  stream  ${stream}`, `  health  ${page}/health/readiness`, "",
    ...(key === null ? [] : [`  first key, admin, shown once:  ${key}`, ""]),
    "  stream to this terminal:", `    npm run cli -- tail sim:BTC-USD --http ${page} --stream ${stream}`, "", "",
  ].join("\n"));
}
