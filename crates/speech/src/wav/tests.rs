use proptest::prelude::*;

use super::*;

const FORMATS: [SampleFormat; 4] =
    [SampleFormat::U8, SampleFormat::S16, SampleFormat::S32, SampleFormat::F32];

fn pcm(samples: &[f32], channels: u16) -> Pcm {
    Pcm { samples: samples.to_vec(), channels, rate: SampleRate::HZ_24K }
}

/// Builds a file with these format fields and data bytes.
fn file(code: u16, channels: u16, hz: u32, align: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut chunk = Vec::new();
    chunk.extend_from_slice(&code.to_le_bytes());
    chunk.extend_from_slice(&channels.to_le_bytes());
    chunk.extend_from_slice(&hz.to_le_bytes());
    chunk.extend_from_slice(&0_u32.to_le_bytes());
    chunk.extend_from_slice(&align.to_le_bytes());
    chunk.extend_from_slice(&bits.to_le_bytes());
    riff(&[(b"fmt ", &chunk), (b"data", data)])
}

fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WAVE".to_vec();
    for (id, content) in chunks {
        body.extend_from_slice(*id);
        body.extend_from_slice(&(content.len() as u32).to_le_bytes());
        body.extend_from_slice(content);
        if content.len() % 2 == 1 {
            body.push(0);
        }
    }
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&(body.len() as u32).to_le_bytes());
    file.extend(body);
    file
}

/// Offsets in a plain 16-bit file written by [`Wav::encode`].
const RIFF_LENGTH: usize = 4;
const DATA_LENGTH: usize = 40;

