use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};
use taonet_primitives::SampleRate;
use taonet_speech::{Espeak, Pcm, SampleFormat, Synthesizer as _, Wav};

use super::*;

const SAMPLE: &str = include_str!("../tests/data/00-sample.json");

fn sample() -> Value {
    serde_json::from_str(SAMPLE).unwrap()
}

fn sample_with(pointer: &str, value: Value) -> String {
    let mut document = sample();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value)),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{parent} has no children"),
    }
    document.to_string()
}

fn error(text: &str) -> String {
    Challenge::parse("02-market.json", text).unwrap_err().to_string()
}

#[test]
fn sample_challenge_is_parsed() {
    let challenge = Challenge::parse("00-sample.json", SAMPLE).unwrap();
    assert_eq!(challenge.uid, "challenge-sample");
    assert_eq!(challenge.utterances[0].id, "challenge-sample:0");
    assert_eq!(challenge.utterances[1].id, "challenge-sample:1");
    assert_eq!(challenge.utterances[0].target.words.len(), 6);
    let Source::Text { voice, .. } = &challenge.utterances[1].source else { panic!() };
    assert_eq!(voice.pitch, 50, "the voice's own pitch is the default");
}

#[test]
fn reference_document_follows_the_target_schema() {
    let document = Challenge::parse("00-sample.json", SAMPLE).unwrap().reference_document();
    assert_eq!(document["challenge_uid"], "challenge-sample");
    assert_eq!(document["utterances"][0]["utterance_id"], "challenge-sample:0");
    assert_eq!(
        document["utterances"][0]["target"]["words"][1],
        json!({"word": "morning,", "start": 0.3, "end": 0.75})
    );
    assert!(document["utterances"][0]["target"].get("wps").is_none());
    assert_eq!(
        document["utterances"][1],
        json!({
            "utterance_id": "challenge-sample:1", "utterance_index": 1, "language": "en",
            "target": {"language": "en", "text": "Two kilos of apples, please.", "words": [], "wps": 2.5}
        })
    );
}

#[test]
fn challenge_without_uid_is_named_by_its_content() {
    let mut document = sample();
    document.as_object_mut().unwrap().remove("challenge_uid");
    let text = document.to_string();
    let first = Challenge::parse("sets/02 market.json", &text).unwrap();
    let reparsed = Challenge::parse("02 market.json", &text).unwrap();
    assert_eq!(first.uid, reparsed.uid);
    assert!(first.uid.starts_with("challenge-02-market-"), "{}", first.uid);
    assert_eq!(first.uid.len(), "challenge-02-market-".len() + 8);
    let other_content =
        Challenge::parse("02 market.json", &text.replace("At the", "In the")).unwrap();
    assert_ne!(first.uid, other_content.uid);
}

