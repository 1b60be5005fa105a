/**
 * Keys as an administrator has them: over HTTP, on the command line, and taken over from the file of an earlier version.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { newDataFolder } from "../support/data-folder.ts";
import { newServerDatabase } from "../support/server-database.ts";
import { type EmbeddedService, startEmbedded } from "../support/start-embedded.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ADMIN = `tk_admin${"a".repeat(32)}`;
const OTHER = `tk_other${"o".repeat(32)}`;
const RESCUE = `tk_rescue${"b".repeat(32)}`;
type Fields = Readonly<Record<string, unknown>>;

let service: EmbeddedService;
beforeAll(async () => {
  service = await startEmbedded({ BOOTSTRAP_API_KEYS: `admin:${ADMIN},admin:${OTHER},breakglass:${RESCUE}`, RATE_LIMITS: '{"admin.write":"20/h"}', TICKER_KEYS_POLL_MS: "50" });
});
afterAll(() => service.stop());

async function call(method: string, path: string, body?: unknown, key = ADMIN, more: Readonly<Record<string, string>> = {}): Promise<{ status: number; body: Fields; headers: Headers }> {
  const init = body === undefined ? {} : { body: JSON.stringify(body) };
  const answer = await fetch(`${service.page}${path}`, { method, headers: { "x-api-key": key, ...(body === undefined ? {} : { "content-type": "application/json" }), ...more }, ...init });
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? {} : JSON.parse(text), headers: answer.headers };
}
const works = async (key: string): Promise<number> => (await call("GET", "/v1/stats", undefined, key)).status;
const cli = (words: readonly string[], env: Readonly<Record<string, string>>) => new Promise<{ code: number; output: string }>((resolve) => {
  const child = execFile(process.execPath, ["src/cli/main.ts", "keys", ...words], { cwd: ROOT, env: { PATH: process.env["PATH"] ?? "", ...env } }, (_error, out, err) => resolve({ code: child.exitCode ?? -1, output: out + err }));
});

describe("keys over HTTP", () => {
  it("are made with a name, an end and addresses, shown once, and listed without their text", async () => {
    const made = await call("POST", "/v1/admin/keys", { scope: "trade", name: "desk 7", expires_at: "2099-01-01T00:00:00Z", addresses: ["127.0.0.0/8"] });
    expect(made).toMatchObject({ status: 201, body: { name: "desk 7", scopes: ["read", "trade"], expires_at: 4070908800000000, addresses: ["127.0.0.0/8"], state: "active", key: expect.stringMatching(/^tk_/) } });
    expect(await works(String(made.body["key"]))).toBe(200);
    const listed = await call("GET", "/v1/admin/keys?limit=1000");
    expect(JSON.stringify(listed.body)).not.toContain(String(made.body["key"]).slice(3));
    expect(listed.body["items"]).toContainEqual(expect.objectContaining({ id: made.body["id"], name: "desk 7" }));
    const page = await call("GET", "/v1/admin/keys?limit=1");
    expect(page.body["next_cursor"]).toEqual(expect.any(String));
  });

  it("take their scope as one word or as a list, and nothing else", async () => {
    expect((await call("POST", "/v1/admin/keys", { scopes: ["read", "trade"] })).body).toMatchObject({ scopes: ["read", "trade"] });
    const faulty: readonly (readonly [unknown, string])[] = [
      [{}, "body.scope"], [{ scope: "read", scopes: ["read"] }, "body.scope"], [{ scope: "root" }, "body.scope"], [{ scopes: ["trade", "publish"] }, "body.scopes"], [{ scopes: [] }, "body.scopes"],
      [{ scope: "read", expires_at: "yesterday" }, "body.expires_at"], [{ scope: "read", expires_at: 1 }, "body.expires_at"], [{ scope: "read", addresses: ["10.0.0.0/33"] }, "body.addresses.0"],
      [{ scope: "read", addresses: ["localhost"] }, "body.addresses.0"], [{ scope: "read", name: "x".repeat(201) }, "body.name"], [{ scope: "read", owner: "me" }, "body.owner"],
    ];
    for (const [body, path] of faulty) {
      expect(await call("POST", "/v1/admin/keys", body), JSON.stringify(body)).toMatchObject({ status: 422, body: { code: "validation_failed", errors: [{ path, message: expect.stringMatching(/expected|unknown field/) }] } });
    }
  });

  it("refuses a key that is bound to other addresses", async () => {
    const { body } = await call("POST", "/v1/admin/keys", { scope: "read", addresses: ["10.1.2.3", "2001:db8::/32"] });
    expect(await works(String(body["key"]))).toBe(401);
  });

  it("are rotated: both texts work during the grace, the owner stays", async () => {
    const { body } = await call("POST", "/v1/admin/keys", { scope: "read" });
    const rotated = await call("POST", `/v1/admin/keys/${String(body["id"])}/rotate`, { grace_s: 3600 });
    expect(rotated).toMatchObject({ status: 200, body: { id: body["id"], key: expect.stringMatching(/^tk_/), grace_ends_at: expect.any(Number) } });
    for (const key of [body["key"], rotated.body["key"]]) expect(await works(String(key))).toBe(200);
    const again = await call("POST", `/v1/admin/keys/${String(body["id"])}/rotate`, { grace_s: 0 });
    for (const key of [body["key"], rotated.body["key"]]) expect(await works(String(key))).toBe(401);
    expect(await works(String(again.body["key"]))).toBe(200);
    expect((await call("POST", "/v1/admin/keys/key_none/rotate")).status).toBe(404);
    expect((await call("POST", `/v1/admin/keys/${String(body["id"])}/rotate`, { grace_s: 604_801 })).status).toBe(422);
  });

  it("are revoked by either form, at once and only once", async () => {
    const [first, second] = [await call("POST", "/v1/admin/keys", { scope: "read" }), await call("POST", "/v1/admin/keys", { scope: "read" })];
    expect((await call("DELETE", `/v1/admin/keys/${String(first.body["id"])}`)).status).toBe(204);
    expect((await call("DELETE", `/v1/admin/keys?id=${String(second.body["id"])}`)).status).toBe(204);
    for (const { body } of [first, second]) expect(await works(String(body["key"]))).toBe(401);
    expect(await call("DELETE", `/v1/admin/keys/${String(first.body["id"])}`)).toMatchObject({ status: 404, body: { code: "not_found" } });
  });

  it("cost admin.write, up to its limit and not beyond; a revocation is free, and nothing refused is recorded", async () => {
    const made: Fields[] = [];
    for (let i = 0; i < 20; i++) made.push((await call("POST", "/v1/admin/keys", { scope: "read" }, OTHER)).body);
    const refused = await call("POST", "/v1/admin/keys", { scope: "read" }, OTHER);
    expect(refused).toMatchObject({ status: 429, body: { code: "rate_limited" } });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(3_500);
    expect((await call("DELETE", `/v1/admin/keys/${String(made[0]?.["id"])}`, undefined, OTHER)).status).toBe(204);
    const { items } = (await call("GET", "/v1/admin/audit?limit=1")).body;
    expect(items).toMatchObject([{ action: "key.revoked", target: made[0]?.["id"] }]);
  });

  it("are not at hand for an emergency key that says no reason", async () => {
    expect(await call("POST", "/v1/admin/keys", { scope: "read" }, RESCUE)).toMatchObject({ status: 422, body: { errors: [{ path: "header.X-Reason" }] } });
    expect((await call("POST", "/v1/admin/keys", { scope: "read" }, RESCUE, { "x-reason": "disk full" })).status).toBe(201);
  });
});

describe("keys on the command line", () => {
  it("are worked on in a folder that no service holds", async () => {
    const dataDir = newDataFolder("ticker-cli-");
    const [keyId = "", key = ""] = (await cli(["create", "--scope", "read", "--name", "a script"], { DATA_DIR: dataDir })).output.trim().split("\n");
    expect(key).toMatch(/^tk_/);
    expect((await cli(["rotate", keyId, "--grace", "0"], { DATA_DIR: dataDir })).output).toMatch(new RegExp(`^${keyId}\ntk_`));
    expect((await cli(["revoke", keyId, "--reason", "done"], { DATA_DIR: dataDir })).output).toBe(`${keyId} revoked\n`);
    expect((await cli(["list"], { DATA_DIR: dataDir })).output).toMatch(new RegExp(`^${keyId}  read  .*  a script  revoked `));
    expect(await cli(["revoke", keyId], { DATA_DIR: dataDir })).toMatchObject({ code: 1, output: expect.stringContaining(`no usable key ${keyId}`) });
    expect(await cli(["create", "--scope", "root"], { DATA_DIR: dataDir })).toMatchObject({ code: 1, output: expect.stringContaining("--scope needs one of") });
    rmSync(dataDir, { recursive: true });
  }, 40_000);

  it.skipIf(inject("postgres") === "")("reach a service on Postgres without its help", async () => {
    const { url, drop } = await newServerDatabase(inject("postgres"));
    const served = await startEmbedded({ DATABASE_URL: url, TICKER_KEYS_POLL_MS: "20" });
    const [keyId = "", key = ""] = (await cli(["create", "--scope", "read"], { DATABASE_URL: url })).output.trim().split("\n");
    const status = async (): Promise<number> => (await fetch(`${served.page}/v1/stats`, { headers: { "x-api-key": key } })).status;
    await expect.poll(status, { timeout: 5_000 }).toBe(200);
    await cli(["revoke", keyId], { DATABASE_URL: url });
    await expect.poll(status, { timeout: 5_000 }).toBe(401);
    await served.stop();
    await drop();
  }, 40_000);
});

describe("the key file of an earlier version", () => {
  it("is taken over once: its keys work, a revoked one does not, and the file is put aside", async () => {
    const dataDir = newDataFolder("ticker-keyfile-");
    const digest = (key: string): string => createHash("sha256").update(key).digest("hex");
    const entry = (keyId: string, key: string, revokedAt: number | null) => ({ keyId, digest: digest(key), createdAt: 1_700_000_000_000_000, scopes: ["read", "trade", "admin", "publish"], revokedAt });
    const [live, dead] = [`tk_live${"l".repeat(32)}`, `tk_dead${"d".repeat(32)}`];
    writeFileSync(join(dataDir, "keys.json"), JSON.stringify({ version: 1, keys: [entry("key_live", live, null), entry("key_dead", dead, 1_700_000_000_000_001)] }));
    const old = await startEmbedded({ DATA_DIR: dataDir, BOOTSTRAP_API_KEYS: `read:${dead}` });
    const ask = async (key: string) => fetch(`${old.page}/v1/admin/keys`, { headers: { "x-api-key": key } });
    expect(await (await ask(live)).json()).toMatchObject({ items: [{ id: "key_dead", state: "revoked" }, { id: "key_live", state: "active" }] });
    expect((await ask(dead)).status).toBe(401);
    expect(existsSync(join(dataDir, "keys.json"))).toBe(false);
    expect(existsSync(join(dataDir, "keys.json.migrated"))).toBe(true);
    await old.stop();
    rmSync(dataDir, { recursive: true });
  });
});
