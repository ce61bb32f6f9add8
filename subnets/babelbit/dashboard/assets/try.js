// Speaks to a miner: sends the microphone's sound, or a file's, while it plays the reply and shows captions of both.
"use strict";

(() => {
  /** Sample rate of the contest's protocol, in Hz. */
  const RATE = 24_000;
  /** Numbers of blocks in one request: from a frame of 80 ms up to 1 s. */
  const [MIN_BLOCKS, MAX_BLOCKS] = [4, 50];
  /** Interval between two requests for captions, in milliseconds. */
  const CAPTIONS_EVERY = 1_000;
  /** Time that a piece of the reply waits before it plays, against gaps between the pieces, in seconds. */
  const CUSHION = 0.1;

  let current;

  const element = (name) => document.getElementById(`try-${name}`);
  const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

  function show(name, text) {
    if (element(name).textContent !== text) element(name).textContent = text;
  }

  /** Names of languages, such as "French" for "fr". */
  const LANGUAGES = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

  /** Shows a caption, and below it the language and a latency. */
  function showCaption(name, { text, language }, latency) {
    show(name, text);
    show(`${name}-note`, [language && LANGUAGES.of(language), text && latency].filter(Boolean).join(", "));
  }

  async function ask(address, body) {
    const response = await fetch(address, { method: body === undefined ? "GET" : "POST", body });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }

  function samplesOf(base64) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  /** A conversation with a miner: from the first sample to the result. */
  class Conversation {
    blocks = [];
    samples = 0;
    isLast = false;
    hasEnded = false;
    /** Time at which the last piece of the reply ends, on the clock of the context. */
    playedUntil = 0;

    constructor(form) {
      this.form = form;
      this.limit = Number(form.dataset.seconds) * RATE;
      this.context = new AudioContext({ sampleRate: RATE });
    }

    /**
     * Speaks until the end of the recording that `load` returns, or without one until stop(). Returns the path of the
     * result.
     */
    async run(load) {
      const { form, context } = this;
      await context.audioWorklet.addModule(form.dataset.microphone);
      const recorder = new AudioWorkletNode(context, "microphone", { channelCount: 1, channelCountMode: "explicit" });
      recorder.port.addEventListener("message", ({ data }) => this.#hear(data));
      recorder.port.start();
      // Its output is silent; an unconnected node would not be processed.
      recorder.connect(context.destination);
      const input = load ? await this.#decoded(await load()) : await this.#microphone();
      const start = { miner: Number(form.elements.miner.value), keep: Boolean(form.elements.keep?.checked) };
      const { visit } = await ask(form.dataset.visits, JSON.stringify(start));
      this.address = `${form.dataset.visits}/${visit}`;
      input.connect(recorder);
      if (load) input.start();
      await context.resume();
      show("status", load ? "The recording is being sent." : "Speak now.");
      this.#caption();
      const result = await this.#send();
      show("status", "The miner has replied.");
      await sleep(1000 * Math.max(this.playedUntil - context.currentTime, 0));
      return result;
    }

    /** Ends the speech; the reply continues. */
    stop() {
      this.isLast = true;
      this.stream?.getTracks().forEach((track) => track.stop());
    }

    async close() {
      this.hasEnded = true;
      this.stop();
      await this.context.close();
    }

    async #microphone() {
      const audio = { channelCount: 1, echoCancellation: true };
      this.stream = await navigator.mediaDevices.getUserMedia({ audio });
      return new MediaStreamAudioSourceNode(this.context, { mediaStream: this.stream });
    }

    async #decoded(recording) {
      const buffer = await this.context.decodeAudioData(await recording.arrayBuffer());
      if (buffer.length > this.limit) throw new Error(`The recording is longer than ${this.form.dataset.seconds} s.`);
      const source = new AudioBufferSourceNode(this.context, { buffer });
      // The last block may still be on its way from the worklet.
      source.addEventListener("ended", () => { setTimeout(() => this.stop(), 200); });
      return source;
    }

    #hear(block) {
      if (this.isLast) return;
      if (this.samples + block.length > this.limit) {
        this.stop();
        return;
      }
      this.samples += block.length;
      this.blocks.push(block);
    }

    /** Takes the samples of the next request. */
    #take() {
      const taken = this.blocks.splice(0, MAX_BLOCKS);
      const samples = new Float32Array(taken.reduce((sum, block) => sum + block.length, 0));
      let offset = 0;
      for (const block of taken) {
        samples.set(block, offset);
        offset += block.length;
      }
      return samples;
    }

    /** Sends the samples as they arrive, and plays the reply. Returns the path of the result. */
    async #send() {
      for (;;) {
        while (this.blocks.length < MIN_BLOCKS && !this.isLast) await sleep(20);
        const samples = this.#take();
        const isLast = this.isLast && this.blocks.length === 0;
        if (isLast) {
          this.hasEnded = true;
          show("status", "Waiting for the end of the reply.");
        }
        const { audio, heard, said, result } = await ask(`${this.address}/sound${isLast ? "?last" : ""}`, samples);
        this.#play(samplesOf(audio));
        if (!isLast) continue;
        show("heard", heard);
        show("said", said);
        return result;
      }
    }

    #play(samples) {
      if (samples.length === 0) return;
      const { context } = this;
      const buffer = new AudioBuffer({ length: samples.length, sampleRate: RATE });
      buffer.copyToChannel(samples, 0);
      const source = new AudioBufferSourceNode(context, { buffer });
      source.connect(context.destination);
      const isFirst = this.playedUntil < context.currentTime;
      const start = isFirst ? context.currentTime + CUSHION : this.playedUntil;
      source.start(start);
      this.playedUntil = start + buffer.duration;
    }

    /** Shows captions until the last request, whose response has the complete ones. */
    async #caption() {
      for (;;) {
        await sleep(CAPTIONS_EVERY);
        if (this.hasEnded) return;
        try {
          const { heard, said, lagging_sec: lagging } = await ask(`${this.address}/captions`);
          if (this.hasEnded) return;
          showCaption("heard", heard, `transcribed in ${heard.delay_sec.toFixed(1)} s`);
          showCaption("said", said, lagging !== null && `${lagging.toFixed(1)} s behind you`);
        } catch {
          // The conversation failed, which #send() reports.
          return;
        }
      }
    }
  }

  /** Shows the result's figures and recordings below the form. */
  async function showResult(path) {
    const page = new DOMParser().parseFromString(await (await fetch(path)).text(), "text/html");
    element("result").replaceChildren(document.importNode(page.getElementById("try-outcome"), true));
  }

  /** Speaks into the microphone, or sends the recording that `load` returns. */
  async function converse(form, load) {
    if (current) return;
    const button = element("speak");
    element("live").hidden = false;
    element("result").replaceChildren();
    for (const name of ["heard", "said"]) showCaption(name, { text: "" });
    show("status", "Calling the miner.");
    button.setAttribute("aria-pressed", "true");
    button.textContent = "Stop";
    try {
      current = new Conversation(form);
      const result = await current.run(load);
      await showResult(result);
      element("live").hidden = true;
    } catch (error) {
      show("status", `The conversation failed: ${error.message}`);
    } finally {
      await current?.close();
      current = undefined;
      button.setAttribute("aria-pressed", "false");
      button.textContent = "Speak into the microphone";
    }
  }

  document.addEventListener("click", (event) => {
    if (event.target.id !== "try-speak") return;
    if (current) current.stop();
    else converse(event.target.form);
  });

  /** Downloads the sample in a language. */
  async function sample(form, language) {
    const response = await fetch(`${form.dataset.samples}/${encodeURIComponent(language)}`);
    if (!response.ok) throw new Error("The sample is missing: reload the page.");
    return response;
  }

  document.addEventListener("submit", (event) => {
    const { target: form, submitter } = event;
    if (form.id !== "try-form") return;
    event.preventDefault();
    const isSample = submitter?.name === "sample";
    converse(form, async () => (isSample ? sample(form, submitter.value) : form.elements.sound.files[0]));
  });

  // A file can be dropped anywhere on the form.
  document.addEventListener("dragover", (event) => {
    if (event.target.closest?.("#try-form")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    const form = event.target.closest?.("#try-form");
    const file = event.dataTransfer.files[0];
    if (!form || !file) return;
    event.preventDefault();
    form.elements.sound.files = event.dataTransfer.files;
    converse(form, async () => file);
  });
})();