fn with_u32(mut file: Vec<u8>, offset: usize, value: u32) -> Vec<u8> {
    file[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    file
}

#[test]
fn samples_are_converted_as_the_protocol_requires() {
    let samples =
        [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0];
    let bytes = encode_pcm(&samples, SampleFormat::S16);
    let values: Vec<i16> = bytes.chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    assert_eq!(values, [-32768, -16384, 0, 16383, 32767, 32767, 0, 32767, -32768, 0]);
}

#[test]
fn samples_of_each_format_are_normalised() {
    let decode =
        |bytes: &[u8], format| decode_pcm(bytes, format, 1, SampleRate::HZ_16K).unwrap().samples;
    assert_eq!(decode(&[0, 64, 128, 255], SampleFormat::U8), [-1.0, -0.5, 0.0, 127.0 / 128.0]);
    assert_eq!(decode(&[0, 0x80, 0, 0x40, 1, 0], SampleFormat::S16), [-1.0, 0.5, 1.0 / 32768.0]);
    assert_eq!(decode(&[0, 0, 0, 0x80, 0, 0, 0, 0x40], SampleFormat::S32), [-1.0, 0.5]);
    let floats: Vec<u8> = [0.25, f32::NAN, 3.0, f32::NEG_INFINITY]
        .iter()
        .flat_map(|x: &f32| x.to_le_bytes())
        .collect();
    assert_eq!(decode(&floats, SampleFormat::F32), [0.25, 0.0, 1.0, -1.0]);
}

#[test]
fn header_describes_the_file() {
    let file = Wav::encode(&pcm(&vec![0.0; 4800], 2), SampleFormat::S16).unwrap();
    let header = WavHeader::read(&file).unwrap();
    assert_eq!((header.channels, header.frames, header.format), (2, 2400, SampleFormat::S16));
    assert_eq!(header.duration(), Seconds::new(0.1).unwrap());
    assert_eq!(file.len(), 44 + 9600);
}

#[test]
fn wav_file_without_samples_is_read() {
    for format in FORMATS {
        let wav = Wav::decode(&Wav::encode(&pcm(&[], 1), format).unwrap()).unwrap();
        assert_eq!((wav.pcm.frames(), wav.format), (0, format));
    }
}

#[test]
fn unknown_chunks_and_padding_are_skipped() {
    let plain = file(1, 1, 8000, 2, 16, &[1, 0, 2, 0]);
    let format = &plain[20..36];
    let padded =
        riff(&[(b"LIST", b"odd"), (b"fmt ", format), (b"fact", &[0; 4]), (b"data", &[1, 0, 2, 0])]);
    assert_eq!(Wav::decode(&padded), Wav::decode(&plain));
    // Chunks after the data chunk are ignored.
    let trailing = riff(&[(b"fmt ", format), (b"data", &[1, 0, 2, 0]), (b"LIST", b"more")]);
    assert_eq!(Wav::decode(&trailing), Wav::decode(&plain));
    // An incomplete frame at the end is dropped.
    assert_eq!(Wav::decode(&file(1, 1, 8000, 2, 16, &[1, 0, 2, 0, 9])), Wav::decode(&plain));
}

#[test]
fn extensible_files_are_read() {
    let extensible = |code: u16, tail: &[u8], bits: u16, data: &[u8]| {
        let mut chunk = file(0xfffe, 1, 8000, bits / 8, bits, &[])[20..36].to_vec();
        chunk.extend_from_slice(&[22, 0]);
        chunk.extend_from_slice(&bits.to_le_bytes());
        chunk.extend_from_slice(&4_u32.to_le_bytes());
        chunk.extend_from_slice(&code.to_le_bytes());
        chunk.extend_from_slice(tail);
        riff(&[(b"fmt ", &chunk), (b"data", data)])
    };
    let tail = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
    assert_eq!(Wav::decode(&extensible(1, &tail, 16, &[0, 0x40])).unwrap().pcm.samples, [0.5]);
    assert_eq!(
        Wav::decode(&extensible(3, &tail, 32, &0.5_f32.to_le_bytes())).unwrap().format,
        SampleFormat::F32
    );
    assert_eq!(Wav::decode(&extensible(6, &tail, 8, &[])), Err(WavError::Encoding { found: 6 }));
    assert_eq!(
        Wav::decode(&extensible(1, &[7; 14], 16, &[])),
        Err(WavError::Encoding { found: 0xfffe })
    );
    let short = file(0xfffe, 1, 8000, 2, 16, &[]);
    let error = WavError::Truncated { field: "fmt extension size", expected: 2, found: 0 };
    assert_eq!(Wav::decode(&short), Err(error));
}

#[test]
fn each_malformed_field_is_reported() {
    let message = |file: &[u8]| Wav::decode(file).unwrap_err().to_string();
    assert_eq!(message(b""), "RIFF id: unexpected end of file: expected 4 bytes, found 0");
    assert_eq!(message(b"ID3\x04"), "RIFF id is \"ID3\\x04\", expected \"RIFF\"");
    assert_eq!(message(b"RIFF\0\0\0\0AVI "), "WAVE id is \"AVI \", expected \"WAVE\"");
    assert_eq!(message(b"RIFF\0\0\0\0WAVE"), "missing fmt chunk");
    assert_eq!(message(&riff(&[(b"fmt ", &[0; 8])])), "fmt chunk size is 8, expected at least 16");
    assert_eq!(message(&riff(&[(b"data", &[0; 8])])), "missing fmt chunk");
    assert_eq!(message(&file(1, 1, 8000, 2, 16, &[])[..36]), "missing data chunk");
    assert_eq!(message(&file(1, 0, 8000, 2, 16, &[])), "channels is 0, expected at least 1");
    assert_eq!(message(&file(1, 1, 0, 2, 16, &[])), "sample rate is 0, expected 1000 to 768000");
    assert_eq!(
        message(&file(1, 1, 999, 2, 16, &[])),
        "sample rate is 999, expected 1000 to 768000"
    );
    assert_eq!(
        message(&file(1, 2, 8000, 2, 16, &[])),
        "block align is 2, expected channels times bytes per sample"
    );
    assert_eq!(
        message(&file(1, 1, 8000, 3, 24, &[])),
        "bits per sample is 24, expected 8, 16 or 32 for PCM; hint: convert the file to 16-bit PCM"
    );
    assert_eq!(
        message(&file(0x55, 1, 8000, 1, 16, &[])),
        "audio format is 0x0055, expected 1 (PCM) or 3 (float); hint: convert the file to 16-bit PCM"
    );
}

#[test]
fn interrupted_recording_has_the_samples_before_its_end() {
    let complete =
        Wav::encode(&pcm(&[0.5, -0.5, 0.25, 0.0, 1.0, -1.0], 2), SampleFormat::S16).unwrap();
    // Columns: missing bytes · frames; an incomplete one at the end is dropped
    for (missing, frames) in [(1, 2), (4, 2), (5, 1), (11, 0), (12, 0)] {
        let truncated = &complete[..complete.len() - missing];
        let wav = Wav::decode(truncated).unwrap();
        assert_eq!(
            wav.pcm.samples,
            Wav::decode(&complete).unwrap().pcm.samples[..2 * frames],
            "{missing}"
        );
        let header = WavHeader::read(truncated).unwrap();
        assert_eq!((header.frames, header.missing_bytes), (frames, missing), "{missing}");
    }
    // Chunks before the audio must be complete.
    let mut skipped = b"RIFF\0\0\0\0WAVEjunk".to_vec();
    skipped.extend_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        Wav::decode(&skipped),
        Err(WavError::Truncated { field: "skipped chunk", .. })
    ));
}

