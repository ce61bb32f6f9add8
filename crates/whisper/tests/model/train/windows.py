"""Training windows composed of sentences of the corpus: features, tokens, the time span of each token, and letters."""
import glob
import json
import math

import numpy as np
import torch
from tokenizers import Tokenizer

from model import CHARACTERS
from vocabulary import written

RATE = 16000
# Timestamps are rounded outwards to 0.1 s.
GRID = 0.1
IGNORED = -100


def mel_filters():
    """Returns the filter bank of Whisper, [80][201]: Slaney's mel scale, triangles of equal area."""
    low = 200 / 3
    step = np.log(6.4) / 27

    def hertz(mel):
        return np.where(mel >= 15, 1000 * np.exp((mel - 15) * step), mel * low)

    points = hertz(np.linspace(0, 15 + np.log(8) / step, 82))
    ramp = points[:, None] - (np.arange(201) * 40)[None]
    widths = np.diff(points)
    triangles = np.maximum(0, np.minimum(-ramp[:-2] / widths[:-1, None], ramp[2:] / widths[1:, None]))
    return torch.from_numpy(triangles * (2 / (points[2:] - points[:-2]))[:, None]).float()


FILTERS, WINDOW = mel_filters(), torch.hann_window(400)


def log_mel(audio, lengths, headroom):
    """Returns features [batch, 80, frames] as faster-whisper computes them, with zeros after the end of a recording."""
    power = torch.stft(audio, 400, 160, window=WINDOW, return_complex=True)[..., :-1].abs() ** 2
    mel = torch.log10((FILTERS @ power).clamp(min=1e-10))
    inside = torch.arange(mel.shape[2])[None] < (lengths // 160)[:, None]
    loudest = mel.masked_fill(~inside[:, None], -10).amax((1, 2)) + headroom
    mel = (torch.maximum(mel, loudest[:, None, None] - 8) + 4) / 4
    return mel * inside[:, None]


class Windows:
    def __init__(self, corpus, model_directory, seed):
        self.tokenizer = Tokenizer.from_file(f"{model_directory}/tokenizer.json")
        names = "endoftext startoftranscript en transcribe startofprev nospeech notimestamps".split()
        self.eot, self.sot, self.en, self.transcribe, self.prev, self.nospeech, self.notimestamps = (
            self.tokenizer.token_to_id(f"<|{name}|>") for name in names)
        self.tokens = self.notimestamps + 1 + 1501
        self.random = np.random.default_rng(seed)
        self.rows = []
        for path in sorted(glob.glob(f"{corpus}/*.json")):
            samples = np.memmap(path.replace(".json", ".i16"), np.int16, "r")
            with open(path, encoding="utf-8") as file:
                self.rows += [(samples, *row) for row in json.load(file)]

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, longest):
        """Returns a sentence of at most `longest` seconds, or None."""
        for _ in range(8):
            row = self.rows[self.random.integers(len(self.rows))]
            if row[2] <= longest * RATE:
                return row
        return None

    def time(self, seconds):
        return self.notimestamps + 1 + 5 * round(seconds / GRID)

    def pieces(self, row, offset, letters):
        """Returns the tokens of a sentence and their time spans. Writes the letter of each frame into `letters`; all letters
        of a word count as equally long."""
        _, _, length, text, starts = row
        label = written(text)
        words = label.split()
        known = [(i, start / 1000) for i, start in enumerate(starts) if start is not None]
        # espeak-ng reports no time for some words: interpolate.
        times = np.interp(np.arange(len(words) + 1), [i for i, _ in known] + [len(words)],
                          [start for _, start in known] + [length / RATE])
        places, at = [], 0
        for i, word in enumerate(words):
            begin = label.index(word, at)
            places += [(begin + k, times[i] + (times[i + 1] - times[i]) * k / len(word)) for k in range(len(word) + 1)]
            at = begin + len(word)
        for place, second in places[:-1]:
            letter = CHARACTERS.find(label[place].lower())
            frame = int((second + offset) * 50)
            letters[frame:] = letter + 1
        letters[int((length / RATE + offset) * 50):] = 0
        encoding = self.tokenizer.encode(label)
        index, clock = [place for place, _ in places], [second for _, second in places]
        heard = np.interp([[max(a, 1), b] for a, b in encoding.offsets], index, clock) + offset
        return encoding.ids, heard

    def sequence(self, seconds, sentences, cut, speech, timestamps, letters):
        """Returns input tokens, target tokens, and the time spans of the target tokens (-1: none)."""
        prompt = []
        if self.chance(0.4 if seconds == 30 else 0.25):
            prompt = self.prompt(self.random.integers(1, 7) if seconds == 30 else 1)
        tokens, heard = [*prompt, self.sot, self.en, self.transcribe], [(-1, -1)] * (len(prompt) + 3)
        if not timestamps:
            tokens.append(self.notimestamps)
            heard.append((-1, -1))
        first = len(tokens)

        def stamp(seconds, begin, end):
            tokens.append(self.time(seconds))
            heard.append((begin, end))

        for i, (row, offset, start, end) in enumerate(sentences):
            if timestamps:
                stamp(min(start, 1.0) if i == 0 else start, offset, offset + 0.3)
            ids, places = self.pieces(row, offset, letters)
            tokens += ids
            heard += [tuple(place) for place in places]
            if timestamps:
                stamp(end, offset + row[2] / RATE - 0.3, offset + row[2] / RATE + 0.1)
        if timestamps and cut is not None:
            stamp(cut if sentences else min(cut, 1.0), cut, cut + 0.3)
        if timestamps and not speech:
            stamp(0, -1, -1)
        tokens.append(self.eot)
        heard.append((-1, -1))
        target = [IGNORED] * len(tokens)
        target[first:] = tokens[first:]
        target[len(prompt) + 1] = self.en if speech else self.nospeech
        if speech:
            target[len(prompt) + 2] = self.transcribe
        # Some input tokens are wrong, so that the model relies on the recording.
        inputs = [
            int(self.random.integers(256, self.eot - 1)) if i >= first and token < self.eot and self.chance(0.06) else token
            for i, token in enumerate(tokens)]
        return inputs[:-1], target[1:], heard[1:]

    def prompt(self, count):
        timestamps, at, tokens = self.chance(0.7), 0.0, []
        for _ in range(count):
            row = self.pick(14)
            ids = self.tokenizer.encode(written(row[3])).ids
            end = at + row[2] / RATE
            if timestamps and end < 29.5:
                tokens += [self.time(at), *ids, self.time(math.ceil(end / GRID) * GRID)]
                at = end + 0.4
            else:
                tokens += ids
        return [self.prev, *tokens[-223:]]

    def window(self, seconds):
        """Returns one window: audio, number of samples before the padding, headroom, token sequence, letters."""
        random = self.random
        total = int(seconds * RATE)
        audio = np.zeros(total, np.float32)
        sentences, cut, unknown = [], None, None
        speech = not self.chance(0.05)
        at = random.uniform(0, 0.25 if self.chance(0.6) else 0.9) if self.chance(0.94) else random.uniform(0.9, 4)
        at = min(at, seconds / 4)
        count = 99 if self.chance(0.6) else random.integers(1, 4)
        goes_on = seconds == 30 and self.chance(0.5)
        end = at
        while speech and len(sentences) < count:
            row = self.pick(14 if goes_on else seconds - at - 0.05)
            if row is None:
                if not sentences and not goes_on:
                    at *= 0.5
                    continue
                break
            start = math.floor(at / GRID + 1e-6) * GRID
            samples = row[0][row[1]:row[1] + row[2]].astype(np.float32) / 32768 * 10 ** (random.uniform(-4, 0) / 20)
            place = int(at * RATE)
            if place + len(samples) > total:
                if total - place > 0.6 * RATE:
                    audio[place:] = samples[:total - place]
                    cut, end = start, seconds
                    unknown = int(at * 50)
                break
            audio[place:place + len(samples)] = samples
            end = at + row[2] / RATE
            rounded = math.ceil(end / GRID - 1e-6) * GRID
            sentences.append((row, at, start, min(rounded, math.floor(seconds / GRID) * GRID)))
            # The next sentence starts after the rounded end of this one.
            at = max(end + (random.uniform(0.12, 0.9) if self.chance(0.85) else random.uniform(0.9, 5)), rounded)
        if cut is None:
            end = min(seconds, end + (random.uniform(0, 0.6) if self.chance(0.7) else random.uniform(0.6, 6)))
        if not speech:
            sentences, end = [], random.uniform(0.3, seconds)
        length = min(total, int(end * RATE) // 160 * 160)
        audio *= 10 ** (random.uniform(-18, 3) / 20)
        if self.chance(0.25):
            # Telephone band
            spectrum = np.fft.rfft(audio)
            spectrum[int(random.uniform(3400, 4200) / 8000 * len(spectrum)):] = 0
            audio = np.fft.irfft(spectrum, total).astype(np.float32)
        level = np.sqrt((audio[:length] ** 2).mean()) if speech else 10 ** random.uniform(-4, -0.8)
        if self.chance(0.5):
            noise = random.standard_normal(length).astype(np.float32)
            if self.chance(0.5):
                noise = np.convolve(noise, np.ones(int(random.integers(2, 24)), np.float32), "same")
            noise *= level * 10 ** (-(random.uniform(10, 45) if speech else 0) / 20) / (noise.std() + 1e-9)
            audio[:length] += noise
        audio[length:] = 0
        headroom = random.uniform(0, 0.6) if self.chance(0.25) else 0.0
        timestamps = cut is not None or self.chance(0.85)
        letters = np.zeros(total // 320, np.int64)
        sequence = self.sequence(seconds, sentences, cut, speech, timestamps, letters)
        letters[unknown or len(letters):] = IGNORED
        return np.clip(audio, -1, 1), length, headroom, sequence, letters

    def batch(self, seconds, count):
        rows = [self.window(seconds) for _ in range(count)]
        audio, lengths, headroom, sequences, letters = zip(*rows)
        mel = log_mel(torch.from_numpy(np.stack(audio)), torch.tensor(lengths), torch.tensor(headroom, dtype=torch.float32))
        for one in mel:
            # Masked bands and frames
            for _ in range(2):
                band, width = int(self.random.integers(0, 72)), int(self.random.integers(0, 8))
                one[band:band + width] = 0
                moment, width = int(self.random.integers(0, mel.shape[2] - 10)), int(self.random.integers(0, 10))
                one[:, moment:moment + width] = 0
        longest = max(len(sequence[0]) for sequence in sequences)
        tokens = torch.full((count, longest), self.eot)
        target = torch.full((count, longest), IGNORED)
        heard = torch.full((count, longest, 2), -1.0)
        for i, (inputs, wanted, places) in enumerate(sequences):
            tokens[i, :len(inputs)] = torch.tensor(inputs)
            target[i, :len(inputs)] = torch.tensor(wanted)
            heard[i, :len(inputs)] = torch.tensor(places)
        return mel, tokens, target, heard, torch.from_numpy(np.stack(letters))
