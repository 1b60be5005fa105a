/**
 * Rules about imports: who may import whom, which vendor has which importer, no cycles.
 */
import { dirname, join, normalize } from "node:path/posix";
import { lineAt, type SourceText } from "./source-text.ts";

export interface Import {
  readonly specifier: string;
  readonly line: number;
  readonly isReExport: boolean;
}

const IMPORT = /\b(import|export)\b(?:[^;"'`()]*?\bfrom\s*|\s*\(?\s*)(?=["'])/g;

/** Static and dynamic imports and re-exports, with the text of their specifier. */
export function importsOf({ code, text }: SourceText): Import[] {
  return [...code.matchAll(IMPORT)].flatMap((match) => {
    const open = match.index + match[0].length;
    const close = code.indexOf(code[open] ?? "", open + 1);
    if (match[1] === "export" && !match[0].includes("from")) return [];
    return [{ specifier: text.slice(open + 1, close), line: lineAt(text, match.index), isReExport: match[1] === "export" }];
  });
}

const LEFT_OF_FEATURES = ["core", "market", "protocol", "ports", "state"];

/** What each folder of src may import, besides itself. */
const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  market: ["core"],
  protocol: ["core", "market"],
  ports: ["core", "market", "protocol"],
  state: ["core", "market", "protocol", "ports"],
  feeds: LEFT_OF_FEATURES,
  ingest: LEFT_OF_FEATURES,
  fanout: LEFT_OF_FEATURES,
  services: LEFT_OF_FEATURES,
  trading: LEFT_OF_FEATURES,
  http: [...LEFT_OF_FEATURES, "services"],
  adapters: ["core", "market", "protocol", "ports"],
  compose: [...LEFT_OF_FEATURES, "feeds", "ingest", "fanout", "services", "trading", "http", "adapters", "config", "app"],
  cli: ["config", "core", "market", "protocol", "ports", "adapters", "services", "feeds"],
  main: ["compose", "app", "config", "core", "stop-signals"],
  app: ["core", "ports", "services"],
  config: ["core", "ports"],
  "stop-signals": [],
};

/** Single imports beyond the table, each with its reason. */
const EXCEPTIONS: readonly (readonly [from: RegExp, to: RegExp, reason: string])[] = [
  [/^src\/config(-\w+)?\.ts$/, /^src\/(compose\/stream-options|fanout\/options)\.ts$/, "types of what the configuration fills in"],
];

const VENDORS: readonly (readonly [vendor: RegExp, importer: RegExp])[] = [
  [/^ws$/, /^src\/feeds\//],
  [/^(hono|@hono\/)/, /^src\/http\//],
  [/^(pino|pino-roll|prom-client)$/, /^src\/adapters\/telemetry[\w-]*\.ts$/],
  [/^csv-stringify(\/|$)/, /^src\/http\//],
  [/^opossum$/, /^src\/adapters\/breaker\.ts$/],
  [/^(ccxt$|@alpacahq\/)/, /^src\/adapters\/brokers\//],
  [/^zod$/, /^src\/(config(-\w+)?\.ts|state\/settings\.ts|http\/)/],
  [/^ioredis$/, /^src\/adapters\/redis\.ts$/],
  [/^rate-limiter-flexible$/, /^src\/adapters\/rate-limiter\.ts$/],
  [/^jsonc-parser$/, /^src\/http\/strict-json\.ts$/],
  [/^(kysely|kysely\/migration|pg|@electric-sql\/pglite)$/, /^src\/adapters\/postgres\//],
  [/^canonicalize$/, /^src\/adapters\/postgres\/audit-chain\.ts$/],
  [/^uWebSockets\.js$/, /^src\/fanout\/socket-server\.ts$/],
];

/** `core` of `src/core/time.ts`, `config` of `src/config-schema.ts`. */
function areaOf(path: string): string {
  const [, first = "", second] = path.split("/");
  if (second !== undefined) return first;
  const name = first.replace(/\.ts$/, "");
  return name.startsWith("config-") ? "config" : name;
}

/** Path of the imported file; null for a package or a builtin. */
export function targetOf(path: string, specifier: string): string | null {
  return specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : null;
}

/** Faults of one file's imports, each with its line. */
export function importFaults(source: SourceText): string[] {
  return importsOf(source).flatMap((found) => {
    const at = `${source.path}:${found.line}`;
    const faults: string[] = [];
    if (found.isReExport) faults.push(`${at} re-exports "${found.specifier}": import it from where it is`);
    const target = targetOf(source.path, found.specifier);
    if (target !== null && !/\.(ts|js|json|css)$/.test(target)) faults.push(`${at} imports "${found.specifier}" without its ending`);
    if (!source.path.startsWith("src/")) return faults;
    const fault = target === null ? vendorFault(source.path, found.specifier) : folderFault(source.path, target);
    return fault === null ? faults : [...faults, `${at} ${fault}`];
  });
}

function folderFault(path: string, target: string): string | null {
  if (!target.startsWith("src/")) return `imports ${target}: src imports only src`;
  const [from, to] = [areaOf(path), areaOf(target)];
  if (from === to || FOLDERS[from]?.includes(to) === true) return null;
  if (EXCEPTIONS.some(([importer, imported]) => importer.test(path) && imported.test(target))) return null;
  if (!(from in FOLDERS)) return `lies in ${from}, which the architecture rule does not know`;
  return `imports ${target}: ${from} may import ${FOLDERS[from]?.join(", ") || "nothing"}`;
}

function vendorFault(path: string, specifier: string): string | null {
  if (specifier.startsWith("node:")) return null;
  const rule = VENDORS.find(([vendor]) => vendor.test(specifier));
  if (!rule) return `imports "${specifier}", which has no importer in the vendor rule (builtins need node:)`;
  return rule[1].test(path) ? null : `imports "${specifier}", which only ${rule[1].source} may`;
}

/** Each cycle of imports once, as the paths on its way. */
export function importCycles(sources: readonly SourceText[]): string[] {
  const edges = new Map(sources.map((source) => [source.path, importsOf(source).flatMap(({ specifier }) => targetOf(source.path, specifier) ?? [])]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    const known = way.indexOf(path);
    if (known >= 0) cycles.push([...way.slice(known), path].join(" -> "));
    if (known >= 0 || done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...way, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return cycles;
}
