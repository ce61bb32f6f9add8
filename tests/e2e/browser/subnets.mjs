// Writes screenshots of a dashboard with several subnets. Arguments: directory of the packages, URL, target directory,
// and `running`, or `failed` after a validator of proofs and a miner of prompting were killed.

import { join } from "node:path";

import { DESKTOP, PHONE, Visitor } from "./visitor.mjs";

const [, , , url, target, state] = process.argv;
const visitor = await Visitor.start(url);

/** The strip with the health of every subnet. */
const ALL_SUBNETS = ".health:has(li:nth-child(4))";

/**
 * Writes `NAME.png` once `ready` is on the page: as high as the screen, or as the page with `fullPage`; from the top of
 * the page, or of the element `from`.
 */
async function picture(name, path, { ready = "h1, h2", from, fullPage = false, ...options }) {
  const page = await visitor.tab({ deviceScaleFactor: 2, ...options });
  await visitor.visit(page, path);
  await page.locator("#pulse:not([hidden])").waitFor();
  await page.locator(ready).first().waitFor();
  if (from) await page.locator(from).evaluate((element) => element.scrollIntoView());
  await page.screenshot({ path: join(target, `${name}.png`), fullPage });
  await page.context().close();
}

if (state === "running") {
  await picture("subnets", "/", { viewport: DESKTOP, deviceScaleFactor: 1, colorScheme: "dark", fullPage: true });
  // The first screen has the health of every subnet, and then begins with Babelbit.
  await picture("phone-overview", "/", { viewport: PHONE, ready: ALL_SUBNETS });
  await picture("phone-babelbit", "/", { viewport: PHONE, from: "#babelbit" });
  for (const subnet of ["nineteen", "proof", "prompting"]) await picture(`phone-${subnet}`, `/${subnet}`, { viewport: PHONE });
} else {
  const failed = `${ALL_SUBNETS}:has(.condition.degraded):has-text("1 of 2 miners answers")`;
  await picture("phone-failed", "/", { viewport: PHONE, colorScheme: "dark", ready: failed });
}
await visitor.finish({ target });
