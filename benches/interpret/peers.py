"""Plays recordings to a peer: SimulStreaming, whisper_streaming, or faster-whisper, which gets them as a whole. Started
by compare.py with a request as JSON on standard input; prints a report as JSON. A simultaneous peer gets a recording in
steps, without waiting: a text has been heard when the step that completes it has been sent."""

import json
import logging
import pathlib
import resource
import sys
import tempfile
import time
import types
import wave

import numpy

RATE = 16_000


def read(path):
    """The samples of a WAV file of 16-bit mono samples at 16 kHz."""
    with wave.open(path) as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype(numpy.float32) / 32768


def processor_time():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def play(online, samples, step):
    """Texts of a simultaneous recogniser in order, each with the time in seconds at which it was final."""
    pieces = []
    for start in range(0, len(samples), step):
        online.insert_audio_chunk(samples[start:start + step])
        pieces.append((online.process_iter(), min(start + step, len(samples)) / RATE))
    return [*pieces, (online.finish(), len(samples) / RATE)]


def simulstreaming(request):
    """A function that plays samples in a language to SimulStreaming, with its defaults except for the step."""
    sys.path.insert(0, request["source"])
    import torch
    import simulstreaming_whisper
    from openai_checkpoint import convert
    from simulstreaming.whisper.simul_whisper import simul_whisper, whisper
    torch.set_num_threads(request["threads"])
    folder = tempfile.TemporaryDirectory()
    checkpoint = str(pathlib.Path(folder.name) / "model.pt")
    heads = convert(request["model"], checkpoint)

    def load(name, download_root):
        model = whisper.load_model(checkpoint, device="cpu")
        mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
        for layer, head in heads:
            mask[layer, head] = True
        model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
        return model

    # It downloads models by their names, and knows the alignment heads of these only.
    simul_whisper.load_model = load
    loaded = {}

    def interpret(samples, language, task):
        if language not in loaded:
            loaded[language] = simulstreaming_whisper.SimulWhisperASR(
                language=language, model_path="model.pt", cif_ckpt_path=None, frame_threshold=25, audio_max_len=30.0,
                audio_min_len=0.0, segment_length=request["step"] / RATE, beams=1, task=task, decoder_type="greedy",
                never_fire=False, init_prompt=None, static_init_prompt=None, max_context_tokens=None, logdir=None)
        online = simulstreaming_whisper.SimulWhisperOnline(loaded[language])
        return [(output.get("text", ""), heard) for output, heard in play(online, samples, request["step"])]

    # Keeps the checkpoint, which each further language loads.
    interpret.folder = folder
    return interpret


def whisper_streaming(request):
    """Like `simulstreaming`, for whisper_streaming with faster-whisper on the processor."""
    sys.path.insert(0, request["source"])
    # It reads files with these, which are not needed here.
    for name in ("librosa", "soundfile"):
        sys.modules[name] = types.ModuleType(name)
    import whisper_online
    from faster_whisper import WhisperModel
    model = WhisperModel(request["model"], device="cpu", compute_type="int8", cpu_threads=request["threads"])

    class Recognizer(whisper_online.FasterWhisperASR):
        def load_model(self, *_, **__):
            # The class loads it on a GPU.
            return model

    def interpret(samples, language, task):
        recognizer = Recognizer(language)
        if task == "translate":
            recognizer.set_translate_task()
        online = whisper_online.OnlineASRProcessor(recognizer)
        return [(output[2], heard) for output, heard in play(online, samples, request["step"])]

    return interpret


def whole(request):
    """Like `simulstreaming`, for faster-whisper, which gets the recording as a whole."""
    from faster_whisper import WhisperModel
    model = WhisperModel(request["model"], device="cpu", compute_type="int8", cpu_threads=request["threads"])

    def interpret(samples, language, task):
        segments, _ = model.transcribe(samples, language=language, task=task, beam_size=5)
        return [("".join(segment.text for segment in segments), len(samples) / RATE)]

    return interpret


def main():
    # Each step of SimulStreaming logs its tokens.
    logging.disable(logging.CRITICAL)
    request = json.load(sys.stdin)
    load = {"SimulStreaming": simulstreaming, "whisper_streaming": whisper_streaming, "whole": whole}[request["peer"]]
    interpret, recordings = load(request), request["recordings"]
    # The first call of an engine takes longer than all others, and can load a model for its language and task.
    for recording in {(recording["language"], recording["task"]): recording for recording in recordings}.values():
        interpret(read(recording["audio"])[:2 * RATE], recording["language"], recording["task"])
    played, wall, cpu = [], 0.0, 0.0
    for recording in recordings:
        samples = read(recording["audio"])
        started, before = time.perf_counter(), processor_time()
        played.append(interpret(samples, recording["language"], recording["task"]))
        wall, cpu = wall + time.perf_counter() - started, cpu + processor_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"recordings": played, "wall_seconds": wall, "cpu_seconds": cpu, "peak_megabytes": peak}))


if __name__ == "__main__":
    main()
