/**
 * A connection to a real WebSocket server that misbehaves; only the clock is stood in for.
 */
import type { Duplex } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { WebSocketServer, type WebSocket } from "ws";
import { FeedConnection, type ConnectionOwner, type DisconnectReason } from "../../../src/feeds/feed-connection.ts";
import { CONNECTION_LIMITS, type ConnectionLimits } from "../../../src/feeds/reconnect-plan.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { KeepingLog, seeded, until } from "../../support/feed-harness.ts";

class Owner implements ConnectionOwner {
  readonly heard: string[] = [];
  readonly ends: { reason: DisconnectReason; detail: string }[] = [];
  opens = 0;
  address: string;

  constructor(address: string) {
    this.address = address;
  }

  url(): string {
    return this.address;
  }

  opened(): void {
    this.opens++;
  }

  /** Everything but "chatter" is data. */
  message(text: string): boolean {
    this.heard.push(text);
    return text !== "chatter";
  }

  closed(reason: DisconnectReason, detail: string): void {
    this.ends.push({ reason, detail });
  }
}

interface Setup {
  readonly clock: FakeClock;
  readonly owner: Owner;
  readonly connection: FeedConnection;
  readonly sockets: WebSocket[];
  readonly raw: Duplex[];
  readonly server: WebSocketServer;
}

async function setup(onConnection: (socket: WebSocket) => void = () => {}, limits: Partial<ConnectionLimits> = {}): Promise<Setup> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  const sockets: WebSocket[] = [];
  const raw: Duplex[] = [];
  server.on("connection", (socket, request) => {
    sockets.push(socket);
    raw.push(request.socket);
    socket.on("error", () => socket.terminate());
    onConnection(socket);
  });
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const owner = new Owner(`ws://127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`);
  const clock = new FakeClock();
  const connection = new FeedConnection({ name: "test", owner, clock, log: new KeepingLog(), random: seeded(7), limits: { ...CONNECTION_LIMITS, ...limits } });
  onTestFinished(async () => {
    await connection.stop();
    for (const socket of sockets) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  });
  return { clock, owner, connection, sockets, raw, server };
}

