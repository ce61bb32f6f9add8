// Opens every page of a dashboard whose data no longer changes, in both colour schemes, at the widths of a desktop, a
// tablet and a phone, and without scripts; then plays a reply, if there is one. Arguments: directory of the packages,
// URL, paths to which no page links. Prints a report.

import { DESKTOP, PHONE, TABLET, Visitor } from "./visitor.mjs";

/** Parameters that only reorder or continue a table. */
const SAME_PAGE = ["sort", "order", "page"];
/** Peak amplitude from which a recording is not silence, of 1. */
const AUDIBLE = 0.02;

const visitor = await Visitor.start(process.argv[3]);

/** The kind of a page: its path without numbers, addresses and names, and its parameters without their values. */
function kindOf(url) {
  const named = url.pathname.replace(/^\/(services|text|try\/results)\/[^/]+$/, "/$1/*");
  const path = named.replaceAll(/\/(\d+|5[1-9A-HJ-NP-Za-km-z]{47})(?=\/|$)/g, "/*");
  return `${path}?${[...url.searchParams.keys()].sort().join("&")}`;
}

/** Follows the links of all pages; returns a path of each kind, by kind. */
async function discover() {
  const page = await visitor.tab();
  const found = new Map(["/", ...process.argv.slice(4)].map((path) => [kindOf(new URL(path, visitor.origin)), path]));
  // The iteration includes the paths that it adds.
  for (const path of found.values()) {
    await visitor.visit(page, path);
    // Bars of charts are links too, whose property `href` is not a text.
    for (const href of await page.$$eval("a[href]", (links) => links.map((link) => link.getAttribute("href")))) {
      const url = new URL(href, page.url());
      const isReordered = SAME_PAGE.some((name) => url.searchParams.has(name));
      const isPage = url.origin === visitor.origin && !url.pathname.startsWith("/theme/") && !isReordered;
      if (isPage && !found.has(kindOf(url))) found.set(kindOf(url), url.pathname + url.search);
    }
  }
  await page.context().close();
  return found;
}

/** Text of a page's content, without what changes meanwhile, times and metrics, and without buttons that need scripts. */
async function textOf(page) {
  const text = await page.locator("main").innerText();
  if (new URL(page.url()).pathname.startsWith("/services")) return text.replaceAll(/\d[\d.e-]*( m?s)?|\s+/g, " ").trim();
  return text.replaceAll(/Play both|Speak into the microphone/g, "").replaceAll(/just now|\d+ (s|min|h|days) ago/g, "ago").replaceAll(/\s+/g, " ").trim();
}

/** Opens all pages in one appearance, and audits them; returns their texts. */
async function look(paths, options, { isAudited = true } = {}) {
  const page = await visitor.tab(options);
  const texts = new Map();
  for (const path of paths) {
    await visitor.visit(page, path);
    const label = `${path} (${options.colorScheme}, ${options.viewport.width} px)`;
    texts.set(path, await textOf(page));
    if (isAudited) await visitor.audit(page, label);
    else await visitor.openDetails(page);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    if (width > options.viewport.width) visitor.faults.push(`${label}: the page is ${width} px wide`);
  }
  await page.context().close();
  return texts;
}

/** Checks that each page has the same text without scripts, and no hidden content. */
async function readWithoutScripts(texts) {
  const page = await visitor.tab({ javaScriptEnabled: false });
  for (const [path, text] of texts) {
    await visitor.visit(page, path);
    const plain = await textOf(page);
    if (plain !== text) visitor.faults.push(`${path} without scripts: ${plain}\nwith scripts: ${text}`);
    if (plain.length < 40) visitor.faults.push(`${path} without scripts is empty: ${plain}`);
  }
  await page.context().close();
}