#[test]
fn error_names_the_path_of_an_invalid_challenge_field() {
    let words = "/utterances/0/target/words";
    #[rustfmt::skip]
    let table = [
        ("/title", json!("  "), "title: must not be blank"),
        ("/title", json!("x".repeat(201)), "title: must have at most 200 characters"),
        ("/challenge_uid", json!("../etc"), "challenge_uid: must have 1 to 100 characters, only A-Z a-z 0-9 . _ -, and no leading dot"),
        ("/challenge_uid", json!("a/b"), "challenge_uid: must have 1 to 100 characters, only A-Z"),
        ("/challenge_uid", json!(""), "challenge_uid: must have 1 to 100 characters, only A-Z"),
        ("/language", json!("English"), "language: must be a language code such as `en`"),
        ("/target_language", json!(""), "target_language: must be a language code"),
        ("/utterances", json!([]), "utterances: must have at least one entry"),
        ("/utterances/1/utterance_id", json!("x:00"), "utterances[1].utterance_id: collides with the id of utterances[0]"),
        ("/utterances/1/utterance_id", json!("a b"), "utterances[1].utterance_id: must have 1 to 200 characters"),
        ("/utterances/1/speaker", json!(""), "utterances[1].speaker: must not be blank"),
        ("/utterances/1/source", json!({}), "utterances[1].source: must have either `text` and `voice`, or `wav`"),
        ("/utterances/1/source", json!({"text": "a"}), "utterances[1].source: must have either"),
        ("/utterances/1/source", json!({"wav": "a.wav"}), "utterances[1].source.wav: a challenge without a folder cannot have recordings"),
        ("/utterances/1/source/wav", json!("a.wav"), "utterances[1].source: must have either"),
        ("/utterances/1/source/text", json!(""), "utterances[1].source.text: must not be blank"),
        ("/utterances/1/source/voice/words_per_minute", json!(79), "utterances[1].source.voice.words_per_minute: must be between 80 and 450"),
        ("/utterances/1/source/voice/words_per_minute", json!(-1), "utterances[1].source.voice.words_per_minute: invalid value"),
        ("/utterances/1/source/voice/pitch", json!(100), "utterances[1].source.voice.pitch: must be between 0 and 99"),
        ("/utterances/1/target/text", json!("\n"), "utterances[1].target.text: must not be blank"),
        ("/utterances/1/target/wps", json!(0.0), "utterances[1].target.wps: must be > 0"),
        ("/utterances/1/target/wps", json!(-1), "utterances[1].target.wps: must be a finite number, 0 or more"),
        ("/utterances/1/target/wpm", json!(1), "utterances[1].target.wpm: unknown field `wpm`"),
        ("/utterances/0/target/words/2/end", json!(0.9), "utterances[0].target.words[2].end: must be > start"),
        ("/utterances/0/target/words/2/start", json!(0.2), "utterances[0].target.words[2].start: must not be before the start of the previous word"),
        ("/utterances/0/target/words/2/start", json!(-0.2), "utterances[0].target.words[2].start: must be a finite number"),
        ("/utterances/0/target/words/2/word", json!(" "), "utterances[0].target.words[2].word: must not be blank"),
        ("/utterances/0/target/words/2", json!({"word": "a", "start": 1}), "utterances[0].target.words[2]: missing field `end`"),
        (words, json!("none"), "utterances[0].target.words: invalid type"),
    ];
    for (pointer, value, expected) in table {
        let message = error(&sample_with(pointer, value));
        assert!(
            message.starts_with(&format!("02-market.json: {expected}")),
            "{pointer}: {message}"
        );
    }
}

#[test]
fn file_without_challenge_is_refused() {
    for text in ["", "{", "[]", "null", "{}", "{\"title\": \"a\"}"] {
        assert!(error(text).starts_with("02-market.json: "), "{text}: {}", error(text));
    }
    assert!(error(&format!("{SAMPLE} {{}}")).starts_with("02-market.json: trailing characters"));
    assert!(error("{}").starts_with("02-market.json: missing field `title` at line 1"));
    assert!(error(&"[".repeat(100_000)).starts_with("02-market.json: "));
}

