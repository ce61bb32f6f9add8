// A visitor of the dashboard: Debian's Chromium, driven by playwright-core, with axe-core's rules of accessibility. Both
// packages are installed in the directory of the first argument (scripts/peers browser).

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** Faults of axe-core that fail a test. */
const SERIOUS = ["serious", "critical"];

/** Maximum time of one step, in milliseconds: long enough for a busy machine. */
const PATIENCE = 180_000;

export const DESKTOP = { width: 1440, height: 900 };
export const TABLET = { width: 768, height: 1024 };
/** The narrowest phones in use. */
export const PHONE = { width: 360, height: 780 };

/** A browser that can reach this machine only, and the faults of all its pages. */
export class Visitor {
  faults = [];
  /** Addresses of pages that are expected to be errors. The browser may request them again outside a navigation. */
  #errors = new Set();

  /** Starts a browser with additional options of its command line. */
  static async start(url, options = []) {
    const visitor = new Visitor();
    visitor.origin = new URL(url).origin;
    visitor.browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      timeout: PATIENCE,
      // Every host name fails to resolve, so that a request that escapes the check below cannot leave either.
      args: ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--autoplay-policy=document-user-activation-required", ...options],
    });
    return visitor;
  }

  /** Opens a tab whose console errors, script errors and foreign requests are faults. */
  async tab({ viewport = DESKTOP, deviceScaleFactor = 1, colorScheme = "light", javaScriptEnabled = true } = {}) {
    const context = await this.browser.newContext({ viewport, deviceScaleFactor, colorScheme, javaScriptEnabled });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    const fault = (what) => this.faults.push(`${page.url()}: ${what}`);
    page.on("console", (message) => {
      // Statuses are checked below, and those of pages by visit().
      const isStatus = message.text().startsWith("Failed to load resource: the server responded with a status of");
      if (["error", "warning"].includes(message.type()) && !isStatus) fault(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => fault(`script: ${error}`));
    page.on("requestfailed", (request) => {
      // Recordings are cancelled when a page is left, event streams when it is closed.
      const isCancelled = request.failure()?.errorText === "net::ERR_ABORTED";
      if (!isCancelled) fault(`request: ${request.url()}: ${request.failure()?.errorText}`);
    });
    page.on("response", (response) => {
      const isChecked = response.request().isNavigationRequest() || this.#errors.has(response.url());
      if (response.status() >= 400 && !isChecked) fault(`${response.url()}: status ${response.status()}`);
    });
    page.on("request", (request) => this.#checkHost(request.url(), fault));
    page.on("websocket", (socket) => this.#checkHost(socket.url(), fault));
    return page;
  }

  #checkHost(url, fault) {
    const { protocol, origin } = new URL(url);
    if (!["data:", "blob:"].includes(protocol) && origin !== this.origin) fault(`request to another host: ${url}`);
  }

  /** Opens a page, which must have the expected status. */
  async visit(page, path, status = 200) {
    if (status >= 400) this.#errors.add(this.origin + path);
    const response = await page.goto(this.origin + path, { waitUntil: "load" });
    if (response.status() !== status) this.faults.push(`${path}: status ${response.status()}, expected ${status}`);
  }

  /** Opens all details of a page. */
  async openDetails(page) {
    await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
  }

  /** Opens all details of a page, and reports faults that axe-core calls serious or critical. */
  async audit(page, label) {
    await this.openDetails(page);
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, impact, help, nodes } of violations.filter(({ impact }) => SERIOUS.includes(impact))) {
      const places = nodes.slice(0, 3).map(({ target, failureSummary }) => `${target.join(" ")} (${failureSummary})`);
      this.faults.push(`${label}: ${impact}: ${id}: ${help}: ${places.join("; ")}`);
    }
  }

  /** Ends the browser, prints a report as JSON, and exits with 1 if there were faults. */
  async finish(report) {
    await this.browser.close();
    for (const fault of this.faults) console.error(fault);
    console.log(JSON.stringify(report));
    process.exitCode = this.faults.length > 0 ? 1 : 0;
  }
}
