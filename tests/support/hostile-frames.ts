/**
 * Seeded generator of frames that no good client sends, each with what protocol sections 2.6 and 2.7 say must follow.
 */
import type { Random } from "../../src/feeds/sim/random.ts";
import { frame, OPCODE } from "./raw-stream.ts";

/** What must follow one frame of an authenticated session. */
export type Effect =
  /** One control message: 0 a positive answer, otherwise the code of an error, or of the refusal of every symbol. */
  | { readonly kind: "answer"; readonly code: number; readonly id?: unknown }
  /** An error and the close of this code. */
  | { readonly kind: "close"; readonly error: number; readonly code: number }
  /** The engine drops the connection without a close frame. */
  | { readonly kind: "drop" }
  /** A close frame of the client is answered: with the same code where it is a good one, else without a code. */
  | { readonly kind: "closed by client"; readonly code: number }
  | { readonly kind: "pong"; readonly payload: Buffer }
  | { readonly kind: "nothing" };

export interface HostileFrame {
  readonly name: string;
  readonly bytes: Buffer;
  readonly effect: Effect;
}

type Maker = (random: Random) => HostileFrame;

const WRONG: readonly string[] = [
  "null", "true", "false", "-1", "0.5", "1e308", "-0", "9007199254740993", '""', '"x"', '"__proto__"', '"constructor"', '"\\u0000"', '"\\ud800"', "[]", "{}", "[null]",
  '{"__proto__":1}', "[[[[]]]]", `"${"x".repeat(1000)}"`,
];
/** Symbols that no venue has; `*` and `sim:*` are left out because they mean something. */
const NONSENSE: readonly string[] = [
  "", ":", "sim:", ":BTC-USD", "sim:*:*", "nope:*", "sim", "__proto__", "constructor", "sim:__proto__", "sim:BTC-USDD", "SIM:BTC-USD", "sim:btc-usd", " sim:BTC-USD", "sim:BTC-USD\0",
  "../../etc/passwd", "😀", "\uD800", "sim:\uDFFF", "x".repeat(300), "%00", "'; drop table t; --", "\r\n\r\n", "toString", "sim:BTC\u0301-USD",
];
const BROKEN: readonly string[] = [
  "", " ", "{", "}", "[", "nonsense", "{'type':'ping'}", '{"type":"ping",}', '{"type":"ping"', '{"type":ping}', "NaN", "{]", '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1e}', '"\u0001"', "\uFEFF{}",
  '{"type":"ping"}{"type":"ping"}', '{"type":"ping"}\0', "[".repeat(20_000), '{"a":'.repeat(5_000), `${"[".repeat(20_000)}${"]".repeat(20_000)}`, "/* */{}", '{"type":"ping"} x', "\\u0022", "PING", "auth tk_x",
];
const NOT_A_COMMAND: readonly string[] = [
  "1", "-1e308", '"text"', "null", "true", "[]", '[{"type":"ping"}]', "{}", '{"type":null}', '{"type":"Ping"}', '{"type":"__proto__"}', '{"type":"toString"}', '{"type":["ping"]}', '{"type":{"type":"ping"}}',
  '{"__proto__":{"type":"ping"}}', '{"type":"subscribe","__proto__":{"channel":"quotes","symbols":["*"]}}', '{"type":"welcome"}', '{"type":"order"}', '{"Type":"ping"}',
];

function pick<T>(random: Random, values: readonly T[]): T {
  const value = values[random.below(values.length)];
  if (value === undefined) throw new Error("expected a value to pick");
  return value;
}

function answer(name: string, text: string, code: number): HostileFrame {
  return { name, bytes: frame(text), effect: { kind: "answer", code } };
}

function engine(name: string, bytes: Buffer): HostileFrame {
  return { name, bytes, effect: { kind: "drop" } };
}