mod recordings {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let pcm = Pcm::mono(vec![0.5; 800], SampleRate::new(8_000).unwrap());
        fs::create_dir(folder.path().join("set")).unwrap();
        fs::write(folder.path().join("set/a.wav"), Wav::encode(&pcm, SampleFormat::F32).unwrap())
            .unwrap();
        fs::write(folder.path().join("outside.wav"), Wav::encode(&pcm, SampleFormat::S16).unwrap())
            .unwrap();
        fs::write(folder.path().join("set/text.wav"), "RIFF, I said").unwrap();
        let nan = Wav::wrap(&f32::NAN.to_le_bytes(), SampleFormat::F32, 1, SampleRate::HZ_16K);
        fs::write(folder.path().join("set/nan.wav"), nan.unwrap()).unwrap();
        let empty = Pcm::mono(vec![], SampleRate::HZ_16K);
        fs::write(
            folder.path().join("set/empty.wav"),
            Wav::encode(&empty, SampleFormat::S16).unwrap(),
        )
        .unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("../outside.wav", folder.path().join("set/link.wav")).unwrap();
        folder
    }

    fn load(wav: &str) -> Result<Challenge, ChallengeError> {
        let folder = folder();
        let path = folder.path().join("set/c.json");
        fs::write(&path, sample_with("/utterances/1/source", json!({ "wav": wav }))).unwrap();
        Challenge::load(&path)
    }

    #[test]
    fn recording_is_read_and_encoded_as_16_bit() {
        let challenge = load("./a.wav").unwrap();
        let Source::Recording(audio) = &challenge.utterances[1].source else { panic!() };
        assert_eq!((audio.rate.hz(), audio.channels, audio.frames), (8_000, 1, 800));
        let wav =
            base64::Engine::decode(&base64::prelude::BASE64_STANDARD, audio.wav_base64.as_ref())
                .unwrap();
        let wav = Wav::decode(&wav).unwrap();
        assert_eq!(wav.format, SampleFormat::S16);
        assert_eq!(wav.pcm.frames(), 800);
    }

    #[test]
    fn wav_path_outside_the_folder_is_refused() {
        for wav in [
            "../outside.wav",
            "/etc/passwd",
            "",
            "a/../../outside.wav",
            "..\\outside.wav",
            "link.wav",
        ] {
            let message = load(wav).unwrap_err().to_string();
            let expected =
                "utterances[1].source.wav: must be a relative path inside the challenge's folder";
            assert!(message.ends_with(expected), "{wav}: {message}");
        }
    }

    #[test]
    fn invalid_recording_is_reported() {
        assert!(
            load("text.wav")
                .unwrap_err()
                .to_string()
                .contains("utterances[1].source.wav: invalid WAV file")
        );
        assert!(
            load("empty.wav")
                .unwrap_err()
                .to_string()
                .contains("source.wav: the recording is empty")
        );
        let nan = load("nan.wav").unwrap_err().to_string();
        assert!(nan.contains("source.wav: invalid WAV file: sample 0 is NaN or infinite"), "{nan}");
        let missing = load("missing.wav").unwrap_err();
        assert!(
            matches!(missing, ChallengeError::Read { .. })
                && missing.to_string().contains("missing.wav")
        );
        let folder = load(".").unwrap_err();
        assert!(matches!(folder, ChallengeError::Read { .. }), "{folder}");
    }

    #[test]
    fn unreadable_challenge_file_is_reported() {
        let missing = Challenge::load(Path::new("/nowhere/c.json")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /nowhere/c.json"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin.json");
        fs::write(&path, [0x7b, 0xff]).unwrap();
        assert!(
            Challenge::load(&path).unwrap_err().to_string().contains("latin.json: invalid utf-8")
        );
    }
}

mod synthesis {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use taonet_speech::{SynthesisError, Synthesizer};

    use super::*;

    /// A synthesiser of 10 samples per character, which fails on its first `failures` calls.
    #[derive(Default)]
    struct FakeSynthesizer {
        calls: AtomicUsize,
        failures: usize,
    }

    impl Synthesizer for FakeSynthesizer {
        fn speak(&self, text: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
            if self.calls.fetch_add(1, Ordering::SeqCst) < self.failures {
                return Err(SynthesisError::Missing {
                    install: "apt-get install espeak-ng".to_owned(),
                });
            }
            Ok(Pcm::mono(vec![0.1; text.len() * 10], SampleRate::HZ_22K))
        }
    }

    fn library(failures: usize) -> (ChallengeLibrary, Arc<FakeSynthesizer>) {
        let synthesizer = Arc::new(FakeSynthesizer { failures, ..FakeSynthesizer::default() });
        let challenge = Challenge::parse("00-sample.json", SAMPLE).unwrap();
        (ChallengeLibrary::new([challenge], synthesizer.clone()), synthesizer)
    }

