"""Training windows of 30 s in Whisper's format, made on the fly from synthesised sentences."""
import random
import numpy as np
import torch
from scipy.signal import resample_poly
from tokenizers import Tokenizer
import texts
from features import log_mel
from speech import Synthesiser, VOICES

RATE, FRAMES, POSITIONS, CHUNK = 16000, 3000, 1500, 375
MAX_BODY, MAX_PREVIOUS = 222, 223
PHONEMES = ("_ 0 3 3: ; ? @ @L A: A@ D E I IR N O O: O@ OI S T U U@ V VR Z a aI aI@ aU aa b d dZ e@ eI f g h i i: i@ j k l m n o@ oU "
            "p r s t tS u: v w z").split()
PHONEME_ID = {p: i for i, p in enumerate(PHONEMES)}
IGNORE = -100


def phoneme_id(name):
    if name.startswith("_"):
        return 0
    return PHONEME_ID.get(name, PHONEME_ID.get(name.rstrip("0123456789#-"), IGNORE))


class Vocabulary:
    def __init__(self, path):
        self.t = Tokenizer.from_file(path)
        for name, token in dict(eot="endoftext", sot="startoftranscript", en="en", transcribe="transcribe", previous="startofprev",
                                nospeech="nospeech", notimestamps="notimestamps", zero="0.00").items():
            setattr(self, name, self.t.token_to_id(f"<|{token}|>"))
        self.size = self.t.get_vocab_size()

    def time(self, second):
        return self.zero + min(1500, max(0, round(second / 0.02)))


