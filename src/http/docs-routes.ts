/**
 * The documentation: OpenAPI and AsyncAPI documents, and a page that shows the first, all from our own origin.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { z } from "@hono/zod-openapi";
import { asyncApi } from "./asyncapi.ts";
import { allowInlineStyles } from "./headers.ts";
import { type Api, JSON_OF, TEXT_OF } from "./route.ts";
import type { RouteRules } from "./route-rules.ts";

export interface DocsRoutesDeps {
  readonly version: string;
}

const RULES: RouteRules = { scope: null, limit: "anonymous" };
const require = createRequire(import.meta.url);
/** The library's files change with the library only. */
const KEEP = "public, max-age=86400";
const Document = z.unknown().openapi({ type: "object" });

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ticker-service: REST reference</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="reference"></div>
<noscript>This page needs JavaScript; the document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;
const START = `SwaggerUIBundle({ url: "/openapi.json", dom_id: "#reference", validatorUrl: null, deepLinking: true, defaultModelsExpandDepth: 0 });\n`;

/** To be called last: the document holds the routes that were added before, and these. */
export function mountDocs(api: Api, { version }: DocsRoutesDeps): void {
  const tags = ["documentation"];
  const text = (path: string, mediaType: string, summary: string, body: string, cacheControl: string) => {
    api.add(RULES, { method: "get", path, tags, summary, responses: { 200: TEXT_OF("The file", mediaType) } }, (c) => {
      if (path === "/docs") allowInlineStyles(c.env.outgoing);
      return c.body(body, 200, { "content-type": `${mediaType}; charset=utf-8`, "cache-control": cacheControl });
    });
  };
  text("/docs", "text/html", "This reference as a page", PAGE, "no-cache");
  text("/docs/start.js", "text/javascript", "The page's script", START, "no-cache");
  text("/docs/swagger-ui-bundle.js", "text/javascript", "The page's library", vendorFile("swagger-ui-bundle.js"), KEEP);
  text("/docs/swagger-ui.css", "text/css", "The page's style", vendorFile("swagger-ui.css"), KEEP);
  const fresh = { "cache-control": "no-cache" };
  const stream = asyncApi(version);
  api.add(RULES, { method: "get", path: "/asyncapi.json", tags, summary: "The stream as an AsyncAPI 3.0 document", responses: { 200: JSON_OF("The document", Document) } },
    (c) => c.json(stream, 200, fresh));
  let rest: ReturnType<typeof openApi> | null = null;
  api.add(RULES, { method: "get", path: "/openapi.json", tags, summary: "REST as an OpenAPI 3.1 document", responses: { 200: JSON_OF("The document", Document) } }, (c) => {
    rest ??= openApi(api, version);
    return c.json(rest, 200, fresh);
  });
}

function openApi(api: Api, version: string) {
  api.app.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "apiKey", in: "header", name: "X-API-Key" });
  api.app.openAPIRegistry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer" });
  return api.app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "ticker-service", version,
      description: "Market data, orders and administration. Errors are RFC 9457 problems with a stable `code`. Every answer carries `X-Request-ID` and `X-Correlation-ID`, and, where a limit applies, `RateLimit-Policy` and `RateLimit`. The stream is described at `/asyncapi.json`.",
    },
    servers: [{ url: "/" }],
  });
}

/** @throws when the package is not installed: the start fails, not the first visitor */
function vendorFile(name: string): string {
  return readFileSync(require.resolve(`swagger-ui-dist/${name}`), "utf8");
}
