//! `tao speech`: the recogniser, the sentence embedder and the resamplers on files.

use std::path::PathBuf;

use serde_json::{Value, json};
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SampleFormat, Wav};

use crate::support::{document, refusal, repository, require_sentence_model, tao};

/// Levenshtein distance in words.
pub(crate) fn word_errors(recognised: &str, spoken: &str) -> usize {
    let recognised: Vec<_> = recognised.split_whitespace().collect();
    // Distances between the recognised prefix and every prefix of the reference.
    let spoken: Vec<_> = spoken.split_whitespace().collect();
    let mut row: Vec<usize> = (0..=spoken.len()).collect();
    for (index, word) in recognised.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, expected) in spoken.iter().enumerate() {
            let substituted = diagonal + usize::from(word != expected);
            diagonal = row[column + 1];
            row[column + 1] = substituted.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[spoken.len()]
}

#[test]
fn word_errors_are_counted_as_edits() {
    for (recognised, spoken, errors) in [
        ("", "", 0),
        ("a", "", 1),
        ("", "a b", 2),
        ("a b c", "a c", 1),
        ("a x c d", "a b c", 2),
        ("b a", "a b", 2),
    ] {
        assert_eq!(word_errors(recognised, spoken), errors, "{recognised:?} for {spoken:?}");
    }
}

#[test]
fn at_most_18_of_215_words_are_misrecognised() {
    let folder = repository("vectors/speech");
    let spoken: Value =
        serde_json::from_slice(&std::fs::read(folder.join("transcripts.json")).unwrap()).unwrap();
    let spoken = spoken["items"].as_array().unwrap();
    let files: Vec<_> =
        spoken.iter().map(|item| folder.join(item["file"].as_str().unwrap())).collect();
    let transcripts =
        document(&tao().args(["speech", "transcribe", "--json"]).args(&files).output().unwrap());
    let transcripts = transcripts.as_array().unwrap();
    assert_eq!(transcripts.len(), spoken.len());

    let (mut words, mut errors) = (0, 0);
    for ((transcript, spoken), file) in transcripts.iter().zip(spoken).zip(&files) {
        let fields: Vec<_> = transcript.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["file", "text", "words", "detected_language"]);
        assert_eq!(transcript["file"], json!(file));
        assert_eq!(transcript["detected_language"], "en");
        check_words(transcript, spoken["seconds"].as_f64().unwrap());
        let expected = spoken["text"].as_str().unwrap();
        words += expected.split_whitespace().count();
        errors += word_errors(transcript["text"].as_str().unwrap(), expected);
    }
    assert_eq!(words, 215);
    assert!(errors <= 18, "{errors} word errors");
    println!("{errors} word errors in {words} words");
}

/// Checks that the words match the text, in order and within the recording.
fn check_words(transcript: &Value, seconds: f64) {
    let words = transcript["words"].as_array().unwrap();
    let texts: Vec<_> = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(texts.join(" "), transcript["text"].as_str().unwrap());
    let mut end = 0.0;
    for word in words {
        let (start, stop) = (word["start"].as_f64().unwrap(), word["end"].as_f64().unwrap());
        assert!(
            end <= start && start < stop && stop <= seconds + 0.05,
            "{word} after {end} in {seconds} s"
        );
        end = stop;
    }
}

/// Writes a modified recording, and returns its directory and path.
fn modified_recording(change: impl Fn(&mut Vec<u8>)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.wav");
    let samples = (0..4_800).map(|index| 0.2 * (index as f32 / 15.0).sin()).collect();
    let mut bytes =
        Wav::encode(&Pcm::mono(samples, SampleRate::HZ_24K), SampleFormat::S16).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// defect · error message
#[test]
fn malformed_recordings_are_refused_with_the_field() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, &str); 8] = [
        (|bytes| bytes.clear(), "RIFF"),
        (|bytes| bytes[0] = b'X', "RIFF id"),
        (
            |bytes| bytes[..4].copy_from_slice(b"fLaC"),
            "\nhint: convert the recording to a WAV file",
        ),
        (|bytes| bytes[8] = b'X', "WAVE"),
        (|bytes| bytes[20] = 7, "format"),
        (|bytes| bytes[22] = 0, "channels"),
        (|bytes| bytes[24..28].fill(0), "sample rate"),
        (|bytes| bytes.truncate(36), "data"),
    ];
    for (change, expected_text) in changes {
        let (_folder, path) = modified_recording(change);
        let error = refusal(
            &tao().args(["speech", "transcribe", "--json"]).arg(&path).output().unwrap(),
            1,
        );
        assert!(
            error.contains("recording.wav is not a supported WAV file")
                && error.contains(expected_text),
            "{expected_text}: {error}"
        );
    }
}

