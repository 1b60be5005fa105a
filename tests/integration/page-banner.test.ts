/**
 * The maintenance banner on the page, in a real Chromium: there when the page opens, and coming and going while it is open.
 */
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { expect, it } from "vitest";
import { startService } from "../support/start-service.ts";

const CHROMIUM = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const isAbsent = !existsSync(CHROMIUM);
if (isAbsent && process.env["REQUIRE_SERVERS"] === "1") throw new Error(`no Chromium at ${CHROMIUM}; install chromium or set CHROMIUM_PATH`);
if (isAbsent) console.log(`SKIPPED: no Chromium at ${CHROMIUM}; install chromium or set CHROMIUM_PATH`);

const ADMIN = `tk_admin_${"a".repeat(32)}`;

it.skipIf(isAbsent)("shows what operators say, as text, for as long as they say it", async () => {
  const service = await startService({ env: { BOOTSTRAP_API_KEYS: `admin:${ADMIN}`, STREAM_HEARTBEAT_MS: "200", SIM_INSTRUMENTS: "2" } });
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
  const say = async (text: string | null): Promise<void> => {
    const answer = await fetch(`${service.page}/v1/admin/runtime-state`, {
      method: "PATCH", headers: { "x-api-key": ADMIN, "if-match": "*", "content-type": "application/json" }, body: JSON.stringify({ "maintenance.banner": text }),
    });
    expect(answer.status).toBe(200);
  };
  try {
    await say("Back at <b>18:00</b>");
    const page = await browser.newPage();
    await page.goto(service.page);
    const banner = page.locator("#banner");
    await banner.getByText("Back at <b>18:00</b>", { exact: true }).waitFor();
    await page.getByText("live", { exact: true }).first().waitFor();
    await say("Back at 19:00");
    await banner.getByText("Back at 19:00", { exact: true }).waitFor();
    await say(null);
    await banner.waitFor({ state: "hidden" });
  } finally {
    await browser.close();
    await service.stop();
  }
}, 60_000);
