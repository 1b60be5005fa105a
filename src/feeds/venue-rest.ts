/**
 * Questions to a venue's REST side: one GET with a deadline, a size limit and the venue's wish to wait.
 *
 * Owns: counters. Path: cold.
 */
import { FeedError, messageOf } from "../core/errors.ts";
import type { Breaker } from "../ports/breakers.ts";

/** The venue said no: `waitMs` is its Retry-After, 0 when it named none. */
export class VenueRefusal extends FeedError {
  readonly answered: number;
  readonly waitMs: number;

  constructor(url: string, status: number, waitMs: number) {
    super(`GET ${url} was answered with status ${status}`);
    this.answered = status;
    this.waitMs = waitMs;
  }
}

export interface RestLimits {
  /** Milliseconds for the whole answer. */
  readonly timeoutMs: number;
  /** Bytes of a body; Binance's exchangeInfo is some 20 MB. */
  readonly bodyBytesMax: number;
}

export const REST_LIMITS: RestLimits = { timeoutMs: 10_000, bodyBytesMax: 64 * 1024 * 1024 };

/** Sees every answer; for the recorder. */
export type RestTap = (url: string, body: string) => void;

export class VenueRest {
  readonly #base: string;
  readonly #limits: RestLimits;
  readonly #tap: RestTap | undefined;
  readonly #breaker: Pick<Breaker, "run"> | undefined;
  #stop = new AbortController();
  requests = 0;
  failures = 0;

  /** `base` without a trailing slash. */
  constructor(base: string, limits: RestLimits = REST_LIMITS, tap?: RestTap, breaker?: Pick<Breaker, "run">) {
    this.#base = base.replace(/\/+$/, "");
    this.#limits = limits;
    this.#tap = tap;
    this.#breaker = breaker;
  }

  /**
   * @throws {FeedError} when there is no answer in time, it is too large, or no JSON; {@link VenueRefusal} for a status other than 200.
   * @throws {UnavailableError} `breaker_open` without asking, after it failed too often
   */
  get(pathAndQuery: string): Promise<unknown> {
    return this.#breaker === undefined ? this.#get(pathAndQuery) : this.#breaker.run(() => this.#get(pathAndQuery));
  }

  async #get(pathAndQuery: string): Promise<unknown> {
    const url = `${this.#base}${pathAndQuery}`;
    this.requests++;
    try {
      const answer = await fetch(url, {
        signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(this.#limits.timeoutMs)]),
        headers: { accept: "application/json" },
      });
      if (answer.status !== 200) {
        await answer.body?.cancel();
        throw new VenueRefusal(url, answer.status, retryAfterMs(answer.headers.get("retry-after")));
      }
      const text = await this.#body(answer, url);
      const body: unknown = JSON.parse(text);
      this.#tap?.(url, text);
      return body;
    } catch (error) {
      this.failures++;
      if (error instanceof FeedError) throw error;
      throw new FeedError(`GET ${url}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Ends what is under way and everything asked for until `open`. */
  close(): void {
    this.#stop.abort();
  }

  open(): void {
    this.#stop = new AbortController();
  }

  async #body(answer: Response, url: string): Promise<string> {
    const decoder = new TextDecoder();
    let bytes = 0;
    let text = "";
    for await (const chunk of answer.body ?? []) {
      bytes += chunk.length;
      if (bytes > this.#limits.bodyBytesMax) throw new FeedError(`GET ${url}: expected at most ${this.#limits.bodyBytesMax} bytes`);
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  }
}

/** Seconds only: no venue here sends a date. */
function retryAfterMs(header: string | null): number {
  const seconds = Number(header ?? "0");
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
}
