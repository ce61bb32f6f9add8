#!/usr/bin/env python3
"""Lets faster-whisper (PyPI) hear vectors/speech with its default options.

    evaluate.py MODEL_DIR VECTORS_DIR [--show]
"""
import argparse, json, os, re, time
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio


def words(s):
    return re.sub(r"[^a-z' ]+", " ", s.lower()).split()


def errors(a, b):
    d = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        p, d[0] = d[0], i
        for j, y in enumerate(b, 1):
            p, d[j] = d[j], min(d[j] + 1, d[j - 1] + 1, p + (x != y))
    return d[-1]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("model")
    a.add_argument("vectors")
    a.add_argument("--show", action="store_true")
    a = a.parse_args()
    model = WhisperModel(a.model, device="cpu", compute_type="int8", cpu_threads=1)
    items = json.load(open(f"{a.vectors}/transcripts.json"))["items"]
    accepted = wrong = total = 0
    offsets, spent = [], time.process_time()
    for item in items:
        audio = decode_audio(f"{a.vectors}/{item['file']}")
        segments, info = model.transcribe(audio, word_timestamps=True)
        segments = list(segments)
        first = bool(segments) and all(s.temperature == 0 and s.avg_logprob > -1 and s.compression_ratio < 2.4 for s in segments)
        accepted += first
        said, heard = words(item["text"]), words(" ".join(s.text for s in segments))
        e = errors(said, heard)
        wrong, total = wrong + e, total + len(said)
        if heard == said:
            starts = [w.start for s in segments for w in s.words]
            offsets += [b - c for b, c in zip(starts, item["word_starts"]) if c is not None]
        if a.show:
            print(f"{item['file']} {item['voice']:14} accepted {int(first)} wrong {e}", [
                (s.start, s.end, s.text, round(s.avg_logprob, 2), round(s.compression_ratio, 2), round(s.no_speech_prob, 3), s.temperature)
                for s in segments])
    print(f"accepted {accepted} of {len(items)}, word error rate {wrong / total:.3f} ({wrong} of {total}), "
          f"processor time {time.process_time() - spent:.1f} s")
    if offsets:
        print(f"word starts of the faultless ones: mean {np.mean(offsets):+.3f} s, mean absolute {np.mean(np.abs(offsets)):.3f} s, n {len(offsets)}")
    rng = np.random.default_rng(1)
    for name, x in (("silence", np.zeros(64000)), ("faint noise", rng.standard_normal(160000) * .003), ("noise", rng.standard_normal(160000) * .05)):
        segments, _ = model.transcribe(x.astype(np.float32))
        print(name, [(s.text, round(s.no_speech_prob, 3), round(s.avg_logprob, 2)) for s in segments])
    whole = np.concatenate([np.concatenate([decode_audio(f"{a.vectors}/{i['file']}"), np.zeros(8000, np.float32)]) for i in items])
    segments, _ = model.transcribe(whole)
    segments = list(segments)
    said, heard = words(" ".join(i["text"] for i in items)), words(" ".join(s.text for s in segments))
    print(f"all in one ({len(whole) / 16000:.0f} s): word error rate {errors(said, heard) / len(said):.3f}, segments {len(segments)}, "
          f"temperatures {sorted({s.temperature for s in segments})}, windows at {sorted({s.seek for s in segments})}")
    if a.show:
        for s in segments:
            print("   ", s.seek, round(s.start, 2), round(s.end, 2), s.text, round(s.avg_logprob, 2))


if __name__ == "__main__":
    main()
