"""Interprets the same recordings with our engine and its peers, one after the other. Started by `compare`.

The recordings are the utterances of shipped challenges, spoken by espeak-ng as in the contest. Those in other languages
than English are translated, and compared with the challenge's references; English ones are transcribed, and compared
with the words spoken. Each program is a process of its own, so that its peak memory is its own. Loading a model is not
in the times."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import wave

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
from child_process import last_line

CHALLENGES = ROOT / "subnets/babelbit/challenges"
RATE = 16_000
# Samples of a step: those of our policies.
STEP = RATE * 4 // 5
FILLERS = {"um", "uh", "er", "erm"}
OURS, OUR_AGREEMENT = "ours, AlignAtt", "ours, local agreement"
SIMULSTREAMING, WHISPER_STREAMING, WHOLE = "SimulStreaming", "whisper_streaming", "faster-whisper, whole"
PROGRAMS = (SIMULSTREAMING, WHISPER_STREAMING, WHOLE, OURS, OUR_AGREEMENT)
SCORE = ("import json, sys, sacrebleu; request = json.load(sys.stdin); print(json.dumps([sacrebleu.corpus_chrf(texts, "
         "[request['references']]).score for texts in request['texts']]))")


def arguments():
    parser = argparse.ArgumentParser(prog="benches/interpret/compare", description=(
        "Compares our simultaneous recognition and translation with SimulStreaming, whisper_streaming, and "
        "faster-whisper on whole recordings."))
    parser.add_argument("--challenges", nargs="+", default=["de-1", "es-1", "fr-1"], metavar="NAME",
                        help="shipped challenges: 1 to 8, de-1, es-1, fr-1 (%(default)s)")
    parser.add_argument("--neural", action="store_true", help=(
        "speak with the neural voice en_US-joe-medium in place of espeak-ng, for English challenges"))
    parser.add_argument("--utterances", type=int, metavar="N", help="first utterances of each challenge (all)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each program (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def challenge(name):
    files = sorted(CHALLENGES.glob(f"{int(name):02}-*.json" if name.isdecimal() else f"{name}.json"))
    if not files:
        sys.exit(f"error: there is no challenge {name}; the names are 1 to 8, de-1, es-1 and fr-1")
    return json.loads(files[0].read_text())


def speak(text, voice, path, neural):
    """Writes speech as 16-bit mono samples at 16 kHz; returns its duration in seconds."""
    import numpy
    from faster_whisper.audio import decode_audio
    if neural:
        command = [os.environ["TAO"], "speech", "synthesize", text, path, "--voice", "piper:en_US-joe-medium"]
        subprocess.run(command, stdout=sys.stderr, check=True)
    else:
        command = ["espeak-ng", "-v", voice["name"], "-s", str(voice["words_per_minute"]), "-p", str(voice["pitch"])]
        subprocess.run([*command, "-w", path, "--stdin"], input=text.encode(), check=True)
    samples = numpy.clip(decode_audio(path, RATE), -1, 1)
    with wave.open(path, "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return len(samples) / RATE


def record(options, folder):
    """Records the utterances; returns the recordings with their languages, tasks and references. All have the same
    task."""
    recordings = []
    for name in options.challenges:
        document = challenge(name)
        language = document["language"].split("-")[0]
        task = "transcribe" if language == "en" else "translate"
        for utterance in document["utterances"][:options.utterances]:
            source, path = utterance["source"], os.path.join(folder, f"{len(recordings)}.wav")
            seconds = speak(source["text"], source["voice"], path, options.neural)
            reference = source["text"] if task == "transcribe" else utterance["target"]["text"]
            recordings.append(
                {"audio": path, "language": language, "seconds": seconds, "task": task, "reference": reference})
    tasks = {recording["task"] for recording in recordings}
    if len(tasks) > 1 or (options.neural and tasks != {"transcribe"}):
        sys.exit("error: English challenges are measured on their own, and the neural voice speaks English only")
    return recordings


def run(program, options, recordings):
    played = [{key: recording[key] for key in ("audio", "language", "task")} for recording in recordings]
    request = {"model": os.environ["MODEL"], "threads": options.threads, "recordings": played}
    if program in (OURS, OUR_AGREEMENT):
        policy = "alignatt" if program == OURS else "local-agreement"
        command = ["cargo", "bench", "--locked", "--quiet", "-p", "taonet-whisper", "--bench", "simultaneous"]
        return last_line(command, {**request, "policy": policy})
    interpreter, peer, source = {
        SIMULSTREAMING: (os.environ["TORCH_PYTHON"], "SimulStreaming", os.environ["SIMULSTREAMING"]),
        WHISPER_STREAMING: (sys.executable, "whisper_streaming", os.environ["WHISPER_STREAMING"]),
        WHOLE: (sys.executable, "whole", None)}[program]
    return last_line([interpreter, HERE / "peers.py"], {**request, "peer": peer, "source": source, "step": STEP})


def words(pieces):
    """The words of a text in pieces, each with the time at which it was complete, in milliseconds. A piece that does not
    begin with a space continues the last word."""
    text, delays = "", []
    for piece, heard in pieces:
        before = len(text.split())
        continues = bool(text.strip()) and not text[-1].isspace() and piece[:1].strip() != ""
        text += piece
        if continues:
            delays[-1] = 1000 * heard
        delays += [1000 * heard] * (len(text.split()) - before)
    return text.split(), delays


def lagging(delays, source, reference_length):
    """Length-adaptive average lagging in milliseconds, as SimulEval defines it; None for an empty text."""
    if not delays:
        return None
    if delays[0] > source:
        return delays[0]
    pace = source / max(reference_length, len(delays))
    lags = []
    for index, delay in enumerate(delays):
        lags.append(delay - index * pace)
        if delay >= source:
            break
    return sum(lags) / len(lags)


def plain(text):
    """The words of an English text in lower case, without punctuation and fillers, which Whisper leaves out."""
    letters = "".join(letter if letter.isalnum() or letter == "'" else " " for letter in text.lower())
    return [word for word in letters.split() if word not in FILLERS]


def word_errors(texts, references):
    """Share of wrong words in percent."""
    errors = count = 0
    for text, reference in zip(map(plain, texts), map(plain, references)):
        row = list(range(len(reference) + 1))
        for index, word in enumerate(text, 1):
            above, row[0] = row[:], index
            for place, expected in enumerate(reference, 1):
                row[place] = min(above[place] + 1, row[place - 1] + 1, above[place - 1] + (word != expected))
        errors, count = errors + row[-1], count + len(reference)
    return 100 * errors / count


def figures(recordings, result):
    """The texts of a program, and its figures except for chrF."""
    texts, lags = [], []
    for recording, pieces in zip(recordings, result["recordings"]):
        spoken, delays = words(pieces)
        texts.append(" ".join(spoken))
        lags.append(lagging(delays, 1000 * recording["seconds"], len(recording["reference"].split())))
    seconds, lags = sum(recording["seconds"] for recording in recordings), [lag for lag in lags if lag is not None]
    is_english = recordings[0]["task"] == "transcribe"
    errors = word_errors(texts, [recording["reference"] for recording in recordings]) if is_english else None
    return texts, {
        "word_errors_percent": errors,
        "laal_seconds": sum(lags) / len(lags) / 1000 if lags else None, "cpu_per_second": result["cpu_seconds"] / seconds,
        "wall_per_second": result["wall_seconds"] / seconds, "peak_megabytes": result["peak_megabytes"],
        "kernels": result.get("kernels")}


def missed(programs):
    """The goals that are missed."""
    own, peer, complete = (programs.get(name) for name in (OURS, SIMULSTREAMING, WHOLE))
    goals = [f"{name}: not measured" for name, program in ((OURS, own), (SIMULSTREAMING, peer), (WHOLE, complete))
             if program is None or program["laal_seconds"] is None]
    if goals:
        return goals

    def check(what, value, bound, why, is_minimum=False):
        if value < bound if is_minimum else value > bound:
            goals.append(f"{what} {value:.3g}, wanted {'at least' if is_minimum else 'at most'} {bound:.3g}: {why}")

    check("chrF", own["chrf"], peer["chrf"] - 1, "that of SimulStreaming, less 1", is_minimum=True)
    check("LAAL in seconds", own["laal_seconds"], peer["laal_seconds"], "that of SimulStreaming")
    check("processor time", own["cpu_per_second"], peer["cpu_per_second"] / 4, "a quarter of that of SimulStreaming")
    if own["word_errors_percent"] is None:
        check("chrF", own["chrf"], 0.95 * complete["chrf"], "95 % of that of whole recordings", is_minimum=True)
        check("LAAL in seconds", own["laal_seconds"], 2.5, "the goal of translation")
    else:
        check("word errors in percent", own["word_errors_percent"], 5, "the goal of English")
        check("word errors in percent", own["word_errors_percent"], complete["word_errors_percent"] + 1,
              "those of whole recordings, plus 1")
    return goals


def measure(options, folder):
    recordings = record(options, folder)
    programs, texts = {}, {}
    for program in PROGRAMS:
        try:
            texts[program], programs[program] = figures(recordings, run(program, options, recordings))
        except (subprocess.SubprocessError, ValueError, KeyError) as error:
            print(f"{program} failed: {error}", file=sys.stderr)
            continue
        print(f"{program}: {programs[program]['wall_per_second']:.2f} s for each second of speech", file=sys.stderr)
    request = {"references": [recording["reference"] for recording in recordings], "texts": list(texts.values())}
    scores = last_line([os.environ["METRICS_PYTHON"], "-c", SCORE], request) if texts else []
    for program, score in zip(texts, scores):
        programs[program]["chrf"] = score
    return {
        "challenges": options.challenges, "voice": "neural" if options.neural else "espeak-ng",
        "recordings": len(recordings), "threads": options.threads,
        "seconds": sum(recording["seconds"] for recording in recordings), "programs": programs, "texts": texts,
        "references": request["references"], "missed": missed(programs)}


def show(report):
    kernels = report["programs"].get(OURS, {}).get("kernels")
    print(f"challenges {', '.join(report['challenges'])}: {report['recordings']} recordings, {report['seconds']:.0f} s, "
          f"spoken by {report['voice']}, Whisper base, {report['threads']} threads" + (f", {kernels}" if kernels else ""))
    print(f"{'':26}{'chrF':>7}{'errors %':>10}{'LAAL s':>9}{'CPU s a second':>16}{'wall s a second':>17}{'peak MB':>9}")
    for name, program in report["programs"].items():
        lag = "–" if name == WHOLE or program["laal_seconds"] is None else f"{program['laal_seconds']:.2f}"
        errors = "–" if program["word_errors_percent"] is None else f"{program['word_errors_percent']:.1f}"
        print(f"{name:26}{program['chrf']:7.1f}{errors:>10}{lag:>9}{program['cpu_per_second']:16.3f}"
              f"{program['wall_per_second']:17.3f}{program['peak_megabytes']:9}")


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(options, folder)
    if options.json:
        print(json.dumps(report))
    else:
        show(report)
    for goal in report["missed"]:
        print(f"missed: {goal}", file=sys.stderr)
    return 1 if report["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