#[test]
fn data_length_beyond_the_file_is_limited_to_its_end() {
    let complete = Wav::encode(&pcm(&[0.5; 4], 1), SampleFormat::S16).unwrap();
    for declared in
        [9, 10_000, 0x1000_0000, 0x7fff_f000, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX]
    {
        let streamed = with_u32(complete.clone(), DATA_LENGTH, declared);
        assert_eq!(Wav::decode(&streamed), Wav::decode(&complete));
        let missing = if declared < 0x7000_0000 { declared as usize - 8 } else { 0 };
        assert_eq!(WavHeader::read(&streamed).unwrap().missing_bytes, missing, "{declared:#x}");
    }
    let unfinished = with_u32(with_u32(complete.clone(), DATA_LENGTH, 0), RIFF_LENGTH, 0);
    assert_eq!(Wav::decode(&unfinished), Wav::decode(&complete));
    assert_eq!(WavHeader::read(&unfinished).unwrap().missing_bytes, 0);
    // The RIFF length covers the chunk that follows: the data chunk is really empty.
    let empty = riff(&[(b"fmt ", &complete[20..36]), (b"data", b""), (b"LIST", b"more")]);
    assert_eq!(Wav::decode(&empty).unwrap().pcm.frames(), 0);
}

#[test]
fn first_non_finite_sample_is_reported() {
    for invalid in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let samples = [0.5, -2.0, 1.0, 0.0, 0.25, invalid, invalid, 0.0];
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let stereo = file(3, 2, 8000, 8, 32, &data);
        let error = Wav::decode_finite(&stereo).unwrap_err();
        assert_eq!(error, WavError::NonFinite { frame: 2 }, "{invalid}");
        assert!(error.to_string().starts_with("sample 2 is NaN or infinite; hint: "), "{error}");
        assert!(Wav::decode(&stereo).is_ok(), "{invalid}");
    }
    // The bytes of integers are never NaN.
    let integers = Wav::wrap(&[0xff; 8], SampleFormat::S32, 1, SampleRate::HZ_16K).unwrap();
    assert_eq!(Wav::decode_finite(&integers), Wav::decode(&integers));
}

#[test]
fn raw_samples_must_be_whole_frames() {
    let decode = |length, channels| {
        decode_pcm(&vec![0; length], SampleFormat::S16, channels, SampleRate::HZ_16K)
    };
    assert!(decode(8, 2).is_ok());
    assert!(decode(6, 2).is_err());
    assert!(decode(7, 1).is_err());
    assert!(decode(8, 0).is_err());
}

#[test]
fn incomplete_frames_are_not_encoded() {
    assert!(Wav::encode(&pcm(&[0.0; 3], 2), SampleFormat::S16).is_err());
    assert!(Wav::encode(&pcm(&[], 0), SampleFormat::S16).is_err());
    assert!(Wav::encode(&pcm(&[], u16::MAX), SampleFormat::S16).is_err());
}

fn any_format() -> impl Strategy<Value = SampleFormat> {
    prop::sample::select(FORMATS.to_vec())
}

proptest! {
    #[test]
    fn samples_round_trip_through_a_file(samples in prop::collection::vec(-1.0_f32..=1.0, 0..200), stereo: bool, format in any_format()) {
        let channels = if stereo { 2 } else { 1 };
        let samples = &samples[..samples.len() / channels * channels];
        let file = Wav::encode(&pcm(samples, channels as u16), format).unwrap();
        prop_assert_eq!(file.len() % 2, 0);
        let wav = Wav::decode(&file).unwrap();
        prop_assert_eq!((wav.format, wav.pcm.channels, wav.pcm.rate), (format, channels as u16, SampleRate::HZ_24K));
        prop_assert_eq!(wav.pcm.samples.len(), samples.len());
        let step = match format {
            SampleFormat::U8 => 1.0 / 64.0,
            SampleFormat::S16 => 1.0 / 16_384.0,
            SampleFormat::S32 => 1e-6,
            SampleFormat::F32 => 0.0,
        };
        for (a, b) in samples.iter().zip(&wav.pcm.samples) {
            prop_assert!((a - b).abs() <= step, "{a} {b}");
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Wav::decode(&bytes);
    }

    #[test]
    fn damaged_wav_never_panics(at in 0_usize..60, value: u8, cut in 0_usize..80, format in any_format()) {
        let mut file = Wav::encode(&pcm(&[0.5; 8], 2), format).unwrap();
        if let Some(byte) = file.get_mut(at) {
            *byte = value;
        }
        file.truncate(cut);
        if let Ok(wav) = Wav::decode(&file) {
            prop_assert!(wav.pcm.samples.iter().all(|x| x.abs() <= 1.0));
        }
    }
}

#[test]
fn wrapped_sample_bytes_equal_the_encoded_file() {
    let pcm = Pcm { samples: vec![-1.0, 0.5, 0.25, 1.0], channels: 2, rate: SampleRate::HZ_24K };
    for format in [SampleFormat::U8, SampleFormat::S16, SampleFormat::S32, SampleFormat::F32] {
        let bytes = encode_pcm(&pcm.samples, format);
        assert_eq!(Wav::wrap(&bytes, format, 2, pcm.rate), Wav::encode(&pcm, format));
    }
    assert!(Wav::wrap(&[0; 6], SampleFormat::S16, 2, pcm.rate).is_err());
    assert!(Wav::wrap(&[], SampleFormat::S16, 0, pcm.rate).is_err());
}
