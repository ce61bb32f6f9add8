"""Converts the weights of a Whisper model from CTranslate2's model.bin, as faster-whisper publishes it, into a
checkpoint of OpenAI's Whisper, which SimulStreaming reads: the same values under other names. Needs torch.

Usage: openai_checkpoint.py MODEL_DIRECTORY CHECKPOINT.pt"""

import json
import pathlib
import struct
import sys

import numpy

# Types of the elements in model.bin, by number; weights in 8 bits would need their scales.
TYPES = {0: "<f4", 3: "<i4", 4: "<f2"}


def variables(path):
    """Reads the arrays of a model.bin of version 6, by name. crates/whisper/src/files/ctranslate2.rs describes the
    format."""
    content, offset = memoryview(pathlib.Path(path).read_bytes()), 0

    def take(form):
        nonlocal offset
        values = struct.unpack_from(form, content, offset)
        offset += struct.calcsize(form)
        return values[0]

    def text():
        nonlocal offset
        length = take("<H")
        offset += length
        # Without the zero at the end.
        return bytes(content[offset - length:offset - 1]).decode()

    version, specification, revision = take("<I"), text(), take("<I")
    if (version, specification, revision) != (6, "WhisperSpec", 3):
        sys.exit(f"{path}: version {version}, {specification} {revision}; expected version 6, WhisperSpec 3")
    arrays = {}
    for _ in range(take("<I")):
        name = text()
        shape = [take("<I") for _ in range(take("<B"))]
        kind, size = take("<B"), take("<I")
        if kind in TYPES:
            arrays[name] = numpy.frombuffer(content[offset:offset + size], TYPES[kind]).reshape(shape)
        elif shape:
            sys.exit(f"{path}: {name} has elements of type {kind}; expected weights in 16 or 32 bits")
        offset += size
    return arrays


def converted(arrays):
    """Returns the weights by their names in OpenAI's model, in 32 bits."""
    weights = {}

    def put(target, source, part=None):
        """Copies weight and bias; `part` is the position of a matrix among those that are joined, and their number."""
        for ours, theirs in (("weight", "weight"), ("bias", "bias"), ("gamma", "weight"), ("beta", "bias")):
            array = arrays.get(f"{source}/{ours}")
            if array is None:
                continue
            if part is not None:
                array = numpy.split(array, part[1])[part[0]]
            # The projection to keys has no bias; CTranslate2 joins zeros.
            if not target.endswith(".key") or theirs == "weight":
                weights[f"{target}.{theirs}"] = array.astype(numpy.float32)

    def put_attention(target, source, is_cross):
        put(f"{target}_ln", f"{source}/layer_norm")
        if is_cross:
            put(f"{target}.query", f"{source}/linear_0")
            put(f"{target}.key", f"{source}/linear_1", (0, 2))
            put(f"{target}.value", f"{source}/linear_1", (1, 2))
        else:
            for index, name in enumerate(("query", "key", "value")):
                put(f"{target}.{name}", f"{source}/linear_0", (index, 3))
        put(f"{target}.out", f"{source}/linear_{2 if is_cross else 1}")

    for side, norm in (("encoder", "ln_post"), ("decoder", "ln")):
        put(f"{side}.{norm}", f"{side}/layer_norm")
        weights[f"{side}.positional_embedding"] = arrays[f"{side}/position_encodings/encodings"].astype(numpy.float32)
        for layer in range(layers(arrays, side)):
            target, source = f"{side}.blocks.{layer}", f"{side}/layer_{layer}"
            put_attention(f"{target}.attn", f"{source}/self_attention", False)
            if side == "decoder":
                put_attention(f"{target}.cross_attn", f"{source}/attention", True)
            put(f"{target}.mlp_ln", f"{source}/ffn/layer_norm")
            put(f"{target}.mlp.0", f"{source}/ffn/linear_0")
            put(f"{target}.mlp.2", f"{source}/ffn/linear_1")
    for name in ("conv1", "conv2"):
        put(f"encoder.{name}", f"encoder/{name}")
    put("decoder.token_embedding", "decoder/embeddings")
    return weights


def layers(arrays, side):
    end = "/self_attention/linear_0/weight"
    return sum(name.startswith(f"{side}/layer_") and name.endswith(end) for name in arrays)


def dimensions(weights, heads):
    """Returns the sizes of the model, with this many attention heads."""
    context, state = weights["encoder.positional_embedding"].shape
    text_context, text_state = weights["decoder.positional_embedding"].shape
    count = {side: len({name.split(".")[2] for name in weights if name.startswith(f"{side}.blocks.")})
             for side in ("encoder", "decoder")}
    return {
        "n_mels": weights["encoder.conv1.weight"].shape[1], "n_audio_ctx": context, "n_audio_state": state,
        "n_audio_head": heads, "n_audio_layer": count["encoder"],
        "n_vocab": weights["decoder.token_embedding.weight"].shape[0], "n_text_ctx": text_context,
        "n_text_state": text_state, "n_text_head": heads, "n_text_layer": count["decoder"]}


def convert(directory, target):
    """Writes the checkpoint; returns the alignment heads of the model, pairs of layer and head."""
    import torch
    directory = pathlib.Path(directory)
    weights = converted(variables(directory / "model.bin"))
    # A head of Whisper has 64 dimensions.
    dims = dimensions(weights, weights["encoder.positional_embedding"].shape[1] // 64)
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    torch.save({"dims": dims, "model_state_dict": state}, target)
    return json.loads((directory / "config.json").read_text())["alignment_heads"]


if __name__ == "__main__":
    convert(*sys.argv[1:])
