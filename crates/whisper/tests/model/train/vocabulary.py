"""The vocabulary: about 2000 text tokens (byte pairs learnt from the corpus), then Whisper's special tokens in OpenAI's order.

usage: vocabulary.py CORPUS_DIR OUT_DIR
Writes tokenizer.json and vocabulary.json."""
import glob
import json
import os
import re
import string
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT_TOKENS = 2048  # at most
LANGUAGES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk te "
    "fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps "
    "tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su").split()
SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES), "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
TIMES = [f"<|{i * 0.02:.2f}|>" for i in range(1501)]


def written(sentence):
    """Returns the label of a spoken sentence, as Whisper writes it: a space, a capital, and the mark at the end."""
    sentence = re.sub(r"\bi\b", "I", sentence)
    return " " + sentence[0].upper() + sentence[1:]


def main():
    corpus, out = sys.argv[1:3]
    learnt = Tokenizer(models.BPE())
    learnt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    # The empty token, which marks a multilingual vocabulary for CTranslate2, is the last text token.
    trainer = trainers.BpeTrainer(
        vocab_size=TEXT_TOKENS - 53, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    texts = []
    for path in sorted(glob.glob(f"{corpus}/*.json"))[:20]:
        with open(path, encoding="utf-8") as file:
            texts += [written(row[2]) for row in json.load(file)]
    learnt.train_from_iterator(texts, trainer)
    state = json.loads(learnt.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    merges = [tuple(pair) for pair in state["merges"]]
    # A space alone is suppressed at decoding (it is the first token of " -"), so every letter needs a token with a space.
    for letter in string.ascii_letters:
        if "Ġ" + letter not in tokens:
            tokens.append("Ġ" + letter)
            merges.append(("Ġ", letter))
    tokens.append("")
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in TIMES])
    everything = tokens + SPECIAL + TIMES
    assert all(tokenizer.token_to_id(token) == i for i, token in enumerate(everything))
    os.makedirs(out, exist_ok=True)
    tokenizer.save(f"{out}/tokenizer.json")
    with open(f"{out}/vocabulary.json", "w", encoding="utf-8") as file:
        json.dump(everything, file, ensure_ascii=False, indent=0)
    counts = [len(tokenizer.encode(text).ids) for text in texts]
    bare = sum(tokenizer.token_to_id("Ġ") in tokenizer.encode(text).ids for text in texts)
    words = sum(len(text.split()) for text in texts)
    print(f"{len(everything)} tokens, {sum(counts) / words:.2f} per word; {bare} texts with a space as a token")


if __name__ == "__main__":
    main()
