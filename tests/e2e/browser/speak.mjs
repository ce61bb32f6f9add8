// Speaks to a miner on the page "Try it": a WAV file through Chromium's fake microphone, the same file dropped on the
// form, and the form without scripts, also with the sample in English. Arguments: directory of the packages, URL, WAV file. Prints a report.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { Visitor } from "./visitor.mjs";

const [, , , url, path] = process.argv;
// Chromium opens no path with "..".
const recording = resolve(path);
const visitor = await Visitor.start(url, [
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
  `--use-file-for-fake-audio-capture=${recording}%noloop`,
]);

/** The captions of the visitor's speech, as they changed. */
let captions = [];

/** Opens the page once the miners have started, and records the loudest sample of all that it plays. */
async function open() {
  const page = await visitor.tab();
  await page.addInitScript(() => {
    globalThis.peak = 0;
    const { start } = AudioBufferSourceNode.prototype;
    AudioBufferSourceNode.prototype.start = function (...times) {
      // Pieces of the reply start at a time; a dropped file starts at once, and is not played.
      if (times.length > 0) {
        const samples = this.buffer.getChannelData(0);
        globalThis.peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), globalThis.peak);
      }
      return start.apply(this, times);
    };
  });
  await visitor.visit(page, "/try");
  await page.locator("#try-form").waitFor();
  await page.locator("#try-miner").selectOption({ label: await option(page, "interpreter") });
  return page;
}

/** Returns the label of a miner in the form. */
async function option(page, name) {
  const labels = await page.locator("#try-miner option").allInnerTexts();
  return labels.find((label) => label.startsWith(name)) ?? labels[0];
}

/** Waits for the result; returns its text, and the captions and the loudest sample before it. */
async function outcome(page) {
  await page.locator("#try-outcome").waitFor();
  await visitor.audit(page, "result");
  const text = await page.locator("#try-outcome").innerText();
  return { text, captions, peak: await page.evaluate(() => globalThis.peak) };
}

/** Follows the captions of a page until the end. */
function follow(page) {
  captions = [];
  return page.exposeFunction("caption", (text) => captions.push(text)).then(() => page.evaluate(() => {
    const record = () => globalThis.caption(document.querySelector("#try-heard").textContent);
    new MutationObserver(record).observe(document.querySelector("#try-heard"), { childList: true });
  }));
}

async function speak() {
  const page = await open();
  await follow(page);
  const button = page.locator("#try-speak");
  await button.click();
  await page.getByText("Speak now.").waitFor();
  // The recording lasts about 4 s.
  await page.waitForTimeout(5_000);
  await button.click();
  const spoken = await outcome(page);
  await page.context().close();
  return spoken;
}

async function drop() {
  const page = await open();
  await follow(page);
  const file = await page.evaluateHandle(([base64]) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "speech.wav", { type: "audio/wav" }));
    return transfer;
  }, [readFileSync(recording).toString("base64")]);
  // Browsers play sound only after the visitor has used the page.
  await page.locator("h1").click();
  await page.dispatchEvent("#try-form", "drop", { dataTransfer: file });
  const dropped = await outcome(page);
  await page.context().close();
  return dropped;
}

async function upload() {
  const page = await visitor.tab({ javaScriptEnabled: false });
  await visitor.visit(page, "/try");
  await page.locator("#try-miner").selectOption({ label: await option(page, "interpreter") });
  await page.locator("#try-sound").setInputFiles(recording);
  await page.getByRole("button", { name: "Interpret the recording" }).click();
  await page.locator("#try-outcome").waitFor();
  const text = await page.locator("#try-outcome").innerText();
  const reply = await page.locator("audio").nth(1).getAttribute("src");
  const response = await page.request.get(visitor.origin + reply);
  const seconds = ((await response.body()).length - 44) / 48_000;
  await page.context().close();
  return { text, type: response.headers()["content-type"], seconds };
}

async function sample() {
  const page = await visitor.tab({ javaScriptEnabled: false });
  await visitor.visit(page, "/try");
  await page.locator("#try-miner").selectOption({ label: await option(page, "parrot") });
  await page.getByRole("button", { name: "English" }).click();
  await page.locator("#try-outcome").waitFor();
  const text = await page.locator("#try-outcome").innerText();
  await page.context().close();
  return text;
}

const spoken = await speak();
const dropped = await drop();
const uploaded = await upload();
const sampled = await sample();
await visitor.finish({ spoken, dropped, uploaded, sampled });
