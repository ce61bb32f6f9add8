"""Runs faster-whisper and CTranslate2 on recordings, so that tests can compare the results.

Reads a request as JSON on standard input, writes arrays as raw little-endian float32 into the folder `out`, and prints the
answer as JSON. Requests:
  {"do": "mel", "mels": 80, "audio": [PATH...], "out": DIR}       log-mel features, [mel][frame]
  {"do": "encode", "model": DIR, "mel": [PATH...], "out": DIR}    encoder output of windows of 3000 frames, which `out`
                      keeps for later requests about the same model and windows
  {"do": "steps", "model": DIR, "mel": [PATH...], "prompt": [...], "steps": N, "out": DIR}
                                            greedy tokens without repetition, and the logits of every step
  {"do": "align", "model": DIR, "mel": [PATH...], "start": [...], "texts": [[...]...], "frames": [N...], "out": DIR}
  {"do": "beam", "model": DIR, "mel": [PATH...], "searches": [{"prompt": [...], "options": {...}}...], "out": DIR}
                      for each search, the result of every window
  {"do": "detect", "model": DIR, "audio": [PATH...]}             language and its probability, and those of all languages
  {"do": "transcribe", "model": DIR, "audio": [PATH...], "options": {...}}
                      transcriptions, and the result of every decoding of a window
  {"do": "repeat", "model": DIR, "audio": [PATH...], "repeats": N, "options": {...}}
                      transcriptions, and those of the recordings with N different noises of 1e-6
  {"do": "files", "model": DIR, "files": [PATH...], "audio": [PATH...], "options": {...}}
                      transcriptions of audio files, of their samples with noise of 1e-6, and of the samples as
                      another program has decoded and resampled them
  {"do": "script", "model": DIR, "cases": [{"samples": N, "options": {...}, "results": [{...}...]}...]}
                      transcriptions of silence with the given decoding results and a synthetic alignment path
  {"do": "vocabulary", "model": DIR, "cases": [[LANGUAGE, TEXT or [TOKEN...]]...]}
                      suppressed tokens; tokens of each case, with the end of text, their text, and its words
Recordings are raw float32 samples at 16 kHz."""
import hashlib
import json
import os
import sys
import types

import numpy as np

request = json.load(sys.stdin)
do = request["do"]


def out(index):
    return os.path.join(request["out"], f"{do}{index}.f32")


def samples(path):
    return np.fromfile(path, dtype=np.float32)


def load():
    import ctranslate2
    return ctranslate2.models.Whisper(request["model"], device="cpu", compute_type="int8", intra_threads=1)


def window(model, path):
    return samples(path).reshape(1, model.n_mels, 3000)


def encoded(model, features):
    """The encoder output of a window. Encoding takes most of the time, so each window is encoded once for all requests."""
    name = hashlib.sha256(request["model"].encode() + features.tobytes()).hexdigest()
    path = os.path.join(request["out"], f"{name}.npy")
    if not os.path.exists(path):
        np.save(path, np.array(model.encode(view(features))).astype(np.float32))
    return np.load(path)


def view(array):
    import ctranslate2
    return ctranslate2.StorageView.from_array(array)


def mel():
    from faster_whisper.feature_extractor import FeatureExtractor
    extractor = FeatureExtractor(feature_size=request["mels"])
    shapes = []
    for i, path in enumerate(request["audio"]):
        features = extractor(samples(path))
        shapes.append(features.shape)
        features.astype(np.float32).tofile(out(i))
    return shapes


def encode():
    """Encodes windows. Also returns the relative change of the output when the features change by one rounding: int8
    amplifies any difference, so two correct engines can differ by that much."""
    model = load()
    sensitivities = []
    for i, path in enumerate(request["mel"]):
        output = encoded(model, window(model, path))
        output.tofile(out(i))
        again = encoded(model, changed(model, path))
        sensitivities.append(float(np.linalg.norm(again - output) / np.linalg.norm(output)))
    return sensitivities


