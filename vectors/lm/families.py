"""Makes tiny Qwen 2, Qwen 3 and Gemma 3 models with random weights, and records what their formulas give in 64 bits.

The formulas are those of modeling_qwen2.py, modeling_qwen3.py and modeling_gemma3.py in transformers 5.23.0, on numpy
arrays, without a cache. The parts that Llama shares are first compared with llama.json, which transformers computed.

Usage: python families.py
Needs numpy, tokenizers, safetensors and gguf from PyPI.
"""

import json
import pathlib
import types

import gguf
import gguf_file
import numpy
import safetensors.numpy
import tokenizers

HERE = pathlib.Path(__file__).parent
VOCABULARY, HIDDEN, HEADS, CONTEXT = 320, 32, 4, 128
# The first seeds from 15 on whose models pass the checks of `record`.
SEEDS = {"qwen2": 210, "qwen3": 108, "gemma3": 19}
TEXTS = ["the ferry leaves at", "Is this seat free?", "Yes,  it is. \u00e9\u2603", "a b c d e f g h i j k l m n o p"]
GREEDY = 16
# Minimum distance of the greedy token's logit from all others, so that rounding cannot change the token.
MARGIN = 0.005
# Half of the bounds in crates/lm/src/causal/tests.rs for layers whose inputs are rounded to 8 bits.
LARGEST, USUAL = 0.25, 0.06
KINDS = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}


def rounded(values, kind):
    return gguf.quants.dequantize(gguf.quants.quantize(numpy.ascontiguousarray(values, numpy.float32), kind), kind)


def gelu(x):
    return 0.5 * x * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + numpy.exp(-x))


