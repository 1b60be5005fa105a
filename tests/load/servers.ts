/**
 * The two servers of a benchmark as child processes: ours with the push feed, and the bare publish loop; what they use.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const KEY = `tk_bench${"0".repeat(32)}`;
const PUBLISH_KEY = `tk_publish${"0".repeat(32)}`;
const START_MS = 20_000;
/** Counted before anything is pinned. */
const PROCESSORS = availableParallelism();

export interface BenchServer {
  readonly name: "ours" | "bare";
  readonly streamPort: number;
  /** Of REST, health and metrics; 0 for the bare loop. */
  readonly httpPort: number;
  /** Sends lines as this server's producers write them. */
  sendLines(text: string): void;
  /** Sends events: symbol numbers with their sequence. All of them leave in one write. */
  send(events: readonly { readonly symbol: number; readonly seq: number }[]): void;
  /** Seconds of processor time of all threads so far. */
  cpuSeconds(): number;
  /** Bytes resident. */
  rss(): number;
  stop(): Promise<void>;
}

/**
 * Puts all threads of a process on these processors (util-linux' taskset), so that server and load do not push each other
 * around; false where that is not to be had.
 */
export function pin(pid: number, processors: string): boolean {
  return PROCESSORS > 1 && spawnSync("taskset", ["-a", "-c", "-p", processors, String(pid)]).status === 0;
}

export function symbolName(symbol: number): string {
  return `bench:S${String(symbol).padStart(3, "0")}-USD`;
}

/** The bytes that both servers send for an event; times have as many digits as real ones. */
function bareLine(symbol: number, seq: number): string {
  const name = symbolName(symbol);
  return `${name}\t[{"type":"quote","symbol":"${name}","seq":${seq},"bid":"${bidOf(seq)}","bid_size":"1.2500","ask":"${askOf(seq)}","ask_size":"0.7500","time":1763650000123456,"received":1763650000123456}]\n`;
}

function pushLine(symbol: number, seq: number): string {
  const create = seq === 1 ? ',"create":true,"price_scale":2,"size_scale":4' : "";
  return `{"type":"quote","symbol":"${symbolName(symbol)}","bid":"${bidOf(seq)}","bid_size":"1.2500","ask":"${askOf(seq)}","ask_size":"0.7500"${create}}\n`;
}

function bidOf(seq: number): string {
  return `67${String(100 + (seq % 100))}.25`;
}

function askOf(seq: number): string {
  return `67${String(100 + (seq % 100))}.75`;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * @param isPinned on processor 0 alone
 * @param more environment, and keys as in BOOTSTRAP_API_KEYS
 */
export async function startOurs(workers: number, isPinned = false, more: { readonly env?: Readonly<Record<string, string>>; readonly keys?: readonly string[] } = {}): Promise<BenchServer> {
  const [httpPort, streamPort, pushPort] = [await freePort(), await freePort(), await freePort()];
  const dataDir = mkdtempSync(join(tmpdir(), "ticker-bench-"));
  const child = spawn(process.execPath, [fileURLToPath(new URL("../../src/main.ts", import.meta.url))], {
    stdio: ["pipe", "pipe", "inherit"],
    env: {
      PATH: process.env["PATH"], HOST: "127.0.0.1", HTTP_PORT: String(httpPort), STREAM_PORT: String(streamPort), PUSH_PORT: String(pushPort), DATA_DIR: dataDir,
      FEEDS: "push", WORKERS: String(workers), BOOTSTRAP_API_KEYS: [`read:${KEY}`, `publish:${PUBLISH_KEY}`, ...(more.keys ?? [])].join(","), STREAM_SESSIONS_PER_KEY: "100000",
      ...more.env,
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("BENCH_")).map(([name, value]) => [name.slice(6), value])),
    },
  });
  child.stdout.resume();
  await until(async () => (await fetch(`http://127.0.0.1:${httpPort}/health/readiness`)).ok, child);
  const producer = await dial(pushPort);
  producer.write(`${JSON.stringify({ type: "auth", api_key: PUBLISH_KEY })}\n`);
  return serverOf("ours", child, { streamPort, httpPort }, [producer], pushLine, isPinned, () => rmSync(dataDir, { recursive: true, force: true }));
}

/** @param pingsPerSMax pings of all connections together; otherwise each gets one a second */
export async function startBare(threads: number, isPinned = false, isPinging = true, pingsPerSMax?: number): Promise<BenchServer> {
  const child = spawn(process.execPath, [fileURLToPath(new URL("bare-server.ts", import.meta.url)), "--threads", String(threads), ...(isPinging ? [] : ["--no-ping"]), ...(pingsPerSMax === undefined ? [] : ["--pings-per-s", String(pingsPerSMax)])], { stdio: ["pipe", "pipe", "inherit"] });
  const line = await new Promise<string>((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString())));
  const ports: { stream: number; ingest: number[] } = JSON.parse(line);
  const producers = await Promise.all(ports.ingest.map((port) => dial(port)));
  return serverOf("bare", child, { streamPort: ports.stream, httpPort: 0 }, producers, bareLine, isPinned, () => {});
}

function serverOf(name: "ours" | "bare", child: ChildProcess, ports: Pick<BenchServer, "streamPort" | "httpPort">, producers: readonly Socket[], line: (symbol: number, seq: number) => string, isPinned: boolean, clean: () => void): BenchServer {
  const pid = child.pid ?? 0;
  if (isPinned) pin(pid, "0");
  for (const producer of producers) producer.resume();
  let isStopping = false;
  child.once("exit", (code, signal) => {
    if (!isStopping) console.error(`${name}: the server ended by itself, exit code ${code}, signal ${signal}: what follows is not to be trusted`);
  });
  const sendLines = (text: string): void => {
    for (const producer of producers) producer.write(text, "latin1");
  };
  return {
    name,
    ...ports,
    sendLines,
    send(events) {
      let text = "";
      for (const { symbol, seq } of events) text += line(symbol, seq);
      sendLines(text);
    },
    cpuSeconds: () => cpuSecondsOf(pid),
    rss: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]) * 1024,
    async stop() {
      isStopping = true;
      for (const producer of producers) producer.destroy();
      const exited = new Promise((resolve) => child.once("exit", resolve));
      child.stdin?.end();
      child.kill("SIGTERM");
      await exited;
      clean();
    },
  };
}

/** Processor time of all threads of a process so far. */
export function cpuSecondsOf(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ")[0]);
  return nanoseconds / 1e9;
}

function dial(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => resolve(socket));
    socket.once("error", reject);
  });
}

async function until(isReady: () => Promise<boolean>, child: ChildProcess): Promise<void> {
  const end = Date.now() + START_MS;
  while (!(await isReady().catch(() => false))) {
    if (Date.now() > end || child.exitCode !== null) throw new Error("the server did not become ready");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
