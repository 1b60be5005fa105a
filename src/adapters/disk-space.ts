/**
 * Space of the file system that a folder is on.
 */
import { statfs } from "node:fs/promises";

export interface DiskSpace {
  /** For users without privileges. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** @throws when the folder is gone. */
export async function diskSpace(folder: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}
