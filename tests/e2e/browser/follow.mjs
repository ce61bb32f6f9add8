// Follows a challenge on the overview, without reloading: from an empty directory over the replies as they are scored to
// the leaderboard. Arguments: directory of the packages, URL. Prints {"ready": true} once the page is open, then a report.

import { Visitor } from "./visitor.mjs";

const visitor = await Visitor.start(process.argv[3]);
const page = await visitor.tab();
let documents = 0;
page.on("framenavigated", () => { documents += 1; });
await visitor.visit(page, "/");
await page.getByText("live", { exact: true }).waitFor();

// Records the states of the page as it changes.
await page.evaluate(() => {
  globalThis.seen = [];
  const record = () => {
    const text = document.querySelector("main").innerText;
    const progress = /(\d+) of (\d+) replies scored/.exec(text);
    const rows = document.querySelectorAll("#babelbit-board tbody tr").length;
    const state = JSON.stringify({ done: progress && Number(progress[1]), expected: progress && Number(progress[2]), rows });
    if (globalThis.seen.at(-1) !== state) globalThis.seen.push(state);
  };
  record();
  new MutationObserver(record).observe(document.querySelector("main"), { childList: true, subtree: true, characterData: true });
});
console.log(JSON.stringify({ ready: true }));

// A visitor who uses the table with the keyboard keeps the focus, and sees the changes.
const box = page.locator("#babelbit-board .scroll");
await box.waitFor();
await box.focus();

const finished = page.locator("#babelbit-recent .badge.ok").filter({ hasText: "finished" });
await finished.nth(1).waitFor();
await page.locator("#babelbit-progress section").waitFor({ state: "detached" });
const seen = (await page.evaluate(() => globalThis.seen)).map((state) => JSON.parse(state));
const rows = await page.locator("#babelbit-board tbody tr").evaluateAll((all) =>
  all.map((row) => ({ name: row.querySelector("th strong").innerText, score: row.querySelector(".score").innerText.trim() })));
const isFocused = await box.evaluate((element) => element === document.activeElement);
if (!isFocused) visitor.faults.push("the leaderboard lost the focus when it changed");
if (documents !== 1) visitor.faults.push(`the page was loaded ${documents} times`);
await visitor.finish({ seen, rows });
