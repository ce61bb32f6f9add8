"""Times transformers on torch and our language models in turn, and compares logits and tokens. Started by `compare`."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import gguf
import tokenizers
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VECTORS = ROOT / "vectors/lm"
sys.path.insert(0, str(VECTORS))
import gguf_file

TOKENIZER = VECTORS / "gpt2/tokenizer.json"
PROMPT, ANSWER, ROUNDS, TURNS = 128, 64, 5, 3
OURS = ["cargo", "bench", "--locked", "--quiet", "-p", "taonet-lm", "--bench", "decode", "--"]
# Models by name: tokens per second relative to torch, and milliseconds for the next word.
GOALS = {"gpt2": (1.3, 40.0), "llama": (1.2, None)}
FOUR_BITS, LOGITS = 1.5, 1e-3


def models(tiny):
    """GPT-2 with 124 million weights and a Llama with 56 million, or both with a few thousand."""
    torch.manual_seed(15)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    small = {"vocab_size": 512, "n_embd": 64, "n_layer": 2, "n_head": 4} if tiny else {}
    yield "gpt2", transformers.GPT2LMHeadModel(transformers.GPT2Config(**small, **ends))
    yield "llama", transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=512 if tiny else 32_000,
            hidden_size=64 if tiny else 512,
            intermediate_size=128 if tiny else 1_376,
            num_hidden_layers=2 if tiny else 8,
            num_attention_heads=4 if tiny else 8,
            num_key_value_heads=2 if tiny else 4,
            max_position_embeddings=2_048,
            **ends,
        )
    )


def theirs(model):
    """What our benchmark measures, in the same steps: medians over some rounds."""
    prompt = torch.tensor([[number * 7 % 300 + 1 for number in range(PROMPT)]])
    rates, words = [], []

    def following(tokens, cache):
        output = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[0, -1], output.past_key_values

    with torch.inference_mode():
        for _ in range(ROUNDS):
            logits, cache = following(prompt, None)
            started = time.perf_counter()
            greedy, latest = [], logits
            for _ in range(ANSWER):
                greedy.append(int(latest.argmax()))
                latest, cache = following(torch.tensor([greedy[-1:]]), cache)
            rates.append(ANSWER / (time.perf_counter() - started))
            # Only the prompt is kept.
            cache.crop(-ANSWER)
            started = time.perf_counter()
            following(torch.tensor([[5, 6]]), cache)
            words.append(time.perf_counter() - started)
    rate, word = statistics.median(rates), statistics.median(words)
    return {"tokens_per_second": rate, "next_word_seconds": word, "logits": logits, "greedy": greedy}


def ours(model, *bits):
    output = subprocess.run([*OURS, str(model), *bits], check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout
    return json.loads(output)


class Goals:
    """Prints measurements beside their goals, and remembers whether one was missed."""

    missed = False

    def judge(self, text, is_met):
        self.missed |= not is_met
        return f"{text} ({'met' if is_met else 'MISSED'})"


def compare(name, model, folder, goals):
    model.eval()
    model.save_pretrained(folder)
    shutil.copy(TOKENIZER, folder)
    file = pathlib.Path(folder) / "q4_0.gguf"
    kind = gguf.GGMLQuantizationType.Q4_0
    gguf_file.write(file, name, model, tokenizers.Tokenizer.from_file(str(TOKENIZER)), kind)
    kinds = {
        "torch": lambda: theirs(model),
        "ours, 32 bits": lambda: ours(folder),
        "ours, 8 bits": lambda: ours(folder, "8"),
        "ours, 4 bits": lambda: ours(folder, "4"),
        "ours, 4-bit GGUF": lambda: ours(file),
    }
    turns = [{kind: measure() for kind, measure in kinds.items()} for _ in range(TURNS)]

    def median(kind, field):
        return statistics.median(turn[kind][field] for turn in turns)

    weights = sum(values.numel() for values in model.parameters())
    print(f"{name}, {weights / 1e6:.1f} million weights")
    reference, found = turns[-1]["torch"], turns[-1]["ours, 32 bits"]
    difference = (torch.tensor(found["logits"]) - reference["logits"]).abs().max().item()
    print("  " + goals.judge(f"largest difference of a logit {difference:.1e}, goal {LOGITS:.0e}", difference <= LOGITS))
    equal = found["greedy"] == reference["greedy"]
    print("  " + goals.judge(f"{ANSWER} greedy tokens are {'' if equal else 'not '}equal", equal))
    for kind in kinds:
        rate, word = median(kind, "tokens_per_second"), median(kind, "next_word_seconds") * 1e3
        ratio = rate / median("torch", "tokens_per_second")
        print(f"  {kind:17} {rate:8.1f} tokens/s, {ratio:5.2f} × torch; next word in {word:6.2f} ms")
    ratio, milliseconds = GOALS[name]
    faster = median("ours, 32 bits", "tokens_per_second") / median("torch", "tokens_per_second")
    print("  " + goals.judge(f"32 bits: {faster:.2f} × torch, goal {ratio} ×", faster >= ratio))
    four = median("ours, 4-bit GGUF", "tokens_per_second") / median("ours, 32 bits", "tokens_per_second")
    print("  " + goals.judge(f"4-bit GGUF: {four:.2f} × 32 bits, goal {FOUR_BITS} ×", four >= FOUR_BITS))
    if milliseconds:
        word = median("ours, 32 bits", "next_word_seconds") * 1e3
        print("  " + goals.judge(f"next word: {word:.1f} ms, goal {milliseconds:.0f} ms", word < milliseconds))


def main():
    threads, goals = int(os.environ.get("THREADS", "1")), Goals()
    torch.set_num_threads(threads)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{threads} thread(s), prompt of {PROMPT} tokens, {ANSWER} generated; medians of {TURNS} turns; {versions}")
    for name, model in models("--tiny" in sys.argv):
        with tempfile.TemporaryDirectory() as folder:
            compare(name, model, folder, goals)
    return int(goals.missed)


if __name__ == "__main__":
    sys.exit(main())
