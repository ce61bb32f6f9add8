"""Decodes a recording of any format to a WAV file: mono, 16 kHz, 16 bit. Arguments: input, output, maximum seconds."""
import sys
import wave

import numpy as np
from faster_whisper.audio import decode_audio

_, source, target, seconds = sys.argv
samples = decode_audio(source)[:int(float(seconds) * 16000)]
with wave.open(target, "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(16000)
    file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
