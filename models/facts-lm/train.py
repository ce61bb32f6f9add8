"""Trains the character model that is shipped for proofs of language models, and writes its files beside this script.

    python models/facts-lm/train.py

Needs numpy, jax and safetensors; takes a few minutes on two cores. The model is a GPT-2 with 4 layers of 64 values and
0.21 million parameters. It learns the sentences of facts.txt by heart: a prompt is the beginning of one of them.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).resolve().parent
LAYERS, HEADS, WIDTH, CONTEXT = 4, 4, 64, 64
STEPS, BATCH, RATE, SEED = 3000, 32, 3e-3, 59
END = 0


def corpus():
    """Returns the characters, END first, and the sentences as rows of tokens that END fills up."""
    sentences = (HERE / "facts.txt").read_text().splitlines()
    characters = sorted(set("".join(sentences)))
    ids = {character: index + 1 for index, character in enumerate(characters)}
    rows = np.full((len(sentences), max(map(len, sentences)) + 2), END)
    assert rows.shape[1] <= CONTEXT + 1
    for row, sentence in zip(rows, sentences):
        # END begins each sentence, and ends it.
        row[1 : len(sentence) + 1] = [ids[character] for character in sentence]
    lengths = np.array([len(sentence) + 1 for sentence in sentences])
    return characters, rows, lengths


def initial(vocabulary):
    random = np.random.default_rng(SEED)
    normal = lambda *shape, scale=0.02: random.normal(0, scale, shape).astype(np.float32)
    zeros, ones = lambda *shape: np.zeros(shape, np.float32), lambda *shape: np.ones(shape, np.float32)
    weights = {"wte.weight": normal(vocabulary, WIDTH), "wpe.weight": normal(CONTEXT, WIDTH)}
    for layer in range(LAYERS):
        for name, rows, columns in [
            ("attn.c_attn", WIDTH, 3 * WIDTH),
            ("attn.c_proj", WIDTH, WIDTH),
            ("mlp.c_fc", WIDTH, 4 * WIDTH),
            ("mlp.c_proj", 4 * WIDTH, WIDTH),
        ]:
            scale = 0.02 / (2 * LAYERS) ** 0.5 if name.endswith("c_proj") else 0.02
            weights |= {f"h.{layer}.{name}.weight": normal(rows, columns, scale=scale)}
            weights |= {f"h.{layer}.{name}.bias": zeros(columns)}
    for name in [f"h.{layer}.ln_{part}" for layer in range(LAYERS) for part in (1, 2)] + ["ln_f"]:
        weights |= {f"{name}.weight": ones(WIDTH), f"{name}.bias": zeros(WIDTH)}
    return weights


def norm(weights, name, values):
    mean = values.mean(-1, keepdims=True)
    variance = ((values - mean) ** 2).mean(-1, keepdims=True)
    return (values - mean) / jnp.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(weights, name, values):
    return values @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def logits(weights, tokens):
    count = tokens.shape[1]
    hidden = weights["wte.weight"][tokens] + weights["wpe.weight"][:count]
    mask = jnp.where(jnp.tri(count) > 0, 0.0, -1e9)
    for layer in range(LAYERS):
        projected = linear(weights, f"h.{layer}.attn.c_attn", norm(weights, f"h.{layer}.ln_1", hidden))
        heads = lambda values: values.reshape(-1, count, HEADS, WIDTH // HEADS).swapaxes(1, 2)
        query, key, value = map(heads, jnp.split(projected, 3, -1))
        scores = query @ key.swapaxes(2, 3) / (WIDTH // HEADS) ** 0.5 + mask
        attended = (jax.nn.softmax(scores) @ value).swapaxes(1, 2).reshape(hidden.shape)
        hidden += linear(weights, f"h.{layer}.attn.c_proj", attended)
        wide = linear(weights, f"h.{layer}.mlp.c_fc", norm(weights, f"h.{layer}.ln_2", hidden))
        hidden += linear(weights, f"h.{layer}.mlp.c_proj", jax.nn.gelu(wide, approximate=True))
    return norm(weights, "ln_f", hidden) @ weights["wte.weight"].T


def loss(weights, rows, mask):
    scores = jax.nn.log_softmax(logits(weights, rows[:, :-1]))
    chosen = jnp.take_along_axis(scores, rows[:, 1:, None], -1)[..., 0]
    # Large weights would need more bits in a circuit.
    decay = sum((value**2).sum() for value in weights.values())
    return -(chosen * mask).sum() / mask.sum() + 1e-5 * decay


@jax.jit
def step(weights, moments, number, rows, mask):
    value, gradient = jax.value_and_grad(loss)(weights, rows, mask)
    rate = RATE * jnp.minimum(1.0, number / 100) * (0.5 + 0.5 * jnp.cos(jnp.pi * number / STEPS))
    first = jax.tree.map(lambda moment, slope: 0.9 * moment + 0.1 * slope, moments[0], gradient)
    second = jax.tree.map(lambda moment, slope: 0.99 * moment + 0.01 * slope**2, moments[1], gradient)
    scale = jnp.sqrt(1 - 0.99**number) / (1 - 0.9**number)
    update = lambda value, one, two: value - rate * scale * one / (jnp.sqrt(two) + 1e-8)
    return jax.tree.map(update, weights, first, second), (first, second), value


def tokenizer(characters):
    """The file of the library tokenizers: each character is a token."""
    vocabulary = {"<|end|>": END} | {character: index + 1 for index, character in enumerate(characters)}
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": END, "content": "<|end|>", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
        ],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": False},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<|end|>"},
    }


def main():
    characters, rows, lengths = corpus()
    masks = (np.arange(rows.shape[1] - 1)[None] < lengths[:, None]).astype(np.float32)
    weights = initial(len(characters) + 1)
    zeros = jax.tree.map(np.zeros_like, weights)
    moments, random = (zeros, zeros), np.random.default_rng(SEED)
    for number in range(1, STEPS + 1):
        chosen = random.integers(0, len(rows), BATCH)
        weights, moments, value = step(weights, moments, number, rows[chosen], masks[chosen])
        if number % 500 == 0:
            print(f"step {number}: loss {value:.4f}", flush=True)
    predicted = np.asarray(logits(weights, jnp.asarray(rows[:, :-1]))).argmax(-1)
    right = ((predicted == rows[:, 1:]) * masks).sum() / masks.sum()
    print(f"{right:.2%} of the characters are right; {sum(value.size for value in weights.values())} parameters")
    save_file({name: np.asarray(value) for name, value in weights.items()}, HERE / "model.safetensors")
    config = {
        "model_type": "gpt2", "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT,
        "vocab_size": len(characters) + 1, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new",
        "bos_token_id": END, "eos_token_id": END,
    }
    (HERE / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (HERE / "tokenizer.json").write_text(json.dumps(tokenizer(characters), ensure_ascii=False, indent=1) + "\n")


main()