#[test]
fn malformed_file_does_not_affect_transcripts_of_other_files() {
    let (_folder, path) = modified_recording(|bytes| bytes[0] = b'X');
    let good = repository("vectors/speech/utt00.wav");
    let output =
        tao().args(["speech", "transcribe", "--json"]).args([&path, &good]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let entries: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(entries[0]["file"], json!(path));
    let error = entries[0]["error"].as_str().unwrap();
    assert!(error.contains("recording.wav is not a supported WAV file"), "{error}");
    assert_eq!(entries[1]["file"], json!(good));
    assert_ne!(entries[1]["text"], "");
}

#[cfg(target_os = "linux")]
#[test]
fn file_names_need_not_be_utf8() {
    use std::os::unix::ffi::OsStrExt as _;

    let (folder, path) = modified_recording(|_| {});
    let name = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.wav"));
    let displayed = json!(folder.path().join("caf\u{fffd}.wav"));
    let resample = ["speech", "resample", "--json", "--rate", "16000"];
    let result = document(&tao().args(resample).args([&path, &name]).output().unwrap());
    assert_eq!(result["file"], displayed);
    let transcribe = ["speech", "transcribe", "--json"];
    let result = document(&tao().args(transcribe).args([&name, &path]).output().unwrap());
    assert_eq!((&result[0]["file"], &result[1]["file"]), (&displayed, &json!(path)));
}

/// arguments · rate · output frames for an input of 0.2 s
#[test]
fn resampling_keeps_the_length() {
    let (folder, path) = modified_recording(|_| {});
    let output = folder.path().join("resampled.wav");
    for (arguments, rate, frames) in [
        (&[][..], 24_000, 4_800),
        (&["--rate", "16000"], 16_000, 3_200),
        (&["--rate", "44100"], 44_100, 8_820),
        (&["--for-recognition"], 16_000, 3_200),
    ] {
        let mut command = tao();
        command.args(["speech", "resample", "--json"]).arg(&path).arg(&output).args(arguments);
        let result = document(&command.output().unwrap());
        assert_eq!(
            result,
            json!({ "file": output, "sample_rate_hz": rate, "channels": 1, "frames": frames })
        );
        let wav = Wav::decode(&std::fs::read(&output).unwrap()).unwrap();
        assert_eq!((wav.pcm.rate.hz(), wav.pcm.frames()), (rate, frames));
    }
}

/// Recordings whose last bytes are missing, as after a crash of the program that wrote them.
#[test]
fn truncated_recordings_are_read_to_their_end() {
    for (missing, frames) in [(0, 4_800), (100, 4_750), (101, 4_749)] {
        let (folder, path) = modified_recording(|bytes| bytes.truncate(bytes.len() - missing));
        let output = folder.path().join("resampled.wav");
        let result = document(
            &tao().args(["speech", "resample", "--json"]).args([&path, &output]).output().unwrap(),
        );
        assert_eq!(result["frames"], frames, "{missing} bytes are missing");
    }

    // The same samples with a right header.
    let folder = tempfile::tempdir().unwrap();
    let [cut, complete] = ["cut.wav", "complete.wav"].map(|name| folder.path().join(name));
    let mut bytes = std::fs::read(repository("vectors/speech/utt00.wav")).unwrap();
    bytes.truncate(bytes.len() - 5_000);
    std::fs::write(&cut, &bytes).unwrap();
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&(length - 8).to_le_bytes());
    bytes[40..44].copy_from_slice(&(length - 44).to_le_bytes());
    std::fs::write(&complete, &bytes).unwrap();
    let transcripts = document(
        &tao().args(["speech", "transcribe", "--json"]).args([&cut, &complete]).output().unwrap(),
    );
    assert_ne!(transcripts[0]["text"], "");
    assert_eq!(
        (&transcripts[0]["text"], &transcripts[0]["words"]),
        (&transcripts[1]["text"], &transcripts[1]["words"])
    );
}

#[test]
fn resampled_audio_above_the_memory_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, output) = (folder.path().join("hour.wav"), folder.path().join("resampled.wav"));
    let hour = Pcm::mono(vec![0.1; 3_600_000], SampleRate::new(1000).unwrap());
    std::fs::write(&path, Wav::encode(&hour, SampleFormat::U8).unwrap()).unwrap();
    let resample = tao()
        .args(["speech", "resample", "--rate", "768000"])
        .args([&path, &output])
        .output()
        .unwrap();
    let error = refusal(&resample, 1);
    assert!(error.contains("the output would have 2764800000 samples at 768000 Hz"), "{error}");
    assert!(!output.exists());
    let error = refusal(&tao().args(["speech", "transcribe"]).arg(&path).output().unwrap(), 1);
    assert!(
        error.contains("hour.wav") && error.contains("lasts 3600.0 s, the limit is 600 s"),
        "{error}"
    );
}

#[test]
fn failed_resampling_leaves_no_file() {
    let (folder, path) = modified_recording(|bytes| bytes.truncate(20));
    let output = folder.path().join("resampled.wav");
    let resample = |arguments: &[&str]| {
        tao().args(["speech", "resample"]).arg(&path).arg(&output).args(arguments).output().unwrap()
    };
    refusal(&resample(&[]), 1);
    let error = refusal(&resample(&["--rate", "fast"]), 2);
    assert!(error.contains("--rate"), "{error}");
    assert!(!output.exists());
}

#[test]
fn sentences_of_similar_meaning_have_high_cosine() {
    require_sentence_model();
    let texts = ["the ferry leaves at ten", "the boat departs at ten", "the violin is broken"];
    let result = document(&tao().args(["speech", "embed", "--json"]).args(texts).output().unwrap());
    let cosine = |one: usize, other: usize| result[one]["cosines"][other].as_f64().unwrap();
    for (index, text) in texts.iter().enumerate() {
        assert_eq!(result[index]["text"], *text);
        assert_eq!(result[index]["embedding"].as_array().unwrap().len(), 384);
        assert!((cosine(index, index) - 1.0).abs() < 1e-5);
    }
    assert!((cosine(0, 1) - cosine(1, 0)).abs() < 1e-6);
    assert!(cosine(0, 1) > 0.6 && cosine(0, 2) < 0.3, "{} {}", cosine(0, 1), cosine(0, 2));
}
