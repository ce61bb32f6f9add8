// Audio worklet that sends the samples of its input to the page, in blocks of 20 ms at 24 kHz.
"use strict";

const BLOCK = 480;

class Microphone extends AudioWorkletProcessor {
  block = new Float32Array(BLOCK);
  filled = 0;

  process([[input]]) {
    for (const sample of input ?? []) {
      this.block[this.filled] = sample;
      this.filled += 1;
      if (this.filled === BLOCK) {
        this.port.postMessage(this.block.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("microphone", Microphone);
