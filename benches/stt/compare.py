"""Times faster-whisper and our engine in turns on the same recordings. Started by `compare`.

With published weights, replies of 3 to 20 s are transcribed, too: by the reference one after another, by ours together,
since a validator has those of all miners.

Every measurement is a process of its own, so that its peak memory is its own: the parent starts this file again with
`--run KIND` for faster-whisper, and crates/whisper/benches/stt.rs for our engine. Loading a model is not in the times.

In a challenge, miners reply to several utterances; of twelve replies, two have no audio, two are too late for any score,
and one is a copy of another one. The reference transcribes the replies of an utterance after it has been played, one
after another, late ones too; it keeps transcripts by the hash of the audio, and plays the next utterance after that. Its
time is measured without the play, which is added. Our side is the runner's scorer, in challenge.rs.

Random weights fill each window to the maximum number of tokens and end it with a timestamp, so that both programs decode
the same number of windows and tokens. A ratio is reported as missed if they do not."""

import argparse
import hashlib
import io
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import wave

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
from child_process import last_line

OURS = json.loads(os.environ["OURS"]) if "OURS" in os.environ else [
    "cargo", "bench", "--locked", "--quiet", "-p", "taonet-whisper", "--bench", "stt", "--"]
OUR_CHALLENGE = json.loads(os.environ["OUR_CHALLENGE"]) if "OUR_CHALLENGE" in os.environ else [
    "cargo", "bench", "--locked", "--quiet", "-p", "taonet-cli", "--bench", "challenge", "--"]
# The kinds of work, and what is wanted of our engine for each.
WANTED = {"encoder": 1.6, "sequential": 3.0, "batched": 2.0, "challenge": 5.0, "workers": 0.9, "replies": 3.0}
# The results that each kind of work compares: the peer's and ours. For workers, both are ours.
PAIRS = {"encoder": ("encoder", "our encoder"), "sequential": ("sequential", "ours"), "batched": ("batched", "our windows"),
         "challenge": ("challenge", "our challenge"), "workers": ("one process", "workers"),
         "replies": ("replies", "our replies")}
# Seconds of a window.
WINDOW = 30
# Lengths of the replies of the part `replies`, in seconds.
REPLIES = range(3, 21)
PEAK_WANTED = 1500
# The programs whose peak memory has this goal.
PEAKS = ("ours", "our windows")
# Width and layers of the encoder.
ENCODERS = {"tiny": (384, 4), "base": (512, 6), "small": (768, 12), "medium": (1024, 24)}


