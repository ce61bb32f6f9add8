"""Plays the shipped challenges to our miner with `bb bench interpret`, and compares the figures with the goals. Started
by `goals`."""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from child_process import output_of
from goal import described, goal

WHISPER, VOICE = "faster-whisper-base", "piper:en_US-joe-medium"
ENGLISH = [str(number) for number in range(1, 9)]
SPEAKERS = 16
# Limit on the time of a challenge, in seconds; two cores need about two minutes, and ten for sixteen speakers.
LIMIT = 1800


def arguments():
    parser = argparse.ArgumentParser(prog="benches/interpret/goals", allow_abbrev=False, description=(
        "Measures our miner on the shipped challenges, and compares the figures with the goals of docs/benchmarks.md."))
    parser.add_argument("--challenges", nargs="+", default=ENGLISH, metavar="NAME", help=(
        "challenges to play; the goal of the score counts as not measured unless all English ones are (1 to 8)"))
    parser.add_argument("--no-speakers", action="store_true", help="skip the measurement with sixteen speakers")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("miner_options", nargs="*", metavar="-- MINER_OPTION", help=(
        "further options of `bb miner`, such as -- --frame-threshold 15"))
    return parser.parse_args()


def report_of(command):
    """The report of the benchmark, which exits with 1 if recordings failed."""
    try:
        return json.loads(output_of(command, limit=LIMIT))
    except subprocess.CalledProcessError as error:
        if error.returncode != 1 or not error.output:
            raise
        return json.loads(error.output)


def play(challenge, miner_options, *options):
    """The report of a challenge; None if there is none."""
    # Challenges in other languages have names such as fr-1.
    mode = ["--stt", "whisper"] if challenge.isdecimal() else ["--task", "translate"]
    command = [os.environ["TAO"], "babelbit", "bench", "interpret", challenge, "--json", "--stt-model", WHISPER,
               *options, "--", *mode, "--voice", VOICE, *miner_options]
    try:
        return report_of(command)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        print(f"challenge {challenge} failed: {error}", file=sys.stderr)
        return None


def reply(item):
    """The score of a reply, with its accuracy, its rate relative to the reference's, the seconds by which it ends after
    the source, and the gates that it fails."""
    reasons = item["failed_gates"] or ([item["error"]] if item["error"] else [])
    figures = [("accuracy", item["accuracy"]), ("rate", item["rate_ratio"]), ("late by", item["overshoot_sec"])]
    figures = [f"{name} {value:.2f}" for name, value in figures if value is not None]
    return ", ".join([f"{item['score']:.2f}", *figures]) + (f" ({', '.join(reasons)})" if reasons else "")


def percentile(values, share):
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None


def late(report):
    """Number of responses after their deadlines and of incomplete replies."""
    return report["total"]["failed"] + sum(timing["late"] for timing in report["timings"])


def goals(reports, crowd):
    """The goals of the challenges and of sixteen speakers."""
    english = [reports[name] for name in ENGLISH if reports.get(name)]
    scores = [report["total"]["score"] for report in english]
    is_complete = len(scores) == len(ENGLISH)
    items = [item for report in english for item in report["items"]]
    complete = [item for item in items if item["wall_sec"] is not None]
    source = sum(item["source_sec"] for item in complete)
    return [
        goal("mean score of the eight English challenges", sum(scores) / len(scores) if is_complete else None,
             "minimum", 0.85),
        goal("lowest score of the eight English challenges", min(scores) if is_complete else None, "minimum", 0.7),
        goal("one speaker: real-time factor",
             sum(item["wall_sec"] for item in complete) / source if complete else None, "maximum", 0.35),
        goal("one speaker: response to the last frame in seconds, 95th percentile",
             percentile([item["after_source_sec"] for item in complete], 0.95), "maximum", 0.3),
        goal("sixteen speakers at the same time: late or missing responses", late(crowd) if crowd else None, "maximum",
             0)]


def show(reports, found):
    for name, report in reports.items():
        if report:
            print(f"challenge {name}: {report['total']['score']:.3f}")
            for item in report["items"]:
                print(f"  {item['name']}: {reply(item)}")
    for each in found:
        print(described(each))


def main():
    options = arguments()
    reports = {}
    for name in options.challenges:
        print(f"challenge {name}", file=sys.stderr)
        reports[name] = play(name, options.miner_options)
    crowd = None if options.no_speakers else play("1", options.miner_options, "--speakers", str(SPEAKERS))
    found = goals(reports, crowd)
    if options.json:
        print(json.dumps({"challenges": reports, "speakers": crowd, "goals": found}))
    else:
        show(reports, found)
    return 0 if all(each["is_met"] for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
