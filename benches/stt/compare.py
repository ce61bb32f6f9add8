"""Times faster-whisper and our engine in turns on the same recordings. Started by `compare`.

Every measurement is a process of its own, so that its peak memory is its own: the parent starts this file again with
`--run KIND` for faster-whisper, and crates/whisper/benches/stt.rs for our engine. Loading a model is not in the times."""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
OURS = json.loads(os.environ["OURS"]) if "OURS" in os.environ else [
    "cargo", "bench", "--locked", "--quiet", "-p", "taonet-whisper", "--bench", "stt", "--"]
# The kinds of work, and what is wanted of our engine for each.
WANTED = {"encoder": 1.6, "sequential": 3.0, "batched": 2.0}
PEAK_WANTED = 1500
# Width and layers of the encoder.
ENCODERS = {"tiny": (384, 4), "base": (512, 6), "small": (768, 12), "medium": (1024, 24)}


def arguments():
    parser = argparse.ArgumentParser(prog="benches/stt/compare", description=(
        "Compares our Whisper engine with faster-whisper on one machine: the encoder alone, one recording after another, "
        "and the batched pipeline."))
    parser.add_argument("--size", default="small", help="shape of the model: tiny, base, small, ... (%(default)s)")
    parser.add_argument("--model", help="a directory with a model, instead of random weights")
    parser.add_argument("--threads", type=int, default=2, help="cores (%(default)s)")
    parser.add_argument("--recordings", type=int, default=16, help="(%(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="length of a recording (%(default)s)")
    parser.add_argument("--tokens", type=int, default=100, help="tokens a window (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each program; medians count (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="4 recordings of 30 s, 40 tokens, one round")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--run", choices=[*WANTED], help=argparse.SUPPRESS)
    found = parser.parse_args()
    if found.quick:
        found.recordings, found.seconds, found.tokens, found.rounds = 4, 30, 40, 1
    return found


def mixed(seed, seconds):
    """The recording that crates/whisper/benches/stt.rs makes: a chirp and noise."""
    import numpy
    count = seconds * 16000
    start, end = 180.0 + seed % 100, 900.0 + seed % 300
    phase = numpy.cumsum(start + (end - start) * numpy.arange(count) / count) / 16000
    state, noise = seed + 100000, numpy.empty(count)
    for i in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        noise[i] = ((state >> 40) / 2**24 * 2 - 1) * 0.18
    return (0.18 * numpy.sin(2 * numpy.pi * phase) + 0.35 * noise).astype(numpy.float32)


def processor_time():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(work):
    started, before = time.perf_counter(), processor_time()
    result = work()
    return result, time.perf_counter() - started, processor_time() - before


def run_theirs(options):
    """One measurement of faster-whisper or CTranslate2."""
    import numpy
    report = {}
    if options.run == "encoder":
        import ctranslate2
        from faster_whisper.feature_extractor import FeatureExtractor
        model = ctranslate2.models.Whisper(options.model, device="cpu", compute_type="int8", intra_threads=1)
        features = FeatureExtractor(feature_size=model.n_mels)(mixed(0, 30))[None, :, :3000]
        window = ctranslate2.StorageView.from_array(numpy.ascontiguousarray(features, dtype=numpy.float32))
        times = [timed(lambda: numpy.array(model.encode(window)))[1:] for _ in range(4)]
        report["wall"], report["cpu"] = min(wall for wall, _ in times), min(cpu for _, cpu in times)
    else:
        from faster_whisper import BatchedInferencePipeline, WhisperModel
        audio = [mixed(seed, options.seconds) for seed in range(options.recordings)]
        model = WhisperModel(options.model, device="cpu", compute_type="int8", cpu_threads=options.threads)
        common = dict(language="en", beam_size=5, temperature=[0.0], max_new_tokens=options.tokens, word_timestamps=True,
                      no_speech_threshold=None)
        encode, windows = model.encode, []
        # Where a window ends depends on its timestamps: random weights give more windows than speech does.
        model.encode = lambda features: windows.append(features.shape[0] if features.ndim == 3 else 1) or encode(features)
        if options.run == "batched":
            model = BatchedInferencePipeline(model)
            starts = range(0, options.seconds, 30)
            clips = [{"start": start, "end": min(start + 30, options.seconds)} for start in starts]
            common.update(clip_timestamps=clips, batch_size=8, without_timestamps=False)
        # The segments are made while they are read.
        results, report["wall"], report["cpu"] = timed(
            lambda: [list(model.transcribe(samples, **common)[0]) for samples in audio])
        report["windows"] = sum(windows)
        report["tokens"] = sum(len(segment.tokens) for segments in results for segment in segments)
        report["texts"] = ["".join(segment.text for segment in segments) for segments in results]
    report["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(report))


def last_line(command, **environment):
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment})
    return json.loads(result.stdout.splitlines()[-1])


def theirs(kind, options):
    keys = ("model", "threads", "recordings", "seconds", "tokens")
    command = [sys.executable, __file__, "--run", kind]
    for key in keys:
        command += [f"--{key}", str(getattr(options, key))]
    return last_line(command)


def ours(kind, options, threads=None):
    request = {"recordings": options.recordings, "seconds": options.seconds, "threads": threads or options.threads,
               "tokens": options.tokens, "encodings": 0}
    if kind == "encoder":
        request = {"recordings": 1, "seconds": 30, "threads": 1, "tokens": 1, "words": False, "encodings": 4}
    found = last_line([*OURS, options.model, json.dumps(request)])
    part = "encode" if kind == "encoder" else "wall"
    times = {"encode": ("encode_seconds", "encode_cpu_seconds"), "wall": ("wall_seconds", "cpu_seconds")}[part]
    return {"wall": found[times[0]], "cpu": found[times[1]], "peak": found["peak_megabytes"], "tokens": found["tokens"],
            "windows": found["windows"], "texts": found["texts"], "kernels": found["kernels"], "rates": (found["int8_rate"], found["float_rate"])}