def steps():
    model = load()
    answer = []
    for i, path in enumerate(request["mel"]):
        result = model.generate(
            view(encoded(model, window(model, path))), [request["prompt"]], beam_size=1, max_length=2 * request["steps"], suppress_blank=False,
            suppress_tokens=request["suppress"], no_repeat_ngram_size=int(request["distinct"]), return_logits_vocab=True, return_scores=True,
            return_no_speech_prob=True)[0]
        logits = np.stack([np.array(step).reshape(-1) for step in result.logits[0]]).astype(np.float32)
        logits.tofile(out(i))
        answer.append({"tokens": result.sequences_ids[0], "steps": len(logits), "no_speech": result.no_speech_prob})
    return answer


def changed(model, path):
    """Returns the features of a window, perturbed by a ten-millionth: one rounding."""
    features = window(model, path)
    features = features * (1 + 1e-7 * np.random.default_rng(1).standard_normal(features.shape))
    return features.astype(np.float32)


def align():
    model = load()
    answer = []
    for path, text, frames in zip(request["mel"], request["texts"], request["frames"]):
        results = [model.align(view(encoded(model, features)), request["start"], [text], [frames])[0]
                   for features in (window(model, path), changed(model, path))]
        answer.append({"path": results[0].alignments, "again": results[1].alignments,
                       "probabilities": results[0].text_token_probs})
    return answer


def beam():
    model = load()
    answer = []
    for search in request["searches"]:
        windows = []
        for path in request["mel"]:
            results = [
                model.generate(view(encoded(model, features)), [search["prompt"]], return_scores=True,
                               return_no_speech_prob=True, **search["options"])[0]
                for features in (window(model, path), changed(model, path))]
            windows.append({"tokens": results[0].sequences_ids[0], "score": results[0].scores[0],
                            "no_speech": results[0].no_speech_prob, "again": results[1].sequences_ids[0]})
        answer.append(windows)
    return answer


class Recorder:
    """CTranslate2's model, which records the results of its decoding."""

    def __init__(self, model):
        self.model, self.decodings = model, []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def generate(self, features, prompts, **options):
        results = self.model.generate(features, prompts, **options)
        self.decodings.append({
            "prompt": prompts[0], "temperature": options.get("sampling_temperature", 0),
            "tokens": results[0].sequences_ids[0], "score": results[0].scores[0], "no_speech": results[0].no_speech_prob})
        return results


def detect():
    from faster_whisper import WhisperModel
    model = WhisperModel(request["model"], device="cpu", compute_type="int8", cpu_threads=1)
    answer = []
    for path in request["audio"]:
        # Features of the whole recording, as in transcribe.
        language, probability, languages = model.detect_language(features=model.feature_extractor(samples(path)))
        answer.append({"language": language, "probability": probability, "languages": dict(languages)})
    return answer


def transcribe():
    from faster_whisper import WhisperModel
    model = WhisperModel(request["model"], device="cpu", compute_type="int8", cpu_threads=1)
    model.model = Recorder(model.model)
    answer = []
    for path in request["audio"]:
        model.model.decodings = []
        segments, info = model.transcribe(samples(path), **request["options"])
        segments = [described(segment) for segment in segments]
        answer.append({"language": info.language, "segments": segments, "decodings": model.model.decodings})
    return answer


def repeat():
    """Transcribes recordings, also with noise far below the last bit of a 16-bit sample: correct engines differ by as
    much as these transcriptions do."""
    from faster_whisper import WhisperModel
    model = WhisperModel(request["model"], device="cpu", compute_type="int8", cpu_threads=2)
    answer = []
    for path in request["audio"]:
        original = samples(path)
        answer.append([transcription(model, noisy(original, seed) if seed else original)
                       for seed in range(1 + request["repeats"])])
    return answer


def files():
    """Transcribes audio files. Resamplers differ by more than engines do: the same engine with the samples of another
    resampler shows by how much."""
    from faster_whisper import WhisperModel
    from faster_whisper.audio import decode_audio
    model = WhisperModel(request["model"], device="cpu", compute_type="int8", cpu_threads=2)
    return [[transcription(model, path), transcription(model, noisy(decode_audio(path), 1)),
             transcription(model, samples(resampled))]
            for path, resampled in zip(request["files"], request["audio"])]


def noisy(original, seed):
    return (original + 1e-6 * np.random.default_rng(seed).standard_normal(len(original))).astype(np.float32)


def transcription(model, audio):
    """The transcription of samples or of a file."""
    segments, info = model.transcribe(audio, **request["options"])
    segments = list(segments)
    return {
        "language": info.language, "text": " ".join(s.text.strip() for s in segments if s.text.strip()),
        "words": [[w.word.strip(), w.start, w.end] for s in segments for w in s.words]}


