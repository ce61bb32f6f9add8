// Writes screenshots of a dashboard with several subnets. Arguments: directory of the packages, URL, target directory,
// and `running`, or `failed` after a validator of proofs and a miner of prompting were killed.

import { join } from "node:path";

import { DESKTOP, PHONE, Visitor } from "./visitor.mjs";

const [, , , url, target, state] = process.argv;
const visitor = await Visitor.start(url);

/** Writes `NAME.png`, as high as the screen. */
async function picture(name, path, options, ready = "h1, h2") {
  const page = await visitor.tab({ deviceScaleFactor: 2, ...options });
  await visitor.visit(page, path);
  await page.locator("#pulse:not([hidden])").waitFor();
  await page.locator(ready).first().waitFor();
  await page.screenshot({ path: join(target, `${name}.png`) });
  await page.context().close();
}

if (state === "running") {
  await picture("subnets", "/", { viewport: DESKTOP, deviceScaleFactor: 1, colorScheme: "dark" });
  await picture("phone-overview", "/", { viewport: PHONE });
  for (const subnet of ["nineteen", "proof", "prompting"]) await picture(`phone-${subnet}`, `/${subnet}`, { viewport: PHONE });
} else {
  await picture("phone-failed", "/", { viewport: PHONE, colorScheme: "dark" }, "text=1 failing");
}
await visitor.finish({ target });