def arguments():
    parser = argparse.ArgumentParser(prog="benches/stt/compare", description=(
        "Compares our Whisper engine with faster-whisper on one machine: the encoder alone, one recording after another, "
        "the batched pipeline, and the scoring of a challenge. Also compares workers on NATS with one process of ours."))
    parser.add_argument("--size", default="small", help="shape of the model: tiny, base, small, ... (%(default)s)")
    parser.add_argument("--model", help="a directory with a model, instead of random weights")
    parser.add_argument("--weights", metavar="SIZE", help=(
        "the published weights of a size, which `tao models pull faster-whisper-SIZE` or scripts/models installs, such as "
        "base, instead of random ones; also measures replies of 3 to 20 s"))
    parser.add_argument("--threads", type=int, default=2, help="cores (%(default)s)")
    parser.add_argument("--recordings", type=int, default=16, help="(%(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="length of a recording (%(default)s)")
    parser.add_argument("--tokens", type=int, default=100, help="value of max_new_tokens (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each program; medians count (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=[*WANTED], help="comparisons (all; replies only with --weights)")
    parser.add_argument("--utterances", type=int, default=8, help="utterances of the challenge (%(default)s)")
    parser.add_argument("--miners", type=int, default=32, help="replies to each, at least 3 (%(default)s)")
    parser.add_argument("--reply-seconds", type=int, default=12, help="length of a reply (%(default)s)")
    parser.add_argument("--play-seconds", type=float, help="time for playing an utterance (that of a reply)")
    parser.add_argument("--quick", action="store_true", help=(
        "4 recordings of 30 s, max_new_tokens 40, 2 utterances with 12 replies of 6 s, one round"))
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--run", choices=[*WANTED], help=argparse.SUPPRESS)
    parser.add_argument("--replies", help=argparse.SUPPRESS)
    parser.add_argument("--lengths", help=argparse.SUPPRESS)
    if parser.parse_args().quick:
        # Options that are given still count.
        parser.set_defaults(recordings=4, seconds=30, tokens=40, rounds=1, utterances=2, miners=12, reply_seconds=6)
    found = parser.parse_args()
    if found.weights is not None:
        if found.model is not None:
            parser.error("--weights and --model exclude each other")
        found.model = os.path.join(os.environ["MODELS_DIR"], f"faster-whisper-{found.weights}")
        if not os.path.isfile(os.path.join(found.model, "model.bin")):
            parser.error(f"{found.model} is not installed: run `tao models pull faster-whisper-{found.weights}`")
    if found.parts is None:
        found.parts = [part for part in WANTED if part != "replies" or found.weights is not None]
    if "replies" in found.parts and found.model is None:
        parser.error("replies of real speech need real weights: --weights SIZE, or --model DIRECTORY")
    if found.model is None and not (3 <= found.tokens <= 221 and found.seconds in (WINDOW, 2 * WINDOW)):
        parser.error("random weights need --tokens between 3 and 221, and --seconds 30 or 60")
    if found.miners < 3 or found.utterances < 1:
        parser.error("--miners must be at least 3, as the first two replies have no audio; --utterances at least 1")
    if found.play_seconds is None:
        found.play_seconds = found.reply_seconds
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


def sentences_spoken():
    """The samples of the sentences in vectors/speech."""
    import numpy
    sentences = []
    for index in range(20):
        with wave.open(str(ROOT / f"vectors/speech/utt{index:02}.wav")) as file:
            sentences.append(numpy.frombuffer(file.readframes(file.getnframes()), "<i2"))
    return sentences


def write_reply(path, spoken):
    """Writes samples at 16 kHz as a miner's reply, at 24 kHz."""
    import numpy
    count = len(spoken) * 3 // 2
    resampled = numpy.interp(numpy.arange(count) / count, numpy.arange(len(spoken)) / len(spoken), spoken)
    with wave.open(path, "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(24000)
        file.writeframes(resampled.round().astype("<i2").tobytes())


def make_replies_of_lengths(folder):
    """Writes a reply of each of the lengths in REPLIES; returns their paths."""
    import numpy
    sentences, paths = sentences_spoken(), []
    for seconds in REPLIES:
        # Sentences last 2.4 to 4 s.
        spoken = numpy.concatenate([sentences[(seconds + k) % 20] for k in range(seconds // 2 + 1)])
        paths.append(os.path.join(folder, f"{seconds}s.wav"))
        write_reply(paths[-1], spoken[:seconds * 16000])
    return paths


def make_replies(folder, options):
    """Writes the replies of a challenge, made of the sentences in vectors/speech. Returns them by utterance, as
    challenge.rs reads them."""
    import numpy
    sentences = sentences_spoken()
    utterances = []
    for utterance in range(options.utterances):
        replies = []
        for miner in range(options.miners):
            part, at = miner % 12, utterance + 3 * miner
            if part == 4 and miner > 0:
                # A copy of the reply before it.
                replies.append({"wav": replies[-1]["wav"], "is_late": False})
                continue
            spoken = numpy.concatenate([sentences[(at + k) % 20] for k in range(options.reply_seconds // 2 + 1)])
            spoken = spoken[:options.reply_seconds * 16000]
            # No two replies are equal.
            spoken = spoken * (0.5 + 0.4 * miner / options.miners)
            path = os.path.join(folder, f"reply{utterance}_{miner}.wav")
            write_reply(path, spoken)
            replies.append({"wav": None if part in (0, 1) else path, "is_late": part in (6, 7)})
        utterances.append(replies)
    return utterances


def decoded(content):
    """The samples of a WAV file at 16 kHz, as the reference resamples them."""
    import numpy
    with wave.open(io.BytesIO(content)) as file:
        samples = numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype(numpy.float32) / 32768
        count = round(len(samples) / file.getframerate() * 16000)
    return numpy.interp(numpy.arange(count) / count, numpy.arange(len(samples)) / len(samples), samples).astype(numpy.float32)


def transcribe_replies(model, utterances, options):
    """Transcribes replies as the reference does; returns the number of transcriptions."""
    known = {}
    for reply in (reply for replies in utterances for reply in replies if reply["wav"]):
        content = pathlib.Path(reply["wav"]).read_bytes()
        name = hashlib.sha256(content).digest()
        if name not in known:
            known[name] = list(model.transcribe(decoded(content), **options)[0])
    return len(known)


def windows_of(options):
    """The number of windows of the recordings. For the batched pipeline, each is a recording of its own."""
    return options.recordings * options.seconds // WINDOW


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
        model = WhisperModel(options.model, device="cpu", compute_type="int8", cpu_threads=options.threads)
        common = dict(language="en", beam_size=5, temperature=[0.0], max_new_tokens=options.tokens, word_timestamps=True,
                      no_speech_threshold=None)
        encode, windows = model.encode, []
        model.encode = lambda features: windows.append(features.shape[0] if features.ndim == 3 else 1) or encode(features)
        if options.run == "challenge":
            utterances = json.loads(pathlib.Path(options.replies).read_text())
            report["transcribed"], report["wall"], report["cpu"] = timed(
                lambda: transcribe_replies(model, utterances, common))
            report["windows"] = sum(windows)
            print(json.dumps(report))
            return
        if options.run == "replies":
            paths = json.loads(pathlib.Path(options.lengths).read_text())
            audio = [decoded(pathlib.Path(path).read_bytes()) for path in paths]
        elif options.run == "batched":
            model = BatchedInferencePipeline(model)
            # One recording, so that batches are full.
            audio = [numpy.concatenate([mixed(seed, WINDOW) for seed in range(windows_of(options))])]
            starts = range(0, len(audio[0]) // 16000, WINDOW)
            clips = [{"start": start, "end": start + WINDOW} for start in starts]
            common.update(clip_timestamps=clips, batch_size=8, without_timestamps=False)
        else:
            audio = [mixed(seed, options.seconds) for seed in range(options.recordings)]
        # The segments are made while they are read.
        results, report["wall"], report["cpu"] = timed(
            lambda: [list(model.transcribe(samples, **common)[0]) for samples in audio])
        report["windows"] = sum(windows)
        report["tokens"] = sum(len(segment.tokens) for segments in results for segment in segments)
        report["texts"] = ["".join(segment.text for segment in segments) for segments in results]
    report["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(report))


def build(options):
    """Builds our benchmarks, as far as the parts need them: the one of a challenge contains the whole program."""
    benches = [("OURS", "taonet-whisper", "stt", ("encoder", "sequential", "batched", "replies")),
               ("OUR_CHALLENGE", "taonet-cli", "challenge", ("challenge", "workers"))]
    for replaced, package, bench, parts in benches:
        if replaced not in os.environ and any(part in parts for part in options.parts):
            command = ["cargo", "bench", "--locked", "--no-run", "-p", package, "--bench", bench]
            subprocess.run(command, check=True, stdout=sys.stderr)


def theirs(kind, options):
    keys = ("model", "threads", "recordings", "seconds", "tokens", "replies", "lengths")
    command = [sys.executable, __file__, "--run", kind]
    for key in keys:
        command += [f"--{key}", str(getattr(options, key))]
    return last_line(command)


def our_challenge(options, workers=0, play=0.0):
    request = {"model": options.model, "threads": options.threads, "tokens": options.tokens, "workers": workers,
               "play": play, "utterances": json.loads(pathlib.Path(options.replies).read_text())}
    found = last_line([*OUR_CHALLENGE, json.dumps(request)])
    # The CPU time of workers is not measured: they are processes of their own.
    return {**found, "wall": found["wall_seconds"], "cpu": None if workers else found["cpu_seconds"]}


def ours(kind, options):
    request = {"recordings": options.recordings, "seconds": options.seconds, "threads": options.threads,
               "tokens": options.tokens, "encodings": 0}
    if kind == "batched":
        request.update(recordings=windows_of(options), seconds=WINDOW)
    if kind == "replies":
        request.update(audio=json.loads(pathlib.Path(options.lengths).read_text()))
    if kind == "encoder":
        request = {"recordings": 1, "seconds": 30, "threads": 1, "tokens": 1, "words": False, "encodings": 4}
    found = last_line([*OURS, options.model, json.dumps(request)])
    part = "encode" if kind == "encoder" else "wall"
    times = {"encode": ("encode_seconds", "encode_cpu_seconds"), "wall": ("wall_seconds", "cpu_seconds")}[part]
    return {"wall": found[times[0]], "cpu": found[times[1]], "peak": found["peak_megabytes"], "tokens": found["tokens"],
            "windows": found["windows"], "texts": found["texts"], "kernels": found["kernels"],
            "rates": found["rates"]}


def floor(size, rates):
    """Billions of operations of an encoded window's matrix products, and their processor seconds at the kernels' full
    speed, by kind of product."""
    width, layers = ENCODERS[size]
    positions, mels = 1500, 80
    operations = {
        "int8": layers * positions * 12 * width * width * 2 / 1e9,
        "attention": layers * 2 * positions * positions * width * 2 / 1e9,
        "convolutions": (2 * positions * 3 * mels * width + positions * 3 * width * width) * 2 / 1e9}
    return {kind: {"operations": count, "seconds": count / rates[kind]["rate"]} for kind, count in operations.items()}


def measure(options):
    """Results by name. The programs take turns, so that what else runs on the machine meets each alike. A program that
    fails is not run again; the others are."""
    runs = {
        "encoder": lambda: theirs("encoder", options), "our encoder": lambda: ours("encoder", options),
        "sequential": lambda: theirs("sequential", options), "batched": lambda: theirs("batched", options),
        "ours": lambda: ours("sequential", options), "our windows": lambda: ours("batched", options),
        "challenge": lambda: theirs("challenge", options),
        "our challenge": lambda: our_challenge(options, play=options.play_seconds),
        "replies": lambda: theirs("replies", options), "our replies": lambda: ours("replies", options),
        "one process": lambda: our_challenge(options), "workers": lambda: our_challenge(options, workers=options.threads)}
    rounds = {}
    for turn in range(options.rounds):
        for name in (name for part in options.parts for name in PAIRS[part]):
            if len(rounds.get(name, [])) < turn:
                continue
            started = time.perf_counter()
            try:
                result = runs[name]()
            except (subprocess.SubprocessError, ValueError, KeyError) as error:
                print(f"turn {turn + 1} of {options.rounds}: {name} failed: {error}", file=sys.stderr)
                continue
            rounds.setdefault(name, []).append(result)
            cpu = "" if result["cpu"] is None else f"{result['cpu']:.2f} s CPU, "
            print(f"turn {turn + 1} of {options.rounds}: {name}, {result['wall']:.2f} s wall, {cpu}"
                  f"{time.perf_counter() - started:.0f} s in all", file=sys.stderr)
    return rounds


def middle(results, key):
    """The median of a time; None where it is not measured."""
    times = [result[key] for result in results]
    return None if None in times else statistics.median(times)


def speedup(part, options, rounds):
    """The peer's times divided by ours. The time of playing is added to the reference's for a challenge."""
    peer, own = (rounds[name] for name in PAIRS[part])
    play = options.utterances * options.play_seconds if part == "challenge" else 0
    found = {"wall": (middle(peer, "wall") + play) / middle(own, "wall"), "wanted": WANTED[part]}
    return found if part == "workers" else {**found, "cpu": middle(peer, "cpu") / middle(own, "cpu")}


def unequal(part, rounds):
    """The work of two programs, if it differs: then the ratio of their times says nothing. Of a challenge, ours leaves
    out some replies, and each takes one window."""
    if part in ("encoder", "workers"):
        return None
    if part == "challenge":
        works = [{result["windows"] / result["transcribed"] for result in rounds[name]} | {1} for name in PAIRS[part]]
    else:
        works = [{(result["windows"], result["tokens"]) for result in rounds[name]} for name in PAIRS[part]]
    if len(set().union(*works)) == 1:
        return None
    return f"{part}: different numbers of windows or tokens, {works[0]} and {works[1]}"


def summary(options, rounds):
    programs = {
        name: {"wall_seconds": middle(results, "wall"), "cpu_seconds": middle(results, "cpu"),
               "peak_megabytes": max((result["peak"] for result in results if "peak" in result), default=None),
               **{key: results[0].get(key) for key in ("tokens", "windows", "transcribed", "replies")}}
        for name, results in rounds.items()}
    measured = [part for part in options.parts if all(name in rounds for name in PAIRS[part])]
    ratios = {part: speedup(part, options, rounds) for part in measured}
    report = {
        "model": options.name, "recordings": options.recordings, "seconds": options.seconds, "max_new_tokens": options.tokens,
        "threads": options.threads, "rounds": options.rounds, "audio_seconds": options.recordings * options.seconds,
        "utterances": options.utterances, "miners": options.miners, "reply_seconds": options.reply_seconds,
        "play_seconds": options.play_seconds, "programs": programs, "ratios": ratios}
    if "our encoder" in rounds:
        found = [result["rates"] for result in rounds["our encoder"]]
        report["rates"] = {
            kind: {"kernel": first["kernel"], "rate": statistics.median(rates[kind]["rate"] for rates in found)}
            for kind, first in found[0].items()}
        report["floor"] = floor(options.name, report["rates"]) if options.name in ENCODERS else None
    if "sequential" in measured:
        pairs = zip(rounds["sequential"][0]["texts"], rounds["ours"][0]["texts"])
        report["equal_texts"] = sum(a == b for a, b in pairs)
    if "replies" in measured:
        pairs = zip(rounds["replies"][0]["texts"], rounds["our replies"][0]["texts"])
        report["equal_replies"] = sum(a == b for a, b in pairs)
    first = next((rounds[name][0] for name in ("ours", "our encoder") if name in rounds), {})
    report["kernels"] = first.get("kernels")
    report["missed"] = [f"{part}: not measured" for part in options.parts if part not in measured] + missed(report)
    if options.name == options.size:
        report["missed"] += filter(None, (unequal(part, rounds) for part in measured))
    return report


def missed(report):
    """The goals that are missed: ratios of wall-clock time, and our peak memory."""
    found = [f"{part}: {ratio['wall']:.2f}, wanted {ratio['wanted']}"
             for part, ratio in report["ratios"].items() if ratio["wall"] < ratio["wanted"]]
    peaks = {name: report["programs"].get(name, {}).get("peak_megabytes") or 0 for name in PEAKS}
    return found + [f"peak memory, {name}: {peak} MB, wanted below {PEAK_WANTED}"
                    for name, peak in peaks.items() if peak >= PEAK_WANTED]


def show(report):
    print(f"{report['model']}, {report['recordings']} x {report['seconds']} s, beam 5, max_new_tokens "
          f"{report['max_new_tokens']}, words timed, {report['threads']} threads, {report['rounds']} turns"
          + (f", {report['kernels']}" if report["kernels"] else ""))
    programs, ratios = report["programs"], report["ratios"]
    names = {"sequential": "faster-whisper, one after another", "ours": "ours",
             "batched": "faster-whisper, batched pipeline", "our windows": "ours, windows without context"}
    print(f"{'':36}{'wall s':>9}{'CPU s':>9}{'windows':>9}{'tokens':>8}{'a window':>10}{'audio s/s':>11}{'peak MB':>9}")
    for key, name in names.items():
        if key in programs:
            program = programs[key]
            each = program["cpu_seconds"] / program["windows"]
            print(f"{name:36}{program['wall_seconds']:9.2f}{program['cpu_seconds']:9.2f}{program['windows']:9}"
                  f"{program['tokens']:8}{each:8.2f} s{report['audio_seconds'] / program['wall_seconds']:11.2f}"
                  f"{program['peak_megabytes']:9}")
    if "equal_texts" in report:
        print(f"equal texts: {report['equal_texts']} of {report['recordings']}")
    if "equal_replies" in report:
        seconds = sum(REPLIES)
        print(f"{len(REPLIES)} replies of {REPLIES.start} to {REPLIES.stop - 1} s, equal texts: {report['equal_replies']}")
        for key, name in (("replies", "faster-whisper, one after another"), ("our replies", "ours, together")):
            program = programs[key]
            print(f"{name:36}{program['wall_seconds']:9.2f}{program['cpu_seconds']:9.2f}{program['windows']:9}"
                  f"{program['tokens']:8}{program['cpu_seconds'] / seconds:8.3f} s{seconds / program['wall_seconds']:11.2f}"
                  f"{program['peak_megabytes']:9}")
    if "challenge" in programs or "workers" in programs:
        print(f"challenge of {report['utterances']} utterances, {report['miners']} replies of {report['reply_seconds']} s to "
              f"each, played in {report['play_seconds']:g} s")
        print(f"{'':36}{'wall s':>9}{'CPU s':>9}{'windows':>9}{'transcribed':>12}")
        names = {"challenge": "the reference's way, without play", "our challenge": "ours, with play",
                 "one process": "ours, without play"}
        for key, name in names.items():
            if key in programs:
                program = programs[key]
                print(f"{name:36}{program['wall_seconds']:9.2f}{program['cpu_seconds']:9.2f}{program['windows']:9}"
                      f"{program['transcribed']:12}")
        if "workers" in programs:
            print(f"{'ours, with ' + str(report['threads']) + ' workers on NATS':36}{programs['workers']['wall_seconds']:9.2f}")
    print(f"{'ratio':36}{'wall':>10}{'CPU':>9}{'wanted':>9}")
    titles = {
        "encoder": "encoder, one thread, one window", "sequential": "one after another", "batched": "batched pipeline",
        "challenge": "the reference's way / ours", "workers": "one process / workers",
        "replies": "replies of 3 to 20 s"}
    for kind, ratio in ratios.items():
        cpu = f"{ratio['cpu']:9.2f}" if "cpu" in ratio else " " * 9
        print(f"{titles[kind]:36}{ratio['wall']:10.2f}{cpu}{ratio['wanted']:9}")
    if "challenge" in programs and "one process" in programs:
        print(f"the challenge without play: {programs['challenge']['wall_seconds'] / programs['one process']['wall_seconds']:.2f}")
    if "encoder" in ratios:
        encoders = [programs[name]["cpu_seconds"] for name in ("encoder", "our encoder")]
        for kind, rate in report["rates"].items():
            print(f"products alone, {kind}, {rate['kernel']}: {rate['rate']:.0f} GOP/s", end="")
            if report["floor"]:
                part = report["floor"][kind]
                print(f", {part['operations']:.0f} GOP in {part['seconds']:.2f} s", end="")
            print()
        if report["floor"]:
            seconds = sum(part["seconds"] for part in report["floor"].values())
            print(f"matrix products alone: {seconds:.2f} s, {seconds / encoders[1]:.0%} of our encoder's time")
        print(f"an encoded window: {encoders[0]:.2f} and {encoders[1]:.2f} CPU s")
    for name in PEAKS:
        if name in programs:
            print(f"peak memory, {name}: {programs[name]['peak_megabytes']} MB, wanted below {PEAK_WANTED}")


def main():
    options = arguments()
    if options.run:
        return run_theirs(options)
    build(options)
    options.name = f"faster-whisper-{options.weights}" if options.weights else options.model or options.size
    if options.model:
        # Our benchmarks run in the directories of their packages.
        options.model = os.path.abspath(options.model)
    with tempfile.TemporaryDirectory() as work:
        if options.model is None:
            options.model = os.path.join(work, "model")
            maker = ROOT / "crates/whisper/tests/peer/random_model.py"
            shape = ["--size", options.size, "--max-new-tokens", str(options.tokens)]
            subprocess.run([sys.executable, maker, options.model, *shape], check=True)
        options.lengths = os.path.join(work, "lengths.json")
        if "replies" in options.parts:
            pathlib.Path(options.lengths).write_text(json.dumps(make_replies_of_lengths(work)))
        options.replies = os.path.join(work, "replies.json")
        pathlib.Path(options.replies).write_text(json.dumps(make_replies(work, options)))
        report = summary(options, measure(options))
    if options.json:
        print(json.dumps(report))
    else:
        show(report)
    for goal in report["missed"]:
        print(f"missed: {goal}", file=sys.stderr)
    return 1 if report["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
