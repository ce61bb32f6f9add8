"""Decodes a recording as faster-whisper does. Arguments: the recording, and the WAV file to write, of 16-bit mono samples
at 16 kHz."""

import sys
import wave

from faster_whisper.audio import decode_audio

RATE = 16_000
recording, target = sys.argv[1:]
samples = decode_audio(recording, RATE).clip(-1, 1)
with wave.open(target, "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(RATE)
    file.writeframes((samples * 32_767).astype("<i2").tobytes())
