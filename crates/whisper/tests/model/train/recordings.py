"""Synthesizes 20 test recordings: plain, with pauses, with noise, of two sentences, and of up to 70 s.

usage: recordings.py OUT_DIR
Writes WAV files at 16 kHz, and transcripts.json. Deterministic for one version of espeak-ng."""
import json
import os
import sys
import wave

import numpy as np

from corpus import Synthesizer

with open(os.path.join(os.path.dirname(__file__), "sentences.txt"), encoding="utf-8") as file:
    SENTENCES = file.read().splitlines()
# Kind, voice, words per minute, sentences
PLAN = (
    [("plain", voice, rate, [i]) for i, (voice, rate) in enumerate((
        ("en-us", 150), ("en", 160), ("en-us+f3", 155), ("en-gb-scotland", 150), ("en-us+m3", 165)))]
    + [("pause", voice, 155, [5 + i]) for i, voice in enumerate(("en-us", "en", "en-us+f2", "en+m2"))]
    + [("noise", voice, 155, [9 + i]) for i, voice in enumerate(("en-us", "en+f2", "en-gb-x-rp", "en-us+m1"))]
    + [("two", voice, 160, [13 + 2 * i, 14 + 2 * i])
       for i, voice in enumerate(("en-us", "en", "en-us+f1", "en-gb-scotland", "en+m4"))]
    + [("long", voice, 150, list(range(first, first + 19))) for voice, first in (("en-us", 0), ("en", 6))])
LONGEST = 70 * 16000


def recording(kind, voice, rate, chosen, index, synthesizer):
    random = np.random.default_rng(index)
    spoken = [synthesizer.speak(SENTENCES[i], voice, rate, 50)[0] for i in chosen]
    pieces, said = [], 0

    def silence(seconds):
        pieces.append(np.zeros(int(seconds * 16000), np.int16))

    if kind == "pause":
        # A pause before the speech, and one within: at the quietest place near the middle.
        whole = spoken[0]
        energy = np.convolve(np.abs(whole.astype(np.float32)), np.ones(800), "same")
        near = slice(len(whole) * 3 // 10, len(whole) * 7 // 10)
        middle = near.start + int(energy[near].argmin())
        silence(0.8)
        pieces.append(whole[:middle])
        silence(0.7)
        pieces.append(whole[middle:])
        silence(2.0)
    else:
        silence(0.1)
        for piece in spoken:
            if sum(map(len, pieces)) + len(piece) > LONGEST:
                break
            pieces.append(piece)
            said += 1
            silence(float(random.uniform(0.4, 0.9)) if kind != "long" else float(random.uniform(0.5, 1.3)))
    samples = np.concatenate(pieces).astype(np.float32)[:LONGEST]
    if kind == "noise":
        samples *= 0.5
        level = np.sqrt((samples ** 2).mean()) * 10 ** (-15 / 20)
        samples += level * random.standard_normal(len(samples))
    return np.clip(np.round(samples), -32768, 32767).astype("<i2"), chosen[:said or 1]


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    synthesizer, items = Synthesizer(), []
    for index, (kind, voice, rate, chosen) in enumerate(PLAN):
        samples, said = recording(kind, voice, rate, chosen, index, synthesizer)
        name = f"{kind}{index:02d}.wav"
        with wave.open(f"{out}/{name}", "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000)
            file.writeframes(samples.tobytes())
        text = " ".join(SENTENCES[i] for i in said)
        items.append({"file": name, "kind": kind, "voice": voice, "seconds": round(len(samples) / 16000, 2), "text": text})
    with open(f"{out}/transcripts.json", "w", encoding="utf-8") as file:
        json.dump({"items": items}, file, indent=1)
    print(f"{len(items)} recordings, {sum(item['seconds'] for item in items):.0f} s")


if __name__ == "__main__":
    main()
