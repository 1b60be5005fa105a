/**
 * Reads request bodies, bounded while they arrive, whatever their headers promise.
 */
import type { IncomingMessage } from "node:http";
import { AppError, MalformedError } from "../core/errors.ts";

/** The body is larger than allowed. */
export class BodyTooLargeError extends AppError {
  override readonly name = "BodyTooLargeError";
  readonly code = "body_too_large";
  readonly status = 413;
  readonly retryable = false;
}

/** The body is of another kind than the route takes. */
export class MediaTypeError extends AppError {
  override readonly name = "MediaTypeError";
  readonly code: string;
  readonly status = 415;
  readonly retryable = false;

  constructor(message: string, code = "unsupported_media_type") {
    super(message);
    this.code = code;
  }
}

const NOTHING = new Uint8Array();

/** Whether a body follows the headers (RFC 9112 section 6). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

/**
 * The whole body.
 * @throws {BodyTooLargeError} at the first byte too many; the rest is not kept
 * @throws {MediaTypeError} when it is compressed
 * @throws {MalformedError} when it ends early
 */
export function readBody(incoming: IncomingMessage, bytesMax: number): Promise<Uint8Array> {
  if (incoming.headers["content-encoding"] !== undefined) {
    return Promise.reject(new MediaTypeError("send the body without Content-Encoding", "compressed_body"));
  }
  const tooLarge = () => new BodyTooLargeError(`a body has at most ${bytesMax} bytes; send less`);
  if (Number(incoming.headers["content-length"] ?? 0) > bytesMax) return Promise.reject(tooLarge());
  if (!hasBody(incoming)) return Promise.resolve(NOTHING);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (settle: () => void): void => {
      incoming.off("data", take).off("end", whole).off("close", cut).off("error", cut);
      settle();
    };
    const take = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes <= bytesMax) chunks.push(chunk);
      else end(() => reject(tooLarge()));
    };
    const whole = (): void => end(() => resolve(chunks.length === 1 ? (chunks[0] ?? NOTHING) : Buffer.concat(chunks)));
    const cut = (): void => end(() => reject(new MalformedError("the body ended early", "incomplete_body")));
    incoming.on("data", take).on("end", whole).on("close", cut).on("error", cut);
  });
}
