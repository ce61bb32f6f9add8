use std::fs;
use std::sync::OnceLock;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::{Wav, resample_for_recognition};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny-ctc");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/speech");

#[derive(Deserialize)]
struct Vectors {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    file: String,
    text: String,
    word_starts: Vec<Option<f64>>,
}

fn vectors() -> Vec<Item> {
    let json = fs::read(format!("{VECTORS}/transcripts.json")).unwrap();
    serde_json::from_slice::<Vectors>(&json).unwrap().items
}

fn recognizer() -> &'static CtcRecognizer {
    static SHARED: OnceLock<CtcRecognizer> = OnceLock::new();
    SHARED.get_or_init(|| CtcRecognizer::embedded().unwrap())
}

fn sound(file: &str) -> Vec<f32> {
    let wav = Wav::decode(&fs::read(format!("{VECTORS}/{file}")).unwrap()).unwrap();
    resample_for_recognition(&wav.pcm)
}

/// Compares the texts of the held-out recordings with those of the training decoder (16 errors in
/// 215 words).
#[test]
fn held_out_recordings_have_the_expected_texts() {
    #[rustfmt::skip]
    let expected = [
        "the old ferry crossed the harbor twice before the fog came down",
        "please leave the blue folder on the table near the window",
        "our neighbors planted seven apple trees a long the northern fence",
        "she opened the let er slowly and edit out loud to the class",
        "the interpreter finished the sentence before the speaker dead",
        "we expect heavy rain tonight and a clear sky in the morning",
        "nobody could explain why the clock had stopped at midnight",
        "the bakery on the corner cells fresh bread every day except monday",
        "he promised to repair the bicycle before the weekend",
        "a short delay is better than a wrong translation",
        "the parliament will vote on the new energy lawn next thursday",
        "they walked through the empty market and talked about the future",
        "every answer must be checked against the original recording",
        "the children were laughing while the dog chaste its on tail",
        "my grandmother kept all of her recipes in a small warden back",
        "the train to the coast leaves from platform nine at half past six",
        "good evening and welcome to the second half of our program",
        "the doctor asked weather the pain was worse after dinner",
        "scientists measured the temperature of the lake for thirty years",
        "thank you for waiting you call will be answered son",
    ];
    let (mut words, mut correct_texts) = (0, 0);
    for (item, expected) in vectors().iter().zip(expected) {
        let recognised = recognizer().recognize(&sound(&item.file)).unwrap();
        let transcript = recognised.transcript;
        assert_eq!(transcript.detected_language, "en");
        assert!(
            (0.5..=1.0).contains(&recognised.confidence),
            "{}: {}",
            item.file,
            recognised.confidence
        );
        words += item.text.split(' ').count();
        correct_texts += usize::from(transcript.text == expected);
    }
    assert_eq!(words, 215);
    // Processors round differently, so one near tie may have a different result.
    assert!(correct_texts >= 19, "only {correct_texts} of 20 texts are as expected");
}

#[test]
fn word_starts_match_the_recorded_times() {
    let (mut total, mut count) = (0.0, 0);
    for item in vectors() {
        let recognised = recognizer().recognize(&sound(&item.file)).unwrap().transcript;
        let mut last = 0.0;
        for word in &recognised.words {
            assert!(last <= word.start && word.start <= word.end, "{}: {recognised:?}", item.file);
            last = word.start;
        }
        if recognised.text == item.text {
            for (word, start) in recognised.words.iter().zip(&item.word_starts) {
                if let Some(start) = start {
                    total += (word.start - start).abs();
                    count += 1;
                }
            }
        }
    }
    assert!(count > 80);
    assert!(total / f64::from(count) < 0.025, "{} s", total / f64::from(count));
}

/// The expected numbers come from the PyTorch model.
#[test]
fn features_and_probabilities_are_those_of_the_reference() {
    let samples = sound("utt00.wav");
    let features = recognizer().features.compute(&samples).unwrap();
    assert_eq!(features.len(), 378 * 80);
    let assert_close = |actual: &[f32], expected: &[f32], tolerance: f32| {
        assert!(
            actual.iter().zip(expected).all(|(a, b)| (a - b).abs() < tolerance),
            "{actual:?} {expected:?}"
        );
    };
    assert_close(&features[..3], &[-0.777_089_95; 3], 1e-4);
    assert_close(
        &features[100 * 80 + 40..100 * 80 + 43],
        &[-0.473_199_5, -0.606_399_66, -0.597_537_3],
        1e-4,
    );
    let rows = recognizer().network.forward(features).unwrap();
    assert_eq!(rows.len(), 126 * labels::COUNT);
    assert_close(&rows[..3], &[-1.144e-5, -20.219_7, -16.158_16], 1e-2);
    assert_close(
        &rows[50 * 29..50 * 29 + 4],
        &[-1.639_753_6, -13.637_574, -11.392_541, -13.497_561],
        1e-2,
    );
}