class Exhausted(Exception):
    pass


class Script:
    """Mock of CTranslate2's model: records the calls and returns the given results."""

    device, is_multilingual = "cpu", True

    def __init__(self, results, config):
        self.results, self.calls, self.config = list(results), [], config

    def encode(self, features, to_cpu=False):
        return features

    def generate(self, features, prompts, **options):
        prompt = prompts[0]
        total = options["max_length"]
        self.calls.append({
            "prompt": prompt, "beams": options["beam_size"], "patience": options.get("patience"),
            "best_of": options.get("num_hypotheses"), "temperature": options.get("sampling_temperature"),
            # CTranslate2's limit for these arguments.
            "longest": min(total // 2, total - (len(prompt) - 1)),
            "latest": options["max_initial_timestamp_index"], "suppressed": options["suppress_tokens"],
            # CTranslate2 suppresses these only with suppress_blank.
            "suppressed_at_begin": self.config["suppress_ids_begin"] if options["suppress_blank"] else []})
        if not self.results:
            raise Exhausted
        result = self.results.pop(0)
        return [types.SimpleNamespace(
            sequences_ids=[result["tokens"]], scores=[result["score"]], no_speech_prob=result["no_speech"])]

    def align(self, features, start, text, frames, median_filter_width):
        return [types.SimpleNamespace(**made_up_alignment(tokens, frames)) for tokens in text]


def made_up_alignment(tokens, frames):
    """Same path as in script.rs: the tokens and the number of frames determine the position of each token."""
    state, positions = sum(tokens) + frames, frames // 2
    starts = []
    for _ in range(len(tokens) + 1):
        state = (state * 1664525 + 1013904223) % 2**32
        starts.append((state >> 8) % max(positions, 1))
    starts.sort()
    path = [(i, position) for i, start in enumerate(starts) for position in (start, min(start + 1, max(positions, 1) - 1))]
    return {"alignments": path, "text_token_probs": [(token % 97 + 1) / 128 for token in tokens]}


def script():
    from faster_whisper import WhisperModel
    model = WhisperModel(request["model"], device="cpu", compute_type="int8", cpu_threads=1)
    type(model.feature_extractor).__call__ = lambda self, samples, **_: np.zeros(
        (80, len(samples) // 160 + 1), dtype=np.float32)
    with open(os.path.join(request["model"], "config.json")) as file:
        config = json.load(file)
    answer = []
    for case in request["cases"]:
        model.model = Script(case["results"], config)
        found = []
        segments, _ = model.transcribe(np.zeros(case["samples"], dtype=np.float32), language="en", **case["options"])
        try:
            found.extend(described(segment) for segment in segments)
        except Exhausted:
            pass
        answer.append({"calls": model.model.calls, "segments": found})
    return answer


def vocabulary():
    import tokenizers
    from faster_whisper.tokenizer import Tokenizer
    from faster_whisper.transcribe import get_suppressed_tokens
    file = tokenizers.Tokenizer.from_file(os.path.join(request["model"], "tokenizer.json"))
    answer = []
    for language, content in request["cases"]:
        tokenizer = Tokenizer(file, True, task="transcribe", language=language)
        tokens = tokenizer.encode(content) if isinstance(content, str) else content
        words = list(zip(*tokenizer.split_to_word_tokens(tokens + [tokenizer.eot])))
        answer.append({"tokens": tokens + [tokenizer.eot], "text": tokenizer.decode(tokens), "words": words})
    return {"suppressed": get_suppressed_tokens(tokenizer, [-1]), "cases": answer}


def described(s):
    return {
        "seek": s.seek, "start": s.start, "end": s.end, "text": s.text, "tokens": s.tokens, "temperature": s.temperature,
        "average_log_probability": s.avg_logprob, "compression_ratio": s.compression_ratio, "no_speech": s.no_speech_prob,
        "words": [[w.word, w.start, w.end, w.probability] for w in s.words or []]}


print(json.dumps({"mel": mel, "encode": encode, "steps": steps, "align": align, "beam": beam, "detect": detect,
                  "transcribe": transcribe, "repeat": repeat, "files": files, "script": script,
                  "vocabulary": vocabulary}[do](), default=float))
