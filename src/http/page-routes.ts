/**
 * The page at `/`: its files from our own origin, and where its script finds the stream.
 */
import { readFileSync } from "node:fs";
import type { Hono } from "hono";
import type { HttpEnvironment } from "./problem.ts";

export interface PageRoutesDeps {
  readonly version: string;
  /** The stream's port as it listens; null while it does not. */
  readonly streamPort: () => number | null;
  /** Full URL when a proxy stands before the stream. */
  readonly publicStreamUrl: string | null;
}

const FILES = [
  ["/", "index.html", "text/html; charset=utf-8"],
  ["/page.js", "page.js", "text/javascript; charset=utf-8"],
  ["/stream-client.js", "stream-client.js", "text/javascript; charset=utf-8"],
  ["/table.js", "table.js", "text/javascript; charset=utf-8"],
  ["/page.css", "page.css", "text/css; charset=utf-8"],
] as const;

export function mountPage(app: Hono<HttpEnvironment>, deps: PageRoutesDeps): void {
  for (const [path, file, contentType] of FILES) {
    const body = readFileSync(new URL(`./page/${file}`, import.meta.url), "utf8");
    app.get(path, (c) => c.body(body, 200, { "content-type": contentType, "cache-control": "no-cache" }));
  }
  app.get("/page-config.json", (c) => c.json({ version: deps.version, stream_port: deps.streamPort(), stream_url: deps.publicStreamUrl }));
}
