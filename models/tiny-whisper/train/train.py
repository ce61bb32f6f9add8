#!/usr/bin/env python3
"""Trains tiny-whisper on speech made on the fly.

    train.py TOKENIZER.json OUT_DIR --minutes 90 [--resume] [--init WEIGHTS]

Checkpoints every few minutes to OUT_DIR/last.pt (with the optimiser's state, for --resume) and OUT_DIR/average.pt (averaged weights,
to be exported). The rate follows the wall clock over the minutes of this run.
"""
import argparse, math, os, time
import numpy as np
import torch
import torch.nn.functional as F
from model import Whisper
from weights import read_model
from windows import IGNORE, PHONEMES, Stream, Vocabulary



def mass_loss(weights, heads, spans):
    """-ln of the attention mass that these heads give to each token's span of positions."""
    on = spans[..., 0] >= 0
    if not on.any():
        return weights.new_zeros(())
    t = torch.arange(weights.shape[-1], device=weights.device)
    span = (t >= spans[on][:, :1]) & (t < spans[on][:, 1:])
    return sum(-((weights[:, h][on] * span).sum(-1) + 1e-4).log().mean() for h in heads) / len(heads)


def guide_loss(weights, heard, guide):
    """The first layer learns where the input token was spoken (heads 0 and 1), the others where the next one is (0 and 1, exported
    as alignment heads)."""
    return mass_loss(weights[0], (0, 1), heard), sum(mass_loss(w, (0, 1), guide) for w in weights[1:]) / (len(weights) - 1)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("tokenizer")
    a.add_argument("out")
    a.add_argument("--minutes", type=float, required=True)
    a.add_argument("--resume", action="store_true", help="go on from OUT_DIR/last.pt")
    a.add_argument("--init", help="weights to begin with: a .pt file, or the folder of an exported model")
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--workers", type=int, default=1, help="processes that make windows: about ten windows a second each")
    a.add_argument("--device", default="cpu")
    a.add_argument("--texts", help="sentences as texts.py writes them, where the Debian packages are not installed")
    a.add_argument("--part", type=int, default=4, help="whole windows in one pass: bounds memory")
    a.add_argument("--blocks", type=int, default=12, help="blocks of 7.5 s in a step")
    a.add_argument("--lr", type=float, default=1.5e-3)
    a.add_argument("--warm", type=int, default=80)
    a.add_argument("--flat", action="store_true", help="hold the rate, where nobody knows how much of the processor there will be")
    a.add_argument("--whole", type=float, default=.65, help="share of the time after which attention spans whole windows")
    a.add_argument("--brief", type=float, default=0, help="share of windows of one block: the decoder learns to align on them first")
    a.add_argument("--guide", type=float, default=.5, help="weight of the cross-attention's guidance")
    a.add_argument("--seed", type=int, default=1)
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    os.makedirs(a.out, exist_ok=True)
    v = Vocabulary(a.tokenizer)
    model = Whisper(v.size, len(PHONEMES)).to(a.device)
    if a.init and os.path.isdir(a.init):
        model.load_state_dict(read_model(a.init))
    elif a.init:
        model.load_state_dict(torch.load(a.init, map_location=a.device))
    parameters = [p for p in model.parameters() if p.requires_grad]
    opt = torch.optim.AdamW([{"params": [p for p in parameters if p.ndim > 1], "weight_decay": 3e-3},
                             {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0}], lr=a.lr, betas=(.9, .98))
    average, step, heard = {k: x.clone() for k, x in model.state_dict().items()}, 0, 0.0
    if a.resume:
        s = torch.load(f"{a.out}/last.pt", map_location=a.device)
        model.load_state_dict(s["model"]); opt.load_state_dict(s["opt"])
        average, step, heard = s["average"], s["step"], s["heard"]
    print("parameters", sum(p.numel() for p in parameters), "step", step, flush=True)
    start = time.time()
    end = start + a.minutes * 60
    stream = Stream(a.tokenizer, a.seed + step, a.blocks, a.brief, a.texts)
    loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=a.workers, prefetch_factor=4))
    first, figures, saved, printed, whole_steps = step, [], start, start, 0

    def save():
        torch.save(average, f"{a.out}/average.tmp"); os.replace(f"{a.out}/average.tmp", f"{a.out}/average.pt")
        torch.save(dict(model=model.state_dict(), opt=opt.state_dict(), average=average, step=step, heard=heard), f"{a.out}/last.tmp")
        os.replace(f"{a.out}/last.tmp", f"{a.out}/last.pt")

    while time.time() < end:
        done = (time.time() - start) / (end - start)
        rate = a.lr * min(1, (step - first + 1) / a.warm) * (1 if a.flat else .02 + .98 * .5 * (1 + math.cos(math.pi * done)))
        for g in opt.param_groups:
            g["lr"] = rate
        b = {k: x.to(a.device) for k, x in next(loader).items()}
        whole = done > a.whole or (done > a.whole / 2 and step % 8 == 0)
        opt.zero_grad()
        # whole windows go one part of the batch after another: a step hears the same amount, memory stays small
        parts = [slice(i, i + a.part) for i in range(0, len(b["mel"]), a.part)] if whole else [slice(None)]
        scale = (b["target"] != IGNORE).sum()
        losses = np.zeros(5)
        for s in parts:
            p = {k: x[s] for k, x in b.items()}
            with torch.autocast(a.device, torch.bfloat16):
                logits, phonemes, weights = model(p["mel"], p["tokens"], None if whole else p["chunks"])
            on = p["target"] != IGNORE
            share = on.sum() / scale
            text = F.cross_entropy(logits[on].float(), p["target"][on])
            frames = F.cross_entropy(phonemes.float().flatten(0, 1), p["labels"][:, :phonemes.shape[1]].flatten(), ignore_index=IGNORE)
            heard_loss, guided = guide_loss(weights, p["heard"], p["guide"])
            loss = text + .5 * frames + a.guide * (heard_loss + guided)
            (loss * share).backward()
            hit = (logits[on].argmax(-1) == p["target"][on]).float().mean()
            losses += share.item() * np.array([text.item(), frames.item(), heard_loss.item(), guided.item(), hit.item()])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        opt.step()
        step += 1
        whole_steps += whole
        heard += float((b["labels"] != IGNORE).sum()) / 50 / 3600
        figures.append(losses)
        keep = min(.997, (step - first) / (step - first + 10))
        with torch.no_grad():
            for k, x in model.state_dict().items():
                average[k].lerp_(x, 1 - keep)
        if time.time() - printed > 60:
            m = np.mean(figures, 0)
            print(f"{time.time() - start:6.0f}s step {step} heard {heard:.2f} h rate {rate:.2e} whole {whole_steps} text {m[0]:.3f} "
                  f"phonemes {m[1]:.3f} guide {m[2]:.3f} {m[3]:.3f} "
                  f"tokens right {m[4]:.3f}", flush=True)
            figures, printed = [], time.time()
        if time.time() - saved > 240:
            save()
            saved = time.time()
    save()
    print("steps", step, "hours heard", round(heard, 2), flush=True)


if __name__ == "__main__":
    main()
