use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use taonet_primitives::{Transcript, Word};

use super::*;
use crate::scoring::Timeline;

fn read<T: DeserializeOwned>(name: &str) -> T {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/field-metrics").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn ms(value: f64) -> Milliseconds {
    Milliseconds::new(value).unwrap()
}

#[track_caller]
fn assert_close(actual: f64, expected: f64, context: &str) {
    assert!((actual - expected).abs() < 1e-6, "{context}: {actual}, expected {expected}");
}

#[derive(Deserialize)]
struct Texts {
    pairs: Vec<TextRow>,
    corpora: Vec<Corpus>,
}

#[derive(Deserialize)]
struct TextRow {
    hypothesis: String,
    reference: String,
    wer: f64,
    bleu: f64,
    chrf: f64,
}

#[derive(Deserialize)]
struct Corpus {
    start: usize,
    end: usize,
    wer: f64,
    bleu: f64,
    chrf: f64,
}

#[test]
fn text_metrics_match_sacrebleu() {
    let texts: Texts = read("text.json");
    let pairs: Vec<_> = texts
        .pairs
        .iter()
        .map(|row| TextPair { hypothesis: &row.hypothesis, reference: &row.reference })
        .collect();
    assert!(pairs.len() > 50);
    for (pair, row) in pairs.iter().zip(&texts.pairs) {
        assert_close(word_error_rate([*pair]), row.wer, &format!("WER of {pair:?}"));
        assert_close(sentence_bleu(*pair), row.bleu, &format!("BLEU of {pair:?}"));
        assert_close(chrf([*pair]), row.chrf, &format!("chrF of {pair:?}"));
    }
    for Corpus { start, end, wer, bleu, chrf: expected } in texts.corpora {
        let corpus = || pairs[start..end].iter().copied();
        assert_close(word_error_rate(corpus()), wer, &format!("WER of {start}..{end}"));
        assert_close(corpus_bleu(corpus()), bleu, &format!("BLEU of {start}..{end}"));
        assert_close(chrf(corpus()), expected, &format!("chrF of {start}..{end}"));
    }
}

#[derive(Deserialize)]
struct RecordedLags {
    words: Vec<WordRow>,
    speech: Vec<SpeechRow>,
    aligned: Vec<AlignedRow>,
}

#[derive(Deserialize)]
struct WordRow {
    delays: Vec<f64>,
    source: f64,
    reference: String,
    al: f64,
    laal: f64,
}

#[derive(Deserialize)]
struct SpeechRow {
    pieces: Vec<(f64, f64)>,
    atd: f64,
}

/// Speech whose words end at positions of the recording.
#[derive(Deserialize)]
struct AlignedRow {
    pieces: Vec<(f64, f64)>,
    ends: Vec<f64>,
    source: f64,
    reference: String,
    al: f64,
    laal: f64,
}

fn playback(pieces: &[(f64, f64)]) -> Playback {
    Playback::new(
        pieces.iter().map(|(delay, duration)| Piece { delay: ms(*delay), duration: ms(*duration) }),
    )
}

#[test]
fn lag_metrics_match_simuleval() {
    let lags: RecordedLags = read("lag.json");
    assert!(lags.words.len() > 40 && lags.speech.len() > 40);
    for row in lags.words {
        let delays: Vec<_> = row.delays.iter().copied().map(ms).collect();
        let lag = |length| {
            average_lagging(&delays, ms(row.source), &row.reference, length).unwrap().get()
        };
        assert_close(lag(TargetLength::Reference), row.al, &format!("AL of {delays:?}"));
        assert_close(lag(TargetLength::Adaptive), row.laal, &format!("LAAL of {delays:?}"));
    }
    for row in lags.speech {
        let actual = average_token_delay(&playback(&row.pieces)).unwrap().get();
        assert_close(actual, row.atd, &format!("ATD of {:?}", row.pieces));
    }
    assert!(lags.aligned.len() > 40);
    for row in lags.aligned {
        let word = |end: &f64| Word { text: "word".to_owned(), start: 0.0, end: end / 1000.0 };
        let delays =
            playback(&row.pieces).word_delays(&row.ends.iter().map(word).collect::<Vec<_>>());
        let lag = |length| {
            average_lagging(&delays, ms(row.source), &row.reference, length).unwrap().get()
        };
        assert_close(
            lag(TargetLength::Reference),
            row.al,
            &format!("AL of {:?} in {:?}", row.ends, row.pieces),
        );
        assert_close(
            lag(TargetLength::Adaptive),
            row.laal,
            &format!("LAAL of {:?} in {:?}", row.ends, row.pieces),
        );
    }
}

