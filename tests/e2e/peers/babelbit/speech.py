"""Audio and its transport formats."""
import array
import base64
import io
import subprocess
import tempfile
import wave


def say(source):
    """A challenge's source as 16-bit mono samples, and their rate."""
    voice = source["voice"]
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["espeak-ng", "-v", voice["name"], "-s", str(voice["words_per_minute"]), "-p", str(voice["pitch"])]
        subprocess.run([*command, "-w", file.name, source["text"]], check=True)
        with wave.open(file.name) as spoken:
            assert (spoken.getnchannels(), spoken.getsampwidth()) == (1, 2)
            return array.array("h", spoken.readframes(spoken.getnframes())), spoken.getframerate()


def wav(samples, rate, channels, width):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(samples)
    return file.getvalue()


def encoded(samples, rate, form):
    """Audio fields of an utterance, in one of the formats."""
    channels, width = 1, 2
    data = samples.tobytes()
    if form == "stereo":
        channels = 2
        data = array.array("h", [sample for sample in samples for _ in range(2)]).tobytes()
    elif form == "wide":
        width = 4
        data = array.array("i", [sample << 16 for sample in samples]).tobytes()
    audio = data if form == "raw" else wav(data, rate, channels, width)
    return {
        "sample_rate_hz": rate, "channels": channels, "sample_width_bytes": width, "utterance_frames": len(samples),
        "audio_b64": base64.b64encode(audio).decode(),
    }


def samples(utterance):
    """Interleaved 16-bit samples of an utterance. The audio must match the other fields."""
    data = base64.b64decode(utterance["audio_b64"])
    if data.startswith(b"RIFF"):
        with wave.open(io.BytesIO(data)) as file:
            for field, value in [
                ("sample_rate_hz", file.getframerate()), ("channels", file.getnchannels()),
                ("sample_width_bytes", file.getsampwidth()), ("utterance_frames", file.getnframes()),
            ]:
                assert utterance[field] == value, (field, utterance[field], value)
            data = file.readframes(file.getnframes())
    assert utterance["sample_width_bytes"] == 2 and len(data) == 2 * utterance["channels"] * utterance["utterance_frames"]
    return array.array("h", data)


def floats(utterance):
    """An utterance at 24 kHz as floats, by channel."""
    data, channels = samples(utterance), utterance["channels"]
    return [resampled(data[channel::channels], utterance["sample_rate_hz"]) for channel in range(channels)]


def resampled(data, rate):
    """Resamples linearly, keeping the first and last sample."""
    count = max(1, round(len(data) * 24_000 / rate))
    step = (len(data) - 1) / (count - 1) if count > 1 else 0.0
    result = array.array("f")
    for index in range(count):
        place = index * step
        left = min(int(place), len(data) - 1)
        right = min(left + 1, len(data) - 1)
        result.append((data[left] + (data[right] - data[left]) * (place - left)) / 32_768)
    return result


def frames(channels):
    """Splits into interleaved frames of 80 ms, the last one padded with silence."""
    whole = array.array("f", [sample for group in zip(*channels) for sample in group]).tobytes()
    size = 7_680 * len(channels)
    parts = [whole[start:start + size] for start in range(0, len(whole), size)] or [b""]
    return [base64.b64encode(part.ljust(size, b"\0")).decode() for part in parts]
