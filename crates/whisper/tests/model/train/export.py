"""Writes a trained model as faster-whisper reads it: int8 weights as ct2-transformers-converter writes them.

usage: export.py STATE.pt MODEL_DIR
MODEL_DIR holds tokenizer.json and vocabulary.json; adds model.bin and config.json."""
import json
import os
import sys

import torch
from ctranslate2.specs import whisper_spec

import model as network
from vocabulary import LANGUAGES


def array(tensor):
    return tensor.detach().float().contiguous().numpy()


def linear(spec, *parts):
    spec.weight = array(torch.cat([part.weight for part in parts]))
    biases = [torch.zeros(part.out_features) if part.bias is None else part.bias for part in parts]
    spec.bias = array(torch.cat(biases))


def norm(spec, part):
    spec.gamma, spec.beta = array(part.weight), array(part.bias)


def attention(spec, part, crossed):
    norm(spec.layer_norm, part.norm)
    if crossed:
        linear(spec.linear[0], part.query)
        linear(spec.linear[1], part.key, part.value)
    else:
        linear(spec.linear[0], part.query, part.key, part.value)
    linear(spec.linear[-1], part.out)


def layers(specs, parts):
    for spec, part in zip(specs, parts):
        attention(spec.self_attention, part.attention, False)
        if part.cross is not None:
            attention(spec.attention, part.cross, True)
        norm(spec.ffn.layer_norm, part.norm)
        linear(spec.ffn.linear_0, part.expand)
        linear(spec.ffn.linear_1, part.contract)


def main():
    state, directory = sys.argv[1:3]
    with open(f"{directory}/vocabulary.json", encoding="utf-8") as file:
        tokens = json.load(file)
    model = network.Whisper(len(tokens))
    model.load_state_dict(torch.load(state)["average"])
    spec = whisper_spec.WhisperSpec(network.ENCODER_LAYERS, network.HEADS, network.DECODER_LAYERS, network.HEADS)
    encoder, decoder = spec.encoder, spec.decoder
    for name in ("conv1", "conv2"):
        into, part = getattr(encoder, name), getattr(model, name)
        into.weight, into.bias = array(part.weight), array(part.bias)
    encoder.position_encodings.encodings = array(model.positions)
    norm(encoder.layer_norm, model.encoder_norm)
    layers(encoder.layer, model.encoder)
    decoder.embeddings.weight = decoder.projection.weight = array(model.embeddings)
    decoder.position_encodings.encodings = array(model.decoder_positions)
    norm(decoder.layer_norm, model.decoder_norm)
    layers(decoder.layer, model.decoder)
    spec.register_vocabulary(tokens)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [tokens.index("Ġ"), tokens.index("<|endoftext|>")]
    spec.config.lang_ids = [tokens.index(f"<|{code}|>") for code in LANGUAGES]
    spec.config.alignment_heads = [[layer, 0] for layer in network.GUIDED]
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(directory)
    for name in sorted(os.listdir(directory)):
        print(f"{os.path.getsize(f'{directory}/{name}'):9d} {name}")


if __name__ == "__main__":
    main()
