use serde_json::{Value, json};
use taonet_primitives::{Seconds, Word};

use super::*;
use crate::reference::ReferenceError;

/// Vector of the reference in these tests.
const REFERENCE_VECTOR: &[f32] = &[1.0, 0.0];

fn reference() -> Reference {
    let words = ["so", "it", "is", "done"].iter().enumerate();
    let words = words.map(|(i, text)| Word {
        text: (*text).into(),
        start: i as f64 / 2.0,
        end: (i + 1) as f64 / 2.0,
    });
    Reference::new("So it is done", words.collect(), None).unwrap().with_source("file.json")
}

fn transcript(text: &str, seconds: f64, language: &str) -> Transcript {
    let words: Vec<_> = text.split_whitespace().collect();
    let step = seconds / words.len().max(1) as f64;
    let words = words.iter().enumerate().map(|(i, text)| Word {
        text: (*text).into(),
        start: i as f64 * step,
        end: (i + 1) as f64 * step,
    });
    Transcript { text: text.into(), words: words.collect(), detected_language: language.into() }
}

fn timing(reply: f64, end: f64, source: f64) -> Timing {
    let seconds = |value| Seconds::new(value).unwrap();
    Timing {
        predicted_duration: seconds(reply),
        effective_completion: seconds(end),
        source_duration: seconds(source),
    }
}

fn recognised_reply<'a>(transcript: &'a Transcript, vector: &'a [f32], end: f64) -> Reply<'a> {
    Reply {
        timing: timing(2.0, end, 4.0),
        evidence: Evidence::Transcribed { transcript, confidence: None },
        vector,
    }
}

fn score(reply: &Reply<'_>, rules: Rules) -> ScoreResult {
    score_batch(Ok(&reference()), REFERENCE_VECTOR, std::slice::from_ref(reply), &options(rules))
        .remove(0)
}

fn options(rules: Rules) -> ScoreOptions {
    ScoreOptions { rules, ..ScoreOptions::default() }
}

fn json_of(result: &ScoreResult) -> Value {
    serde_json::to_value(result).unwrap()
}

/// Returns the duplication record of a single reply.
fn single_reply_record(score: f64) -> Value {
    json!({
        "raw_score": score, "final_score": score, "penalty_factor": 1.0, "duplicate_pressure": 1.0,
        "max_peer_similarity": 0.0, "similarity_threshold": 0.88, "gamma": 0.5, "min_score_for_pressure": 0.0,
        "score_epsilon": 0.02, "max_similarity": 0.0, "penalty": 1.0
    })
}

#[test]
fn score_result_has_fixed_field_order() {
    let transcript = transcript("It is all done", 2.0, "en");
    let result = score(&recognised_reply(&transcript, &[0.8, 0.6], 5.0), Rules::Reference);
    let expected = json!({
        "score": 0.75, "raw_score": 0.75, "accuracy": 0.8, "accuracy_pass": true,
        "speech_rate": {"penalty": 1.0, "miner_wps": 2.0, "reference_wps": 2.0, "ratio": 1.0},
        "latency": {"score": 0.75, "completion_sec": 5.0, "source_duration_sec": 4.0, "overshoot_sec": 1.0, "allowed_overshoot_sec": 2.0},
        "stt_text": "It is all done", "gt_text": "So it is done", "predicted_duration_sec": 2.0,
        "effective_completion_sec": 5.0, "source_duration_sec": 4.0, "score_is_fallback": false,
        "score_method": "semantic_audio_v1", "scoring_metadata_source": "file.json", "duplicate_penalty": single_reply_record(0.75)
    });
    assert_eq!(json_of(&result).to_string(), expected.to_string());
    assert_eq!(result.failed_gates(), []);
    let parsed: ScoreResult = serde_json::from_value(expected).unwrap();
    assert_eq!(parsed, result);
}

#[test]
fn error_result_has_fixed_field_order() {
    let failed = Evidence::Failed(ScoreError::failed("EOFError", &""));
    let reply = Reply { timing: timing(0.0, 0.8, 4.0), evidence: failed, vector: &[] };
    let expected = json!({
        "score": 0.0, "raw_score": 0.0, "accuracy": 0.0, "accuracy_pass": false,
        "speech_rate": {"penalty": 0, "reason": "scoring_error"},
        "latency": {"score": 1.0, "completion_sec": 0.8, "source_duration_sec": 4.0, "overshoot_sec": 0.0},
        "stt_text": "", "gt_text": "So it is done", "predicted_duration_sec": 0.0, "effective_completion_sec": 0.8,
        "source_duration_sec": 4.0, "score_is_fallback": false, "score_method": "semantic_audio_v1_error",
        "scoring_metadata_source": null, "duplicate_penalty": single_reply_record(0.0), "score_error": "EOFError:"
    });
    assert_eq!(json_of(&score(&reply, Rules::Reference)).to_string(), expected.to_string());
}

