// Lets a person speak to a miner on the page "Try it", or sends a sample. Chromium's fake microphone plays a recording:
// a WAV file of 16-bit mono samples at 16 kHz. Arguments: directory of the packages, URL, name of the miner, then
// "speak" and the file, or "sample" and the name of its button. Prints a report.

import { statSync } from "node:fs";
import { resolve } from "node:path";

import { Visitor } from "./visitor.mjs";

const [, , , url, miner, way, input] = process.argv;
const fakeMicrophone = [
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
  // Chromium opens no path with "..".
  `--use-file-for-fake-audio-capture=${resolve(input)}%noloop`,
];
const visitor = await Visitor.start(url, way === "speak" ? fakeMicrophone : []);
const page = await visitor.tab();
await visitor.visit(page, "/try");
await page.locator("#try-form").waitFor();
const labels = await page.locator("#try-miner option").allInnerTexts();
await page.locator("#try-miner").selectOption({ label: labels.find((label) => label.startsWith(`${miner} `)) });

// The captions below the form, as they changed: of the visitor's speech, of the interpretation, and their notes.
const captions = { "try-heard": [], "try-heard-note": [], "try-said": [], "try-said-note": [] };
await page.exposeFunction("caption", (name, text) => { if (text) captions[name].push(text); });
await page.evaluate((names) => {
  for (const name of names) {
    const element = document.getElementById(name);
    new MutationObserver(() => globalThis.caption(name, element.textContent)).observe(element, { childList: true });
  }
}, Object.keys(captions));

if (way === "speak") {
  const button = page.locator("#try-speak");
  await button.click();
  await page.getByText("Speak now.").waitFor();
  await page.waitForTimeout((statSync(input).size - 44) / 32);
  await button.click();
} else {
  await page.getByRole("button", { name: input }).click();
}
await page.locator("#try-outcome").waitFor();
await visitor.audit(page, "result");
const [heard, said] = await page.locator("#try-outcome section > p:not(.sub)").allInnerTexts();
await visitor.finish({ heard, said, captions });
