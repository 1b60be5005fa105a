/**
 * The architecture rule as a test: imports, vendors, sizes, headers, banned calls and syntax, in milliseconds.
 */
import { globSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { importCycles, importFaults } from "./import-rules.ts";
import { readSource, type SourceText } from "./source-text.ts";
import { textFaults } from "./text-rules.ts";

const root = new URL("../../", import.meta.url);
const sources = globSync(["src/**/*.ts", "tests/**/*.ts", "vitest.config.ts"], { cwd: root })
  .toSorted().map((path) => readSource(path, readFileSync(new URL(path, root), "utf8")));

describe("the repository", () => {
  it("imports only what the architecture allows", () => {
    expect(sources.flatMap(importFaults)).toEqual([]);
  });

  it("has no import cycle", () => {
    expect(importCycles(sources)).toEqual([]);
  });

  it("keeps headers, sizes and the list of banned calls", () => {
    expect(sources.flatMap(textFaults)).toEqual([]);
  });

  it("was read at all", () => {
    expect(sources.length).toBeGreaterThan(30);
  });
});

const header = "/** For a test. */\n";
const faultsOf = (path: string, text: string) => {
  const source = readSource(path, header + text);
  return [...importFaults(source), ...textFaults(source)];
};

describe("a fault is found", () => {
  const bad: readonly (readonly [what: string, path: string, text: string, expected: RegExp])[] = [
    ["a feature that imports another", "src/feeds/a.ts", 'import { x } from "../ingest/b.ts";', /feeds may import/],
    ["the same as a type", "src/fanout/a.ts", 'import type { X } from "../services/b.ts";', /fanout may import/],
    ["core that imports market", "src/core/a.ts", 'import { x } from "../market/b.ts";', /core may import nothing/],
    ["an adapter that imports a feature", "src/adapters/a.ts", 'import { x } from "../feeds/b.ts";', /adapters may import/],
    ["http that reaches into ingest", "src/http/a.ts", 'const x = await import("../ingest/b.ts");', /http may import/],
    ["config seen by a feature", "src/services/a.ts", 'import { loadConfig } from "../config.ts";', /services may import/],
    ["a new folder", "src/misc/a.ts", 'import { x } from "../core/b.ts";', /does not know/],
    ["a vendor in the wrong place", "src/ingest/a.ts", 'import { WebSocket } from "ws";', /only .*feeds/],
    ["uWebSockets.js twice", "src/fanout/fanout.ts", 'import { App } from "uWebSockets.js";', /only .*socket-server/],
    ["a vendor nobody listed", "src/core/a.ts", 'import x from "lodash";', /no importer/],
    ["a builtin without node:", "src/core/a.ts", 'import fs from "fs";', /node:/],
    ["an import without ending", "src/core/a.ts", 'import { x } from "./b";', /without its ending/],
    ["a barrel", "src/core/a.ts", 'export * from "./b.ts";', /re-exports/],
    ["a default export", "src/core/a.ts", "export default 1;", /default export/],
    ["Date.now", "src/ingest/a.ts", "const t = Date.now();", /Clock/],
    ["new Date", "src/ingest/a.ts", "const t = new Date();", /Clock/],
    ["a timer", "src/ingest/a.ts", "setTimeout(f, 1);", /Clock/],
    ["the environment", "src/http/a.ts", 'const p = process.env["X"];', /process\.env/],
    ["an exit", "src/http/a.ts", "process.exit(1);", /main\.ts/],
    ["the console", "src/http/a.ts", "console.log(1);", /Logger/],
    ["any", "src/core/a.ts", "const x: any = 1;", /unknown/],
    ["an array of any", "src/core/a.ts", "const x: any[] = [];", /unknown/],
    ["a non-null mark", "src/core/a.ts", "const y = x!.z;", /narrow/],
    ["a cast", "src/core/a.ts", "const y = x as Price;", /narrow/],
    ["a cast to a literal", "src/core/a.ts", 'const y = x as "a";', /narrow/],
    ["a cast inside a template", "src/core/a.ts", "const y = `${x as string}`;", /narrow/],
    ["an enum", "src/core/a.ts", "enum A { B }", /strip/],
    ["a parameter property", "src/core/a.ts", "class A { constructor(private x: number) { f(x); } }", /strip/],
    ["an empty catch", "src/core/a.ts", "try { f(); } catch { /* never mind */ }", /swallows/],
    ["an empty rejection handler", "src/core/a.ts", "f().catch(() => {});", /swallows/],
    ["a TODO", "src/core/a.ts", "// TODO later", /issue number/],
    ["a focused test", "tests/a.test.ts", 'it.only("x", () => { f(); });', /focused/],
    ["a sleep in a test", "tests/a.test.ts", "await new Promise((resolve) => setTimeout(resolve, 100));", /sleeps/],
    ["a long function", "src/core/a.ts", `function f(): void {\n${"g();\n".repeat(60)}}`, /62 lines/],
    ["a long method", "src/core/a.ts", `class A {\n  f(a: number): Promise<void> {\n${"g();\n".repeat(60)}}\n}`, /62 lines/],
    ["a long arrow", "src/core/a.ts", `const f = async () => {\n${"g();\n".repeat(60)}};`, /62 lines/],
    ["a long file", "src/core/a.ts", "f();\n".repeat(400), /401 lines/],
  ];
  it.each(bad)("%s", (_, path, text, expected) => {
    expect(faultsOf(path, text).join("\n")).toMatch(expected);
  });

  it("a missing header", () => {
    expect(textFaults(readSource("src/core/a.ts", "const a = 1;\n")).join()).toMatch(/header/);
  });

  it("a cycle, as the way around it", () => {
    const of = (path: string, text: string): SourceText => readSource(path, text);
    const cycles = importCycles([of("src/a.ts", 'import { b } from "./b.ts";'), of("src/b.ts", 'import type { C } from "./c.ts";'), of("src/c.ts", 'import { a } from "./a.ts";')]);
    expect(cycles).toEqual(["src/a.ts -> src/b.ts -> src/c.ts -> src/a.ts"]);
  });
});

describe("no fault is found in", () => {
  const good: readonly (readonly [what: string, path: string, text: string])[] = [
    ["words in strings and comments", "src/core/a.ts", '// Date.now(), any, x as y\nconst s = "process.exit(1) as any"; const t = `setTimeout ${s} as any`;'],
    ["words in a regular expression", "src/core/a.ts", "const r = /console\\.log as any/; const d = 4 / 2 / 1;"],
    ["as const and renames", "src/core/a.ts", 'import { a as b } from "./b.ts";\nimport * as c from "./c.ts";\nconst d = [b, c] as const;'],
    ["a comparison", "src/core/a.ts", "if (a !== b && !c) f(!d);"],
    ["a function of 60 lines", "src/core/a.ts", `function f(): void {\n${"g();\n".repeat(58)}}`],
    ["a long class, object or describe", "tests/a.test.ts", `describe("x", () => {\n${"g();\n".repeat(80)}});\nclass A {\n${"b = 1;\n".repeat(80)}}`],
    ["a file of 400 lines", "src/core/a.ts", "f();\n".repeat(399)],
    ["a numbered TODO", "src/core/a.ts", "// TODO(#12) later"],
    ["allowed imports", "src/fanout/socket-server.ts", 'import { App } from "uWebSockets.js";\nimport type { X } from "../ports/x.ts";\nimport { y } from "node:fs";'],
    ["a member called any", "src/core/a.ts", "const s = AbortSignal.any([a]);"],
  ];
  it.each(good)("%s", (_, path, text) => {
    expect(faultsOf(path, text)).toEqual([]);
  });
});
