"""Times faster-whisper and our engine in turn on the same recordings. Started by `compare`."""

import json
import os
import resource
import subprocess
import sys
import time

import numpy

MODEL = sys.argv[1]
THREADS = int(os.environ.get("THREADS", 2))
RECORDINGS, SECONDS = int(os.environ.get("RECORDINGS", 16)), int(os.environ.get("SECONDS_EACH", 60))
TOKENS = int(os.environ.get("TOKENS", 100))
OURS = json.loads(os.environ["OURS"]) if "OURS" in os.environ else [
    "cargo", "bench", "--locked", "--quiet", "-p", "taonet-whisper", "--bench", "stt", "--"]
OPTIONS = dict(language="en", beam_size=5, temperature=[0.0], max_new_tokens=TOKENS, word_timestamps=True,
               no_speech_threshold=None)


def mixed(seed):
    """The recording that crates/whisper/benches/stt.rs makes."""
    count = SECONDS * 16000
    start, end = 180.0 + seed % 100, 900.0 + seed % 300
    phase = numpy.cumsum(start + (end - start) * numpy.arange(count) / count) / 16000
    state, noise = seed + 100000, numpy.empty(count)
    for i in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        noise[i] = ((state >> 40) / 2**24 * 2 - 1) * 0.18
    return (0.18 * numpy.sin(2 * numpy.pi * phase) + 0.35 * noise).astype(numpy.float32)


def ours(**request):
    request = {"recordings": RECORDINGS, "seconds": SECONDS, "tokens": TOKENS, "words": True, **request}
    command = [*OURS, MODEL, json.dumps(request)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def summary(results):
    """Number of windows and tokens, texts."""
    windows = sum(len({segment.seek for segment in segments}) for segments in results)
    tokens = sum(len(segment.tokens) for segments in results for segment in segments)
    return windows, tokens, ["".join(segment.text for segment in segments) for segments in results]


def timed(work):
    started, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - started, time.process_time() - cpu


def theirs(audio):
    from faster_whisper import BatchedInferencePipeline, WhisperModel
    # One reply after another, as the reference calls it, with the default threads.
    model = WhisperModel(MODEL, device="cpu", compute_type="int8", cpu_threads=THREADS)
    results, wall, cpu = timed(lambda: [list(model.transcribe(samples, **OPTIONS)[0]) for samples in audio])
    windows, tokens, texts = summary(results)
    report = {"wall": wall, "cpu": cpu, "windows": windows, "tokens": tokens, "texts": texts,
              "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    batched = BatchedInferencePipeline(model)
    clips = [{"start": start, "end": min(start + 30, SECONDS)} for start in range(0, SECONDS, 30)]
    options = {**OPTIONS, "without_timestamps": False}
    _, report["batched"], report["batched_cpu"] = timed(
        lambda: [list(batched.transcribe(samples, clip_timestamps=clips, batch_size=8, **options)[0]) for samples in audio])
    import ctranslate2
    single = ctranslate2.models.Whisper(MODEL, device="cpu", compute_type="int8", intra_threads=1)
    features = model.feature_extractor(audio[0])[None, :, :3000]
    window = ctranslate2.StorageView.from_array(numpy.ascontiguousarray(features))
    report["encode"] = min(timed(lambda: numpy.array(single.encode(window)))[1] for _ in range(3))
    return report


def main():
    audio = [mixed(seed) for seed in range(RECORDINGS)]
    other, own = theirs(audio), ours(threads=THREADS)
    alone = ours(threads=1, recordings=1) if THREADS > 1 else own
    total = RECORDINGS * SECONDS
    equal = sum(a == b for a, b in zip(other["texts"], own["texts"]))
    print(f"{RECORDINGS} x {SECONDS} s, beam 5, {TOKENS} tokens a window, words timed, {THREADS} threads, {own['kernels']}")
    print(f"                        seconds of audio/s   CPU-s   windows  tokens  peak MB")
    print(f"faster-whisper          {total / other['wall']:18.2f} {other['cpu']:7.1f} {other['windows']:9} {other['tokens']:7} "
          f"{other['peak']:8}")
    print(f"ours                    {total / own['wall_seconds']:18.2f} {own['cpu_seconds']:7.1f} {own['windows']:9} "
          f"{own['tokens']:7} {own['peak_megabytes']:8}")
    print(f"equal texts: {equal} of {RECORDINGS}")
    print(f"ratio to faster-whisper           {other['wall'] / own['wall_seconds']:5.2f}  (CPU "
          f"{other['cpu'] / own['cpu_seconds']:.2f}; wanted: 3)")
    print(f"ratio to the batched pipeline     {other['batched'] / own['wall_seconds']:5.2f}  (CPU "
          f"{other['batched_cpu'] / own['cpu_seconds']:.2f}; wanted: 2)")
    print(f"ratio of encoders, one thread     {other['encode'] / own['encode_seconds']:5.2f}  ({other['encode']:.2f} s, "
          f"{own['encode_seconds']:.2f} s; wanted: 1.6)")
    print(f"one recording on one thread: {SECONDS / alone['wall_seconds']:.2f} seconds of audio/s")


if __name__ == "__main__":
    sys.exit(main())
