"""Transcribes recordings with faster-whisper (default options) and reports what it does.

usage: evaluate.py MODEL_DIR RECORDINGS_DIR [--table]
RECORDINGS_DIR holds transcripts.json. Prints word error rate, log probabilities, and the temperatures used; then the same for
silence and noise. Only needs faster-whisper."""
import argparse
import json
import re
import wave

import numpy as np
from faster_whisper import WhisperModel


def words(text):
    return re.sub(r"[^a-z' ]+", " ", text.lower()).split()


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def read(path):
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("recordings")
    parser.add_argument("--table", action="store_true", help="print every text")
    arguments = parser.parse_args()
    model = WhisperModel(arguments.model, device="cpu", compute_type="int8", cpu_threads=1)
    with open(f"{arguments.recordings}/transcripts.json", encoding="utf-8") as file:
        items = json.load(file)["items"]
    wrong = count = accepted = 0
    offsets = []
    for item in items:
        audio = read(f"{arguments.recordings}/{item['file']}")
        segments, info = model.transcribe(audio, word_timestamps=True)
        segments = list(segments)
        text = words(" ".join(segment.text for segment in segments))
        errors = distance(words(item["text"]), text)
        wrong, count = wrong + errors, count + len(words(item["text"]))
        temperature = max((segment.temperature for segment in segments), default=-1)
        accepted += temperature == 0
        heard = [word for segment in segments for word in segment.words]
        if "word_starts" in item and len(heard) == len(item["word_starts"]):
            offsets += [word.start - start for word, start in zip(heard, item["word_starts"]) if start is not None]
        print(f"{item['file']}: {errors} wrong, temperature {temperature}, average log probability "
              f"{min((segment.avg_logprob for segment in segments), default=0):.3f}, compression "
              f"{max((segment.compression_ratio for segment in segments), default=0):.2f}, no speech "
              f"{max((segment.no_speech_prob for segment in segments), default=1):.3f}, {info.language} "
              f"{info.language_probability:.3f}")
        if arguments.table:
            print(f"  wanted {item['text']}")
            for segment in segments:
                print(f"  {segment.start:6.2f} {segment.end:6.2f}{segment.text}")
    print(f"word error rate {wrong / count:.3f} of {count} words; temperature 0 in {accepted} of {len(items)}")
    if offsets:
        offsets = np.array(offsets)
        error = np.abs(offsets - offsets.mean())
        print(f"word starts: {len(offsets)} words, mean offset {offsets.mean():.3f} s, then mean error {error.mean():.3f} s")
    random = np.random.default_rng(1)
    for name, audio in (("silence", np.zeros(80000)), ("quiet noise", 0.003 * random.standard_normal(160000)),
                        ("noise", 0.05 * random.standard_normal(320000)), ("long silence", np.zeros(640000))):
        audio = audio.astype(np.float32)
        found = [(segment.text, round(segment.no_speech_prob, 3)) for segment in model.transcribe(audio)[0]]
        features = model.feature_extractor(audio)[:, :3000]
        encoded = model.encode(np.pad(features, ((0, 0), (0, 3000 - features.shape[1]))))
        start = model.hf_tokenizer.token_to_id("<|startoftranscript|>")
        result = model.model.generate(
            encoded, [[start, start + 1, model.hf_tokenizer.token_to_id("<|transcribe|>")]], return_no_speech_prob=True,
            return_scores=True)[0]
        print(f"{name}: {found or 'no text'}, no speech {result.no_speech_prob:.3f}, score {result.scores[0]:.2f}")


if __name__ == "__main__":
    main()
