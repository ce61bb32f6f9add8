"""Sentences with case and punctuation, from the sources and the grammar of models/tiny-ctc/train.

    texts.py OUT.json        (for training on a machine without the Debian packages: train.py --texts OUT.json)
"""
import glob, gzip, json, os, random, re, subprocess, sys
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tiny-ctc/train"))
import make_corpus as ctc

NAMES = {w: w.capitalize() for w in ctc.DAYS + ctc.MONTHS if w not in ("may", "march")}
QUESTIONS = ("can you", "what do", "why did", "how long")


def clean(s):
    """Text that Whisper's default options can write: no colon, bracket, quotation mark or digit; None if not usable."""
    if re.search(r"[<>{}\[\]|\\@#$^*_=+~/]", s) or re.search(r"\b[A-Z]{2,}\b", s) or re.search(r"\b[b-hj-zB-HJ-Z]\b", s):
        return None
    if re.search(r"\b(Mr|Mrs|Dr|St|etc|vs|Ms|Jr|Sr|Prof|Gen|Lt|Col|No)\b\.?", s):
        return None
    s = s.replace("\u2019", "'").replace("`", "'").replace("&", " and ").replace("%", " percent ")
    s = re.sub(r"\d+", lambda m: " " + ctc.number(int(m.group())) + " " if len(m.group()) <= 5 else " ", s)
    s = re.sub(r"\s*-{2,}\s*|\s+-\s+|[:;]", ", ", s)
    s = re.sub(r"\.{2,}", ", ", s)
    s = re.sub(r"[^A-Za-z' ,.?!-]+", " ", s)
    s = re.sub(r"(^|[\s,.?!-])'+|'+($|[\s,.?!-])", r"\1 \2", s)         # quotation marks, not apostrophes
    s = re.sub(r"(^|\s)-+|-+(\s|$)", " ", s)
    s = re.sub(r"\s+([,.?!])", r"\1", re.sub(r"\s+", " ", s))
    s = re.sub(r"([,.?!])[,.?!\s]*(?=[,.?!])", r"\1", s).strip(" ,-")
    s = re.sub(r"([,.?!])(?=[A-Za-z])", r"\1 ", s)
    if not s:
        return None
    if s[-1] not in ".?!":
        s += "."
    words = ctc.normalise(s).split()
    if not 2 <= len(words) <= 18 or max(map(len, words)) > 18 or any(not re.search(r"[aeiouy]", w) for w in words):
        return None
    return s[0].upper() + s[1:]


def corpora():
    """(modern, older) sentences, without repeats, in a fixed order."""
    modern, older, r = [], [], random.Random(7)
    for path in sorted(glob.glob("/usr/share/games/fortunes/*")):
        name = os.path.basename(path)
        if "." in name or name in {"ascii-art", "translate-me"} or os.path.islink(path):
            continue
        for item in open(path, "rb").read().decode("utf-8", "ignore").split("\n%\n"):
            item = re.sub(r"\s+", " ", re.sub(r"\n\s*--.*", " ", item, flags=re.S))
            modern += re.split(r"(?<=[.!?;:])\s+", item)
    for line in subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True).stdout.splitlines():
        line = re.sub(r"^\S+\s", "", line)
        older += re.split(r"(?<=[.!?;:,])\s+" if r.random() < .5 else r"(?<=[.!?;:])\s+", line)
    for path in sorted(glob.glob("/usr/share/state/*.gz")):
        older += re.split(r"(?<=[.!?;:,])\s+", re.sub(r"\s+", " ", gzip.open(path, "rt", errors="ignore").read()))
    seen, out = set(), ([], [])
    for kind, sentences in enumerate((modern, older)):
        for s in sentences:
            c = clean(s)
            if c and c not in seen:
                seen.add(c)
                out[kind].append(c)
    return out


def written(s, mark="."):
    """A sentence of lower-case words as one writes it."""
    s = " ".join(NAMES.get(w, w) for w in s.split())
    s = re.sub(r"\bi\b", "I", s)
    return s[0].upper() + s[1:] + mark


class Texts:
    """Draws training sentences; the first 300 modern ones of a fixed shuffle are held out for measuring."""

    def __init__(self, path=None):
        """From the installed packages, or from a file that this script wrote."""
        modern, older, self.words = json.load(open(path)) if path else (*corpora(), ctc.words())
        r = random.Random(11)
        r.shuffle(modern)
        r.shuffle(older)
        self.held, self.modern, self.older = modern[:300], modern[300:], older
        counts = {}
        for s in modern + older:
            for w in ctc.normalise(s).split():
                counts[w] = counts.get(w, 0) + 1
        self.common = sorted(counts, key=counts.get, reverse=True)[:3000]

    def draw(self, r):
        k = r.random()
        if k < .62:
            return r.choice(self.modern if r.random() < .82 else self.older)
        if k < .74:
            return written(ctc.salad(r, self.words, self.common))
        s = ctc.grammar(r)
        return written(s, "?" if s.startswith(QUESTIONS) else ".")


if __name__ == "__main__":
    json.dump((*corpora(), ctc.words()), open(sys.argv[1], "w"))
