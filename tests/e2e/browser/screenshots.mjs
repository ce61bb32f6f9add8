// Writes screenshots of a dashboard after a contest. Arguments: directory of the packages, URL, target directory.

import { join } from "node:path";

import { Visitor } from "./visitor.mjs";

const [, , , url, target] = process.argv;
const SIZE = { width: 1200, height: 760 };
const visitor = await Visitor.start(url);
const page = await visitor.tab({ viewport: SIZE });

/** Opens a page in a colour scheme, scrolls to an element, and writes `NAME.png`. */
async function picture(name, path, { scheme = "light", at = "h1" } = {}) {
  await page.emulateMedia({ colorScheme: scheme });
  await visitor.visit(page, path);
  await page.locator(at).first().evaluate((element) => {
    scrollTo(0, element.getBoundingClientRect().top - document.querySelector(".top").offsetHeight - 16);
  });
  await page.screenshot({ path: join(target, `${name}.png`) });
}

// From its beginning, with the health of the subnet.
await picture("overview", "/", { at: "body" });
await picture("challenge", "/challenges/1", { scheme: "dark", at: "main .lane" });
await visitor.visit(page, "/miners");
const best = await page.locator("a.miner").first().getAttribute("href");
await picture("miner", best);
await picture("weights", "/weights");
await picture("log", "/log", { scheme: "dark" });
await picture("chain", "/chain");
await picture("try", "/try", { scheme: "dark" });
await visitor.finish({ target });