def floor(size, int8_rate, float_rate):
    """Processor seconds of an encoded window's matrix products alone, in int8 and f32, at the kernels' full speed."""
    width, layers = ENCODERS[size]
    positions, mels = 1500, 80
    int8 = layers * positions * 12 * width * width * 2
    attention = layers * 2 * positions * positions * width * 2
    convolutions = (2 * positions * 3 * mels * width + positions * 3 * width * width) * 2
    return int8 / int8_rate / 1e9, (attention + convolutions) / float_rate / 1e9


def measure(options):
    """Results by program and kind. The programs take turns, so that what else runs on the machine meets each alike."""
    rounds = {name: [] for name in ("encoder", "sequential", "batched", "our encoder", "ours")}
    for turn in range(options.rounds):
        for kind, own in (("encoder", "our encoder"), ("sequential", "ours"), ("batched", None)):
            rounds[kind].append(theirs(kind, options))
            if own:
                rounds[own].append(ours(kind, options))
            print(f"turn {turn + 1} of {options.rounds}: {kind}", file=sys.stderr)
    return rounds


def middle(results, key):
    return statistics.median(result[key] for result in results)


def summary(options, rounds):
    audio = options.recordings * options.seconds
    first = rounds["ours"][0]
    pairs = zip(rounds["sequential"][0]["texts"], first["texts"])
    programs = {
        name: {"wall_seconds": middle(results, "wall"), "cpu_seconds": middle(results, "cpu"),
               "peak_megabytes": max(result["peak"] for result in results), "tokens": results[0].get("tokens"),
               "windows": results[0].get("windows")}
        for name, results in rounds.items()}
    ratios = {}
    for kind, wanted in WANTED.items():
        own = rounds["our encoder" if kind == "encoder" else "ours"]
        # By window: rounding changes the tokens of random weights, and these where the next window begins.
        windows = 1 if kind == "encoder" else own[0]["windows"] / rounds[kind][0]["windows"]
        ratios[kind] = {
            "wall": windows * middle(rounds[kind], "wall") / middle(own, "wall"),
            "cpu": windows * middle(rounds[kind], "cpu") / middle(own, "cpu"), "wanted": wanted}
    rates = [statistics.median(result["rates"][i] for result in rounds["our encoder"]) for i in range(2)]
    return {
        "rates": rates, "floor": floor(options.size, *rates) if options.size in ENCODERS else None,
        "model": options.size, "recordings": options.recordings, "seconds": options.seconds, "tokens": options.tokens,
        "threads": options.threads, "rounds": options.rounds, "kernels": first["kernels"], "audio_seconds": audio,
        "programs": programs, "ratios": ratios, "equal_texts": sum(a == b for a, b in pairs)}


def show(report):
    print(f"{report['recordings']} x {report['seconds']} s, beam 5, {report['tokens']} tokens a window, words timed, "
          f"{report['threads']} threads, {report['rounds']} turns, {report['kernels']}")
    names = {"sequential": "faster-whisper, one after another", "batched": "faster-whisper, batched pipeline", "ours": "ours"}
    print(f"{'':36}{'wall s':>9}{'CPU s':>9}{'windows':>9}{'tokens':>8}{'a window':>10}{'peak MB':>9}")
    for key, name in names.items():
        program = report["programs"][key]
        each = program["cpu_seconds"] / program["windows"]
        print(f"{name:36}{program['wall_seconds']:9.2f}{program['cpu_seconds']:9.2f}{program['windows']:9}{program['tokens']:8}"
              f"{each:8.2f} s{program['peak_megabytes']:9}")
    print(f"equal texts: {report['equal_texts']} of {report['recordings']}")
    print(f"{'faster-whisper / ours, by window':36}{'wall':>10}{'CPU':>9}{'wanted':>9}")
    titles = {"encoder": "encoder, one thread, one window", "sequential": "one after another", "batched": "batched pipeline"}
    for kind, title in titles.items():
        ratio = report["ratios"][kind]
        print(f"{title:36}{ratio['wall']:10.2f}{ratio['cpu']:9.2f}{ratio['wanted']:9}")
    encoders = [report["programs"][name]["cpu_seconds"] for name in ("encoder", "our encoder")]
    if report["floor"]:
        int8, rest = report["floor"]
        print(f"matrix products alone: {int8:.2f} s in int8 ({report['rates'][0]:.0f} GOP/s), {rest:.2f} s in f32 "
              f"({report['rates'][1]:.0f} GFLOP/s): {(int8 + rest) / encoders[1]:.0%} of our encoder's time")
    print(f"an encoded window: {encoders[0]:.2f} and {encoders[1]:.2f} CPU s; "
          f"our peak memory: {report['programs']['ours']['peak_megabytes']} MB, wanted below {PEAK_WANTED}")


def main():
    options = arguments()
    if options.run:
        return run_theirs(options)
    with tempfile.TemporaryDirectory() as work:
        if options.model is None:
            options.model = os.path.join(work, "model")
            maker = ROOT / "crates/whisper/tests/peer/random_model.py"
            subprocess.run([sys.executable, maker, options.model, "--size", options.size], check=True)
        report = summary(options, measure(options))
    if options.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    sys.exit(main())