/// Two pieces of 1 s arrive at 1.2 s and 4 s: the listener hears nothing from 2.2 s to 4 s.
#[test]
fn word_delay_is_the_time_of_its_playback() {
    let playback = playback(&[(1200.0, 1000.0), (4000.0, 1000.0)]);
    let word = |end| Word { text: "word".to_owned(), start: 0.0, end };
    let words =
        [word(0.4), word(1.0), word(1.5), word(2.5), Word { text: " ".to_owned(), ..word(0.1) }];
    assert_eq!(playback.word_delays(&words), [1600.0, 2200.0, 4500.0, 5500.0].map(ms));
    assert_eq!(Playback::default().word_delays(&words), []);
}

/// An example computed by hand, with the formulas of docs/metrics.md.
#[test]
fn example_computed_by_hand_is_reproduced() {
    let bytes = |seconds: f64| (seconds * 96_000.0).round() as u64;
    let timeline = Timeline::new(vec![(25, bytes(1.2)), (50, bytes(0.9))], 50);
    let source = ms(4000.0);
    let playback = Playback::for_reply(&timeline, 1, source);
    let word = |text: &str, end| Word { text: text.to_owned(), start: 0.0, end };
    let words = [("the", 0.3), ("cat", 0.6), ("sat", 1.2), ("on", 1.5), ("the", 1.8), ("mat", 2.1)];
    let transcript = Transcript {
        text: "the cat sat on the mat".to_owned(),
        words: words.map(|(text, end)| word(text, end)).to_vec(),
        detected_language: "en".to_owned(),
    };
    let reference = "the cat sat on mats";
    let metrics = UtteranceMetrics::of(&transcript, reference, &playback, source);
    let expected = UtteranceMetrics {
        wer: 40.0,
        bleu: 50.813_275,
        chrf: 72.084_832,
        al_ms: Some(1_900.0),
        laal_ms: Some(2_100.0),
        atd_ms: Some(2_357.143),
    };
    assert_eq!(metrics, expected);
    let pair = TextPair { hypothesis: &transcript.text, reference };
    let challenge = ChallengeMetrics::of(&[(pair, metrics)]).unwrap();
    assert_eq!(
        (challenge.bleu, challenge.laal_ms, challenge.replies),
        (50.813_275, Some(2_100.0), 1)
    );
}

#[test]
fn replies_without_words_have_no_lag() {
    let source = ms(4000.0);
    let metrics = UtteranceMetrics::of(&Transcript::default(), "a b", &Playback::default(), source);
    assert_eq!(
        (metrics.wer, metrics.al_ms, metrics.laal_ms, metrics.atd_ms),
        (100.0, None, None, None)
    );
    assert_eq!(average_lagging(&[ms(1.0)], source, " ", TargetLength::Adaptive), None);
    assert_eq!(average_lagging(&[ms(1.0)], ms(0.0), "a", TargetLength::Reference), None);
    assert_eq!(ChallengeMetrics::of(&[]), None);
}

proptest::proptest! {
    /// Metrics are finite for any frame rate and size, since recordings may come from other
    /// programs.
    #[test]
    fn malformed_timeline_has_finite_metrics(
        rate in proptest::num::f64::ANY,
        arrivals in proptest::collection::vec((0..2_000_u64, 0..1_000_000_u64), 0..6),
        source in 0.0..1e7_f64,
        end in 0.0..100.0_f64,
    ) {
        let timeline = Timeline { frame_rate_hz: rate, ..Timeline::new(arrivals, 10) };
        let playback = Playback::for_reply(&timeline, 1, ms(source));
        let words = vec![Word { text: "a".to_owned(), start: 0.0, end }];
        let transcript = Transcript { text: "a".to_owned(), words, detected_language: String::new() };
        let metrics = UtteranceMetrics::of(&transcript, "a b", &playback, ms(source));
        let times = [metrics.al_ms, metrics.laal_ms, metrics.atd_ms];
        proptest::prop_assert!(times.iter().flatten().all(|time| time.is_finite()));
    }
}
