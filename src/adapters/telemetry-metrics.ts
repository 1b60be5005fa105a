/**
 * The metrics page: samples of all parts and of the process, in Prometheus' text form.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import type { MetricSample } from "../ports/telemetry.ts";

/** A page as HTTP sends it. */
export interface MetricsPage {
  readonly contentType: string;
  readonly body: string;
}

/** Renders samples; the numbers of the process itself (CPU, memory, event loop, garbage collection) are added. */
export class MetricsRenderer {
  readonly #process = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#process });
  }

  async render(samples: readonly MetricSample[]): Promise<MetricsPage> {
    const registry = new Registry();
    for (const group of Map.groupBy(samples, (sample) => sample.name).values()) register(registry, group);
    const [ours, process] = await Promise.all([registry.metrics(), this.#process.metrics()]);
    return { contentType: registry.contentType, body: `${ours}\n${process}` };
  }
}

function register(registry: Registry, group: readonly MetricSample[]): void {
  const [first] = group;
  if (!first) return;
  const labelNames = [...new Set(group.flatMap((sample) => Object.keys(sample.labels)))];
  const options = { name: first.name, help: first.help, labelNames, registers: [registry] };
  const metric = first.type === "counter" ? new Counter(options) : new Gauge(options);
  for (const sample of group) metric.inc(sample.labels, sample.value);
}
