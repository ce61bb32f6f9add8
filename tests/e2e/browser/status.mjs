// Opens the status page of Nineteen's gateway, in both colour schemes and at the widths of a
// desktop, a tablet and a phone, and waits until its script has updated the table. Arguments:
// directory of the packages, URL. Prints a report.

import { DESKTOP, PHONE, TABLET, Visitor } from "./visitor.mjs";

const visitor = await Visitor.start(process.argv[3]);
const tasks = [];
for (const viewport of [DESKTOP, TABLET, PHONE]) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await visitor.tab({ viewport, colorScheme });
    const label = `/status (${colorScheme}, ${viewport.width} px)`;
    await visitor.visit(page, "/status");
    await visitor.audit(page, label);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    if (width > viewport.width) visitor.faults.push(`${label}: the page is ${width} px wide`);
    tasks.push(await page.locator("#tasks tr").count());
    await page.context().close();
  }
}

// The rows are replaced, and the table keeps the focus.
const page = await visitor.tab();
await visitor.visit(page, "/status");
const box = page.locator(".scroll");
await box.focus();
await page.evaluate(() => document.querySelectorAll("#tasks tr").forEach((row) => { row.dataset.old = "1"; }));
await page.waitForFunction(() => document.querySelectorAll("#tasks tr:not([data-old])").length > 0);
const isFocused = await box.evaluate((element) => element === document.activeElement);
if (!isFocused) visitor.faults.push("the table lost the focus when it changed");
const state = await page.locator("#state").innerText();
await visitor.finish({ tasks, state });