class Model:
    """A model of the Llama family: its configuration, and its weights by their names in transformers."""

    def __init__(self, name, config, weights):
        self.name, self.config, self.weights = name, config, weights
        # Whether the inputs of the layers are rounded to 8 bits.
        self.rounds_inputs = False

    def state_dict(self):
        return self.weights

    def linear(self, x, name):
        if self.rounds_inputs:
            x = rounded(x, KINDS["q8_0"])
        output = x.astype(float) @ self.weights[f"{name}.weight"].T.astype(float)
        bias = self.weights.get(f"{name}.bias")
        return output if bias is None else output + bias

    def norm(self, x, name):
        weight = self.weights[f"{name}.weight"].astype(float)
        # Gemma's weights are differences from 1.
        weight = 1 + weight if self.name == "gemma3" else weight
        return x / numpy.sqrt((x**2).mean(-1, keepdims=True) + self.config.rms_norm_eps) * weight

    def frequencies(self, is_local):
        size, rope = self.config.head_dim, self.config.rope
        theta = 10_000.0 if is_local else rope["rope_theta"]
        steps = 1 / theta ** (numpy.arange(0, size, 2) / size)
        if rope["rope_type"] == "llama3":
            turns = rope["original_max_position_embeddings"] * steps / (2 * numpy.pi)
            low, high = rope["low_freq_factor"], rope["high_freq_factor"]
            stays = numpy.clip((turns - low) / (high - low), 0, 1)
            steps = steps * (stays + (1 - stays) / rope["factor"])
        return steps

    def attention(self, x, layer):
        config, prefix = self.config, f"model.layers.{layer}.self_attn"
        # Every sixth layer of Gemma is global.
        is_local = self.name == "gemma3" and (layer + 1) % 6 != 0
        tokens, size = len(x), config.head_dim
        query, key, value = (
            self.linear(x, f"{prefix}.{part}_proj").reshape(tokens, -1, size).swapaxes(0, 1) for part in "qkv"
        )
        if self.name in ("qwen3", "gemma3"):
            query, key = self.norm(query, f"{prefix}.q_norm"), self.norm(key, f"{prefix}.k_norm")
        angles = numpy.arange(tokens)[:, None] * self.frequencies(is_local)
        cos, sin = numpy.cos(angles), numpy.sin(angles)

        def rotated(heads):
            first, second = heads[..., : size // 2], heads[..., size // 2 :]
            return numpy.concatenate([first * cos - second * sin, second * cos + first * sin], -1)

        shared = config.num_attention_heads // config.num_key_value_heads
        query, key, value = rotated(query), rotated(key).repeat(shared, 0), value.repeat(shared, 0)
        scores = query @ key.swapaxes(1, 2) / numpy.sqrt(size)
        distance = numpy.arange(tokens)[:, None] - numpy.arange(tokens)
        is_seen = (distance >= 0) & (distance < config.sliding_window if is_local else True)
        scores = numpy.where(is_seen, scores, -numpy.inf)
        shares = numpy.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return self.linear((shares @ value).swapaxes(0, 1).reshape(tokens, -1), f"{prefix}.o_proj")

    def feed_forward(self, x, layer):
        prefix = f"model.layers.{layer}.mlp"
        gate = self.linear(x, f"{prefix}.gate_proj")
        gate = gelu(gate) if self.name == "gemma3" else silu(gate)
        return self.linear(gate * self.linear(x, f"{prefix}.up_proj"), f"{prefix}.down_proj")

    def logits(self, tokens):
        """Logits after the last token."""
        x = self.weights["model.embed_tokens.weight"][tokens].astype(float)
        is_gemma = self.name == "gemma3"
        if is_gemma:
            x = x * numpy.sqrt(HIDDEN)
        for layer in range(self.config.num_hidden_layers):
            prefix = f"model.layers.{layer}"
            output = self.attention(self.norm(x, f"{prefix}.input_layernorm"), layer)
            x = x + (self.norm(output, f"{prefix}.post_attention_layernorm") if is_gemma else output)
            before = f"{prefix}.pre_feedforward_layernorm" if is_gemma else f"{prefix}.post_attention_layernorm"
            output = self.feed_forward(self.norm(x, before), layer)
            x = x + (self.norm(output, f"{prefix}.post_feedforward_layernorm") if is_gemma else output)
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return self.linear(self.norm(x[-1:], "model.norm"), head)[0]


def configuration(name):
    """Fields of config.json."""
    gemma, has_wide_heads = name == "gemma3", name != "qwen2"
    return {
        "model_type": name,
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        # Five local layers of Gemma, and a global one.
        "num_hidden_layers": 6 if gemma else 2,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 1 if gemma else 2,
        # Wider than the heads' share of the hidden size.
        "head_dim": 16 if has_wide_heads else HIDDEN // HEADS,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "hidden_act": "gelu_pytorch_tanh" if gemma else "silu",
        "sliding_window": 12 if gemma else None,
        "tie_word_embeddings": gemma,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def shapes(name, config):
    """Names and shapes of the weights."""
    width, kv = (heads * config["head_dim"] for heads in (HEADS, config["num_key_value_heads"]))
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    yield "model.norm.weight", (HIDDEN,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (VOCABULARY, HIDDEN)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        norms = ["input_layernorm", "post_attention_layernorm"]
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"] if name == "gemma3" else []
        for norm in norms:
            yield f"{prefix}.{norm}.weight", (HIDDEN,)
        for part, rows in [("q", width), ("k", kv), ("v", kv)]:
            yield f"{prefix}.self_attn.{part}_proj.weight", (rows, HIDDEN)
            if name == "qwen2":
                yield f"{prefix}.self_attn.{part}_proj.bias", (rows,)
        yield f"{prefix}.self_attn.o_proj.weight", (HIDDEN, width)
        if name != "qwen2":
            yield f"{prefix}.self_attn.q_norm.weight", (config["head_dim"],)
            yield f"{prefix}.self_attn.k_norm.weight", (config["head_dim"],)
        for part in ("gate", "up"):
            yield f"{prefix}.mlp.{part}_proj.weight", (2 * HIDDEN, HIDDEN)
        yield f"{prefix}.mlp.down_proj.weight", (HIDDEN, 2 * HIDDEN)


def make_model(name, seed):
    """Weights with a wide spread, so that the likeliest token is clear."""
    config, random = configuration(name), numpy.random.default_rng(seed)
    weights = {}
    for key, shape in shapes(name, config):
        values = 0.3 * random.standard_normal(shape)
        if "norm" in key and name != "gemma3":
            values += 1
        weights[key] = values.astype(numpy.float32)
    rope = {"rope_type": "default", "rope_theta": config["rope_theta"]}
    return Model(name, types.SimpleNamespace(rope=rope, rope_parameters=rope, **config), weights)


def quantized(model, kind):
    """A model with rounded matrices."""
    weights = {key: rounded(values, kind) if values.ndim == 2 else values for key, values in model.weights.items()}
    return Model(model.name, model.config, weights)


def expectations(model, prompts):
    """Logits after each prompt, and the likeliest continuation; with the smallest margin of its tokens."""
    cases, margin = [], numpy.inf
    for text, tokens in prompts:
        made, first = [], model.logits(tokens)
        logits = first
        for _ in range(GREEDY):
            # The end token is masked.
            best = numpy.argsort(-logits[1:]) + 1
            margin = min(margin, logits[best[0]] - logits[best[1]])
            made.append(int(best[0]))
            logits = model.logits(tokens + made)
        rounded_logits = [round(float(logit), 5) for logit in first]
        cases.append({"text": text, "tokens": tokens, "logits": rounded_logits, "greedy": made})
    return cases, margin


def check_llama():
    """Compares this implementation with transformers."""
    config = json.loads((HERE / "llama/config.json").read_text())
    weights = safetensors.numpy.load_file(HERE / "llama/model.safetensors")
    llama = Model("llama", types.SimpleNamespace(rope=config["rope_parameters"], **config), weights)
    for case in json.loads((HERE / "llama.json").read_text())["f32"]:
        difference = numpy.abs(llama.logits(case["tokens"]) - case["logits"]).max()
        assert difference < 1e-4, difference


def check_rounding(model, cases):
    """Checks that rounded inputs change the logits less than the tests allow."""
    model.rounds_inputs = True
    for case in cases:
        differences = model.logits(case["tokens"]) - case["logits"]
        largest, usual = numpy.abs(differences).max(), numpy.sqrt((differences**2).mean())
        print(f"{model.name}: rounded inputs change logits by {largest:.3f} at most, {usual:.3f} in the mean square")
        assert largest < LARGEST and usual < USUAL, model.name


def record(name, prompts):
    """A model, and what its weights give in each format."""
    model = make_model(name, SEEDS[name])
    variants = {"f32": model} | {suffix: quantized(model, kind) for suffix, kind in KINDS.items()}
    document = {"made_with": "families.py"}
    for suffix, variant in variants.items():
        document[suffix], margin = expectations(variant, prompts)
        assert margin > MARGIN, f"{name}: the greedy token is {margin} ahead; choose another seed"
    for suffix in KINDS:
        check_rounding(variants[suffix], document[suffix])
    return model, document


def main():
    check_llama()
    tokenizer = tokenizers.Tokenizer.from_file(str(HERE / "llama/tokenizer.json"))
    prompts = [(text, tokenizer.encode(text).ids) for text in TEXTS]
    # One token more than a step of any kernel, and longer than Gemma's window.
    prompts.append((None, [1 + number * 7 % (VOCABULARY - 1) for number in range(97)]))
    for name in ("qwen2", "qwen3", "gemma3"):
        model, document = record(name, prompts)
        (HERE / f"{name}.json").write_text(json.dumps(document) + "\n")
        for suffix, kind in KINDS.items():
            gguf_file.write(HERE / f"{name}-{suffix}.gguf", name, model, tokenizer, kind)
        # Directories of Gemma are not supported.
        if name != "gemma3":
            folder = HERE / name
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(json.dumps(configuration(name), indent=2) + "\n")
            (folder / "tokenizer.json").write_bytes((HERE / "llama/tokenizer.json").read_bytes())
            safetensors.numpy.save_file(model.weights, folder / "model.safetensors")


if __name__ == "__main__":
    main()