class Windows:
    """Draws windows; `take()` gives one as a dictionary of arrays."""

    def __init__(self, tokenizer, seed, sentences=None):
        self.v, self.r, self.rng = Vocabulary(tokenizer), random.Random(seed), np.random.default_rng(seed)
        self.texts, self.speaker = texts.Texts(sentences), Synthesiser()

    def sentence(self, voice):
        r = self.r
        while True:
            text = self.texts.draw(r)
            spoken = self.speaker.speak(text, voice[0], voice[1], voice[2])
            if spoken:
                break
        x, phonemes, breaks, end = spoken
        e = self.v.t.encode(" " + text, add_special_tokens=False)
        chars, seconds = zip(*breaks)
        spans = []
        for a, b in e.offsets:                       # characters of " " + text
            a, b = max(0, a - 1), max(1, b - 1)
            if a < len(text) and text[a] == " ":
                a += 1
            spans.append((float(np.interp(a, chars, seconds)), float(np.interp(max(b, a), chars, seconds))))
        return text, x, e.ids, spans, phonemes, end

    def voice(self):
        r = self.r
        return r.choice(VOICES), int(r.triangular(125, 230, 165)), int(r.triangular(25, 80, 50))

    def noise(self, n):
        x = self.rng.standard_normal(n).astype(np.float32)
        k = self.r.random()
        if k < .4:
            x = np.convolve(x, np.ones(8, np.float32) / 8, "same")
        elif k < .5:
            x += 3 * np.sin(2 * np.pi * self.r.choice([50, 100, 120, 400]) * np.arange(n) / RATE).astype(np.float32)
        return x / (np.sqrt((x ** 2).mean()) + 1e-9)

    def silence(self):
        """A window without speech: target <|nospeech|>, and after a forced <|0.00|> the end of text."""
        r, v = self.r, self.v
        n = int(r.choice([r.uniform(.3, 10), r.uniform(10, 30), 30]) * RATE)
        k = r.random()
        x = np.zeros(n, np.float32) if k < .3 else self.noise(n) * 10 ** (r.uniform(-75, -18) / 20)
        tokens = [v.sot, v.zero, v.eot]
        return x.astype(np.float32), tokens, [v.nospeech, v.eot, IGNORE], [None] * 3, []

    def speech(self, short, brief=False):
        """Audio, input tokens, targets, the time span that each target was spoken in, phonemes; `brief`: one block of 7.5 s."""
        r, v = self.r, self.v
        x, body, spans, phonemes = np.zeros(480000, np.float32), [], [], []
        voice, mixed = self.voice(), r.random() < .35
        starts_at_once = r.random() < .6
        cursor = r.uniform(0, .04) if starts_at_once else r.uniform(0, 2.5) if r.random() < .9 else r.uniform(2, 8)
        cursor = min(cursor, 1.0) if brief else cursor
        wanted = 3 if brief else r.choice([1, 1, 1, 2, 2, 3]) if short else 99
        timestamps, limit, cut = r.random() > .13, 30.0, False
        previous, before = [], not brief and r.random() < (.15 if short else .3)
        if before:
            timed, second = r.random() < .7, 0.0     # faster-whisper keeps the timestamps in the text before
            for _ in range(r.choice([1, 2, 3, 6])):
                ids = v.t.encode(" " + self.texts.draw(r), add_special_tokens=False).ids
                end = second + len(ids) * r.uniform(.1, .25)
                previous += [v.time(second)] + ids + [v.time(end)] if timed else ids
                second = end + r.choice([0, r.uniform(0, 2)])
        for _ in range(wanted):
            text, y, ids, sp, ph, end = self.sentence(voice)
            if len(body) + len(ids) + 2 > MAX_BODY:
                break
            at = round(cursor / .02) * .02
            if at > limit - .3 or brief and at + end > 7.4:
                break
            a = int(at * RATE)
            n = min(len(y), 480000 - a)
            x[a:a + n] += y[:n]
            phonemes += [(at + t, p) for t, p in ph]
            if timestamps:
                body.append(v.time(at)); spans.append(None)
            if at + end > limit:                     # goes on behind the window: only its start is told
                cut = True
                if not timestamps:
                    keep = [i for i, s in enumerate(sp) if at + s[1] < limit]
                    body += [ids[i] for i in keep]; spans += [(at + sp[i][0], at + sp[i][1]) for i in keep]
                cursor = limit
                break
            body += ids; spans += [(at + s, at + e) for s, e in sp]
            if timestamps:
                body.append(v.time(at + end)); spans.append(None)
            cursor = at + end + (r.uniform(0, .4) if r.random() < .7 else r.uniform(.4, 3))
            voice = self.voice() if mixed else voice
        if not body or (cut and timestamps and len(body) == 1):
            return self.speech(short, brief)
        n = 480000 if cut else min(119000 if brief else 480000, int((cursor + (r.uniform(0, .3) if r.random() < .6 else r.uniform(0, 3))) * RATE))
        head = [v.sot] + ([v.en, v.transcribe] if r.random() < .12 else [])
        start = len(head) - (0 if timestamps else -1)
        head += [] if timestamps else [v.notimestamps]
        previous = [v.previous] + previous[-MAX_PREVIOUS:] if previous else []
        tokens = previous + head + body
        target = [IGNORE] * len(previous) + head[1:] + body + [v.eot]
        if not timestamps:
            target[len(previous) + start - 2] = IGNORE   # whether to write timestamps is the caller's choice
        spans = [None] * (len(previous) + len(head) - 1) + spans + [None]
        return x[:n], tokens, target, spans, phonemes

    def augment(self, x):
        r = self.r
        x = x * np.float32(10 ** (r.uniform(-18, 3) / 20))
        if r.random() < .25:
            x = resample_poly(resample_poly(x, 1, 2), 2, 1).astype(np.float32)[:len(x)]
        if r.random() < .6:
            power = np.sqrt((x ** 2).mean() + 1e-12)
            x = x + self.noise(len(x)) * power * np.float32(10 ** (-r.uniform(12, 45) / 20))
        return np.clip(x, -1, 1)

    def take(self, brief=0.0):
        k = self.r.random()
        if self.r.random() < brief:
            x, tokens, target, spans, phonemes = self.speech(True, True)
            x = self.augment(x)
        elif k < .05:
            x, tokens, target, spans, phonemes = self.silence()
        else:
            x, tokens, target, spans, phonemes = self.speech(short=k < .40)
            x = self.augment(x)
        mel = np.zeros((FRAMES, 80), np.float32)
        m = log_mel(x)
        mel[:len(m)] = m
        if self.r.random() < .5:                     # bands of zeros
            for _ in range(2):
                w = int(self.rng.integers(1, 9)); f = int(self.rng.integers(0, 80 - w)); mel[:len(m), f:f + w] = m.mean()
        labels = np.full(POSITIONS, IGNORE, np.int64)
        used = min(POSITIONS, len(m) // 2 + 1)
        labels[:used] = 0
        times = [round(t / .02) for t, _ in phonemes] + [used]
        for i, (_, p) in enumerate(phonemes):
            a, b = min(used, times[i]), min(used, max(times[i], times[i + 1]))
            labels[a:b] = phoneme_id(p)
        guide = np.full((len(target), 2), -1, np.int64)
        for i, s in enumerate(spans):
            if s is not None:
                guide[i] = max(0, int(s[0] / .02) - 3), min(POSITIONS, int(s[1] / .02) + 4)
        # where the input token itself was spoken: the text before has no place, a timestamp has its own
        heard = np.full((len(target), 2), -1, np.int64)
        heard[1:] = guide[:-1]
        for i, token in enumerate(tokens):
            if token >= self.v.zero and (target[i] != IGNORE or i and target[i - 1] != IGNORE):
                heard[i] = max(0, token - self.v.zero - 4), min(POSITIONS, token - self.v.zero + 5)
        heard[(heard[:, 0] >= POSITIONS) | (heard[:, 1] <= heard[:, 0])] = -1
        guide[(guide[:, 0] >= POSITIONS) | (guide[:, 1] <= guide[:, 0])] = -1
        return dict(heard=heard, mel=mel, tokens=np.array(tokens), target=np.array(target), labels=labels, guide=guide, used=used)


class Stream(torch.utils.data.IterableDataset):
    """Batches of at most `chunks` blocks of 7.5 s (blocks of padding alone are left out); `brief` of the windows
    are of one block."""

    def __init__(self, tokenizer, seed, chunks, brief=0.0, sentences=None):
        self.tokenizer, self.seed, self.chunks, self.brief, self.sentences = tokenizer, seed, chunks, brief, sentences

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        source = Windows(self.tokenizer, self.seed * 1000 + (info.id if info else 0), self.sentences)
        while True:
            rows, n = [], 0
            while n < self.chunks:
                w = source.take(self.brief)
                w["chunks"] = min(4, -(-w["used"] // CHUNK))
                n += w["chunks"]
                rows.append(w)
            yield collate(rows)


def collate(rows):
    n = max(len(w["tokens"]) for w in rows)

    def padded(key, fill):
        return torch.from_numpy(np.stack([np.pad(w[key], [(0, n - len(w[key]))] + [(0, 0)] * (w[key].ndim - 1), constant_values=fill)
                                          for w in rows]))
    return dict(mel=torch.from_numpy(np.stack([w["mel"] for w in rows])), labels=torch.from_numpy(np.stack([w["labels"] for w in rows])),
                tokens=padded("tokens", 0), target=padded("target", IGNORE), guide=padded("guide", -1), heard=padded("heard", -1),
                chunks=torch.tensor([w["chunks"] for w in rows]))