#[test]
fn folder_and_embedded_model_are_equal() {
    let loaded = CtcRecognizer::load(Path::new(MODEL)).unwrap();
    assert_eq!(loaded.fingerprint(), recognizer().fingerprint());
    assert_eq!(loaded.fingerprint().len(), 64);
    let samples = sound("utt09.wav");
    assert_eq!(loaded.recognize(&samples).unwrap(), recognizer().recognize(&samples).unwrap());
}

#[test]
fn byte_order_mark_of_text_files_is_ignored() {
    let with_byte_order_mark = |text: &[u8]| [&b"\xef\xbb\xbf"[..], text].concat();
    let (config, lexicon) =
        (with_byte_order_mark(EMBEDDED_CONFIG), with_byte_order_mark(EMBEDDED_LEXICON));
    // The first line of the lexicon is the word `a`, which would have the mark in it.
    let recognizer = CtcRecognizer::from_files(&config, EMBEDDED_WEIGHTS, &lexicon).unwrap();
    let samples = sound("utt09.wav");
    assert_eq!(
        recognizer.recognize(&samples).unwrap(),
        self::recognizer().recognize(&samples).unwrap()
    );
}

#[test]
fn silence_gives_an_empty_transcript() {
    for samples in [vec![0.0; 1], vec![-0.0; 16_000], vec![f32::NAN; 16_000]] {
        let recognised = recognizer().recognize(&samples).unwrap();
        assert!(recognised.transcript.is_silent());
        assert_eq!(recognised.transcript.detected_language, "");
    }
}

#[test]
fn lengths_beyond_the_limits_are_refused() {
    assert!(matches!(recognizer().recognize(&[]), Err(RecognizeError::Empty)));
    let long = vec![0.1; 600 * 16_000 + 1];
    assert!(matches!(recognizer().recognize(&long), Err(RecognizeError::TooLong { .. })));
    for length in [1, 2, 159, 160, 199, 200, 201, 399, 400, 401, 560] {
        let recognised = recognizer().recognize(&vec![0.25; length]).unwrap();
        assert!(recognised.confidence.is_finite(), "{length} samples");
    }
}

#[test]
fn nan_counts_as_zero() {
    let mut with_zero = sound("utt09.wav");
    with_zero[1000] = 0.0;
    let mut with_nan = with_zero.clone();
    with_nan[1000] = f32::NAN;
    assert_eq!(
        recognizer().recognize(&with_nan).unwrap(),
        recognizer().recognize(&with_zero).unwrap()
    );
}

#[test]
fn threads_do_not_change_results() {
    let samples = sound("utt03.wav");
    let expected = recognizer().recognize(&samples).unwrap();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| recognizer().recognize(&samples).unwrap())).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

#[test]
fn damaged_model_names_its_file() {
    let lexicon = b"a 1\n";
    let load_error = |config: &[u8], weights: &[u8], lexicon: &[u8]| {
        CtcRecognizer::from_files(config, weights, lexicon).map(|_| ()).unwrap_err()
    };
    assert!(matches!(load_error(b"{", EMBEDDED_WEIGHTS, lexicon), CtcError::Json(_)));
    let text = str::from_utf8(EMBEDDED_CONFIG).unwrap();
    let config_error =
        |from, to| load_error(text.replace(from, to).as_bytes(), EMBEDDED_WEIGHTS, lexicon);
    assert!(matches!(config_error("16000", "8000"), CtcError::Config { setting: "sample_rate" }));
    assert!(matches!(
        config_error("\"beam\": 40", "\"beam\": 0"),
        CtcError::Config { setting: "lexicon.beam" }
    ));
    assert!(matches!(config_error("\"blocks\": 6", "\"blocks\": 7"), CtcError::Weights(_)));
    assert!(matches!(
        load_error(EMBEDDED_CONFIG, &EMBEDDED_WEIGHTS[..1000], lexicon),
        CtcError::Weights(_)
    ));
    assert!(matches!(
        load_error(EMBEDDED_CONFIG, EMBEDDED_WEIGHTS, b"\xff 1\n"),
        CtcError::Lexicon { line: 1 }
    ));
    assert!(matches!(CtcRecognizer::load(Path::new("/nowhere")), Err(CtcError::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn random_samples_never_panic(bits in prop::collection::vec(any::<u32>(), 1..3000)) {
        let samples: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let recognised = recognizer().recognize(&samples).unwrap();
        prop_assert!((0.0..=1.0).contains(&recognised.confidence));
    }
}
