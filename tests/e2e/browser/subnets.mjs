// Writes screenshots of a dashboard with several subnets. Arguments: directory of the packages, URL, target directory,
// and `running`, or `failed` after a validator of proofs and a miner of prompting were killed.

import { join } from "node:path";

import { DESKTOP, PHONE, Visitor } from "./visitor.mjs";

const [, , , url, target, state] = process.argv;
const visitor = await Visitor.start(url);

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
  // The overview begins with Babelbit, whose leaderboard takes a screen of a phone; the other
  // subnets follow.
  await picture("phone-babelbit", "/", { viewport: PHONE });
  await picture("phone-overview", "/", { viewport: PHONE, from: "#nineteen" });
  for (const subnet of ["nineteen", "proof", "prompting"]) await picture(`phone-${subnet}`, `/${subnet}`, { viewport: PHONE });
} else {
  await picture("phone-failed", "/", { viewport: PHONE, colorScheme: "dark", ready: "text=1 failing" });
}
await visitor.finish({ target });
