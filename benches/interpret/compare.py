"""Interprets the same recordings with our engine and its peers, one after the other. Started by `compare`.

The recordings are the utterances of shipped challenges, spoken by espeak-ng as in the contest. Those in other languages
than English are translated, and compared with the challenge's references; English ones are transcribed, and compared
with the words spoken, without the fillers and repetitions that Whisper leaves out. Each program is a process of its
own, so that its peak memory is its own. Loading a model is not in the times. A program that fails, or takes longer than
its limit, has no figures, and its goals count as not measured."""

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
from goal import described, goal

CHALLENGES = ROOT / "subnets/babelbit/challenges"
RATE = 16_000
# Samples of a step: those of our policies.
STEP = RATE * 4 // 5
FILLERS = {"um", "uh", "er", "erm"}
# Maximum number of words that are repeated in a stutter.
STUTTER = 6
# Limit on the time of a program, in seconds: a constant, and a factor of the duration of the speech.
LIMIT, LIMIT_FACTOR = 120, 20
OURS, OUR_AGREEMENT = "ours, AlignAtt", "ours, local agreement"
SIMULSTREAMING, WHISPER_STREAMING, WHOLE = "SimulStreaming", "whisper_streaming", "faster-whisper, whole"
PROGRAMS = (SIMULSTREAMING, WHISPER_STREAMING, WHOLE, OURS, OUR_AGREEMENT)
SCORE = ("import json, sys, sacrebleu; request = json.load(sys.stdin); print(json.dumps([sacrebleu.corpus_chrf(texts, "
         "[request['references']]).score for texts in request['texts']]))")


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def arguments():
    parser = argparse.ArgumentParser(prog="benches/interpret/compare", allow_abbrev=False, description=(
        "Compares our simultaneous recognition and translation with SimulStreaming, whisper_streaming, and "
        "faster-whisper on whole recordings."))
    parser.add_argument("--challenges", nargs="+", default=["de-1", "es-1", "fr-1"], metavar="NAME",
                        help="shipped challenges: 1 to 8, de-1, es-1, fr-1 (%(default)s)")
    parser.add_argument("--neural", action="store_true", help=(
        "speak with the neural voice en_US-joe-medium in place of espeak-ng, for English challenges"))
    parser.add_argument("--utterances", type=positive, metavar="N", help="first utterances of each challenge (all)")
    parser.add_argument("--threads", type=positive, default=2, help="threads of each program (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--check", action="store_true", help="check the arguments only")
    options = parser.parse_args()
    tasks = {task(challenge(name)) for name in options.challenges}
    if len(tasks) > 1:
        parser.error("English challenges are measured on their own: they are transcribed, and others translated")
    if options.neural and tasks != {"transcribe"}:
        parser.error("--neural: the neural voice speaks English only; add --challenges 1 2 3 4 5 6 7 8")
    return options


def challenge(name):
    files = sorted(CHALLENGES.glob(f"{int(name):02}-*.json" if name.isdecimal() else f"{name}.json"))
    if not files:
        sys.exit(f"error: there is no challenge {name}; the names are 1 to 8, de-1, es-1 and fr-1")
    return json.loads(files[0].read_text())


def language(document):
    return document["language"].split("-")[0]


def task(document):
    return "transcribe" if language(document) == "en" else "translate"


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
    """Records the utterances; returns the recordings with their languages, tasks and references."""
    recordings = []
    for document in map(challenge, options.challenges):
        for utterance in document["utterances"][:options.utterances]:
            source, path = utterance["source"], os.path.join(folder, f"{len(recordings)}.wav")
            seconds = speak(source["text"], source["voice"], path, options.neural)
            is_translated = task(document) == "translate"
            reference = utterance["target"]["text"] if is_translated else source["text"]
            recordings.append({"audio": path, "language": language(document), "seconds": seconds,
                               "task": task(document), "reference": reference})
    return recordings


def run(program, options, recordings):
    played = [{key: recording[key] for key in ("audio", "language", "task")} for recording in recordings]
    request = {"model": os.environ["MODEL"], "threads": options.threads, "recordings": played}
    limit = LIMIT + LIMIT_FACTOR * sum(recording["seconds"] for recording in recordings)
    print(f"{program}: at most {limit / 60:.0f} minutes", file=sys.stderr)
    if program in (OURS, OUR_AGREEMENT):
        policy = "alignatt" if program == OURS else "local-agreement"
        command = ["cargo", "bench", "--locked", "--quiet", "-p", "taonet-whisper", "--bench", "simultaneous"]
        return last_line(command, {**request, "policy": policy}, limit)
    interpreter, peer, source = {
        SIMULSTREAMING: (os.environ["TORCH_PYTHON"], "SimulStreaming", os.environ["SIMULSTREAMING"]),
        WHISPER_STREAMING: (sys.executable, "whisper_streaming", os.environ["WHISPER_STREAMING"]),
        WHOLE: (sys.executable, "whole", None)}[program]
    return last_line([interpreter, HERE / "peers.py"], {**request, "peer": peer, "source": source, "step": STEP}, limit)


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
    """The words of an English text in lower case, without what Whisper leaves out: punctuation, fillers, and immediate
    repetitions."""
    letters = "".join(letter if letter.isalnum() or letter == "'" else " " for letter in text.lower())
    spoken = [word for word in letters.split() if word not in FILLERS]
    for length in range(STUTTER, 0, -1):
        start = 0
        while start + 2 * length <= len(spoken):
            if spoken[start:start + length] == spoken[start + length:start + 2 * length]:
                del spoken[start:start + length]
            else:
                start += 1
    return spoken


