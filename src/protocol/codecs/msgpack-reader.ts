/**
 * Clients' MessagePack frames as JSON text, for the one decoder of commands: strict, because foreign bytes come in here.
 *
 * Hand-written, because the libraries allocate what a five-byte head claims and make dates, sets and errors of extensions.
 * Path: per command.
 */

/** Maps and arrays within each other; a command needs three. */
export const DEPTH_MAX = 16;

/**
 * The one value of the frame as JSON text.
 * @throws {SyntaxError} when the bytes are not exactly one value of maps with string keys, arrays, strings (UTF-8), finite
 * numbers, booleans and nil, at most DEPTH_MAX deep
 */
export function jsonOfMsgpack(frame: Uint8Array): string {
  const reader = new Reader(frame);
  const json = reader.value(0);
  if (reader.left > 0) throw new SyntaxError(`${reader.left} bytes follow the first value`);
  return json;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  value(depth: number): string {
    const head = this.#unsigned(1);
    if (head < 0x80) return String(head);
    if (head < 0x90) return this.#map(head & 15, depth);
    if (head < 0xa0) return this.#array(head & 15, depth);
    if (head < 0xc0) return this.#string(head & 31);
    if (head >= 0xe0) return String(head - 256);
    switch (head) {
      case 0xc0: return "null";
      case 0xc2: return "false";
      case 0xc3: return "true";
      case 0xca: return this.#number(4, (at) => this.#view.getFloat32(at));
      case 0xcb: return this.#number(8, (at) => this.#view.getFloat64(at));
      case 0xcc: return String(this.#unsigned(1));
      case 0xcd: return String(this.#unsigned(2));
      case 0xce: return String(this.#unsigned(4));
      case 0xcf: return this.#number(8, (at) => Number(this.#view.getBigUint64(at)));
      case 0xd0: return this.#number(1, (at) => this.#view.getInt8(at));
      case 0xd1: return this.#number(2, (at) => this.#view.getInt16(at));
      case 0xd2: return this.#number(4, (at) => this.#view.getInt32(at));
      case 0xd3: return this.#number(8, (at) => Number(this.#view.getBigInt64(at)));
      case 0xd9: return this.#string(this.#unsigned(1));
      case 0xda: return this.#string(this.#unsigned(2));
      case 0xdb: return this.#string(this.#unsigned(4));
      case 0xdc: return this.#array(this.#unsigned(2), depth);
      case 0xdd: return this.#array(this.#unsigned(4), depth);
      case 0xde: return this.#map(this.#unsigned(2), depth);
      case 0xdf: return this.#map(this.#unsigned(4), depth);
      default: throw new SyntaxError(`format 0x${head.toString(16)} (bytes or an extension) has no meaning here`);
    }
  }

  /** @param depth of the map itself */
  #map(count: number, depth: number): string {
    this.#enter(depth);
    const members: string[] = [];
    for (let i = 0; i < count; i++) {
      const key = this.value(depth + 1);
      if (!key.startsWith('"')) throw new SyntaxError("the keys of a map must be strings");
      members.push(`${key}:${this.value(depth + 1)}`);
    }
    return `{${members.join(",")}}`;
  }

  #array(count: number, depth: number): string {
    this.#enter(depth);
    const entries: string[] = [];
    for (let i = 0; i < count; i++) entries.push(this.value(depth + 1));
    return `[${entries.join(",")}]`;
  }

  #enter(depth: number): void {
    if (depth >= DEPTH_MAX) throw new SyntaxError(`maps and arrays may be ${DEPTH_MAX} deep`);
  }

  #string(length: number): string {
    const from = this.#take(length);
    try {
      return JSON.stringify(utf8.decode(this.#bytes.subarray(from, from + length)));
    } catch (error) {
      throw new SyntaxError("a string is not UTF-8", { cause: error });
    }
  }

  #unsigned(size: number): number {
    const at = this.#take(size);
    let value = 0;
    for (let i = at; i < at + size; i++) value = value * 256 + (this.#bytes[i] ?? 0);
    return value;
  }

  #number(size: number, read: (at: number) => number): string {
    const value = read(this.#take(size));
    if (!Number.isFinite(value)) throw new SyntaxError("numbers must be finite");
    return String(value);
  }

  /** Where the next `size` bytes begin; they count as read. */
  #take(size: number): number {
    if (size > this.left) throw new SyntaxError("the bytes end within a value");
    const at = this.#at;
    this.#at += size;
    return at;
  }
}
