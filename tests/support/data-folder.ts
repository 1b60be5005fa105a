/**
 * Data folders for tests, with an embedded database already made: making one takes seconds. Also used outside the test runner.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Variable with the folder of a new, migrated embedded database; set for all tests of a run. */
export const TEMPLATE_VARIABLE = "EMBEDDED_TEMPLATE";

/** A new data folder. */
export function newDataFolder(prefix: string): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  fillDataFolder(folder);
  return folder;
}

/** Puts the database into a data folder that has none. */
export function fillDataFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  copyDatabase(join(folder, "postgres"));
}

/** Copies the database to a path where there is none. */
export function copyDatabase(path: string): void {
  const template = process.env[TEMPLATE_VARIABLE] ?? "";
  if (template !== "" && !existsSync(path)) cpSync(template, path, { recursive: true });
}
