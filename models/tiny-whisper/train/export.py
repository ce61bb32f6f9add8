#!/usr/bin/env python3
"""Writes the CTranslate2 model that faster-whisper loads.

    export.py WEIGHTS.pt TOKENIZER.json OUT_DIR [--type int8]       (PyPI: transformers==4.56.0, ctranslate2)
"""
import argparse, json, os, shutil
import ctranslate2.converters.transformers as converters
import torch
import transformers
from safetensors.torch import save_file
import model as m
from vocabulary import LANGUAGES
from windows import Vocabulary

# the heads that train.py guides to where a token is spoken: (layer, head)
ALIGNMENT_HEADS = [(layer, head) for layer in range(1, m.DECODER_LAYERS) for head in (0, 1)]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("weights")
    a.add_argument("tokenizer")
    a.add_argument("out")
    a.add_argument("--type", default="int8")
    a = a.parse_args()
    v, state = Vocabulary(a.tokenizer), torch.load(a.weights, map_location="cpu")
    whisper = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(
        vocab_size=v.size, num_mel_bins=80, d_model=m.WIDTH, encoder_layers=m.ENCODER_LAYERS, decoder_layers=m.DECODER_LAYERS,
        encoder_attention_heads=m.HEADS, decoder_attention_heads=m.HEADS, encoder_ffn_dim=4 * m.WIDTH, decoder_ffn_dim=4 * m.WIDTH,
        max_source_positions=m.POSITIONS, max_target_positions=m.CONTEXT, pad_token_id=v.eot, bos_token_id=v.eot, eos_token_id=v.eot,
        decoder_start_token_id=v.sot))
    phonemes = {k: x.half() for k, x in state.items() if k.startswith("phonemes.")}
    lacking = whisper.load_state_dict({"model." + k: x for k, x in state.items() if k not in phonemes}, strict=False)
    assert not lacking.unexpected_keys and lacking.missing_keys == ["proj_out.weight"], lacking
    whisper.tie_weights()
    spec = converters._MODEL_LOADERS["WhisperConfig"].get_model_spec(whisper)
    spec.register_vocabulary([v.t.id_to_token(i) for i in range(v.size)])
    spec.config.suppress_ids = []                     # faster-whisper tells them itself
    spec.config.suppress_ids_begin = [v.t.encode(" ", add_special_tokens=False).ids[0], v.eot]
    spec.config.lang_ids = [v.t.token_to_id(f"<|{c}|>") for c in LANGUAGES]
    spec.config.alignment_heads = ALIGNMENT_HEADS
    spec.validate()
    spec.optimize(quantization=a.type)
    os.makedirs(a.out, exist_ok=True)
    spec.save(a.out)
    if os.path.abspath(a.tokenizer) != os.path.abspath(f"{a.out}/tokenizer.json"):
        shutil.copy(a.tokenizer, f"{a.out}/tokenizer.json")
    os.makedirs(f"{a.out}/train", exist_ok=True)
    save_file(phonemes, f"{a.out}/train/phonemes.safetensors")
    print({f: os.path.getsize(f"{a.out}/{f}") for f in sorted(os.listdir(a.out))}, json.load(open(f"{a.out}/config.json")))


if __name__ == "__main__":
    main()
