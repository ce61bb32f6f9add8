"""Makes tiny GPT-2 and Llama models with random weights, and records what transformers computes with them.

Usage: python generate.py
Needs torch, transformers, tokenizers, safetensors and gguf from PyPI, about 3 GB.
"""

import json
import pathlib

import gguf
import gguf_file
import numpy
import safetensors.torch
import tokenizers
import torch
import transformers

HERE = pathlib.Path(__file__).parent
CHALLENGE = HERE / "../../subnets/babelbit/challenges/text/01-the-ferry.json"
SEED, VOCABULARY, HIDDEN, LAYERS, HEADS, CONTEXT = 15, 320, 32, 2, 4, 128
END = "<|endoftext|>"
TEXTS = ["the ferry leaves at", "Is this seat free?", "Yes,  it is. \u00e9\u2603", "a b c d e f g h i j k l m n o p"]
GREEDY = 16


def make_tokenizer():
    """Byte-level BPE as in GPT-2, trained on a text challenge of this repository."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    document = json.loads(CHALLENGE.read_text())
    utterances = [text for dialogue in document["dialogues"] for text in dialogue["utterances"]]
    tokenizer.train_from_iterator(utterances, trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY
    return tokenizer


def models():
    """Weights with a wide spread, so that the likeliest token is clear."""
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(SEED)
    yield "gpt2", transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=HIDDEN,
            n_layer=LAYERS,
            n_head=HEADS,
            n_positions=CONTEXT,
            initializer_range=0.3,
            **ends,
        )
    )
    yield "llama", transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            intermediate_size=2 * HIDDEN,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            initializer_range=0.3,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 10_000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
            **ends,
        )
    )


def expectations(model, prompts):
    """Logits after each prompt, and the likeliest continuation."""
    cases = []
    for text, tokens in prompts:
        row = torch.tensor([tokens])
        with torch.no_grad():
            logits = model(row).logits[0, -1]
            # The first token is no end, as in `generate` with min_new_tokens=1.
            made = model.generate(
                row,
                attention_mask=torch.ones_like(row),
                do_sample=False,
                max_new_tokens=GREEDY,
                min_new_tokens=GREEDY,
                pad_token_id=0,
            )[0, len(tokens) :]
        cases.append(
            {
                "text": text,
                "tokens": tokens,
                "logits": [round(float(logit), 5) for logit in logits],
                "greedy": made.tolist(),
            }
        )
    return cases


def rounded(values, kind):
    return gguf.quants.dequantize(gguf.quants.quantize(numpy.ascontiguousarray(values), kind), kind)


def quantize(name, model, kind):
    """Replaces the matrices of a model with their rounded values."""
    with torch.no_grad():
        for key, values in model.named_parameters():
            if values.ndim != 2 or "wpe" in key:
                continue
            # GPT-2's own matrices have one row per input, files one per output.
            turned = name == "gpt2" and "wte" not in key
            matrix = values.float().numpy()
            matrix = rounded(matrix.T, kind).T if turned else rounded(matrix, kind)
            values.copy_(torch.from_numpy(matrix.copy()))


def main():
    tokenizer = make_tokenizer()
    prompts = [(text, tokenizer.encode(text).ids) for text in TEXTS]
    # One token more than a step of any kernel.
    prompts.append((None, [1 + number * 7 % (VOCABULARY - 1) for number in range(97)]))
    kinds = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}
    for name, model in models():
        model.eval()
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        model.save_pretrained(folder)
        # Without the metadata of the library's version.
        safetensors.torch.save_file(safetensors.torch.load_file(folder / "model.safetensors"), folder / "model.safetensors")
        tokenizer.save(str(folder / "tokenizer.json"))
        cases = {"f32": expectations(model, prompts)}
        for suffix, kind in kinds.items():
            gguf_file.write(HERE / f"{name}-{suffix}.gguf", name, model, tokenizer, kind)
        original = {key: values.clone() for key, values in model.state_dict().items()}
        for suffix, kind in kinds.items():
            model.load_state_dict(original)
            quantize(name, model, kind)
            cases[suffix] = expectations(model, prompts)
        document = {"made_with": f"transformers {transformers.__version__}, torch {torch.__version__}", **cases}
        (HERE / f"{name}.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
