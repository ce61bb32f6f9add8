"""Reads the shipped CTranslate2 model back, so that training can go on from it."""
import struct
import numpy as np
import torch
from safetensors.torch import load_file

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def variables(path):
    """The variables of a CTranslate2 binary (version 6): name to array, aliases resolved."""
    data, at, out = open(path, "rb").read(), 0, {}

    def number(form):
        nonlocal at
        (n,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize(form)
        return n

    def name():
        nonlocal at
        n = number("H")
        at += n
        return data[at - n:at - 1].decode()              # a NUL ends it

    version, _, _ = number("I"), name(), number("I")
    assert version == 6, version
    for _ in range(number("I")):
        key, rank = name(), number("B")
        shape = [number("I") for _ in range(rank)]
        kind, size = TYPES[number("B")], number("I")
        out[key] = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
        at += size
    for _ in range(number("I")):
        alias = name()
        out[alias] = out[name()]
    return out


def read_model(path):
    """The parameters of model.py from `path`/model.bin; int8 rows are multiplied out."""
    v, out = variables(f"{path}/model.bin"), {}

    def get(key):
        x = v[key].astype(np.float32)
        if key + "_scale" in v:
            x = x / v[key + "_scale"].astype(np.float32).reshape([-1] + [1] * (x.ndim - 1))
        return torch.from_numpy(np.array(x))

    def linear(ours, theirs):
        out[f"{ours}.weight"] = get(f"{theirs}/weight")
        if f"{theirs}/bias" in v:
            out[f"{ours}.bias"] = get(f"{theirs}/bias")

    def norm(ours, theirs):
        out[f"{ours}.weight"], out[f"{ours}.bias"] = get(f"{theirs}/gamma"), get(f"{theirs}/beta")

    def split(ours, names, weight, bias):
        for n, w, b in zip(names, weight.chunk(len(names)), bias.chunk(len(names))):
            out[f"{ours}.{n}_proj.weight"] = w.contiguous()
            if n != "k":
                out[f"{ours}.{n}_proj.bias"] = b.contiguous()

    for side in ("encoder", "decoder"):
        out[f"{side}.embed_positions.weight"] = get(f"{side}/position_encodings/encodings")
        norm(f"{side}.layer_norm", f"{side}/layer_norm")
        i = 0
        while f"{side}/layer_{i}/ffn/linear_0/weight" in v:
            ours, theirs = f"{side}.layers.{i}", f"{side}/layer_{i}"
            norm(f"{ours}.self_attn_layer_norm", f"{theirs}/self_attention/layer_norm")
            split(f"{ours}.self_attn", "qkv", get(f"{theirs}/self_attention/linear_0/weight"), get(f"{theirs}/self_attention/linear_0/bias"))
            linear(f"{ours}.self_attn.out_proj", f"{theirs}/self_attention/linear_1")
            if side == "decoder":
                norm(f"{ours}.encoder_attn_layer_norm", f"{theirs}/attention/layer_norm")
                linear(f"{ours}.encoder_attn.q_proj", f"{theirs}/attention/linear_0")
                split(f"{ours}.encoder_attn", "kv", get(f"{theirs}/attention/linear_1/weight"), get(f"{theirs}/attention/linear_1/bias"))
                linear(f"{ours}.encoder_attn.out_proj", f"{theirs}/attention/linear_2")
            norm(f"{ours}.final_layer_norm", f"{theirs}/ffn/layer_norm")
            linear(f"{ours}.fc1", f"{theirs}/ffn/linear_0")
            linear(f"{ours}.fc2", f"{theirs}/ffn/linear_1")
            i += 1
    for conv in ("conv1", "conv2"):
        linear(f"encoder.{conv}", f"encoder/{conv}")
    out["decoder.embed_tokens.weight"] = get("decoder/embeddings/weight")
    out.update({k: x.float() for k, x in load_file(f"{path}/train/phonemes.safetensors").items()})
    return out