/// Columns: evidence · duration of the reply · error · failed gate
#[test]
fn silence_and_failures_are_errors() {
    let silent = transcript("", 1.0, "");
    let transcribed = |transcript| Evidence::Transcribed { transcript, confidence: None };
    for (case, evidence, seconds, error, gate) in [
        (
            "out_eos with no audio",
            Evidence::NoAudio,
            0.0,
            "ValueError:WAV payload had no frames",
            Gate::NoAudio,
        ),
        (
            "the same without gates",
            Evidence::Failed(ScoreError::NoAudio),
            0.0,
            "ValueError:WAV payload had no frames",
            Gate::NoAudio,
        ),
        (
            "recogniser failed",
            Evidence::Failed(ScoreError::failed("RuntimeError", &"boom")),
            1.0,
            "RuntimeError:boom",
            Gate::ScoringError,
        ),
        (
            "nothing heard in 0.5 s",
            transcribed(&silent),
            0.5,
            "RuntimeError:empty transcript from STT for non-trivial audio output",
            Gate::NoSpeech,
        ),
        (
            "nothing heard in 0.2 s",
            transcribed(&silent),
            0.2,
            "RuntimeError:empty transcript from STT for short audio output (0.2000s)",
            Gate::NoSpeech,
        ),
    ] {
        let reply = Reply { timing: timing(seconds, 1.0, 4.0), evidence, vector: &[] };
        let result = score(&reply, Rules::Reference);
        assert_eq!(result.score_error.as_deref(), Some(error), "{case}");
        assert_eq!(result.score_method, SCORE_METHOD_ERROR, "{case}");
        assert_eq!(result.failed_gates(), [gate], "{case}");
        assert_eq!((result.score, result.raw_score), (0.0, Some(0.0)), "{case}");
    }
}

#[test]
fn blank_text_with_words_is_scored_0() {
    let mut transcript = transcript("it is done", 2.0, "en");
    transcript.text = " ".into();
    let result = score(&recognised_reply(&transcript, REFERENCE_VECTOR, 4.0), Rules::Reference);
    assert_eq!(
        (result.score, result.accuracy, result.score_method.as_str()),
        (0.0, Some(0.0), SCORE_METHOD)
    );
    assert_eq!(result.failed_gates(), [Gate::Accuracy]);
}

/// Columns: case · words · duration · language · vector · completion · score · failed gates
#[test]
fn score_equals_latency_score_if_all_gates_pass() {
    let other_vector: &[f32] = &[0.6, 0.8];
    let at_threshold: &[f32] = &[0.65, 0.76];
    for (case, text, seconds, language, vector, end, expected, gates) in [
        ("all passed, in time", "it is all done", 2.0, "en", REFERENCE_VECTOR, 4.0, 1.0, &[][..]),
        ("1 s late", "it is all done", 2.0, "en", REFERENCE_VECTOR, 5.0, 0.75, &[]),
        ("language unknown", "it is all done", 2.0, "", REFERENCE_VECTOR, 5.0, 0.75, &[]),
        ("other words", "what a fine day", 2.0, "en", other_vector, 4.0, 0.0, &[Gate::Accuracy]),
        ("exactly at the threshold", "it is all done", 2.0, "en", at_threshold, 4.0, 1.0, &[]),
        (
            "other language",
            "c'est tout fini la",
            2.0,
            "fr",
            REFERENCE_VECTOR,
            4.0,
            0.0,
            &[Gate::Language],
        ),
        ("too fast", "it is all done", 1.0, "en", REFERENCE_VECTOR, 4.0, 0.0, &[Gate::Rate]),
        ("too late", "it is all done", 2.0, "en", REFERENCE_VECTOR, 6.0, 0.0, &[Gate::TooLate]),
        (
            "all wrong",
            "what",
            4.0,
            "en",
            other_vector,
            6.0,
            0.0,
            &[Gate::Accuracy, Gate::Rate, Gate::TooLate],
        ),
    ] {
        // 0.65 as a 32-bit float is just below the threshold; this row tests the threshold itself.
        let options =
            ScoreOptions { accuracy_threshold: f64::from(0.65_f32), ..ScoreOptions::default() };
        let transcript = transcript(text, seconds, language);
        let result = score_one(
            Ok(&reference()),
            REFERENCE_VECTOR,
            &recognised_reply(&transcript, vector, end),
            &options,
        );
        assert_eq!(result.score, expected, "{case}");
        assert_eq!(result.failed_gates(), gates, "{case}");
        assert_eq!((result.raw_score, &result.duplicate_penalty), (None, &None), "{case}");
    }
}