    #[tokio::test]
    async fn each_challenge_is_synthesised_once() {
        let (library, synthesizer) = library(0);
        let (first, second) = tokio::join!(library.get_or_build(0), library.get_or_build(7));
        let (first, second) = (first.unwrap().unwrap(), second.unwrap().unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(synthesizer.calls.load(Ordering::SeqCst), 2, "one call an utterance");
        let Source::Text { text, .. } = &first.challenge.utterances[0].source else { panic!() };
        assert_eq!(first.audio[0].frames, text.len() as u64 * 10);
        assert_eq!(first.audio.len(), 2);
    }

    #[tokio::test]
    async fn failed_synthesis_names_the_utterance_and_is_retried() {
        let (library, _) = library(1);
        let error = library.get_or_build(0).await.unwrap_err().to_string();
        assert!(
            error.starts_with("challenge-sample: cannot synthesise utterances[")
                && error.contains("apt-get install"),
            "{error}"
        );
        assert!(library.get_or_build(0).await.is_ok());
    }

    #[tokio::test]
    async fn empty_library_has_no_challenge() {
        let library = ChallengeLibrary::new([], Arc::new(FakeSynthesizer::default()));
        assert!(library.get_or_build(0).await.unwrap().is_none());
        assert!(library.get(3).is_none());
    }
}

proptest! {
    #[test]
    fn parsing_arbitrary_text_never_panics(text in ".{0,200}") {
        let _ = Challenge::parse("c.json", &text);
    }

    #[test]
    fn truncated_challenge_is_an_error(at in 0..SAMPLE.trim_end().len()) {
        if let Some(text) = SAMPLE.get(..at) {
            assert!(Challenge::parse("c.json", text).is_err());
        }
    }
}

/// Returns the duration of a source's speech in seconds, and its speaking rate relative to the
/// reference.
fn measure_pace(utterance: &Utterance, espeak: &Espeak) -> (f64, f64) {
    let Source::Text { text, voice } = &utterance.source else { panic!("a recording") };
    let seconds = espeak.speak(text, voice).unwrap().duration().get();
    let words = &utterance.target.words;
    let reference = words.len() as f64 / (words.last().unwrap().end - words[0].start);
    (seconds, text.split_whitespace().count() as f64 / seconds / reference)
}

#[test]
fn english_challenges_are_fast_and_varied() {
    let shipped = Challenges::english().unwrap();
    assert_eq!(shipped.len(), 8);
    let utterances: Vec<_> = shipped.iter().flat_map(|challenge| &challenge.utterances).collect();
    assert!(utterances.len() >= 40, "{}", utterances.len());
    assert!(
        shipped
            .iter()
            .all(|challenge| challenge.language == "en" && challenge.target_language == "en")
    );

    let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
    let paces: Vec<_> =
        utterances.iter().map(|utterance| (utterance, measure_pace(utterance, &espeak))).collect();
    for (utterance, (seconds, _)) in &paces {
        assert!((12.0..=25.0).contains(seconds), "{} lasts {seconds} s", utterance.id);
    }
    let fast_sources = paces.iter().filter(|(_, (_, pace))| *pace > 1.35).count();
    assert!(
        fast_sources >= 20,
        "{fast_sources} sources are spoken more than 1.35 times as fast as their reference"
    );

    let voices = utterances.iter().filter_map(|utterance| match &utterance.source {
        Source::Text { voice, .. } => Some(voice),
        Source::Recording(_) => None,
    });
    let names: BTreeSet<_> = voices.clone().map(|voice| &voice.name).collect();
    let speeds: BTreeSet<_> = voices.map(|voice| voice.words_per_minute).collect();
    assert!(names.len() >= 6 && speeds.len() >= 3, "{names:?} {speeds:?}");
}

/// Returns all shipped challenges with their names.
fn shipped_challenges() -> impl Iterator<Item = (String, Challenge)> {
    Challenges::names().map(|name| (name.clone(), Challenges::find(&name).unwrap().unwrap()))
}

#[test]
fn shipped_challenges_are_found_by_exact_name() {
    let english = Challenges::english().unwrap();
    let foreign: Vec<_> = shipped_challenges().skip(english.len()).collect();
    assert!(shipped_challenges().map(|(_, challenge)| challenge).take(english.len()).eq(english));
    let languages: Vec<_> =
        foreign.iter().map(|(name, challenge)| (&**name, &*challenge.language)).collect();
    assert_eq!(languages, [("de-1", "de"), ("es-1", "es"), ("fr-1", "fr")]);
    for name in ["0", "9", "01", "fr", "fr-2", "FR-1", "fr-1.json", ""] {
        assert!(Challenges::find(name).unwrap().is_none(), "{name}");
    }
}

#[test]
fn foreign_challenges_have_native_voices_and_english_references() {
    let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
    for (name, challenge) in
        shipped_challenges().filter(|(_, challenge)| challenge.language != "en")
    {
        assert_eq!((&*challenge.target_language, challenge.utterances.len()), ("en", 5), "{name}");
        for utterance in &challenge.utterances {
            let Source::Text { text, voice } = &utterance.source else {
                panic!("{name}: a recording")
            };
            assert!(voice.name.starts_with(&challenge.language), "{name}: {}", voice.name);
            assert_ne!(*text, utterance.target.text, "{name}");
            let (seconds, _) = measure_pace(utterance, &espeak);
            assert!((10.0..=25.0).contains(&seconds), "{} lasts {seconds} s", utterance.id);
        }
    }
}

/// `bb align` times the reference in speech of espeak-ng, with the voice and rate that are its
/// defaults.
#[test]
fn word_times_are_in_order_and_within_the_reference_speech() {
    let espeak = Espeak::find().unwrap_or_else(|error| panic!("{error}"));
    let voice = Voice { name: "en-gb".to_owned(), words_per_minute: 138, pitch: 50 };
    for (_, challenge) in shipped_challenges() {
        for Utterance { id, target, .. } in &challenge.utterances {
            let words: Vec<&str> = target.words.iter().map(|word| &*word.text).collect();
            assert!(words.iter().copied().eq(target.text.split_whitespace()), "{id}: {words:?}");
            assert!(
                target.words.windows(2).all(|pair| pair[0].end <= pair[1].start),
                "{id}: {:?}",
                target.words
            );
            let seconds = espeak.speak(&target.text, &voice).unwrap().duration().get();
            let end = target.words.last().unwrap().end;
            assert!(
                end <= seconds && end > seconds * 0.8,
                "{id}: the last word ends at {end} s of {seconds} s"
            );
        }
    }
}

#[test]
fn shipped_texts_have_supported_characters_only() {
    for (name, challenge) in shipped_challenges() {
        for Utterance { source, target, .. } in &challenge.utterances {
            let Source::Text { text, .. } = source else { panic!("{name}: a recording") };
            // Letters of Latin-1 and the French ligature.
            let is_letter =
                |c: char| c.is_ascii_alphabetic() || ('À'..='ÿ').contains(&c) || c == 'œ';
            let is_supported = |c: char| is_letter(c) || " ,.?!¿¡'-".contains(c);
            assert!(text.chars().all(is_supported), "{name}: {text}");
            let is_english = |c: char| c.is_ascii_alphabetic() || " ,.?'".contains(c);
            assert!(target.text.chars().all(is_english), "{name}: {}", target.text);
        }
    }
}

#[test]
fn documented_example_is_parsed() {
    let readme = include_str!("../README.md");
    let (_, example) = readme.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert_eq!(Challenge::parse("README.md", example).unwrap().utterances.len(), 1);
}
