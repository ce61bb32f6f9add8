use std::sync::Barrier;

use clap::Parser;
use taonet_cli_base::testing::{CommandOutput, run_command};
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, Recognition, RecognizeError, SampleFormat, Wav};

use super::*;

const THREE: NonZeroUsize = NonZeroUsize::new(3).unwrap();

#[test]
fn concurrent_results_keep_their_order() {
    // The first item finishes only after the two others have started.
    let barrier = Barrier::new(3);
    let mut consumed = Vec::new();
    let process = |item: &u32| {
        barrier.wait();
        item * 10
    };
    map_in_order(&[1, 2, 3, 4, 5, 6], THREE, process, |item, result| {
        consumed.push((*item, result));
        Ok(())
    })
    .unwrap();
    assert_eq!(consumed, [(1, 10), (2, 20), (3, 30), (4, 40), (5, 50), (6, 60)]);
}

#[test]
fn first_consumer_error_stops_the_map() {
    let mut consumed = Vec::new();
    let items: Vec<usize> = (0..1_000).collect();
    let consume = |_: &usize, result: usize| {
        if result >= 2 {
            bail!("item {result}");
        }
        consumed.push(result);
        Ok(())
    };
    let error = map_in_order(&items, THREE, |item: &usize| *item, consume).unwrap_err();
    assert_eq!((error.to_string(), consumed), ("item 2".to_owned(), vec![0, 1]));
}

#[test]
fn empty_input_gives_no_results() {
    map_in_order(&[], THREE, |_: &u32| (), |_, ()| panic!("a result")).unwrap();
}

/// A recogniser whose text is the number of samples.
struct SampleCounter;

impl Recognizer for SampleCounter {
    fn name(&self) -> &'static str {
        "sample-counter"
    }

    fn fingerprint(&self) -> &'static str {
        ""
    }

    fn recognize(&self, samples: &[f32]) -> Result<Recognition, RecognizeError> {
        if samples.is_empty() {
            return Err(RecognizeError::Empty);
        }
        let text = samples.len().to_string();
        Ok(Recognition {
            transcript: Transcript { text, ..Transcript::default() },
            confidence: 1.0,
        })
    }
}

#[derive(Debug, Parser)]
struct Line {
    files: Vec<PathBuf>,
}

/// Writes the files and transcribes them. The names of files have no directory in the output.
fn transcribe(files: &[(&str, &[u8])], json: bool) -> CommandOutput {
    let folder = tempfile::tempdir().unwrap();
    let directory = format!("{}/", folder.path().display());
    let paths: Vec<_> = files.iter().map(|(name, _)| format!("{directory}{name}")).collect();
    for (path, (_, content)) in paths.iter().zip(files) {
        std::fs::write(path, content).unwrap();
    }
    let arguments: Vec<_> = ["tao"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let output = run_command(&arguments, json, |line: Line, context| {
        transcribe_files(&line.files, &SampleCounter, context)
    });
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| text.replace(&directory, ""));
    CommandOutput { stdout, stderr, ..output }
}

fn recording(samples: usize) -> Vec<u8> {
    let pcm = Pcm::mono(vec![0.5; samples], SampleRate::HZ_16K);
    Wav::encode(&pcm, SampleFormat::S16).unwrap()
}

#[test]
fn failed_file_does_not_hide_results_of_others() {
    let (good, other, empty) = (recording(8), recording(9), recording(0));
    let files: [(&str, &[u8]); 4] = [
        ("bad.wav", b"fLaC and so on"),
        ("good.wav", &good),
        ("empty.wav", &empty),
        ("other.wav", &other),
    ];
    let CommandOutput { code, stdout, stderr } = transcribe(&files, false);
    assert_eq!((code, stdout.as_str()), (1, "good.wav: 8\nother.wav: 9\n"));
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(
        errors,
        [
            "error: bad.wav is not a supported WAV file",
            "error: cannot transcribe empty.wav",
            "error: 2 of 4 files could not be transcribed",
        ]
    );
    assert!(stderr.contains("hint: convert the recording"), "{stderr}");
}

#[test]
fn failed_file_has_an_entry_with_its_error_in_json() {
    let good = recording(8);
    let files: [(&str, &[u8]); 2] = [("bad.wav", b"fLaC and so on"), ("good.wav", &good)];
    let CommandOutput { code, stdout, stderr } = transcribe(&files, true);
    assert_eq!(code, 1);
    let mut entries: Value = serde_json::from_str(&stdout).unwrap();
    let message = entries[0]["error"].take();
    let message = message.as_str().unwrap();
    assert!(message.starts_with("bad.wav is not a supported WAV file: RIFF id"), "{message}");
    let hint = "convert the recording to a WAV file of 16-bit PCM";
    assert_eq!(
        entries[0],
        json!({ "file": "bad.wav", "error": null, "hint": hint, "exit_code": 1 })
    );
    assert_eq!((&entries[1]["file"], &entries[1]["text"]), (&json!("good.wav"), &json!("8")));
    let error: Value = serde_json::from_str(&stderr).unwrap();
    assert_eq!(error["error"], "1 of 2 files could not be transcribed");
}

#[test]
fn truncated_file_is_transcribed_with_a_warning() {
    let recording = recording(8);
    let truncated = &recording[..recording.len() - 3];
    let files: [(&str, &[u8]); 2] = [("truncated.wav", truncated), ("good.wav", &recording)];
    let CommandOutput { code, stdout, stderr } = transcribe(&files, false);
    assert_eq!((code, stdout.as_str()), (0, "truncated.wav: 6\ngood.wav: 8\n"));
    assert_eq!(stderr, "warning: truncated.wav is truncated: it lacks 3 bytes of audio\n");
}

#[test]
fn non_finite_sample_is_an_error_with_its_position() {
    let samples: Vec<u8> =
        [0.5, 0.25, f32::NAN, 0.5].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let file = Wav::wrap(&samples, SampleFormat::F32, 1, SampleRate::HZ_16K).unwrap();
    let error = transcribe(&[("nan.wav", &file)], false).refusal(1);
    assert!(error.contains("nan.wav is not a supported WAV file"), "{error}");
    assert!(error.contains("sample 2 is NaN or infinite"), "{error}");
    assert!(error.contains("hint: export the audio again, as 16-bit PCM"), "{error}");
}

#[test]
fn file_that_ends_within_its_header_has_a_hint() {
    let recording = recording(8);
    for length in [0, 11, 30] {
        let error = transcribe(&[("incomplete.wav", &recording[..length])], false).refusal(1);
        assert!(error.contains("unexpected end of file"), "{error}");
        assert!(error.contains("hint: the file is incomplete"), "{error}");
    }
}

#[test]
fn failure_of_the_only_file_is_the_error_of_the_command() {
    for json in [false, true] {
        let error = transcribe(&[("bad.wav", b"fLaC and so on")], json).refusal(1);
        assert!(error.contains("bad.wav is not a supported WAV file"), "{error}");
        assert!(!error.contains("could not be transcribed"), "{error}");
    }
}
