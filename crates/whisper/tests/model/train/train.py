"""Trains the model.

usage: train.py CORPUS_DIR MODEL_DIR OUT.pt --minutes N [--from PREVIOUS.pt] [--full] [--rate 2e-3] [--helpers 1]
                [--recordings DIR]
MODEL_DIR contains tokenizer.json. The learning rate decays to zero over the given minutes. A checkpoint is saved to OUT.pt
every two minutes; if OUT.pt exists, training resumes from it. With --full, most windows are 30 s long."""
import argparse
import json
import os
import time
import wave

import numpy as np
import torch
import torch.nn.functional as F
from torch import multiprocessing

import model as network
from windows import IGNORED, Windows, log_mel

# Seconds per window, windows per batch, share of batches
SHORT = ((5, 16, 0.35), (8, 10, 0.3), (14, 6, 0.2), (30, 3, 0.15))
FULL = ((30, 3, 0.65), (8, 10, 0.2), (5, 16, 0.15))


def guide(scores, heard, positions):
    """Returns the loss of the attention outside the time span in which the predicted token is spoken."""
    centre = (torch.arange(positions) + 0.5) * 0.02
    inside = (centre > heard[..., :1] - 0.06) & (centre < heard[..., 1:] + 0.06)
    some = inside.any(-1)
    inside = torch.where(inside, 0.0, -1e4)[:, None]
    losses = [(layer.logsumexp(-1) - (layer + inside).logsumexp(-1))[:, 0][some].mean() for layer in scores]
    return sum(losses) / len(losses)


def losses(model, batch):
    mel, tokens, target, heard, letters = batch
    with torch.autocast("cpu", torch.bfloat16):
        memory = model.encode(mel)
        logits, scores = model.decode(tokens, memory, weights=True)
        spelled = model.characters(memory)
    words = F.cross_entropy(logits.float().flatten(0, 1), target.flatten(), ignore_index=IGNORED)
    spelled = F.cross_entropy(spelled.float().flatten(0, 1), letters.flatten(), ignore_index=IGNORED)
    return words, spelled, guide(scores, heard, memory.shape[1])


@torch.no_grad()
def check(model, windows, directory):
    """Transcribes short recordings greedily; returns the word error rate, the mean log probability and an example."""
    with open(f"{directory}/transcripts.json", encoding="utf-8") as file:
        items = json.load(file)["items"]
    audio, lengths = torch.zeros(len(items), 6 * 16000), []
    for row, item in zip(audio, items):
        with wave.open(f"{directory}/{item['file']}") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        row[:len(samples)] = torch.from_numpy(samples.astype(np.float32) / 32768)
        lengths.append(len(samples))
    with torch.autocast("cpu", torch.bfloat16):
        memory = model.encode(log_mel(audio, torch.tensor(lengths), torch.zeros(len(items))))
        tokens = torch.tensor([[windows.sot, windows.en, windows.transcribe]] * len(items))
        total, done = torch.zeros(len(items)), torch.zeros(len(items), dtype=torch.bool)
        for _ in range(36):
            logits = model.decode(tokens, memory)[0][:, -1].float().log_softmax(-1)
            best, index = logits.max(-1)
            total += torch.where(done, 0, best)
            index[done] = windows.eot
            done |= index == windows.eot
            tokens = torch.cat([tokens, index[:, None]], 1)
            if done.all():
                break
    wrong = count = 0
    for row, item in zip(tokens.tolist(), items):
        text = windows.tokenizer.decode([token for token in row if token < windows.eot])
        text, wanted = text.strip().lower().rstrip(".?").split(), item["text"].split()
        wrong += distance(wanted, text)
        count += len(wanted)
    length = (tokens != windows.eot).sum(1) - 2
    example = windows.tokenizer.decode(tokens[1].tolist(), skip_special_tokens=False).split("<|endoftext|>")[0]
    return f"word error rate {wrong / count:.3f}, log probability {(total / length).mean().item():.3f}, {example}"