/** `subscribe` with one field replaced by a value of the wrong type, and the code that goes with the field. */
const wrongField: Maker = (random) => {
  const value = pick(random, WRONG);
  const isText = value.startsWith('"');
  const [channel, symbols] = ['"channel":"ticker"', '"symbols":["sim:BTC-USD"]'];
  const cases: readonly (readonly [string, number])[] = [
    [`{"type":"subscribe","channel":${value},${symbols}}`, isText ? 410 : 400],
    [`{"type":"unsubscribe","channel":${value},${symbols}}`, isText ? 410 : 400],
    [`{"type":"subscribe",${channel},"symbols":${value}}`, 400],
    [`{"type":"subscribe",${channel},"symbols":["sim:BTC-USD",${isText ? "7" : value}]}`, 400],
    [`{"type":"subscribe","channel":"bars",${symbols},"interval":${value}}`, 414],
    [`{"type":"subscribe",${channel},${symbols},"interval":${value}}`, 414],
    [`{"type":"subscribe","channel":"book",${symbols},"depth":${value}}`, 414],
    [`{"type":"subscribe","channel":"trades",${symbols},"recent":${value === "null" || value === "-0" ? "257" : value}}`, 414],
    [`{"type":"subscribe",${channel},${symbols},"atomic":${["null", "true", "false"].includes(value) ? "1" : value}}`, 414],
    [`{"type":"subscribe",${channel},${symbols},"every_ms":${value}}`, 414],
    [`{"type":"subscribe",${channel},${symbols},"resume":${value === "[]" ? "[[]]" : value}}`, 414],
    [`{"type":"unsubscribe","all":${value === "true" || value === "false" ? "1" : value}}`, 414],
    [`{"type":"auth","api_key":${isText ? "7" : value}}`, 400],
    [`{"type":"auth","api_key":"tk_x","encoding":${value}}`, 414],
    [`{"type":${value}}`, 400],
    [`{"id":${value.startsWith("[") || value.startsWith("{") ? value : "true"},"type":"ping"}`, 400],
  ];
  const [text, code] = pick(random, cases);
  return answer("a field of the wrong type", text, code);
};

const nonsenseSymbols: Maker = (random) => {
  const symbols = Array.from({ length: pick(random, [1, 3, 100, 499, 500]) }, () => pick(random, NONSENSE));
  const text = JSON.stringify({ type: pick(random, ["subscribe", "unsubscribe"]), channel: pick(random, ["trades", "quotes", "book", "bars", "ticker", "status"]), symbols });
  if (symbols.length > 100 && Buffer.byteLength(text) > 65_536) return nonsenseSymbols(random);
  // Asking to end what is a wildcard by its form is 417, whatever the venue.
  const first = text.includes('"unsubscribe"') && symbols[0]?.endsWith(":*") === true ? 417 : 411;
  return answer("symbols of no venue", text, first);
};

const strangeIds: Maker = (random) => {
  const id = pick(random, ['"__proto__"', "-0", "5e-324", "1.5", '"😀"', '"\\u0000\\"\\\\"', '"\\ud800"', "9007199254740991", `"${"i".repeat(128)}"`]);
  return { name: "a strange id", bytes: frame(`{"type":"ping","id":${id},"padding":${"[".repeat(5000)}${"]".repeat(5000)}}`), effect: { kind: "answer", code: 0, id: JSON.parse(id) } };
};

const badIds: Maker = (random) => answer("an id that cannot be echoed", `{"type":"ping","id":${pick(random, ["1e400", "-1e999", "9007199254740993", "123456789012345678901234567890", `"${"i".repeat(129)}"`])}}`, 400);

const outOfOrder: Maker = (random) => {
  const cases: readonly (readonly [string, number])[] = [
    ['{"type":"unsubscribe","channel":"bars","interval":"1d","symbols":["sim:BTC-USD"]}', 417],
    ['{"type":"unsubscribe","channel":"status","symbols":["*"]}', 417],
    ['{"type":"unsubscribe","all":true}', 0],
    ['{"type":"list","type":"ping"}', 0],
    ['{"type":"list","symbols":7}', 0],
    ['{"type":"auth","api_key":"tk_second"}', 403],
    ['{"type":"auth","api_key":"tt_second"}', 403],
    ['{"type":"subscribe","channel":"orders"}', 409],
    ['{"type":"subscribe","channel":"orders","symbols":["sim:ETH-USD"]}', 414],
    ['{"type":"subscribe","channel":"orders","resume":[{"seq":1}]}', 414],
    ['{"type":"unsubscribe","channel":"orders"}', 409],
    [`{"type":"subscribe","channel":"quotes","symbols":[${'"sim:ETH-USD",'.repeat(500)}"sim:ETH-USD"]}`, 414],
    ['{"type":"subscribe","channel":"quotes","symbols":["sim:ETH-USD","sim:ETH-USD","sim:ETHUSD"]}', 0],
    ['{"type":"subscribe","channel":"quotes","symbols":["*","*","sim:*","sim:ETH-USD","*"]}', 0],
    ['{"type":"subscribe","channel":"book","depth":1,"symbols":["sim:*"]}', 0],
    ['{"type":"subscribe","channel":"trades","recent":2,"symbols":["sim:*"]}', 0],
    ['{"type":"subscribe","channel":"quotes","atomic":true,"symbols":["sim:ETH-USD","sim:NOPE"]}', 411],
  ];
  const [text, code] = pick(random, cases);
  return answer("out of order", text, code);
};

