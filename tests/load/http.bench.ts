/**
 * `npm run bench:http`: what everything around a route costs: `GET /v1/quotes` of the real service against a bare Hono app.
 *
 * The bare app answers the same body with `c.json` and has nothing else: no key, limit, validation, header or log. Each
 * server has a process of its own on processor 0, the load is on the others; both are measured in turn. Bar: ours has at
 * least 40 % of the bare one's requests per second.
 */
import { type ChildProcess, fork } from "node:child_process";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";
import { median } from "./load-group.ts";
import { cpuSecondsOf, KEY, pin, startOurs, symbolName } from "./servers.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" }, seconds: { type: "string", default: "3" }, connections: { type: "string", default: "32" },
    instruments: { type: "string", default: "1,50" }, side: { type: "string", default: "" }, help: { type: "boolean", default: false },
  },
});
const BAR = 0.4;
const PATH = "/v1/quotes";

interface Target {
  readonly name: string;
  readonly port: number;
  cpuSeconds(): number;
  stop(): Promise<void>;
}

interface Measured {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

/** Keeps connections busy, one request at a time each, and counts whole answers. */
async function load(target: Target, connections: number, seconds: number): Promise<Measured> {
  const request = `GET ${PATH} HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\nX-API-Key: ${KEY}\r\n\r\n`;
  let [answers, isOver] = [0, false];
  const one = (): Promise<void> => new Promise((resolve, reject) => {
    const socket = connect({ port: target.port, host: "127.0.0.1", noDelay: true });
    let waiting = "";
    let missing = 0;
    const next = (): void => {
      answers++;
      if (isOver) socket.end();
      else socket.write(request);
    };
    socket.on("connect", () => socket.write(request));
    socket.on("data", (chunk: Buffer) => {
      waiting += chunk.toString("latin1");
      if (missing === 0) {
        const end = waiting.indexOf("\r\n\r\n");
        if (end < 0) return;
        if (!waiting.startsWith("HTTP/1.1 200")) throw new Error(`${target.name}: ${waiting.slice(0, 400)}`);
        missing = end + 4 + Number(/content-length: (\d+)/i.exec(waiting.slice(0, end))?.[1]);
      }
      if (waiting.length < missing) return;
      [waiting, missing] = ["", 0];
      next();
    });
    socket.on("close", () => resolve());
    socket.on("error", reject);
  });
  const running = Array.from({ length: connections }, one);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const [before, cpu, began] = [answers, target.cpuSeconds(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const [count, used, tookMs] = [answers - before, target.cpuSeconds() - cpu, performance.now() - began];
  isOver = true;
  await Promise.all(running);
  return { perSecond: (count / tookMs) * 1000, cpuMicros: (used * 1e6) / count };
}

/** The service with so many instruments, each with a quote. */
async function ours(instruments: number): Promise<Target> {
  process.env["BENCH_RATE_LIMITS"] = '{"default":"999999999/h"}';
  const server = await startOurs(1, true);
  server.send(Array.from({ length: instruments }, (_, symbol) => ({ symbol, seq: 1 })));
  const target = { name: "ours", port: server.httpPort, cpuSeconds: () => server.cpuSeconds(), stop: () => server.stop() };
  for (let i = 0; i < 100; i++) {
    if ((await bodyOf(target).catch(() => "")).includes(symbolName(instruments - 1))) return target;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the quotes did not come");
}

async function bodyOf({ port }: Pick<Target, "port">): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}${PATH}`, { headers: { "x-api-key": KEY } });
  return answer.text();
}

/** The yardstick with the same body. */
async function bare(body: string): Promise<Target> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), ["--side", "bare"]);
  child.send(body);
  const port = await new Promise<number>((resolve, reject) => {
    child.once("message", (message) => resolve(Number(message)));
    child.once("exit", () => reject(new Error("the bare app ended")));
  });
  const pid = child.pid ?? 0;
  pin(pid, "0");
  const stop = (): Promise<void> => new Promise((resolve) => {
    child.removeAllListeners("exit");
    child.once("exit", () => resolve());
    child.disconnect();
  });
  return { name: "bare", port, cpuSeconds: () => cpuSecondsOf(pid), stop };
}

function serveBare(): void {
  process.once("message", (text: unknown) => {
    const body: object = JSON.parse(String(text));
    const app = new Hono().get(PATH, (c) => c.json(body));
    const server = createAdaptorServer({ fetch: app.fetch });
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      process.send?.(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  process.once("disconnect", () => process.exit(0));
}

async function compare(instruments: number): Promise<boolean> {
  const [rounds, seconds, connections] = [Number(values.rounds), Number(values.seconds), Number(values.connections)];
  const service = await ours(instruments);
  const body = await bodyOf(service);
  const yardstick = await bare(body);
  const pairs: { readonly ours: Measured; readonly bare: Measured }[] = [];
  for (const target of [service, yardstick]) await load(target, connections, 1);
  for (let round = 0; round < rounds; round++) {
    const inTurn = round % 2 === 0 ? [service, yardstick] : [yardstick, service];
    const measured = new Map<string, Measured>();
    for (const target of inTurn) measured.set(target.name, await load(target, connections, seconds));
    const [a, b] = [measured.get("ours"), measured.get("bare")];
    if (a && b) pairs.push({ ours: a, bare: b });
  }
  await service.stop();
  await yardstick.stop();
  const ratio = median(pairs.map((pair) => pair.ours.perSecond / pair.bare.perSecond));
  const shown = (side: "ours" | "bare") => `${Math.round(median(pairs.map((pair) => pair[side].perSecond)))}/s, ${median(pairs.map((pair) => pair[side].cpuMicros)).toFixed(1)} µs`;
  const ratios = pairs.map((pair) => pair.ours.perSecond / pair.bare.perSecond);
  console.log(`${String(instruments).padStart(4)} quotes, ${String(body.length).padStart(6)} bytes | ours ${shown("ours")} | bare ${shown("bare")} | ratio ${ratio.toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}), bar ${BAR.toFixed(2)}`);
  return ratio >= BAR;
}

if (values.side === "bare") serveBare();
else if (values.help) console.log("npm run bench:http -- [--rounds 7] [--seconds 3] [--connections 32] [--instruments 1,50]");
else {
  pin(process.pid, "1");
  console.log(`GET ${PATH}: requests per second and processor time per request, medians of ${values.rounds} pairs of ${values.seconds} s, ${values.connections} connections`);
  let isMet = true;
  for (const instruments of values.instruments.split(",")) isMet = (await compare(Number(instruments))) && isMet;
  process.exit(isMet ? 0 : 1);
}
