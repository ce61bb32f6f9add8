"""Writes pre_tokenizers.json: two small vocabularies, and how llama.cpp tokenises texts with them.

Needs gguf and tokenizers from PyPI, Node.js, and node-llama-cpp 3 from npm in the working directory:
npm install node-llama-cpp && python3 pre_tokenizers.py"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
SPECIAL = ["<unk>", "<s>", "</s>"]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
USER = "<keep>"

# Merges cross every boundary that a pre-tokenizer may draw, so that each one leaves its mark on the tokens.
TRAINING = """I'm sure it's 1234567 o'clock, isn't it? They'll say: we've 10,000 reasons!
THEY'RE  HERE -- don't SHOUT   at   us.   It'S 3.14159, about 22/7; x=y+1 <= 2^10 | 99%
    if (value == 42) {\n\t\treturn values[123456];\n    }\n\n\n    // done\r\n\r\nEnd of   file   \n
Größe und Äpfel: 5 €, naïve café über 100 Straßen. Ünï-cødé ÉCOLE Ĳssel Ǆungla
東京に2024年10月に行きました。カタカナとひらがな、中文测试123。 한국어 문장입니다 456.
Привет, мир! Сколько 78 лет? ΑΒΓ αβγ. हिन्दी में १२३ लिखें। ภาษาไทย ๑๒๓ ｆｕｌｌ１２！
CamelCaseWord HTTPServer2Go snake_case_name kebab-case $price ~home `code` "quoted" 'single' …—“curly”
a1b2c3 v1.2.3 2024-10-31T12:34:56Z 1st 2nd ½ ² ① Ⅷ 👍🏽 👨‍👩‍👧 <sentinel:12> IMGIMGABCZ
"""
TEXTS = [
    "",
    " ",
    "Hello, world! I'm 1234567 years old, and they'll say it's fine.",
    "THEY'RE HERE, IT'S 10,000; don't SHOUT",
    "  two   three    spaces at the end   ",
    "line\n\nline\r\n\r\n\ttabs\t\t\n   indented\n",
    "    if (value == 42) {\n\t\treturn values[123456];\n    }\n\n\n",
    "x=y+1 <= 2^10 | 99% $price ~home `code` \"quoted\"",
    "東京に2024年10月に行きました。カタカナ、中文测试123。",
    "한국어 문장입니다 456. Привет, мир! Сколько 78 лет?",
    "Größe und Äpfel: 5 €, naïve café über 100 Straßen",
    "v1.2.3 2024-10-31T12:34:56Z a1b2c3 1st",
    "snake_case_name kebab-case HTTPServer2Go",
    "ภาษาไทย हिन्दी ½ ② 👍🏽 “curly”…—",
    "end with newline\n",
    "before<keep>after <keep> 12",
]
# Names of llama.cpp, one for each rule.
NAMES = [
    "bailingmoe", "bloom", "chameleon", "dbrx", "deepseek-coder", "deepseek-llm", "deepseek-v3", "default",
    "exaone-moe", "falcon", "gpt-2", "gpt-4o", "jais-2", "laguna", "llama-bpe", "minicpm5", "qwen2", "qwen35",
    "seed-coder", "smollm", "spark2_5", "superbpe", "tekken", "tiny_aya", "ufakzeka", "viking", "youtu",
]


def byte_level():
    """A byte-level BPE vocabulary: three special tokens, one that the user defines, the bytes, and merges."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=[*SPECIAL, USER], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Halves and quarters of lines, too: else the whole text becomes one token.
    lines = TRAINING.splitlines(keepends=True)
    parts = [line[start:start + size] for line in lines for size in (5, 9, 14) for start in range(0, len(line), 3)]
    tokenizer.train_from_iterator([*parts, *parts, *lines], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return {"tokens": tokens, "merges": [" ".join(merge) for merge in model["merges"]],
            "types": [UNKNOWN, CONTROL, CONTROL, USER_DEFINED] + [NORMAL] * (len(tokens) - 4)}


def sentence_pieces():
    """A vocabulary of SentencePiece: special tokens, bytes, and pieces with scores."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=500, show_progress=False, limit_alphabet=120)
    tokenizer.train_from_iterator(TRAINING.splitlines(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merged = ["".join(merge) for merge in model["merges"]]
    merged = list(dict.fromkeys(merged))
    letters = [piece for piece in model["vocab"] if piece not in merged]
    tokens = [*SPECIAL, USER, *(f"<0x{byte:02X}>" for byte in range(256)), *merged, *letters]
    # As SentencePiece does: earlier merges have higher scores, letters the lowest.
    scores = [0.0] * (4 + 256) + [-float(rank) for rank in range(len(merged) + len(letters))]
    types = [UNKNOWN, CONTROL, CONTROL, USER_DEFINED] + [BYTE] * 256 + [NORMAL] * (len(merged) + len(letters))
    return {"tokens": tokens, "scores": scores, "types": types}


def write(path, vocabulary, pre, prefix):
    """Writes a GGUF file that has a tokenizer only."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(4)
    writer.add_block_count(1)
    writer.add_feed_forward_length(4)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(4)
    writer.add_tokenizer_model("llama" if pre is None else "gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
        writer.add_token_merges(vocabulary["merges"])
    else:
        writer.add_token_scores(vocabulary["scores"])
        writer.add_add_space_prefix(prefix)
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["types"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main():
    vocabularies = {"gpt2": byte_level(), "llama": sentence_pieces()}
    runs = [(name, "gpt2", name, False) for name in NAMES]
    runs += [("llama", "llama", None, True), ("llama-without-prefix", "llama", None, False)]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "tokenize.mjs", "tokenize.mjs")
        ids = {}
        for name, vocabulary, pre, prefix in runs:
            path = Path(folder) / f"{name}.gguf"
            write(path, vocabularies[vocabulary], pre, prefix)
            command = ["node", "tokenize.mjs", path, json.dumps(TEXTS)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name}: {done.stderr[-2000:]}")
            ids[name] = json.loads(done.stdout.splitlines()[-1])
    document = {"vocabularies": vocabularies, "texts": TEXTS, "ids": ids}
    rows = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in document.items()]
    (HERE / "pre_tokenizers.json").write_text("{" + ",\n".join(rows) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