const fragments: Maker = (random) => {
  const parts = ['{"type":"pi', 'ng","id"', ':"parts"}'];
  const between = (): Buffer => (random.below(2) === 0 ? Buffer.alloc(0) : frame("between", { opcode: OPCODE.pong }));
  const bytes = Buffer.concat([
    frame(parts[0] ?? "", { isFinal: false }), between(), frame(parts[1] ?? "", { opcode: OPCODE.continuation, isFinal: false }), between(),
    ...Array.from({ length: random.below(50) }, () => frame("", { opcode: OPCODE.continuation, isFinal: false })),
    frame(parts[2] ?? "", { opcode: OPCODE.continuation }),
  ]);
  return { name: "a fragmented command", bytes, effect: { kind: "answer", code: 0, id: "parts" } };
};

const violation: Maker = (random) => pick(random, [
  () => engine("a reserved bit", frame("{}", { reserved: 1 + random.below(7) })),
  () => engine("a reserved opcode", frame("{}", { opcode: pick(random, [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) })),
  () => engine("a ping of 126 bytes", frame("x".repeat(126), { opcode: OPCODE.ping })),
  () => engine("a fragmented ping", frame("x", { opcode: OPCODE.ping, isFinal: false })),
  () => engine("a close frame of 126 bytes", frame(Buffer.alloc(126, 0x0f), { opcode: OPCODE.close })),
  () => engine("a continuation of nothing", frame("x", { opcode: OPCODE.continuation })),
  () => engine("a command inside a fragmented one", Buffer.concat([frame('{"type":"pi', { isFinal: false }), frame('{"type":"ping"}')])),
  () => engine("bad UTF-8", frame(pick(random, [Buffer.from([0xff]), Buffer.from([0xc0, 0x80]), Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), Buffer.from([0xf4, 0x90, 0x80, 0x80]), Buffer.from([0x22, 0xe2, 0x82])]))),
  () => engine("a length beyond all memory", frame("x", { toldLength: pick(random, [1n << 63n, 1n << 32n, (1n << 64n) - 1n, 131_073n]) })),
  () => engine("131,073 bytes", frame("x".repeat(131_073))),
  () => engine("131,073 bytes in fragments", Buffer.concat([frame("x".repeat(65_536), { isFinal: false }), frame("x".repeat(65_537), { opcode: OPCODE.continuation })])),
])();

/** A command of exactly so many bytes. */
export function padded(command: Readonly<Record<string, unknown>>, bytes: number): string {
  const text = JSON.stringify({ ...command, pad: "" });
  return `${text.slice(0, -2)}${"x".repeat(bytes - text.length)}"}`;
}

const sizes: Maker = (random) => {
  const bytes = pick(random, [65_535, 65_536, 65_537, 131_071, 131_072]);
  const text = padded({ type: "ping", id: "size" }, bytes);
  return { name: `${bytes} bytes`, bytes: frame(text), effect: bytes <= 65_536 ? { kind: "answer", code: 0, id: "size" } : { kind: "close", error: 413, code: 1009 } };
};

const closing: Maker = (random) => {
  const payload = Buffer.alloc(2 + random.below(124), "r");
  const code = pick(random, [0, 999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1015, 1016, 2999, 4000, 4999, 5000, 65_535]);
  payload.writeUInt16BE(code);
  const isGood = (code >= 1000 && code <= 1011 && ![1004, 1005, 1006].includes(code)) || (code >= 4000 && code <= 4999);
  return { name: `a close frame of ${code}`, bytes: frame(payload, { opcode: OPCODE.close }), effect: { kind: "closed by client", code: isGood ? code : 1005 } };
};

const controls: Maker = (random) => {
  const payload = Buffer.alloc(pick(random, [0, 1, 124, 125]), random.below(256));
  if (random.below(2) === 0) return { name: "a pong nobody asked for", bytes: frame(payload, { opcode: OPCODE.pong }), effect: { kind: "nothing" } };
  return { name: "a ping", bytes: frame(payload, { opcode: OPCODE.ping }), effect: { kind: "pong", payload } };
};

