/**
 * The page at `/`: its files from our own origin, and where its script finds the stream.
 */
import { readFileSync } from "node:fs";
import { z } from "@hono/zod-openapi";
import { type Api, JSON_OF, TEXT_OF } from "./route.ts";
import type { RouteRules } from "./route-rules.ts";

export interface PageRoutesDeps {
  readonly version: string;
  /** What operators tell everybody; null: nothing. */
  readonly banner: () => string | null;
  /** The stream's port as it listens; null while it does not. */
  readonly streamPort: () => number | null;
  /** Full URL when a proxy stands before the stream. */
  readonly publicStreamUrl: string | null;
}

const FILES = [
  ["/", "index.html", "text/html"],
  ["/page.js", "page.js", "text/javascript"],
  ["/stream-client.js", "stream-client.js", "text/javascript"],
  ["/table.js", "table.js", "text/javascript"],
  ["/page.css", "page.css", "text/css"],
] as const;

const RULES: RouteRules = { scope: null, limit: "anonymous" };

const PageConfigSchema = z.object({
  version: z.string(), banner: z.string().nullable(), stream_port: z.int().nullable(), stream_url: z.string().nullable().openapi({ description: "Null: the same host at `stream_port`." }),
}).openapi("PageConfig");

export function mountPage(api: Api, deps: PageRoutesDeps): void {
  for (const [path, file, contentType] of FILES) {
    const body = readFileSync(new URL(`./page/${file}`, import.meta.url), "utf8");
    api.add(RULES, { method: "get", path, tags: ["page"], summary: `The page: ${file}`, responses: { 200: TEXT_OF("The file", contentType) } },
      (c) => c.body(body, 200, { "content-type": `${contentType}; charset=utf-8`, "cache-control": "no-cache" }));
  }
  api.add(RULES, {
    method: "get", path: "/page-config.json", tags: ["page"], summary: "Where the page finds the stream", responses: { 200: JSON_OF("Its settings", PageConfigSchema) },
  }, (c) => c.json({ version: deps.version, banner: deps.banner(), stream_port: deps.streamPort(), stream_url: deps.publicStreamUrl }, 200));
}
