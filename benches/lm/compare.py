"""Times transformers on torch and our language models in turn, and compares their logits. Started by `compare`."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import transformers

HERE = pathlib.Path(__file__).parent
TOKENIZER = HERE / "../../vectors/lm/gpt2/tokenizer.json"
PROMPT, ANSWER, ROUNDS, TURNS = 128, 64, 5, 3
OURS = ["cargo", "bench", "--locked", "--quiet", "-p", "taonet-lm", "--bench", "decode", "--"]


def models():
    torch.manual_seed(15)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    yield "GPT-2, 124 M", transformers.GPT2LMHeadModel(transformers.GPT2Config(**ends))
    yield "Llama, 42 M", transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=32_000,
            hidden_size=512,
            intermediate_size=1_376,
            num_hidden_layers=8,
            num_attention_heads=8,
            num_key_value_heads=4,
            max_position_embeddings=2_048,
            **ends,
        )
    )


def theirs(model):
    """Medians of tokens per second and of seconds for the next word with a kept cache, as in our benchmark."""
    prompt = torch.tensor([[number * 7 % 300 + 1 for number in range(PROMPT)]])
    rates, words = [], []
    with torch.inference_mode():
        for _ in range(ROUNDS):
            output = model(prompt, use_cache=True)
            logits, cache = output.logits[0, -1], output.past_key_values
            started = time.perf_counter()
            following = logits
            for _ in range(ANSWER):
                token = following.argmax().view(1, 1)
                output = model(token, past_key_values=cache, use_cache=True)
                following, cache = output.logits[0, -1], output.past_key_values
            rates.append(ANSWER / (time.perf_counter() - started))
            cache.crop(PROMPT)
            started = time.perf_counter()
            model(torch.tensor([[5, 6]]), past_key_values=cache, use_cache=True)
            words.append(time.perf_counter() - started)
    return statistics.median(rates), statistics.median(words), logits


def ours(folder, *bits):
    output = subprocess.run([*OURS, str(folder), *bits], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)


def main():
    threads = int(os.environ["THREADS"])
    torch.set_num_threads(threads)
    print(f"{threads} thread(s), prompt of {PROMPT} tokens, {ANSWER} generated; medians of {TURNS} turns")
    for name, model in models():
        model.eval()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            shutil.copy(TOKENIZER, folder)
            torch_rates, rates, torch_words, words = [], [], [], []
            eight, four = [], []
            for _ in range(TURNS):
                rate, word, logits = theirs(model)
                torch_rates.append(rate)
                torch_words.append(word)
                document = ours(folder)
                rates.append(document["tokens_per_second"])
                words.append(document["next_word_seconds"])
                eight.append(ours(folder, "8")["tokens_per_second"])
                four.append(ours(folder, "4")["tokens_per_second"])
            difference = (torch.tensor(document["logits"]) - logits).abs().max().item()
            rate, torch_rate = statistics.median(rates), statistics.median(torch_rates)
            four, eight = statistics.median(four), statistics.median(eight)
            print(f"{name}: largest difference of a logit {difference:.1e}")
            print(f"  torch {torch.__version__:12} {torch_rate:7.1f} tokens/s, next word in {statistics.median(torch_words) * 1e3:5.1f} ms")
            print(f"  ours, 32 bits      {rate:7.1f} tokens/s, next word in {statistics.median(words) * 1e3:5.1f} ms; {rate / torch_rate:.2f} × torch")
            print(f"  ours, 8 bits       {eight:7.1f} tokens/s; {eight / rate:.2f} × 32 bits")
            print(f"  ours, 4 bits       {four:7.1f} tokens/s; {four / rate:.2f} × 32 bits")


if __name__ == "__main__":
    sys.exit(main())