/** Checks that the buttons of the colour schemes override the system's scheme, and are remembered. */
async function choose() {
  const page = await visitor.tab({ colorScheme: "light" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await visitor.visit(page, "/");
  const light = await background();
  await page.getByRole("link", { name: "dark", exact: true }).click();
  await visitor.visit(page, "/");
  const dark = await background();
  if (light === dark) visitor.faults.push(`the dark scheme has the light scheme's background: ${dark}`);
  await page.context().close();
}

/** Plays the first reply by keyboard, and returns the peak of what sounds, captured by Web Audio. */
async function listen(path) {
  const page = await visitor.tab();
  await visitor.visit(page, path);
  const players = page.locator("audio");
  const peaks = [];
  for (let position = 0; position < Math.min(await players.count(), 3); position += 1) {
    const player = players.nth(position);
    await player.focus();
    await page.keyboard.press("Space");
    peaks.push(await player.evaluate(async (audio) => {
      const context = new AudioContext();
      const analyser = new AnalyserNode(context, { fftSize: 8192 });
      context.createMediaElementSource(audio).connect(analyser).connect(context.destination);
      await context.resume();
      const samples = new Float32Array(analyser.fftSize);
      let peak = 0;
      for (const end = Date.now() + 60_000; Date.now() < end && !audio.ended; ) {
        analyser.getFloatTimeDomainData(samples);
        peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), peak);
        if (peak > 0.1) break;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      await context.close();
      return { peak, isPlaying: !audio.paused && audio.currentTime > 0 };
    }));
  }
  if (peaks.length < 2) visitor.faults.push(`${path} has ${peaks.length} recordings`);
  for (const { peak, isPlaying } of peaks) {
    if (!isPlaying || peak < AUDIBLE) visitor.faults.push(`${path}: a recording is silent: peak ${peak}, ${isPlaying}`);
  }
  // Only the last player plays: starting one pauses the others.
  const playing = await players.evaluateAll((all) => all.filter((audio) => !audio.paused && !audio.ended).length);
  if (playing > 1) visitor.faults.push(`${path}: ${playing} recordings play at once`);
  await page.context().close();
  return peaks.map(({ peak }) => peak);
}

/** Clicks on the time axis of the first recording, which plays from there and shows where it is. */
async function seek(path) {
  const page = await visitor.tab();
  await visitor.visit(page, path);
  const lane = page.locator(".lane").first();
  await lane.scrollIntoViewIfNeeded();
  const { x, y, width, height } = await lane.boundingBox();
  await page.mouse.click(x + width * 0.3, y + height / 2);
  const isAtClick = () => {
    const lane = document.querySelector(".lane");
    const shown = parseFloat(lane.querySelector(".playhead")?.getAttribute("x1"));
    const played = (lane.closest(".card").querySelector("audio").currentTime / lane.dataset.axis) * 100;
    return shown >= 29 && played >= 29;
  };
  try {
    await page.waitForFunction(isAtClick);
  } catch {
    visitor.faults.push(`${path}: a click on the time axis does not play from there: ${await lane.innerHTML()}`);
  }
  await page.context().close();
}

/** Plays a source and a reply together; returns the peaks of the left and the right channel. */
async function listenToBoth(path) {
  const page = await visitor.tab();
  await page.addInitScript(() => {
    globalThis.peaks = [0, 0];
    const { connect } = AudioNode.prototype;
    AudioNode.prototype.connect = function (target, ...rest) {
      if (target === this.context.destination) {
        const splitter = new ChannelSplitterNode(this.context, { numberOfOutputs: 2 });
        connect.call(this, splitter);
        for (const side of [0, 1]) {
          const analyser = new AnalyserNode(this.context, { fftSize: 8192 });
          const samples = new Float32Array(analyser.fftSize);
          connect.call(splitter, analyser, side);
          setInterval(() => {
            analyser.getFloatTimeDomainData(samples);
            globalThis.peaks[side] = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), globalThis.peaks[side]);
          }, 50);
        }
      }
      return connect.call(this, target, ...rest);
    };
  });
  await visitor.visit(page, path);
  const button = page.locator(".together").first();
  await button.click();
  const isAudible = (least) => globalThis.peaks.every((peak) => peak > least);
  try {
    await page.waitForFunction(isAudible, AUDIBLE);
  } catch {
    visitor.faults.push(`${path}: source and reply do not sound together: ${await button.innerText()}`);
  }
  await button.click();
  const pressed = await button.getAttribute("aria-pressed");
  if (pressed !== "false") visitor.faults.push(`${path}: the second click does not stop the recordings`);
  const peaks = await page.evaluate(() => globalThis.peaks);
  await page.context().close();
  return peaks;
}

const found = await discover();
const paths = [...found.values()];
const light = await look(paths, { viewport: DESKTOP, colorScheme: "light" });
// Colours do not depend on the width, so `./test` tries each scheme and each width once, and makes the audits, which take
// most of the time, once for each scheme.
const isExhaustive = Boolean(process.env.TAONET_TEST_ALL);
await look(paths, { viewport: TABLET, colorScheme: "light" }, { isAudited: isExhaustive });
await look(paths, { viewport: PHONE, colorScheme: "dark" });
if (isExhaustive) {
  await look(paths, { viewport: DESKTOP, colorScheme: "dark" });
  await look(paths, { viewport: TABLET, colorScheme: "dark" });
  await look(paths, { viewport: PHONE, colorScheme: "light" });
}
await readWithoutScripts(light);
await choose();
const page = await visitor.tab();
await visitor.visit(page, "/absent", 404);
await visitor.audit(page, "/absent");
const challenge = found.get("/challenges/*?");
const peaks = challenge && await listen(challenge);
const both = challenge && await listenToBoth(challenge);
if (challenge) await seek(challenge);
await visitor.finish({ kinds: [...found.keys()], peaks, both });