describe("FeedConnection", () => {
  it("does not hammer a venue that accepts and closes at once", async () => {
    const { clock, connection, owner } = await setup((socket) => socket.close(1000));
    connection.start();
    const perMinute: number[] = [];
    for (let minute = 0; minute < 10; minute++) {
      const before = connection.counters.attempts;
      for (let step = 0; step < 600; step++) {
        if (connection.counters.attempts > owner.ends.length) await until("the end of the attempt", () => connection.counters.attempts === owner.ends.length);
        clock.advance(100);
      }
      perMinute.push(connection.counters.attempts - before);
    }
    expect(Math.max(...perMinute)).toBeLessThanOrEqual(12);
    expect(Math.min(...perMinute)).toBeGreaterThanOrEqual(1);
    expect(connection.counters.disconnects.closed).toBe(owner.ends.length);
    expect(connection.counters.connects).toBe(owner.ends.length);
  });

  it("backs off from a venue that is not there", async () => {
    const { clock, connection, owner, server } = await setup();
    await new Promise((resolve) => server.close(resolve));
    connection.start();
    for (let step = 0; step < 600; step++) {
      if (connection.counters.attempts > owner.ends.length) await until("the end of the attempt", () => connection.counters.attempts === owner.ends.length);
      clock.advance(100);
    }
    expect(connection.counters.attempts).toBeLessThanOrEqual(12);
    expect(connection.counters.connects).toBe(0);
    expect(owner.ends[0]).toMatchObject({ reason: "connect" });
    expect(owner.ends[0]?.detail).toContain("ECONNREFUSED");
  });

  it("gives up a connection without data although pings, pongs and chatter go on", async () => {
    const { clock, connection, owner, sockets } = await setup();
    connection.start();
    await until("the connection", () => owner.opens === 1 && sockets.length === 1);
    sockets[0]?.send("data");
    await until("data", () => owner.heard.length === 1);
    for (let second = 0; second < 9; second++) {
      clock.advance(1_000);
      const pong = new Promise((resolve) => sockets[0]?.once("pong", resolve));
      sockets[0]?.ping();
      await pong;
      sockets[0]?.send("chatter");
      await until("chatter", () => owner.heard.length === second + 2);
    }
    expect(connection.isOpen).toBe(true);
    clock.advance(1_000);
    await until("the end", () => owner.ends.length === 1);
    expect(owner.ends[0]?.reason).toBe("silence");
    expect(connection.counters.disconnects.silence).toBe(1);
    clock.advance(1_000);
    await until("another connection", () => owner.opens === 2);
  });

  it("keeps a connection that brings data just in time", async () => {
    const { clock, connection, owner, sockets } = await setup();
    connection.start();
    await until("the connection", () => sockets.length === 1 && owner.opens === 1);
    for (let i = 1; i <= 3; i++) {
      clock.advance(9_900);
      sockets[0]?.send("data");
      await until("data", () => owner.heard.length === i);
    }
    expect(connection.isOpen).toBe(true);
    expect(owner.ends).toEqual([]);
  });

  it("notices a half-open socket, whose other end is gone without a word", async () => {
    const { clock, connection, owner, raw } = await setup();
    connection.start();
    await until("the connection", () => owner.opens === 1 && raw.length === 1);
    raw[0]?.pause();
    clock.advance(10_000);
    await until("the end", () => owner.ends.length === 1);
    expect(owner.ends[0]?.reason).toBe("silence");
  });

  it("starts the back-off anew only after a stable minute with data", async () => {
    const { clock, connection, owner, sockets } = await setup();
    connection.start();
    const lose = async (livesMs: number, hasData: boolean): Promise<void> => {
      const opens = owner.opens;
      clock.advance(30_000);
      await until("a connection", () => owner.opens === opens + 1 || connection.isOpen);
      await until("its other end", () => sockets.length === owner.opens);
      for (let ms = 0; ms < livesMs; ms += 5_000) {
        if (hasData) {
          const heard = owner.heard.length;
          sockets.at(-1)?.send("data");
          await until("data", () => owner.heard.length === heard + 1);
        }
        clock.advance(5_000);
      }
      const ends = owner.ends.length;
      sockets.at(-1)?.terminate();
      await until("the end", () => owner.ends.length === ends + 1);
    };
    await until("the first connection", () => connection.isOpen);
    sockets.at(-1)?.terminate();
    await until("its end", () => owner.ends.length === 1);
    expect(connection.attempt).toBe(1);
    await lose(0, false);
    expect(connection.attempt).toBe(2);
    await lose(20_000, true);
    expect(connection.attempt).toBe(3);
    await lose(60_000, true);
    expect(connection.attempt).toBe(1);
  });

  it.each([
    ["a frame with a reserved opcode", Buffer.from([0x83, 0x00])],
    ["text that is no UTF-8", Buffer.from([0x81, 0x02, 0xc3, 0x28])],
    ["a masked frame", Buffer.from([0x81, 0x81, 1, 2, 3, 4, 5])],
  ])("reconnects after %s", async (_, bytes) => {
    const { clock, connection, owner, raw } = await setup();
    connection.start();
    await until("the connection", () => owner.opens === 1 && raw.length === 1);
    raw[0]?.write(bytes);
    await until("the end", () => owner.ends.length === 1);
    expect(owner.ends[0]?.reason).toBe("protocol");
    clock.advance(1_000);
    await until("another connection", () => owner.opens === 2);
  });

  it("takes a message of the largest size and refuses one byte more", async () => {
    const { connection, owner, sockets } = await setup(() => {}, { messageBytesMax: 1_000 });
    connection.start();
    await until("the connection", () => owner.opens === 1 && sockets.length === 1);
    sockets[0]?.send("x".repeat(1_000));
    await until("the message", () => owner.heard.length === 1);
    expect(connection.counters).toMatchObject({ messages: 1, bytes: 1_000 });
    sockets[0]?.send("x".repeat(1_001));
    await until("the end", () => owner.ends.length === 1);
    expect(owner.ends[0]?.reason).toBe("protocol");
  });

  it("replaces a connection at its age", async () => {
    const { clock, connection, owner, sockets } = await setup(() => {}, { ageMaxMs: 20_000 });
    connection.start();
    await until("the connection", () => owner.opens === 1 && sockets.length === 1);
    for (let i = 1; i <= 4; i++) {
      sockets[0]?.send("data");
      await until("data", () => owner.heard.length === i);
      clock.advance(4_900);
    }
    expect(owner.ends).toEqual([]);
    clock.advance(1_000);
    await until("the end", () => owner.ends.length === 1);
    expect(owner.ends[0]?.reason).toBe("planned");
  });

  it("stops for good, open or waiting, and leaves no timer", async () => {
    const { clock, connection, owner } = await setup();
    connection.start();
    await until("the connection", () => connection.isOpen);
    await connection.stop();
    expect(owner.ends).toEqual([{ reason: "stopped", detail: "stopped by us" }]);
    clock.advance(120_000);
    expect(connection.counters.attempts).toBe(1);
    expect(connection.send("x")).toBe(false);
  });

  it("stops while it waits for the next attempt", async () => {
    const { clock, connection, owner } = await setup((socket) => socket.close(1000));
    connection.start();
    await until("the end of the first attempt", () => owner.ends.length === 1);
    await connection.stop();
    clock.advance(120_000);
    expect(connection.counters.attempts).toBe(1);
  });

  it("treats an address that makes no sense as a venue that is away", async () => {
    const { clock, connection, owner } = await setup();
    owner.address = "http//nonsense";
    connection.start();
    expect(owner.ends[0]?.reason).toBe("connect");
    clock.advance(5_000);
    expect(connection.counters.attempts).toBeGreaterThan(1);
  });
});