/// Columns: case · vector of the reply · speech rate relative to the reference · rounded accuracy ·
/// rounded ratio · failed gates
#[test]
fn gates_compare_unrounded_values() {
    let just_below: &[f32] = &[0.65, 0.76];
    for (case, vector, ratio, accuracy, rounded, gates) in [
        ("0.65 in 32 bits lies below 0.65", just_below, 1.0, 0.65, 1.0, &[Gate::Accuracy][..]),
        ("0.2996 is not 0.3", REFERENCE_VECTOR, 0.2996, 1.0, 0.3, &[Gate::Rate]),
        ("1.3004 is not 1.3", REFERENCE_VECTOR, 1.3004, 1.0, 1.3, &[Gate::Rate]),
        ("0.3004 is enough", REFERENCE_VECTOR, 0.3004, 1.0, 0.3, &[]),
        ("1.2996 is not too much", REFERENCE_VECTOR, 1.2996, 1.0, 1.3, &[]),
    ] {
        let transcript = transcript("it is all done", 4.0 / (2.0 * ratio), "en");
        let result = score(&recognised_reply(&transcript, vector, 4.0), Rules::Reference);
        assert_eq!(result.failed_gates(), gates, "{case}");
        assert_eq!(result.score, if gates.is_empty() { 1.0 } else { 0.0 }, "{case}");
        let result = json_of(&result);
        assert_eq!(
            (&result["accuracy"], &result["speech_rate"]["ratio"]),
            (&json!(accuracy), &json!(rounded)),
            "{case}"
        );
    }
}

#[test]
fn late_reply_has_no_transcript_fields() {
    let reply = Reply { timing: timing(2.0, 6.0, 4.0), evidence: Evidence::TooLate, vector: &[] };
    let result = json_of(&score(&reply, Rules::Reference));
    assert_eq!(result["gate"], "too_late");
    assert_eq!(result["score_method"], SCORE_METHOD);
    assert_eq!(
        result["speech_rate"],
        json!({"penalty": null, "miner_wps": null, "reference_wps": 2.0, "ratio": null})
    );
    assert_eq!(result["latency"]["score"], 0.0);
    for field in ["accuracy", "accuracy_pass", "stt_text"] {
        assert_eq!(result[field], Value::Null, "{field}");
    }
    assert_eq!(result["duplicate_penalty"]["duplicate_pressure"], Value::Null);
    assert_eq!((&result["score"], &result["raw_score"]), (&json!(0.0), &json!(0.0)));
}

#[test]
fn reply_without_audio_reports_its_gate() {
    let reply = Reply { timing: timing(0.0, 1.0, 4.0), evidence: Evidence::NoAudio, vector: &[] };
    assert_eq!(json_of(&score(&reply, Rules::Reference))["gate"], "no_audio");
}

#[test]
fn missing_reference_fails_the_batch() {
    let failure = BatchFailure {
        error: ReferenceError::MissingText.into(),
        source: Some("http://engine/transcription".into()),
    };
    let transcript = transcript("it is all done", 2.0, "en");
    let replies = [
        recognised_reply(&transcript, REFERENCE_VECTOR, 9.0),
        recognised_reply(&transcript, REFERENCE_VECTOR, 4.0),
    ];
    for result in score_batch(Err(&failure), &[], &replies, &ScoreOptions::default()) {
        let result = json_of(&result);
        assert_eq!(result["score_error"], "ValueError:Missing reference text in scoring metadata");
        assert_eq!(result["scoring_metadata_source"], "http://engine/transcription");
        assert_eq!(result["latency"]["score"], 1.0);
        assert_eq!(result["gt_text"], "");
        assert_eq!((result.get("raw_score"), result.get("duplicate_penalty")), (None, None));
    }
}

