#!/bin/sh
# Packs what train.py needs beside PyTorch, NumPy, SciPy, safetensors and tokenizers, for a machine with a GPU that cannot install
# anything (about 10 MB, x86-64 or whatever this machine is):
#     pack.sh OUT
#     tar cf - models OUT | ssh GPU tar xf -          # or any other way
#     LD_LIBRARY_PATH=OUT ESPEAK_DATA_PATH=OUT python models/tiny-whisper/train/train.py models/tiny-whisper/tokenizer.json RUN \
#         --texts OUT/texts.json --device cuda --workers 14 --blocks 128 --part 32 --minutes 8 --init models/tiny-whisper
set -eu
here=$(dirname "$0")
mkdir -p "$1/espeak-ng-data/lang"
libraries=$(ldconfig -p | awk '/libespeak-ng\.so\.1 /{print $NF; exit}')
data=$(dirname "$libraries")/espeak-ng-data
cp -L "$libraries" "$(dirname "$libraries")/libsonic.so.0" "$1/"
cp -r "$data"/phon* "$data/intonations" "$data/en_dict" "$data/voices" "$1/espeak-ng-data/"
cp -r "$data/lang/gmw" "$1/espeak-ng-data/lang/"
# the sound card's library with all that it pulls in is of no use here: the synthesiser never opens a device
names="audio_object_close audio_object_destroy audio_object_drain audio_object_flush audio_object_open audio_object_strerror
audio_object_write create_audio_device_object"
for name in $names; do echo "void *$name(void) { return 0; }"; done | cc -x c -shared -fPIC -o "$1/libpcaudio.so.0" -
python3 "$here/texts.py" "$1/texts.json"
