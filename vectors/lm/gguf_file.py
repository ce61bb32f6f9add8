"""Writes models of transformers, and those of families.py, as GGUF files, with the names and the order of rows of llama.cpp."""

import json

import gguf
import numpy

GPT2 = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
LLAMA = {
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
QWEN2 = {f"self_attn.{part}_proj": f"attn_{part}" for part in "qkv"}
HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
GEMMA3 = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def array(value):
    return value if isinstance(value, numpy.ndarray) else value.detach().float().numpy()


def permuted(weight, heads):
    """The order of rows in llama.cpp's files: the two values of a rotated pair are adjacent."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def tensors(name, model):
    """Names and arrays of a GGUF file, matrices with one row per output."""
    config = model.config
    state = {key: array(value) for key, value in model.state_dict().items()}
    if name == "gpt2":
        yield "token_embd.weight", state["transformer.wte.weight"]
        yield "position_embd.weight", state["transformer.wpe.weight"]
        for kind in ("weight", "bias"):
            yield f"output_norm.{kind}", state[f"transformer.ln_f.{kind}"]
            for layer in range(config.num_hidden_layers):
                for theirs, ours in GPT2.items():
                    values = state[f"transformer.h.{layer}.{theirs}.{kind}"]
                    yield f"blk.{layer}.{ours}.{kind}", values.T if values.ndim == 2 else values
        return
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    if not config.tie_word_embeddings:
        yield "output.weight", state["lm_head.weight"]
    # The norms of Gemma multiply by 1 + weight; files have the sum.
    one = 1 if name == "gemma3" else 0
    yield "output_norm.weight", state["model.norm.weight"] + one
    rope, size = config.rope_parameters, config.hidden_size // config.num_attention_heads
    if name == "llama":
        frequencies = 1.0 / rope["rope_theta"] ** (numpy.arange(0, size, 2) / size)
        scaled = model.model.rotary_emb.inv_freq.detach().numpy()
        yield "rope_freqs.weight", (frequencies / scaled).astype(numpy.float32)
    # Only Llama's rows have another order in files.
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads} if name == "llama" else {}
    names = LLAMA | (HEAD_NORMS if name in ("qwen3", "gemma3") else {}) | (GEMMA3 if name == "gemma3" else {})
    for layer in range(config.num_hidden_layers):
        for theirs, ours in names.items():
            values = state[f"model.layers.{layer}.{theirs}.weight"]
            values = values + one if values.ndim == 1 else values
            yield f"blk.{layer}.{ours}.weight", permuted(values, heads[ours]) if ours in heads else values
        if name == "qwen2":
            for theirs, ours in QWEN2.items():
                yield f"blk.{layer}.{ours}.bias", state[f"model.layers.{layer}.{theirs}.bias"]


def write(path, name, model, tokenizer, kind):
    """Writes a model, its matrices rounded to `kind`, with a byte-level BPE tokenizer whose token 0 ends a text."""
    config = model.config
    writer = gguf.GGUFWriter(path, name)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_head_count(config.num_attention_heads)
    if name == "gpt2":
        writer.add_feed_forward_length(4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        if name in ("qwen3", "gemma3"):
            writer.add_key_length(config.head_dim)
            writer.add_value_length(config.head_dim)
        else:
            writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
        if name == "gemma3":
            writer.add_sliding_window(config.sliding_window)
    document = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(document["vocab"].items(), key=lambda entry: entry[1])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges([" ".join(merge) for merge in document["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for tensor, values in tensors(name, model):
        values = numpy.ascontiguousarray(values, dtype=numpy.float32)
        if values.ndim == 2 and not tensor.startswith("position"):
            writer.add_tensor(tensor, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
