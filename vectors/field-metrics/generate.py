"""Writes text.json and lag.json: what sacreBLEU and SimulEval make of texts and of timed speech. With --check it writes
nothing, and fails if the files differ.

Run it with the interpreter of the peer `metrics` (scripts/peers metrics). SimulEval's scorers and instances are loaded
without the rest of the package, which requires torch and pandas. The alignment of words, for which SimulEval runs the
Montreal Forced Aligner, is given."""

import importlib.metadata
import importlib.util
import json
import pathlib
import random
import sys
import tempfile
import types

import sacrebleu

HERE = pathlib.Path(__file__).parent
VERSIONS = f"sacrebleu {sacrebleu.__version__}, simuleval {importlib.metadata.version('simuleval')}"


def load(name, path):
    """Loads a file of SimulEval as the module `name`."""
    spec = importlib.util.spec_from_file_location(name, importlib.metadata.distribution("simuleval").locate_file(path))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scorers():
    """Returns SimulEval's latency scorers and instances."""
    for name, members in (
            ("textgrid", []), ("soundfile", []),
            ("simuleval.data.dataloader", ["SpeechToTextDataloader", "TextToTextDataloader"]),
            ("simuleval.data.segments", ["EmptySegment", "SpeechSegment", "TextSegment"])):
        sys.modules[name] = types.ModuleType(name)
        for member in members:
            setattr(sys.modules[name], member, type(member, (), {}))
    instances = load("simuleval.evaluator.instance", "simuleval/evaluator/instance.py")
    return load("latency_scorer", "simuleval/evaluator/scorers/latency_scorer.py"), instances


TEXTS = [
    ("The cat sat on the mat.", "The cat sat on the mat."),
    ("the cat sat on mat", "The cat sat on the mat."),
    ("The cat is on the mat today.", "The cat sat on the mat."),
    ("a completely different thing", "The cat sat on the mat."),
    ("", "The cat sat on the mat."),
    ("Hello", "Hello"),
    ("Hello", "Hello there"),
    ("Hello there, it's 3.5 o'clock - in 1990-95 (really)!", "Hello there, it is 3.5 o'clock, in 1990-95 (really)!"),
    ("It costs 1,200.50 dollars...", "It costs 1,200.50 dollars."),
    ("&quot;Yes&quot; &amp; no", "\"Yes\" & no"),
    ("Wir m\u00f6chten \u00fcber die Stra\u00dfe gehen.", "Wir m\u00f6chten \u00fcber die Stra\u00dfe laufen."),
    ("Caf\u00e9\u00a0au lait\x1fplease", "Caf\u00e9 au lait please"),
    ("the the the the the the", "the cat the mat"),
    ("a b c d e f g h i j k l", "l k j i h g f e d c b a"),
    ("ends with space ", " starts with space"),
    ("hy-\nphen and\nlines <skipped>here", "hyphen and lines here"),
    ("\u4eca\u65e5\u306f\u96e8\u3067\u3059\u3002", "\u4eca\u65e5\u306f\u6674\u308c\u3067\u3059\u3002"),
    ("a", "abcdefg"), ("abcdefg", "a"), (".,.,5,.5", "., ., 5 , .5"), ("\U0001f600 ok", "ok \U0001f600"),
]


def made_up_texts(source):
    words = "we should leave before the rain starts and take 2 umbrellas, or 3.5 coats; it's cold - isn't it? yes!".split()
    for _ in range(60):
        reference = [source.choice(words) for _ in range(source.randint(1, 14))]
        hypothesis = [word if source.random() < 0.7 else source.choice(words) for word in reference if source.random() < 0.9]
        yield " ".join(hypothesis), " ".join(reference)


def word_error_rate(pairs):
    """SimulEval's, with the distance of the package editdistance, which it asks for, written out."""
    def distance(a, b):
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            above, row[0] = row[:], i
            for j, y in enumerate(b, 1):
                row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
        return row[-1]
    errors = sum(distance(h.split(), r.split()) for h, r in pairs)
    total = sum(len(r.split()) for _, r in pairs)
    return 100.0 * errors / total if total else 0


def text_document(source):
    pairs = TEXTS + list(made_up_texts(source))
    rows = [{
        "hypothesis": h, "reference": r, "wer": word_error_rate([(h, r)]),
        "bleu": sacrebleu.sentence_bleu(h, [r]).score, "chrf": sacrebleu.sentence_chrf(h, [r]).score} for h, r in pairs]
    spans = [(0, 1), (0, 4), (2, 12), (4, 5), (5, 7), (0, len(TEXTS)), (len(TEXTS), len(pairs)), (0, len(pairs))]
    corpora = []
    for start, end in spans:
        hypotheses, references = zip(*pairs[start:end])
        corpora.append({
            "start": start, "end": end, "wer": word_error_rate(pairs[start:end]),
            "bleu": sacrebleu.corpus_bleu(hypotheses, [references]).score,
            "chrf": sacrebleu.corpus_chrf(hypotheses, [references]).score})
    return {"made_with": VERSIONS, "pairs": rows, "corpora": corpora}


