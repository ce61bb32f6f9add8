"""espeak-ng in the process: speech with the time of every word and phoneme (libespeak-ng.so.1)."""
import ctypes as C
import numpy as np
from scipy.signal import resample_poly
import texts  # noqa: F401  (adds models/tiny-ctc/train to the path)
from make_corpus import MORE_VOICES, TRAIN_VOICES, HELD_OUT_VOICES

VOICES = TRAIN_VOICES + MORE_VOICES
assert not set(VOICES) & set(HELD_OUT_VOICES)
WORD, PHONEME = 1, 7


class Id(C.Union):
    _fields_ = [("number", C.c_int), ("name", C.c_char_p), ("string", C.c_char * 8)]


class Event(C.Structure):
    _fields_ = [("type", C.c_int), ("uid", C.c_uint), ("text_position", C.c_int), ("length", C.c_int),
                ("audio_position", C.c_int), ("sample", C.c_int), ("user", C.c_void_p), ("id", Id)]


class Synthesiser:
    """One a process: the library holds global state."""

    def __init__(self):
        self.lib = C.CDLL("libespeak-ng.so.1")
        self.rate = self.lib.espeak_Initialize(2, 0, None, 1)
        self.audio, self.events = [], []
        callback = C.CFUNCTYPE(C.c_int, C.POINTER(C.c_short), C.c_int, C.POINTER(Event))

        @callback
        def collect(wav, n, events):
            if n > 0 and wav:
                self.audio.append(np.ctypeslib.as_array(wav, (n,)).copy())
            i = 0
            while events[i].type != 0:
                e = events[i]
                if e.type in (WORD, PHONEME):
                    name = e.id.string.decode("ascii", "replace") if e.type == PHONEME else ""
                    self.events.append((e.type, e.text_position - 1, e.length, e.audio_position / 1000, name))
                i += 1
            return 0

        self.collect = collect                       # the library keeps only a pointer to it
        self.lib.espeak_SetSynthCallback(collect)

    def speak(self, text, voice, speed, pitch):
        """(samples at 16 kHz as f32, [(second, phoneme)], breakpoints [(character, second)], end of speech)."""
        self.audio.clear()
        self.events.clear()
        self.lib.espeak_SetVoiceByName(voice.encode())
        self.lib.espeak_SetParameter(1, speed, 0)
        self.lib.espeak_SetParameter(3, pitch, 0)
        data = text.encode()
        self.lib.espeak_Synth(data, len(data) + 1, 0, 1, 0, 1, None, None)
        self.lib.espeak_Synchronize()
        if not self.audio:
            return None
        x = resample_poly(np.concatenate(self.audio).astype(np.float32) / 32768, 320, 441).astype(np.float32)
        phonemes = [(e[3], e[4]) for e in self.events if e[0] == PHONEME]
        if len(phonemes) < 2:
            return None
        breaks, open_word = [], None
        for kind, pos, length, second, name in self.events:
            if kind == WORD:
                if open_word is not None:
                    breaks.append((open_word, second))
                breaks.append((pos, second))
                open_word = pos + length
            elif name.startswith("_") and open_word is not None:
                breaks.append((open_word, second))   # a pause ends the word
                open_word = None
        end = len(x) / 16000
        for second, name in reversed(phonemes):
            if not name.startswith("_"):
                break
            end = second
        if open_word is not None:
            breaks.append((open_word, end))
        return x, phonemes, breaks, end
