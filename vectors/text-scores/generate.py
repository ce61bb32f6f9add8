"""Writes dialogue.json: a dialogue of the text contest and its scores, computed with Python's own random numbers,
rounding and text. With --check it writes nothing, and fails if the file differs. Run it with any Python 3.10 or later,
without packages."""

import json
import math
import random
import sys
from pathlib import Path

PAIRS = 100
LEX_WEIGHT = 0.3


def levenshtein(one, other):
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(row[-1] + 1, previous[j] + 1, previous[j - 1] + (a != b)))
    return row[-1]


def lexical(one, other):
    longest = max(len(one), len(other))
    return max(0.0, 1.0 - levenshtein(one, other) / longest) if longest else 0.0


def without_eof(text):
    text = text.strip()
    return text[:-3].strip() if text.endswith("EOF") else text


def cosine(vectors, one, other):
    a, b = vectors[one], vectors[other]
    norms = math.sqrt(sum(x * x for x in a)), math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b)) / (norms[0] * norms[1])


def baseline(vectors, truths):
    texts = [text for text in truths if text]
    if len(texts) < 2:
        return 0.0
    draw, total = random.Random(0), 0.0
    for _ in range(PAIRS):
        i, j = draw.randrange(len(texts)), draw.randrange(len(texts))
        if i == j:
            j = (j + 1) % len(texts)
        total += cosine(vectors, texts[i], texts[j])
    return total / PAIRS


def utterances(events):
    found = {}
    for event in events:
        one = found.setdefault(event["utterance_index"], {"predictions": {}, "count": 0})
        if event["event"] == "predicted":
            one["count"] += 1
            if "step" in event:
                one["predictions"][event["step"]] = event["prediction"]
        elif event["event"] == "revealed":
            one["revealed"] = max(one.get("revealed", 0), event["step"] + 1)
        else:
            one["truth"] = without_eof(event["ground_truth"])
    for number, one in sorted(found.items()):
        if "truth" in one:
            steps = one.get("revealed", one["count"])
            yield number, one["truth"], [without_eof(one["predictions"].get(step, "")) for step in range(steps)]


def scores(document):
    vectors, weight = document["vectors"], document["lex_weight"]
    said = list(utterances(document["events"]))
    base = baseline(vectors, [truth for _, truth, _ in said])
    rows, bests = [], []
    for number, truth, predictions in said:
        best, best_step, steps = -1.0, 0, []
        for step, prediction in enumerate(predictions):
            lex, cos = lexical(prediction, truth), cosine(vectors, prediction, truth)
            sem = min(1.0, max(0.0, (cos - base) / max(1.0 - base, 1e-6)))
            early = 1.0 / (step + 1)
            score = (weight * lex + (1.0 - weight) * sem) * early
            if score > best:
                best, best_step = score, step
            steps.append({
                "step": step, "lexical_similarity": round(lex, 4), "semantic_cosine_raw": round(cos, 6),
                "semantic_similarity": round(sem, 4), "earliness": round(early, 4), "U_step": round(score, 4),
                "prediction": prediction,
            })
        bests.append(best)
        rows.append({
            "utterance_number": number, "ground_truth": truth, "steps": steps, "best_step": best_step,
            "U_best": round(best, 4), "total_steps": len(steps),
        })
    summary = {"average_U_best_early": round(sum(bests) / len(bests), 4), "semantic_baseline_b": round(base, 6)}
    return {"dialogue_uid": document["dialogue_uid"], "utterances": rows, "dialogue_summary": summary}


def document():
    events, vectors = [], {}
    number = random.Random(7)

    def predicted(utterance, text, **fields):
        events.append({"event": "predicted", "utterance_index": utterance, "prediction": text, **fields})

    def complete(utterance, truth):
        events.append({"event": "utterance_complete", "utterance_index": utterance, "ground_truth": truth})

    # Every word is revealed. The prediction of the second step is missing, and therefore counts as empty.
    for step in range(4):
        events.append({"event": "revealed", "utterance_index": 0, "step": step})
    predicted(0, "the ferry is late EOF", step=0)
    predicted(0, "the ferry leaves at eight", step=2)
    predicted(0, "the ferry leaves at noon EOF", step=3)
    complete(0, "the ferry leaves at noon EOF")
    # Without revealed words, each prediction counts as a step, even the one without a step number.
    predicted(1, "two tickets", step=0)
    predicted(1, "two tickets, please", step=1)
    predicted(1, "of no step")
    complete(1, "Two tickets, please.")
    # Two predictions of a step: the last one counts. Text is compared by characters, not bytes.
    predicted(2, "Grüße", step=0)
    predicted(2, "Grüße an alle", step=0)
    complete(2, " Grüße an Zoë ")
    # An empty utterance is scored, but the baseline omits it.
    predicted(3, "", step=0)
    predicted(3, "anything", step=1)
    complete(3, "EOF")
    predicted(4, "where are my keys", step=0)
    complete(4, "where are my keys")
    predicted(5, "", step=0)
    predicted(5, "it was nice", step=1)
    complete(5, "it was a nice day today")
    predicted(6, "of an utterance that is not complete", step=0)

    texts = {""}
    for _, truth, predictions in utterances(events):
        texts |= {truth, *predictions}
    common = [number.uniform(-1, 1) for _ in range(6)]
    for text in sorted(texts):
        vectors[text] = [round(part + number.uniform(-1, 1), 3) for part in common]
    return {"dialogue_uid": "dialogue-7", "events": events, "vectors": vectors, "lex_weight": LEX_WEIGHT}


if __name__ == "__main__":
    made = document()
    text = json.dumps({"document": made, "scores": scores(made)}, indent=1, ensure_ascii=False) + "\n"
    path = Path(__file__).parent / "dialogue.json"
    if "--check" not in sys.argv:
        path.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        sys.exit(f"{path} differs: run this file without --check")
