/**
 * Splits the bytes of a connection into lines, straight from what the socket hands over.
 *
 * Owns: the unfinished line, at most `bytesMax` bytes. Path: hot.
 */

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const PENDING_FIRST = 4096;
/** A larger buffer is given back after its line. */
const PENDING_KEPT = 65_536;
const NOTHING = Buffer.alloc(0);

export class LineReader {
  /** Longest line in bytes, without its newline. */
  bytesMax: number;
  readonly #line: (text: string) => void;
  #pending: Buffer = NOTHING;
  #pendingLength = 0;
  #isStopped = false;

  /** @param line called with each line that is not blank, without its newline */
  constructor(bytesMax: number, line: (text: string) => void) {
    this.bytesMax = bytesMax;
    this.#line = line;
  }

  /** Bytes of the line that has no newline yet. */
  get unfinished(): number {
    return this.#pendingLength;
  }

  /** No line is handed over any more. */
  stop(): void {
    this.#isStopped = true;
    this.#pending = NOTHING;
    this.#pendingLength = 0;
  }

  /** False when a line exceeds `bytesMax`; the caller then ends the connection. */
  read(chunk: Buffer): boolean {
    let at = 0;
    while (!this.#isStopped) {
      const end = chunk.indexOf(NEWLINE, at);
      if (this.#pendingLength + (end < 0 ? chunk.length : end) - at > this.bytesMax) return false;
      if (end < 0) {
        if (at < chunk.length) this.#keep(chunk, at, chunk.length);
        return true;
      }
      if (this.#pendingLength > 0) {
        this.#keep(chunk, at, end);
        const line = this.#pending;
        const length = this.#pendingLength;
        this.#pendingLength = 0;
        if (line.length > PENDING_KEPT) this.#pending = NOTHING;
        this.#hand(line, 0, length);
      } else {
        this.#hand(chunk, at, end);
      }
      at = end + 1;
    }
    return true;
  }

  #hand(bytes: Buffer, from: number, to: number): void {
    if (to === from || (to === from + 1 && bytes[from] === CARRIAGE_RETURN)) return;
    this.#line(bytes.toString("utf8", from, to));
  }

  /** Copies, because a list of small slices would hold the memory of whole reads. */
  #keep(chunk: Buffer, from: number, to: number): void {
    const length = this.#pendingLength + to - from;
    if (length > this.#pending.length) {
      const grown = Buffer.allocUnsafe(Math.max(length, this.#pending.length * 2, PENDING_FIRST));
      this.#pending.copy(grown, 0, 0, this.#pendingLength);
      this.#pending = grown;
    }
    chunk.copy(this.#pending, this.#pendingLength, from, to);
    this.#pendingLength = length;
  }
}
