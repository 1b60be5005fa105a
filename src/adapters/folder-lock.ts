/**
 * Locks between processes of this machine: one service, or one command, per data folder.
 *
 * An abstract Unix socket is released by the kernel even after `kill -9`. It belongs to the network namespace: two
 * containers that share a volume do not see each other's lock. Elsewhere than on Linux there are no such sockets and
 * no lock is taken.
 */
import { createHash } from "node:crypto";
import { mkdirSync, realpathSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { platform } from "node:os";
import type { Component } from "../core/component.ts";
import { ResourceError } from "../core/errors.ts";

const SERVICE = "service";

/** A held lock. */
export interface Lock {
  release(): Promise<void>;
}

/** Takes the lock of `purpose` on an existing folder; null when another holder has it. */
export async function tryLock(folder: string, purpose: string): Promise<Lock | null> {
  if (platform() !== "linux") return { release: () => Promise.resolve() };
  const digest = createHash("sha256").update(realpathSync(folder)).digest("hex").slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  const isHeld = await listens(server, `\0ticker-service:${purpose}:${digest}`);
  if (!isHeld) return null;
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

function listens(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      if ("code" in error && error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    });
    server.listen(path, () => resolve(true));
  });
}

/** The lock of a running service, for a command that works on its folder; null while one runs. Makes the folder when it is absent. */
export function tryServiceLock(folder: string): Promise<Lock | null> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return tryLock(folder, SERVICE);
}

/** Holds the data folder while the service runs. */
export class FolderLock implements Component {
  readonly name = "folder lock";
  readonly #folder: string;
  #lock: Lock | null = null;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws {ResourceError} when another process runs on the folder. */
  async start(): Promise<void> {
    this.#lock = await tryLock(this.#folder, SERVICE);
    if (!this.#lock) throw new ResourceError(`DATA_DIR ${this.#folder} is in use by another ticker-service; stop that one or give this one its own DATA_DIR`);
  }

  async stop(): Promise<void> {
    await this.#lock?.release();
    this.#lock = null;
  }
}
