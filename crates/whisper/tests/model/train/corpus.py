"""Synthesizes the training sentences with espeak-ng.

usage: corpus.py OUT_DIR [--held-out TRANSCRIPTS.json] [--hours 30] [--jobs 2] [--seed 7]
Writes parts of 1000 sentences: NNN.i16 (samples at 16 kHz) and NNN.json (rows of position, samples, text, word starts in ms).
Silence around each sentence is trimmed. A second run resumes after an interruption: existing parts are kept."""
import argparse
import ctypes
import json
import os
import random
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy.signal import resample_poly

import texts

VOICES = (
    "en-us en-us en-us en-us en en en en-us+f3 en-us+f3 en-gb-scotland en-gb-scotland en+m4 en+m4 en-us+f1 en-us+f2 en-us+f4 "
    "en-us+m1 en-us+m3 en-us+m7 en+f2 en+f5 en+m2 en-gb-x-rp en-gb-x-gbclan").split()
CHUNK = 1000


class Event(ctypes.Structure):
    _fields_ = [
        ("kind", ctypes.c_int), ("message", ctypes.c_uint), ("position", ctypes.c_int), ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int), ("user", ctypes.c_void_p), ("id", ctypes.c_char * 8)]


class Synthesizer:
    """The library of espeak-ng, which also reports the start time of each word."""

    RATE, PITCH, WORD = 1, 3, 1

    def __init__(self):
        self.library = ctypes.CDLL("libespeak-ng.so.1")
        assert self.library.espeak_Initialize(2, 0, None, 0) == 22050
        self.blocks, self.events, self.voice = [], [], None
        self.callback = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))(self.receive)
        self.library.espeak_SetSynthCallback(self.callback)

    def receive(self, samples, count, events):
        if count > 0 and samples:
            self.blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events[i].kind:
            if events[i].kind == self.WORD:
                self.events.append((events[i].position, events[i].milliseconds))
            i += 1
        return 0

    def speak(self, text, voice, rate, pitch):
        """Returns trimmed int16 samples at 16 kHz, and the start of each word in ms (None: not reported)."""
        if voice != self.voice:
            assert self.library.espeak_SetVoiceByName(voice.encode()) == 0, voice
            self.voice = voice
        self.library.espeak_SetParameter(self.RATE, rate, 0)
        self.library.espeak_SetParameter(self.PITCH, pitch, 0)
        self.blocks.clear(), self.events.clear()
        data = text.encode()
        self.library.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        self.library.espeak_Synchronize()
        samples = resample_poly(np.concatenate(self.blocks).astype(np.float32), 320, 441)
        audible = np.flatnonzero(np.abs(samples) > 150)
        first, last = max(0, audible[0] - 160), audible[-1] + 160
        starts = [None] * len(text.split())
        for position, milliseconds in self.events:
            word = len(text[:position - 1].split()) if position > 1 else 0
            if word < len(starts) and starts[word] is None:
                starts[word] = max(0, round(milliseconds - first / 16))
        return np.clip(np.round(samples[first:last]), -32768, 32767).astype(np.int16), starts


def write(job):
    path, items = job
    if os.path.exists(path + ".json"):
        return
    synthesizer, rows, position = Synthesizer(), [], 0
    with open(path + ".i16", "wb") as file:
        for text, spoken, *how in sorted(items, key=lambda item: item[2]):
            samples, starts = synthesizer.speak(spoken, *how)
            if len(samples) < 14 * 16000:
                file.write(samples.tobytes())
                rows.append((position, len(samples), text, starts))
                position += len(samples)
    with open(path + ".part", "w") as file:
        json.dump(rows, file)
    os.rename(path + ".part", path + ".json")


def sentences(generator, held_out):
    """Yields an endless stream of sentences: running text, made-up sentences, and words in random order."""
    modern, older = texts.running()
    generator.shuffle(modern), generator.shuffle(older)
    counts = {}
    for sentence in modern:
        for word in sentence[:-1].split():
            counts[word] = counts.get(word, 0) + 1
    common = sorted(counts, key=counts.get, reverse=True)[:4000]
    words = texts.dictionary()
    i = 0
    while True:
        kind = generator.random()
        if kind < 0.45:
            text = modern[i % len(modern)] if generator.random() < 0.85 else older[i % len(older)]
            i += 1
        elif kind < 0.86:
            text = texts.grammar(generator)
        else:
            pick = (generator.choice(common) if generator.random() < 0.65 else generator.choice(words)
                    for _ in range(generator.randint(3, 10)))
            text = " ".join(pick) + "."
        if text[:-1] not in held_out:
            yield text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--held-out", help="transcripts.json whose sentences must not be spoken")
    parser.add_argument("--hours", type=float, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    generator = random.Random(arguments.seed)
    held_out = set()
    if arguments.held_out:
        with open(arguments.held_out, encoding="utf-8") as file:
            held_out = {item["text"] for item in json.load(file)["items"]}
    source = sentences(generator, held_out)
    jobs = []
    for part in range(round(arguments.hours * 3600 / 2.7 / CHUNK)):
        items = []
        for _ in range(CHUNK):
            text = next(source)
            # Half of the sentences are synthesized without the mark at the end.
            spoken = text if generator.random() < (0.8 if text[-1] == "?" else 0.5) else text[:-1]
            items.append((
                text, spoken, generator.choice(VOICES), int(generator.triangular(125, 230, 160)),
                int(generator.triangular(30, 75, 50))))
        jobs.append((f"{arguments.out}/{part:03d}", items))
    with ProcessPoolExecutor(arguments.jobs) as executor:
        for _ in executor.map(write, jobs):
            pass


if __name__ == "__main__":
    main()