def gradients(model, windows, arguments):
    """Computes the gradients of one batch; returns the losses."""
    kinds = FULL if arguments.full else SHORT
    seconds, count, _ = kinds[windows.random.choice(len(kinds), p=[kind[2] for kind in kinds])]
    words, spelled, seen = losses(model, windows.batch(seconds, count))
    model.zero_grad()
    (words + arguments.letters * spelled + arguments.guide * seen).backward()
    return words.item(), spelled.item(), seen.item()


def help_out(arguments, seed, weights, sums, count, lock):
    """Runs in a further process: adds the gradients of its own batches to `sums`. No process waits for another."""
    torch.set_num_threads(1)
    windows = Windows(arguments.corpus, arguments.directory, seed)
    model = network.Whisper(windows.tokens)
    while os.getppid() != 1:
        with torch.no_grad():
            for own, shared in zip(model.parameters(), weights):
                own.copy_(shared)
        gradients(model, windows, arguments)
        with lock:
            for total, own in zip(sums, model.parameters()):
                total.add_(own.grad)
            count.add_(1)


def distance(a, b):
    """Returns the edit distance of two lists."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("directory")
    parser.add_argument("out")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--from", dest="previous")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--helpers", type=int, default=1, help="further processes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--letters", type=float, default=0.5)
    parser.add_argument("--guide", type=float, default=0.2)
    parser.add_argument("--recordings", help="directory with transcripts.json, to watch the progress")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    elapsed, step, state = 0.0, 0, None
    if os.path.exists(arguments.out):
        state = torch.load(arguments.out)
        elapsed, step = state["elapsed"], state["step"]
    windows = Windows(arguments.corpus, arguments.directory, arguments.seed * 1000003 + step)
    model = network.Whisper(windows.tokens)
    if arguments.previous and state is None:
        model.load_state_dict(torch.load(arguments.previous)["average"])
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "coder." in name]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    optimizers = [
        torch.optim.Muon(matrices, lr=arguments.rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=arguments.rate, betas=(0.9, 0.98), weight_decay=0.0)]
    average = {name: value.clone() for name, value in model.state_dict().items()}
    if state is not None:
        model.load_state_dict(state["model"])
        average = state["average"]
        for optimizer, saved in zip(optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters} parameters, {len(windows.rows)} sentences, from step {step}", flush=True)
    model.share_memory()
    weights = list(model.parameters())
    sums = [torch.zeros_like(weight).share_memory_() for weight in weights]
    count = torch.zeros(1).share_memory_()
    context = multiprocessing.get_context("spawn")
    lock = context.Lock()
    for helper in range(arguments.helpers):
        seed = arguments.seed * 1000003 + step + 500009 * (helper + 1)
        context.Process(target=help_out, args=(arguments, seed, weights, sums, count, lock), daemon=True).start()
    listener = network.Whisper(windows.tokens).eval()
    report, saved, run, batches = time.time(), time.time(), [], 0
    while elapsed < arguments.minutes * 60:
        start = time.time()
        progress = elapsed / (arguments.minutes * 60)
        rate = arguments.rate * min(1, (step + 1) / 50) * (1 - progress)
        run.append(gradients(model, windows, arguments))
        with lock, torch.no_grad():
            for weight, total in zip(weights, sums):
                weight.grad.add_(total).div_(1 + count.item())
                total.zero_()
            batches += 1 + count.item()
            count.zero_()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        keep = min(0.998, step / (step + 20))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        elapsed += time.time() - start
        if time.time() - report > 240:
            report = time.time()
            listener.load_state_dict(average)
            told = check(listener, windows, arguments.recordings) if arguments.recordings else ""
            means = np.mean(run, 0).round(3).tolist()
            print(f"{elapsed:5.0f} s, step {step}, {batches:.0f} batches, losses {means}, rate {rate:.1e}, {told}", flush=True)
            run = []
        if time.time() - saved > 120 or elapsed >= arguments.minutes * 60:
            saved = time.time()
            torch.save({
                "model": model.state_dict(), "average": average, "elapsed": elapsed, "step": step,
                "optimizers": [optimizer.state_dict() for optimizer in optimizers]}, arguments.out + ".part")
            os.replace(arguments.out + ".part", arguments.out)


if __name__ == "__main__":
    main()
