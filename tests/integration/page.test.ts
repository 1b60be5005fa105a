/**
 * The page in a real Chromium, on the real service.
 */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { restartablePorts, type RunningService, startService } from "../support/start-service.ts";

const CHROMIUM = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const isAbsent = !existsSync(CHROMIUM);
if (isAbsent && process.env["REQUIRE_SERVERS"] === "1") throw new Error(`no Chromium at ${CHROMIUM}; install chromium or set CHROMIUM_PATH`);
if (isAbsent) console.log(`SKIPPED: no Chromium at ${CHROMIUM}; install chromium or set CHROMIUM_PATH`);

describe.skipIf(isAbsent)("the page", () => {
  let browser: Browser;
  let service: RunningService;
  const pages: Page[] = [];
  const open = async (url: string): Promise<{ page: Page; faults: string[] }> => {
    const page = await browser.newPage({ viewport: { width: 1180, height: 760 } });
    pages.push(page);
    const faults: string[] = [];
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") faults.push(message.text());
    });
    await page.goto(url);
    return { page, faults };
  };
  /** The cell of a row by its column's place. */
  const cell = (page: Page, symbol: string, place: number) => page.locator("tbody tr", { has: page.getByRole("rowheader", { name: symbol, exact: true }) }).locator("td").nth(place);

  beforeAll(async () => {
    [browser, service] = await Promise.all([chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS }), startService()]);
  });
  afterEach(async () => {
    await Promise.all(pages.splice(0).map((page) => page.close()));
  });
  afterAll(async () => {
    await browser?.close();
    await service?.stop();
  });

  it("shows every instrument moving, marked as simulated, without a fault", async () => {
    const { page, faults } = await open(service.page);
    await page.getByRole("status").getByText("live").waitFor();
    await expect.poll(() => page.locator("tbody tr").count()).toBe(50);
    const bid = cell(page, "sim:BTC-USD", 0);
    await expect.poll(() => bid.textContent()).toMatch(/^\d+\.\d\d$/);
    const before = await bid.textContent();
    await expect.poll(() => bid.textContent(), { timeout: 10_000 }).not.toBe(before);
    await expect.poll(() => cell(page, "sim:BTC-USD", 3).textContent(), { timeout: 5000 }).toMatch(/^[+-]?\d+\.\d\d %$/);
    await expect.poll(() => page.locator("#feeds").textContent(), { timeout: 8000 }).toMatch(/sim.*live.*SIMULATED/);
    await expect.poll(() => page.locator("#count-events").textContent()).not.toBe("0");
    expect(await page.locator("#count-missing").textContent()).toBe("0");
    expect(await page.locator("#count-repeated").textContent()).toBe("0");
    await page.screenshot({ path: join(tmpdir(), "ticker-page.png") });
    expect(faults).toEqual([]);
  });

  it("filters as one types", async () => {
    const { page } = await open(service.page);
    await cell(page, "sim:BTC-USD", 0).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("eth-u");
    await expect.poll(() => page.locator("tbody tr:visible").count()).toBe(1);
    expect(await page.locator("tbody tr:visible th").textContent()).toBe("sim:ETH-USD");
    await page.getByRole("searchbox").fill("nothing like it");
    await page.getByText("No instrument matches the filter.").waitFor();
  });

  it("comes back by itself after the service was away", async () => {
    const ports = await restartablePorts();
    const first = await startService({ env: ports });
    const { page } = await open(first.page);
    await page.getByRole("status").getByText("live").waitFor();
    await first.stop();
    await page.getByRole("status").getByText(/again in/).waitFor();
    const second = await startService({ env: ports });
    await page.getByRole("status").getByText("live", { exact: true }).waitFor({ timeout: 15_000 });
    await expect.poll(() => page.locator("#count-reconnects").textContent()).not.toBe("0");
    expect(await page.locator("#count-missing").textContent()).toBe("0");
    await second.stop();
  });

  it("asks for a key where one is needed, says when it is wrong, and connects with it", async () => {
    const key = `tk_${"r".repeat(32)}`;
    const guarded = await startService({ env: { NODE_ENV: "production", BOOTSTRAP_API_KEYS: `read:${key}` } });
    try {
      const { page } = await open(guarded.page);
      const dialog = page.getByRole("dialog", { name: "A key is needed" });
      await dialog.waitFor();
      await page.getByLabel("API key").fill("tk_wrong");
      await page.getByRole("button", { name: "Connect" }).click();
      await dialog.getByText("the key is unknown, revoked").waitFor();
      await page.getByLabel("API key").fill(key);
      await page.keyboard.press("Enter");
      await page.getByRole("status").getByText("live").waitFor();
      expect(await dialog.count()).toBe(0);
    } finally {
      await guarded.stop();
    }
  });
});