def lag_document(source):
    module, instances = scorers()
    metrics = {name: module.LATENCY_SCORERS_DICT[name]() for name in ("AL", "LAAL", "ATD")}

    class Speech(instances.SpeechOutputInstance):
        """An instance without data loader and arguments."""

        source_length = reference_length = None

        def __init__(self):
            self.metrics = {}

    def lags(delays, source_length, reference):
        instance = types.SimpleNamespace(
            delays=delays, source_length=source_length, reference=reference, metrics={},
            reference_length=len(reference.split(" ")))
        return {"delays": delays, "source": source_length, "reference": reference,
                "al": metrics["AL"].compute(instance), "laal": metrics["LAAL"].compute(instance)}

    def token_delay(pieces):
        instance = Speech()
        instance.delays, instance.durations = [delay for delay, _ in pieces], [duration for _, duration in pieces]
        return {"pieces": pieces, "atd": metrics["ATD"]({0: instance})}

    def aligned(folder, pieces, ends, source_length, reference):
        """Returns AL and LAAL of speech whose words end at `ends`, positions in the concatenated pieces."""
        instance = Speech()
        instance.index, instance.args = 0, types.SimpleNamespace(output=folder)
        instance.dataloader = types.SimpleNamespace(get_source_audio_path=lambda index: "source.wav")
        instance.delays, instance.durations = [delay for delay, _ in pieces], [duration for _, duration in pieces]
        instance.source_length, instance.reference = source_length, reference
        instance.reference_length = len(reference.split(" "))
        # SimulEval writes a recording with silence between the pieces; one sample per piece stands for the speech.
        instance.target_sample_rate, instance.prediction_list = 1000, [[0.0]] * len(pieces)
        sys.modules["soundfile"].write = lambda *_: None
        instance.summarize()

        def in_recording(end):
            for i, (start, duration) in enumerate(instance.intervals):
                before = sum(instance.durations[:i])
                if end <= before + duration:
                    return start + end - before - instance.delays[0]

        grid = [[types.SimpleNamespace(mark="word", minTime=0.0, maxTime=in_recording(end) / 1000) for end in ends]]
        module.textgrid.TextGrid = types.SimpleNamespace(fromFile=lambda _: grid)
        module.subprocess = types.SimpleNamespace(check_output=lambda *_, **__: b"", CalledProcessError=OSError, STDOUT=None)
        lags = {name.lower(): module.LATENCY_SCORERS_DICT[f"{name}_SpeechAlign_EOW"]()({0: instance}) for name in ("AL", "LAAL")}
        return {"pieces": pieces, "ends": ends, "source": source_length, "reference": reference, **lags}

    words = [
        ([1000, 2000, 3000, 4000], 4000, "a b c d"), ([1000, 2000, 3000, 4000], 4000, "a b"),
        ([1500, 2500, 4000, 4200, 4400], 4000, "a b c d e f"), ([5000, 6000], 4000, "a b"), ([4000], 4000, "a"),
        ([400, 800, 900], 9000, "a b c"), ([800], 3200, "a b c d e f g h")]
    pieces = [
        [(1000, 300)], [(1000, 900), (2000, 900), (3000, 900)], [(80, 2000), (160, 40), (4000, 700)],
        [(1000, 100), (1000, 250), (1200, 1000)], [(5000, 4000)], [(300, 300), (600, 300), (900, 300)],
        [(80, 5000), (4000, 5000)], [(14250, 299.5), (14250, 1200)]]
    for _ in range(40):
        length = source.randint(1, 12)
        delays = sorted(source.randint(1, 120) * 80 for _ in range(length))
        words.append((delays, source.randint(20, 120) * 80, " ".join("w" * source.randint(1, 12)).strip()))
        pieces.append([(delay, source.randint(1, 40) * 80) for delay in delays])
    recorded = []
    for case in pieces:
        total = sum(duration for _, duration in case)
        ends = sorted(round(source.uniform(1, total), 3) for _ in range(source.randint(1, 10))) + [total]
        length = case[-1][0] + 80 * source.randint(0, 20)
        recorded.append((case, ends, length, " ".join("w" * source.randint(1, 12))))
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "align").mkdir()
        (pathlib.Path(folder) / "align" / "0_pred.TextGrid").touch()
        return {
            "made_with": VERSIONS, "words": [lags(*case) for case in words],
            "speech": [token_delay(case) for case in pieces], "aligned": [aligned(folder, *case) for case in recorded]}


def rounded(value):
    """Without the last digits, in which machines may differ."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return round(value, 9) if isinstance(value, float) else value


def write(name, document):
    lists = {key: value for key, value in document.items() if isinstance(value, list)}
    lines = ",\n".join(
        json.dumps(key) + ": [\n" + ",\n".join("  " + json.dumps(rounded(row)) for row in rows) + "\n]" for key, rows in lists.items())
    text = "{" + f'"made_with": {json.dumps(document["made_with"])},\n' + lines + "}\n"
    if "--check" not in sys.argv:
        (HERE / name).write_text(text)
    elif (HERE / name).read_text() != text:
        sys.exit(f"{name} is not what generate.py writes")


write("text.json", text_document(random.Random(1)))
write("lag.json", lag_document(random.Random(2)))
