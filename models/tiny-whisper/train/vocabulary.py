#!/usr/bin/env python3
"""Makes the tokenizer: byte-level BPE in Whisper's manner with its special tokens behind the text tokens.

    vocabulary.py OUT_DIR
"""
import os, random, string, sys
from tokenizers import Tokenizer, AddedToken, decoders, models, pre_tokenizers, trainers
from faster_whisper.tokenizer import _LANGUAGE_CODES
from faster_whisper.tokenizer import Tokenizer as WhisperTokenizer
from texts import Texts

TEXT_TOKENS = 1024
# English first as in Whisper; the others in alphabetical order
LANGUAGES = ["en"] + [c for c in _LANGUAGE_CODES if c not in ("en", "yue")]


def special_tokens():
    yield "<|endoftext|>"
    yield "<|startoftranscript|>"
    yield from (f"<|{c}|>" for c in LANGUAGES)
    yield from ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
    yield from (f"<|{i * 0.02:.2f}|>" for i in range(1501))


def main(out):
    texts, r = Texts(), random.Random(5)
    sample = [" " + texts.draw(r) for _ in range(60000)]
    # Whisper's default options suppress the first token of " -", " '" and " \u2669"; none of them may be the lone space
    sample += ["".join(f" {c}" for c in string.ascii_letters + "-'\u2669\u266a\u266b\u266c\u266d\u266e\u266f")] * 3000
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(sample, trainers.BpeTrainer(
        vocab_size=TEXT_TOKENS, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), special_tokens=[], show_progress=False))
    assert t.get_vocab_size() == TEXT_TOKENS
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special_tokens()])
    suppressed = set(WhisperTokenizer(t, False).non_speech_tokens)
    lengths, hits = [], 0
    for s in sample[:20000]:
        ids = t.encode(s, add_special_tokens=False).ids
        lengths.append(len(ids) / len(s.split()))
        hits += bool(suppressed & set(ids))
    print("tokens", t.get_vocab_size(), "a word", sum(lengths) / len(lengths), "sentences with a suppressed token", hits)
    print("suppressed", [t.id_to_token(i) for i in sorted(suppressed)])
    os.makedirs(out, exist_ok=True)
    t.save(os.path.join(out, "tokenizer.json"))


if __name__ == "__main__":
    main(sys.argv[1])