const binary: Maker = (random) => ({
  name: "a binary frame", bytes: frame(pick(random, [Buffer.alloc(0), Buffer.from('{"type":"ping"}'), Buffer.from([0x81, 0xa4]), Buffer.alloc(60_000, 0xff)]), { opcode: OPCODE.binary }),
  effect: { kind: "answer", code: 400 },
});

/** Makers whose frames leave the session open, unless they were the fifth malformed one. */
const LASTING: readonly Maker[] = [wrongField, wrongField, nonsenseSymbols, strangeIds, outOfOrder, outOfOrder, fragments, controls];
const MALFORMED: readonly Maker[] = [
  (random) => answer("broken JSON", pick(random, BROKEN), 400), (random) => answer("JSON that is no command", pick(random, NOT_A_COMMAND), 400), badIds, binary,
];
const ENDING: readonly Maker[] = [violation, violation, sizes, closing];

/** Up to 30 frames of one session; not all of them need be reached. */
export function hostileSession(random: Random): HostileFrame[] {
  const frames: HostileFrame[] = [];
  const length = 1 + random.below(24);
  for (let i = 0; i < length; i++) frames.push(pick(random, random.below(8) === 0 ? MALFORMED : LASTING)(random));
  if (random.below(3) === 0) frames.push(...Array.from({ length: 5 }, () => pick(random, MALFORMED)(random)));
  if (random.below(2) === 0) frames.splice(random.below(frames.length), 0, pick(random, ENDING)(random));
  return frames;
}

/** First frames that are no `auth`, or a wrong one, with the close code that follows. */
export function hostileOpening(random: Random): { readonly name: string; readonly bytes: Buffer; readonly code: number } {
  const make = (name: string, bytes: Buffer, code: number) => ({ name, bytes, code });
  return pick(random, [
    () => make("a command before auth", frame(pick(random, ["ping", '{"type":"ping"}', '{"type":"list"}', '{"type":"subscribe","channel":"quotes","symbols":["*"]}', '{"type":"unsubscribe","all":true}'])), 4401),
    () => make("broken JSON before auth", frame(pick(random, BROKEN.filter((text) => text.length < 4096))), 4401),
    () => make("no command before auth", frame(pick(random, NOT_A_COMMAND)), 4401),
    () => make("binary before auth", frame('{"type":"auth"}', { opcode: OPCODE.binary }), 4401),
    () => make("4,097 bytes before auth", frame(padded({ type: "auth", api_key: `tk_${"x".repeat(40)}` }, pick(random, [4097, 65_537, 131_072]))), 4401),
    () => make("a wrong key", frame(JSON.stringify({ type: "auth", api_key: pick(random, ["", "tk_", `tk_${"x".repeat(40)}`, "tt_x", "__proto__", "\0", "x".repeat(4000)]) })), 4402),
    () => make("a used ticket and more", Buffer.concat([frame('{"type":"auth","api_key":"tt_gone"}'), frame('{"type":"ping"}')]), 4401),
    () => make("faulty auths without end", Buffer.concat(Array.from({ length: 5 }, () => frame('{"type":"auth","api_key":7}'))), 4400),
  ])();
}

/** Requests on the port of the stream that are no good upgrade. */
export const HTTP_GARBAGE: readonly (readonly [string, string | Buffer])[] = [
  ["a TLS hello", Buffer.from(`1603010200010001fc0303${"ab".repeat(500)}`, "hex")],
  ["bytes of no meaning", Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * 7919) & 255))],
  ["a plain GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a POST with a body", "POST /v1/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"],
  ["smuggling", "POST /v1/stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzzz\r\n"],
  ["a header of 70,000 bytes", `GET /v1/stream HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(70_000)}\r\n\r\n`],
  ["two hundred headers", `GET /v1/stream HTTP/1.1\r\nHost: a\r\n${Array.from({ length: 200 }, (_, i) => `X${i}: a\r\n`).join("")}\r\n`],
  ["a URL of 10,000 bytes", `GET /${"s".repeat(10_000)} HTTP/1.1\r\nHost: a\r\n\r\n`],
  ["HTTP/1.0", "GET /v1/stream HTTP/1.0\r\n\r\n"],
  ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["an upgrade without Host", "GET /v1/stream HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"],
  ["an upgrade with a zero byte in the path", "GET /v1/str\0eam HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"],
  ["an upgrade of version 8", "GET /v1/stream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n"],
];
