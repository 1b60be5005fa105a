/**
 * One log line per request, and the counts of all: never the key, never the query.
 *
 * Owns: the counts of answers. Runs on: main thread, once per request.
 */
import type { Clock } from "../core/clock.ts";
import type { MetricSample, MetricSource } from "../ports/telemetry.ts";
import type { HttpContext } from "./problem.ts";

export class AccessLog implements MetricSource {
  readonly #clock: Clock;
  readonly #answers = new Map<string, { readonly method: string; readonly status: string; count: number }>();
  #aborted = 0;
  #busyMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Logs the request when its answer is out or its client is gone: reads that went well as debug, everything else as info. */
  follow(c: HttpContext): void {
    const beganMs = this.#clock.monotonicMs();
    c.env.outgoing.once("close", () => this.#ended(c, this.#clock.monotonicMs() - beganMs));
  }

  samples(): MetricSample[] {
    const answers = [...this.#answers.values()].map(({ method, status, count }): MetricSample => ({
      name: "ticker_http_requests_total", help: "Requests answered", type: "counter", labels: { method, status }, value: count,
    }));
    return [
      ...answers,
      { name: "ticker_http_aborted_total", help: "Requests whose client went before the whole answer", type: "counter", labels: {}, value: this.#aborted },
      { name: "ticker_http_request_seconds_total", help: "Time from a request's headers to the end of its answer", type: "counter", labels: {}, value: this.#busyMs / 1000 },
    ];
  }

  #ended(c: HttpContext, tookMs: number): void {
    const { incoming, outgoing } = c.env;
    const { method = "" } = incoming;
    const status = outgoing.statusCode;
    const isAborted = !outgoing.writableFinished;
    this.#busyMs += tookMs;
    if (isAborted) this.#aborted++;
    else this.#count(method, String(status));
    const fields = {
      method, path: c.req.path, status: isAborted ? null : status, ms: Math.round(tookMs * 1000) / 1000, address: c.get("address"), keyId: c.get("grant")?.keyId ?? null,
    };
    const isPlainRead = (method === "GET" || method === "HEAD") && status < 400 && !isAborted;
    if (isPlainRead) c.get("log").debug(fields, "request");
    else c.get("log").info(fields, isAborted ? "request aborted by its client" : "request");
  }

  /** Methods are those that Node's parser knows, statuses those that we answer: the map stays small. */
  #count(method: string, status: string): void {
    const name = `${method} ${status}`;
    const answers = this.#answers.get(name);
    if (answers) answers.count++;
    else this.#answers.set(name, { method, status, count: 1 });
  }
}
