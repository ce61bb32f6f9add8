"""Writes minilm.json: sentence-transformers' own vectors of a few texts. Usage: generate.py MODEL_DIR"""

import json
import pathlib
import sys

import sentence_transformers

LONG = "the committee heard the report on the harbour and asked for another one next week " * 40

TEXTS = [
    "We should leave before the rain starts.",
    "We ought to go before it begins to rain.",
    "WE SHOULD LEAVE BEFORE THE RAIN STARTS.",
    "The quarterly report is due on Friday.",
    "",
    "   \t\n ",
    "a",
    "?!... --- \u2014 \u201cquoted\u201d",
    "Caf\u00e9 na\u00efve r\u00e9sum\u00e9, \u00dcberraschung, \u0141\u00f3d\u017a",
    "\u4eca\u65e5\u306f\u96e8\u3067\u3059\u3002 \u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0645\u0631\u062d\u0628\u0627",
    "emoji \U0001f600\U0001f680 and a \u200bzero-width\u200b space",
    "antidisestablishmentarianism floccinaucinihilipilification " + "x" * 300,
    "one [SEP] two [CLS] three [MASK] four [PAD]",
    LONG,
    LONG + "and then something quite different that nobody reads",
]

model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
vectors = model.encode(TEXTS, batch_size=32)
document = {
    "model": "sentence-transformers/all-MiniLM-L6-v2",
    "made_with": f"sentence-transformers {sentence_transformers.__version__}",
    "texts": [
        {"text": text, "vector": [round(float(x), 7) for x in vector]} for text, vector in zip(TEXTS, vectors)
    ],
}
path = pathlib.Path(__file__).with_name("minilm.json")
lines = ",\n".join("  " + json.dumps(entry, ensure_ascii=True) for entry in document.pop("texts"))
path.write_text(json.dumps(document)[:-1] + ', "texts": [\n' + lines + "\n]}\n")
