"""Speaks texts with piper-tts, without noise. Reads a request in JSON from standard input, and writes a response to
standard output: for each text its sentences, with phonemes, their numbers, and the name of a file with the samples."""

import json
import pathlib
import sys

from piper import PiperVoice, SynthesisConfig

request = json.load(sys.stdin)
voice = PiperVoice.load(request["voice"])
config = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0, length_scale=request["length_scale"])
folder = pathlib.Path(request["out"])
texts = []
for text in request["texts"]:
    sentences = []
    for chunk in voice.synthesize(text, config):
        name = f"{len(texts)}-{len(sentences)}"
        (folder / name).write_bytes(chunk.audio_float_array.astype("<f4").tobytes())
        sentences.append(
            {
                "phonemes": "".join(chunk.phonemes),
                "numbers": [int(number) for number in chunk.phoneme_ids],
                "file": name,
            }
        )
    texts.append(sentences)
json.dump(texts, sys.stdout)
