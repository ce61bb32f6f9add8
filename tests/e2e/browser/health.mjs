// Opens pages of a dashboard with several subnets, in both colour schemes and at the widths of a
// desktop, a tablet and a phone. The health of every subnet must be on the first screen. Arguments:
// directory of the packages, URL. Prints the entries of the strip, and the mark beside it.

import { DESKTOP, PHONE, TABLET, Visitor } from "./visitor.mjs";

const visitor = await Visitor.start(process.argv[3]);
const strip = (page) => page.getByRole("navigation", { name: "Health of the subnets", exact: true });

/** Returns the entries of the strip, with their positions. */
function entriesOf(page) {
  return strip(page).getByRole("listitem").evaluateAll((items) => items.map((item) => {
    const text = (selector) => item.querySelector(selector).textContent.trim();
    const { left, right, bottom } = item.getBoundingClientRect();
    const condition = text(".condition").replace("●", "").trim();
    return { name: text("strong"), condition, fact: text("small"), left, right, bottom };
  }));
}

/** Checks that a page shows all entries without scrolling, and that screen readers read their words. */
async function check(page, { width, height }, label) {
  const entries = await entriesOf(page);
  for (const { name, condition, fact, left, right, bottom } of entries) {
    if (left < 0 || right > width || bottom > height) {
      visitor.faults.push(`${label}: ${name} is not on the first screen: ${left}, ${right}, ${bottom}`);
    }
    const spoken = `${name} ${condition} ${fact}`;
    const links = await strip(page).getByRole("link", { name: spoken, exact: true }).count();
    if (links !== 1) visitor.faults.push(`${label}: ${links} links have the name ${spoken}`);
  }
  const total = await page.evaluate(() => document.documentElement.scrollWidth);
  if (total > width) visitor.faults.push(`${label}: the page is ${total} px wide`);
  return entries.map(({ name, condition, fact }) => ({ name, condition, fact }));
}

let entries;
let mark;
for (const viewport of [DESKTOP, TABLET, PHONE]) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await visitor.tab({ viewport, colorScheme });
    for (const path of ["/", "/services"]) {
      const label = `${path} (${colorScheme}, ${viewport.width} px)`;
      await visitor.visit(page, path);
      await page.locator("#pulse:not([hidden])").waitFor();
      await visitor.audit(page, label);
      entries = await check(page, viewport, label);
      mark = await page.locator("#pulse.lost").innerText();
    }
    await page.context().close();
  }
}

// Each entry leads to its subnet.
const page = await visitor.tab({ viewport: PHONE });
for (const { name } of entries) {
  await visitor.visit(page, "/services");
  await strip(page).getByRole("link", { name: new RegExp(`^${name} `) }).click();
  await page.getByRole("heading", { level: 1, name }).waitFor();
  const isSeen = await page.getByRole("heading", { level: 1, name }).evaluate((heading) => {
    const { top, bottom } = heading.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  });
  if (!isSeen) visitor.faults.push(`the entry of ${name} does not lead to its heading`);
}
await visitor.finish({ entries, mark });