/// The last reply duplicates the first and is worse; an error and a late reply are between them.
#[test]
fn worse_duplicate_in_a_batch_is_penalised() {
    let transcript = transcript("it is all done", 2.0, "en");
    let failed = Evidence::Failed(ScoreError::NoAudio);
    let replies = [
        recognised_reply(&transcript, REFERENCE_VECTOR, 4.0),
        Reply { timing: timing(0.0, 1.0, 4.0), evidence: failed, vector: &[] },
        Reply { timing: timing(2.0, 9.0, 4.0), evidence: Evidence::TooLate, vector: &[] },
        recognised_reply(&transcript, REFERENCE_VECTOR, 5.0),
    ];
    let results =
        score_batch(Ok(&reference()), REFERENCE_VECTOR, &replies, &ScoreOptions::default());
    let scores: Vec<_> =
        results.iter().map(|result| (result.raw_score.unwrap(), result.score)).collect();
    assert_eq!(scores, [(1.0, 1.0), (0.0, 0.0), (0.0, 0.0), (0.75, 0.530_33)]);
    let pressure =
        |result: &ScoreResult| result.duplicate_penalty.as_ref().unwrap().duplicate_pressure;
    assert_eq!(
        results.iter().map(pressure).collect::<Vec<_>>(),
        [Some(1.0), Some(1.0), None, Some(2.0)]
    );
}

#[test]
fn run_files_keep_a_subset_of_the_result_fields() {
    let transcript = transcript("it is all done", 2.0, "en");
    let breakdown =
        score(&recognised_reply(&transcript, REFERENCE_VECTOR, 5.0), Rules::Reference).breakdown();
    let keys: Vec<_> = breakdown.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["speech_rate", "latency", "duplication"]);
    let keys: Vec<_> =
        breakdown["duplication"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "raw_score",
            "final_score",
            "penalty_factor",
            "duplicate_pressure",
            "max_peer_similarity",
            "similarity_threshold",
            "gamma",
            "min_score_for_pressure",
            "score_epsilon"
        ]
    );
    let reply = Reply { timing: timing(0.0, 1.0, 4.0), evidence: Evidence::NoAudio, vector: &[] };
    let breakdown = score(&reply, Rules::Reference).breakdown();
    assert_eq!(breakdown["score_error"], "ValueError:WAV payload had no frames");
    assert_eq!(breakdown["gate"], "no_audio");
}

mod strict {
    use super::*;

    #[test]
    fn speech_rate_is_computed_from_the_duration_without_word_times() {
        for (text, penalty) in [
            ("it is all done", 1.0),
            ("it is all done and that so very much faster than said", 0.0),
        ] {
            let transcript = Transcript { text: text.into(), ..Transcript::default() };
            let rate = |rules| {
                json_of(&score(&recognised_reply(&transcript, REFERENCE_VECTOR, 4.0), rules))["speech_rate"]
                    .clone()
            };
            assert_eq!(rate(Rules::Strict)["penalty"], penalty);
            assert_eq!(rate(Rules::Reference)["penalty"], 1.0);
            assert_eq!(rate(Rules::Reference)["ratio"], Value::Null);
        }
    }

    #[test]
    fn reply_is_compared_with_the_reference_language() {
        let transcript = transcript("es ist alles getan", 2.0, "de");
        let reference = Reference { language: Some("de".into()), ..reference() };
        for (rules, expected) in [(Rules::Reference, 0.0), (Rules::Strict, 1.0)] {
            let result = score_one(
                Ok(&reference),
                REFERENCE_VECTOR,
                &recognised_reply(&transcript, REFERENCE_VECTOR, 4.0),
                &options(rules),
            );
            assert_eq!(result.score, expected, "{rules}");
        }
    }

    #[test]
    fn gate_margins_are_reported() {
        let transcript = transcript("it is all done", 2.0, "en");
        let reply = recognised_reply(&transcript, &[0.8, 0.6], 4.0);
        assert_eq!(
            json_of(&score(&reply, Rules::Strict))["margins"],
            json!({"accuracy": 0.15, "rate": 0.3})
        );
        assert_eq!(json_of(&score(&reply, Rules::Reference)).get("margins"), None);
    }

    #[test]
    fn error_results_keep_timing_and_reference_fields() {
        let reply = Reply {
            timing: timing(0.0, 5.0, 4.0),
            evidence: Evidence::Failed(ScoreError::NoAudio),
            vector: &[],
        };
        let result = json_of(&score(&reply, Rules::Strict));
        assert_eq!(result["latency"]["score"], 0.75);
        assert_eq!(result["latency"]["allowed_overshoot_sec"], 2.0);
        assert_eq!(result["scoring_metadata_source"], "file.json");
        let rate = json!({"penalty": 0.0, "miner_wps": null, "reference_wps": 2.0, "ratio": null, "reason": "scoring_error"});
        assert_eq!(result["speech_rate"], rate);
        let failure = BatchFailure { error: ReferenceError::MissingText.into(), source: None };
        let result =
            json_of(&score_batch(Err(&failure), &[], &[reply], &options(Rules::Strict)).remove(0));
        assert_eq!(result["raw_score"], 0.0);
        assert_eq!(result["duplicate_penalty"]["penalty"], 1.0);
    }
}