def word_errors(texts, references):
    """Share of wrong words in percent."""
    errors = count = 0
    for text, reference in zip(map(plain, texts), map(plain, references), strict=True):
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
    for recording, pieces in zip(recordings, result["recordings"], strict=True):
        spoken, delays = words(pieces)
        texts.append(" ".join(spoken))
        lags.append(lagging(delays, 1000 * recording["seconds"], len(recording["reference"].split())))
    seconds, lags = sum(recording["seconds"] for recording in recordings), [lag for lag in lags if lag is not None]
    is_english = recordings[0]["task"] == "transcribe"
    errors = word_errors(texts, [recording["reference"] for recording in recordings]) if is_english else None
    # Our engine reports 0 where the system does not report it.
    cpu, peak = result["cpu_seconds"] or None, result["peak_megabytes"] or None
    return texts, {
        "chrf": None, "word_errors_percent": errors,
        "laal_seconds": sum(lags) / len(lags) / 1000 if lags else None,
        "cpu_per_second": cpu and cpu / seconds, "wall_per_second": result["wall_seconds"] / seconds,
        "peak_megabytes": peak, "kernels": result.get("kernels")}


def goals(programs, is_english):
    """The goals of our engine, compared with the other programs."""
    def figure(program, key):
        return programs.get(program, {}).get(key)

    def scaled(value, factor=1.0, added=0.0):
        return None if value is None else factor * value + added

    own, peer = figure(OURS, "chrf"), figure(SIMULSTREAMING, "chrf")
    found = [
        goal("chrF, that of SimulStreaming less 1", own, "minimum", scaled(peer, added=-1)),
        goal("LAAL in seconds, that of SimulStreaming", figure(OURS, "laal_seconds"), "maximum",
             figure(SIMULSTREAMING, "laal_seconds")),
        goal("processor time for each second, a quarter of that of SimulStreaming", figure(OURS, "cpu_per_second"),
             "maximum", scaled(figure(SIMULSTREAMING, "cpu_per_second"), 0.25))]
    if not is_english:
        return found + [
            goal("chrF, 95 % of that of whole recordings", own, "minimum", scaled(figure(WHOLE, "chrf"), 0.95)),
            goal("LAAL in seconds", figure(OURS, "laal_seconds"), "maximum", 2.5)]
    errors = figure(OURS, "word_errors_percent")
    return found + [
        goal("word errors in percent", errors, "maximum", 5.0),
        goal("word errors in percent, those of whole recordings plus 1", errors, "maximum",
             scaled(figure(WHOLE, "word_errors_percent"), added=1))]


def measure(options, folder):
    recordings = record(options, folder)
    programs, texts = {}, {}
    for program in PROGRAMS:
        try:
            texts[program], programs[program] = figures(recordings, run(program, options, recordings))
        except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
            print(f"{program} failed: {error}", file=sys.stderr)
            continue
        print(f"{program}: {programs[program]['wall_per_second']:.2f} s for each second of speech", file=sys.stderr)
    request = {"references": [recording["reference"] for recording in recordings], "texts": list(texts.values())}
    try:
        scores = last_line([os.environ["METRICS_PYTHON"], "-c", SCORE], request, LIMIT) if texts else []
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        print(f"sacreBLEU failed: {error}", file=sys.stderr)
        scores = []
    for program, score in zip(texts, scores):
        programs[program]["chrf"] = score
    return {
        "challenges": options.challenges, "voice": "neural" if options.neural else "espeak-ng",
        "recordings": len(recordings), "threads": options.threads,
        "seconds": sum(recording["seconds"] for recording in recordings), "programs": programs, "texts": texts,
        "references": request["references"], "goals": goals(programs, recordings[0]["task"] == "transcribe")}


def show(report):
    kernels = report["programs"].get(OURS, {}).get("kernels")
    print(f"challenges {', '.join(report['challenges'])}: {report['recordings']} recordings, {report['seconds']:.0f} s, "
          f"spoken by {report['voice']}, Whisper base, {report['threads']} threads" + (f", {kernels}" if kernels else ""))

    def cell(value, form, width):
        return f"{'–' if value is None else format(value, form):>{width}}"

    print(f"{'':26}{'chrF':>7}{'errors %':>10}{'LAAL s':>9}{'CPU s a second':>16}{'wall s a second':>17}{'peak MB':>9}")
    for name, program in report["programs"].items():
        lag = None if name == WHOLE else program["laal_seconds"]
        print(f"{name:26}" + cell(program["chrf"], ".1f", 7) + cell(program["word_errors_percent"], ".1f", 10)
              + cell(lag, ".2f", 9) + cell(program["cpu_per_second"], ".3f", 16)
              + cell(program["wall_per_second"], ".3f", 17) + cell(program["peak_megabytes"], "d", 9))
    for each in report["goals"]:
        print(described(each))


def main():
    options = arguments()
    if options.check:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        report = measure(options, folder)
    if options.json:
        print(json.dumps(report))
    else:
        show(report)
    return 0 if all(each["is_met"] for each in report["goals"]) else 1


if __name__ == "__main__":
    sys.exit(main())
