/**
 * Rules about the text of one file: header, size, banned calls and banned syntax.
 */
import { lineAt, type SourceText } from "./source-text.ts";

export const FILE_LINES_MAX = 400;
export const FUNCTION_LINES_MAX = 60;

interface Ban {
  readonly pattern: RegExp;
  readonly what: string;
  /** Files it applies to. */
  readonly where: RegExp;
  /** Files that may, each with its reason. */
  readonly except?: readonly (readonly [path: RegExp, reason: string])[];
}

const EVERYWHERE = /./;
const SRC = /^src\//;

const BANS: readonly Ban[] = [
  {
    pattern: /\b(?:Date\.now|performance\.now|setTimeout|setInterval|setImmediate)\b|\bnew Date\(\)/g, what: "asks the machine for time; take a Clock", where: SRC,
    except: [[/^src\/core\/clock\.ts$/, "the clock itself"]],
  },
  { pattern: /\bprocess\.env\b/g, what: "reads process.env; take a value", where: SRC, except: [[/^src\/config\.ts$/, "the configuration"]] },
  { pattern: /\bprocess\.exit\b(?!Code)/g, what: "ends the process; only main.ts may", where: SRC, except: [[/^src\/main\.ts$/, "the entry"]] },
  { pattern: /\bconsole\s*\.\s*\w/g, what: "writes to the console; take a Logger", where: SRC, except: [[/^src\/main\.ts$/, "before the log is open"], [/^src\/cli\//, "a command line's output"]] },
  { pattern: /(?<![\w.$'"])any(?![\w'":(])/g, what: "uses any; use unknown and narrow it", where: EVERYWHERE },
  { pattern: /[\w)\]]!(?=[.[\]),;:\s(]|$)(?!=)/gm, what: "uses a non-null !; narrow instead", where: EVERYWHERE },
  {
    pattern: /(?<![\w.$])as\s+(?!const\b)[\w{[("'`]/g, what: "casts with as; narrow instead", where: EVERYWHERE,
    except: [[/^src\/(core\/time|market\/price)\.ts$/, "constructor functions of branded values"], [/^src\/core\/clock\.ts$/, "makes Micros on the hot path without a second check"]],
  },
  { pattern: /@ts-(?:ignore|nocheck|expect-error)/g, what: "silences the compiler", where: EVERYWHERE },
  { pattern: /\b(?:enum|namespace)\s+\w+\s*\{/g, what: "uses syntax that Node cannot strip", where: EVERYWHERE },
  { pattern: /\bconstructor\s*\((?:[^()]*,)?\s*(?:private|public|protected|readonly)\s+\w/g, what: "uses a parameter property, which Node cannot strip", where: EVERYWHERE },
  { pattern: /\bcatch\s*(?:\([^)]*\))?\s*\{\s*\}|\.catch\(\s*\(\w*\)\s*=>\s*\{\s*\}\s*\)/g, what: "swallows an error", where: EVERYWHERE },
  { pattern: /\bexport\s+default\b/g, what: "has a default export", where: EVERYWHERE, except: [[/^vitest\.config\.ts$/, "vitest asks for it"], [/\.d\.ts$/, "describes a package"]] },
  { pattern: /\b(?:it|test|describe)\.(?:only|todo)\b/g, what: "leaves a test focused or unwritten", where: /^tests\// },
  { pattern: /\bsetTimeout\(\s*(?:resolve|done|r|ok)\s*,/g, what: "sleeps; wait for the event with a deadline", where: /^tests\/(?!support\/|load\/)/ },
];

/** Parts of the code in which `as` renames: import and export lists, mapped types. */
const RENAMES = /\b(?:import|export)\s+[\w{*][^;"'()]*?\bfrom\b|\bexport\s*\{[^}]*\}|\[\s*\w+\s+in\b[^\]]*\]/g;

/** All faults of one file, each with its line. */
export function textFaults(source: SourceText): string[] {
  const { path, text } = source;
  const faults: string[] = [];
  if (!/^(?:#![^\n]*\n)?\/\*\*/.test(text)) faults.push(`${path}:1 has no header: begin with /** what the file is for */`);
  const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
  if (lines > FILE_LINES_MAX) faults.push(`${path}:${FILE_LINES_MAX + 1} has ${lines} lines, at most ${FILE_LINES_MAX}`);
  return [...faults, ...bannedIn(source), ...longFunctions(source), ...unnumberedTodos(source)];
}

function bannedIn({ path, text, code }: SourceText): string[] {
  const withoutRenames = code.replaceAll(RENAMES, (found) => found.replaceAll(/[^\n]/g, " "));
  return BANS.filter((ban) => ban.where.test(path) && !(ban.except ?? []).some(([allowed]) => allowed.test(path)))
    .flatMap((ban) => [...withoutRenames.matchAll(ban.pattern)].map((match) => `${path}:${lineAt(text, match.index)} ${ban.what}: ${match[0].trim()}`));
}

function unnumberedTodos({ path, text, comments }: SourceText): string[] {
  return [...comments.matchAll(/\b(?:TODO|FIXME|XXX|HACK)\b(?!\s*\(?#\d)/g)].map((match) => `${path}:${lineAt(text, match.index)} ${match[0]} without an issue number: write TODO(#12)`);
}

const CONTROL = /\b(?:if|for|while|switch|catch|with)\s*(?:await\s*)?$/;
/** The end of a parameter list, with a return type perhaps. */
const PARAMETERS_END = /\)(?:\s*:\s*[^(){};=]+(?:\([^()]*\))?[^(){};=]*)?\s*$/;

/** Functions, methods and arrows with a body that is too long. A `describe` block is a chapter: its lines count for nobody. */
function longFunctions({ path, text, code }: SourceText): string[] {
  const faults: string[] = [];
  const open: { readonly at: number; readonly kind: "function" | "chapter" | "other"; chapterLines: number }[] = [];
  for (let i = 0; i < code.length; i++) {
    if (code[i] === "{") open.push({ at: i, kind: kindOf(code, i), chapterLines: 0 });
    if (code[i] !== "}") continue;
    const body = open.pop();
    if (!body) continue;
    const [from, to] = [lineAt(text, body.at), lineAt(text, i)];
    const lines = to - from + 1 - body.chapterLines;
    const outer = open.at(-1);
    if (outer) outer.chapterLines += body.kind === "chapter" ? to - from + 1 : body.chapterLines;
    if (body.kind === "function" && lines > FUNCTION_LINES_MAX) faults.push(`${path}:${from} a function of ${lines} lines, at most ${FUNCTION_LINES_MAX}`);
  }
  return faults;
}

function kindOf(code: string, brace: number): "function" | "chapter" | "other" {
  const before = code.slice(Math.max(0, brace - 600), brace);
  if (/\bdescribe(?:\.\w+(?:\([^)]*\))?)*\s*\([^\n]*=>\s*$/.test(before)) return "chapter";
  if (/=>\s*$/.test(before)) return "function";
  const end = PARAMETERS_END.exec(before);
  if (!end) return "other";
  let depth = 0;
  for (let i = end.index; i >= 0; i--) {
    if (before[i] === ")") depth++;
    if (before[i] === "(" && --depth === 0) return CONTROL.test(before.slice(0, i)) ? "other" : "function";
  }
  return "function";
}
