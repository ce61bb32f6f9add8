"""Makes tiny GPT-2 and Llama models with random weights, and records what transformers computes with them.

Usage: python generate.py
Needs torch, transformers, tokenizers, safetensors and gguf from PyPI, about 3 GB.
"""

import json
import pathlib

import gguf
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


def permuted(weight, heads):
    """The order of rows in llama.cpp's files: the two values of a rotated pair are adjacent."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def gguf_tensors(name, model):
    """Names and arrays of a GGUF file, matrices with one row per output."""
    state = {key: value.detach().float().numpy() for key, value in model.state_dict().items()}
    if name == "gpt2":
        parts = {
            "ln_1": "attn_norm",
            "attn.c_attn": "attn_qkv",
            "attn.c_proj": "attn_output",
            "ln_2": "ffn_norm",
            "mlp.c_fc": "ffn_up",
            "mlp.c_proj": "ffn_down",
        }
        yield "token_embd.weight", state["transformer.wte.weight"]
        yield "position_embd.weight", state["transformer.wpe.weight"]
        for kind in ("weight", "bias"):
            yield f"output_norm.{kind}", state[f"transformer.ln_f.{kind}"]
            for layer in range(LAYERS):
                for theirs, ours in parts.items():
                    values = state[f"transformer.h.{layer}.{theirs}.{kind}"]
                    yield f"blk.{layer}.{ours}.{kind}", values.T if values.ndim == 2 else values
        return
    parts = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    yield "output.weight", state["lm_head.weight"]
    yield "output_norm.weight", state["model.norm.weight"]
    frequencies = 1.0 / 10_000.0 ** (numpy.arange(0, HIDDEN // HEADS, 2) / (HIDDEN // HEADS))
    scaled = model.model.rotary_emb.inv_freq.detach().numpy()
    yield "rope_freqs.weight", (frequencies / scaled).astype(numpy.float32)
    for layer in range(LAYERS):
        for theirs, ours in parts.items():
            values = state[f"model.layers.{layer}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                values = permuted(values, HEADS if ours == "attn_q" else 2)
            yield f"blk.{layer}.{ours}.weight", values


def write_gguf(path, name, model, tokenizer, kind):
    writer = gguf.GGUFWriter(path, name)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_head_count(HEADS)
    if name == "gpt2":
        writer.add_feed_forward_length(4 * HIDDEN)
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_feed_forward_length(2 * HIDDEN)
        writer.add_head_count_kv(2)
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_rope_freq_base(10_000.0)
        writer.add_rope_dimension_count(HIDDEN // HEADS)
    document = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(document["vocab"].items(), key=lambda entry: entry[1])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token == END else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in document["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for tensor, values in gguf_tensors(name, model):
        values = numpy.ascontiguousarray(values, dtype=numpy.float32)
        is_matrix = values.ndim == 2 and not tensor.startswith("position")
        if is_matrix:
            writer.add_tensor(tensor, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


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
            write_gguf(HERE / f"{name}-{suffix}.gguf", name, model, tokenizer, kind)
        original = {key: values.clone() for key, values in model.state_dict().items()}
        for suffix, kind in kinds.items():
            model.load_state_dict(original)
            quantize(name, model, kind)
            cases[suffix] = expectations(model, prompts)
        document = {"made_with": f"transformers {transformers.__version__}, torch {torch.__version__}", **cases}
        (HERE / f"{name}.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
