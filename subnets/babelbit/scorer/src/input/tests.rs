use serde_json::json;

use super::*;
use crate::tests::{ScriptedRecognizer, scorer, wav};

fn batch_scorer() -> BatchScorer {
    scorer(&ScriptedRecognizer::new("script", &[(10, "all fine right here")]), true)
}

/// Returns a batch of one reply with a given transcript.
fn batch() -> Value {
    json!({
        "challenge_uid": "c", "utterance_id": "c:0", "source_duration_sec": 4.0,
        "reference": {"challenge_uid": "c", "utterances": [{"reference_text": "all is well now", "reference_wps": 2}]},
        "predictions": [{
            "miner": "one", "duration_sec": 2.0, "first_output_frame": 30, "frame_rate_hz": 12.5,
            "arrivals": [[30, 192_000]], "eos_frame": 50,
            "transcript": {
                "text": "all fine", "words": [{"word": "all", "start": 0, "end": 1}, {"word": "fine", "start": 1, "end": 2}],
                "detected_language": "en"
            }
        }]
    })
}

fn run(document: Value) -> Result<Outcome<Value>, InputError> {
    score_batch_document(document, Path::new("."), &batch_scorer())
}

#[test]
fn batch_is_scored() {
    let outcome = run(batch()).unwrap();
    assert_eq!(outcome.warnings, []);
    let result = &outcome.value["results"][0];
    assert_eq!(result["effective_completion_sec"], 4.4);
    assert_eq!(result["score"], 0.96);
    assert_eq!(result["speech_rate"]["ratio"], 0.5);
    assert_eq!(outcome.value.as_object().unwrap().len(), 1);
}

#[test]
fn list_of_batches_has_a_list_of_results() {
    let outcome = run(json!([batch(), batch()])).unwrap();
    assert_eq!(outcome.value.as_array().unwrap().len(), 2);
    assert_eq!(outcome.value[1]["results"][0]["score"], 0.96);
    assert_eq!(run(json!([])).unwrap().value, json!([]));
}

#[test]
fn warnings_and_errors_in_a_list_name_their_batch() {
    let (mut with_unknown_field, mut with_invalid_frame) = (batch(), batch());
    with_unknown_field["predictions"][0]["mood"] = json!(7);
    let warnings = run(json!([batch(), with_unknown_field])).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].to_string(),
        "the batch at [1].predictions.0.mood: unknown field, ignored"
    );

    with_invalid_frame["predictions"][0]["eos_frame"] = json!(1.5);
    let error_of = |list: Value| run(list).unwrap_err().to_string();
    assert!(
        error_of(json!([batch(), with_invalid_frame]))
            .starts_with("the batch at [1].predictions[0].eos_frame: invalid")
    );
    with_invalid_frame["predictions"][0]["eos_frame"] = json!(1);
    with_invalid_frame["source_duration_sec"] = json!(-1);
    assert!(
        error_of(json!([batch(), batch(), with_invalid_frame]))
            .starts_with("the batch at [2].source_duration_sec: a duration")
    );
    assert_eq!(error_of(json!([7])), "the batch at [0]: not a JSON object");
}

#[test]
fn wav_files_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.wav"), wav(10, 2.0)).unwrap();
    let mut batch = batch();
    batch["predictions"] = json!([{"wav": "p.wav", "eos_frame": 50}, {"eos_frame": 10}]);
    let outcome = score_batch_document(batch, folder.path(), &batch_scorer()).unwrap();
    assert_eq!(outcome.value["results"][0]["stt_text"], "all fine right here");
    assert_eq!(outcome.value["results"][0]["score"], 1.0);
    assert_eq!(outcome.value["results"][1]["gate"], "no_audio");
}

#[test]
fn duration_defaults_to_timeline_duration() {
    let mut batch = batch();
    batch["predictions"][0]["duration_sec"] = Value::Null;
    assert_eq!(run(batch).unwrap().value["results"][0]["predicted_duration_sec"], 2.0);
}

#[test]
fn reply_with_neither_wav_nor_transcript_is_an_error_of_that_reply() {
    let mut batch = batch();
    batch["predictions"][0]["transcript"] = Value::Null;
    let outcome = run(batch).unwrap();
    let error = outcome.value["results"][0]["score_error"].as_str().unwrap();
    assert_eq!(error, "ValueError:2 s of speech, but neither a WAV file nor a transcript");
}

#[test]
fn unknown_fields_are_warnings() {
    let mut batch = batch();
    batch["colour"] = json!("red");
    batch["predictions"][0]["mood"] = json!(7);
    let warnings = run(batch).unwrap().warnings;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "the batch at predictions.0.mood: unknown field, ignored",
            "the batch at colour: unknown field, ignored"
        ]
    );
}

/// Columns: change · error message
#[test]
fn error_names_the_path_of_an_invalid_batch_field() {
    for (path, value, message) in [
        ("/source_duration_sec", json!("long"), "the batch at source_duration_sec: invalid type"),
        (
            "/source_duration_sec",
            json!(-1),
            "the batch at source_duration_sec: a duration must be at least 0",
        ),
        (
            "/predictions/0/duration_sec",
            json!(-1),
            "the batch at predictions[0].duration_sec: a duration must be at least 0",
        ),
        (
            "/predictions/0/arrivals",
            json!([[1]]),
            "the batch at predictions[0].arrivals[0]: invalid length 1",
        ),
        (
            "/predictions/0/arrivals",
            json!([[1, -5]]),
            "the batch at predictions[0].arrivals[0][1]: invalid",
        ),
        ("/predictions/0/eos_frame", json!(1.5), "the batch at predictions[0].eos_frame: invalid"),
        (
            "/predictions/0/transcript/words/0",
            json!({"word": "x"}),
            "the batch at predictions[0].transcript.words[0]: missing field `start`",
        ),
        (
            "/predictions/0/wav",
            json!("absent.wav"),
            "cannot read absent.wav; hint: relative paths are resolved from .",
        ),
        ("/predictions", json!({}), "the batch at predictions: invalid type"),
        ("", json!(7), "the batch: not a JSON object"),
        ("", json!({}), "the batch: missing field `source_duration_sec`"),
    ] {
        let mut document = batch();
        *document.pointer_mut(path).unwrap_or(&mut Value::Null) = value.clone();
        if path.ends_with("wav") {
            document["predictions"][0]["wav"] = value;
        }
        let error = run(document).unwrap_err().to_string();
        assert!(error.starts_with(message), "{path}: {error}");
    }
}

/// A mismatched reference gives error results, as in the reference system, instead of an error of
/// the document.
#[test]
fn unusable_reference_has_error_results() {
    for (reference, error) in [
        (
            json!({"utterances": [{"utterance_id": "9", "reference_text": "x"}]}),
            "KeyError:'Utterance c:0 not found in scoring metadata'",
        ),
        (
            json!({"utterances": [{"reference_text": ""}]}),
            "ValueError:Missing reference text in scoring metadata",
        ),
        (json!({"utterances": [{}]}), "ValueError:Unsupported scoring metadata schema"),
        (json!(7), "ValueError:Scoring metadata must be an object with a list `utterances`"),
    ] {
        let mut batch = batch();
        batch["reference"] = reference;
        assert_eq!(run(batch).unwrap().value["results"][0]["score_error"], error);
    }
}

#[test]
fn pair_is_scored_as_batch_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let (source, predicted) = (folder.path().join("s.wav"), folder.path().join("p.wav"));
    std::fs::write(&source, wav(10, 4.0)).unwrap();
    std::fs::write(&predicted, wav(10, 2.0)).unwrap();
    let input = PairInput {
        source,
        predicted,
        reference: json!({"reference_text": "all is well now", "reference_wps": 2}),
        arrivals: Some(
            json!({"arrivals": [[30, 192_000]], "eos_frame": 50, "first_output_frame": 30}),
        ),
        transcript: None,
    };
    let outcome = score_pair(input.clone(), &batch_scorer()).unwrap();
    assert_eq!((outcome.value.score, outcome.warnings.len()), (0.96, 0));
    assert!(outcome.value.duplicate_penalty.is_some());

    let outcome =
        score_pair(PairInput { arrivals: None, ..input.clone() }, &batch_scorer()).unwrap();
    assert_eq!((outcome.value.score, outcome.warnings), (1.0, vec![Warning::NoArrivals]));

    let transcript = Some(json!({"text": "nothing like it"}));
    let outcome = score_pair(PairInput { transcript, ..input.clone() }, &batch_scorer()).unwrap();
    assert_eq!(outcome.value.stt_text.as_deref(), Some("nothing like it"));

    std::fs::write(&input.source, b"junk").unwrap();
    let error = score_pair(input, &batch_scorer()).unwrap_err();
    assert!(error.to_string().ends_with("s.wav is not a readable WAV file"), "{error}");
}

/// Columns: document · uids and weights
#[test]
fn weights_come_in_the_order_of_first_assignment() {
    for (document, uids, weights) in [
        (
            json!({"main": [[10, 3], [2, 1]], "arena_percent": 0, "burn_uid": 248}),
            json!([10, 2]),
            json!([0.75, 0.25]),
        ),
        (
            json!({"main": [[1, null]], "arena": [[5, 0.4]], "arena_percent": 100}),
            json!([5]),
            json!([1.0]),
        ),
        (json!({"arena_percent": "", "burn_uid": 248}), json!([248]), json!([1.0])),
        (json!({"main": [[1, 1.0]]}), json!([1]), json!([1.0])),
        (json!({}), json!([]), json!([])),
    ] {
        let outcome = compute_weights_document(document.clone(), Rules::Reference).unwrap();
        assert_eq!(
            serde_json::to_value(outcome.value).unwrap(),
            json!({"uids": uids, "weights": weights}),
            "{document}"
        );
    }
    let error =
        compute_weights_document(json!({"main": [[70_000, 1]]}), Rules::Reference).unwrap_err();
    assert!(error.to_string().starts_with("the scores at main[0][0]: invalid"), "{error}");
    let unknown = compute_weights_document(json!({"mian": []}), Rules::Reference).unwrap();
    assert_eq!(unknown.warnings.len(), 1);
}

/// Columns: document · start of the error
#[test]
fn malformed_text_documents_are_reported() {
    let vectors = |vectors: Value| json!({"events": [], "vectors": vectors});
    let revealed = |step: u64| {
        json!({"events": [{"event": "revealed", "utterance_index": 0, "step": step},
            {"event": "utterance_complete", "utterance_index": 0, "ground_truth": "a"}]})
    };
    for (document, expected) in [
        (revealed(10_000), "the dialogue at events[0].step: an utterance has at most 10000 steps"),
        // Each document lacks the events of 9 998 steps.
        (
            json!(vec![revealed(9_999); 11]),
            "the dialogue at [10].events[0].step: an utterance has at most 10000 steps",
        ),
        (json!(7), "the dialogue: not a JSON object"),
        (json!([[]]), "the dialogue at [0]: not a JSON object"),
        (json!({}), "the dialogue: missing field `events`"),
        (json!([{"events": []}, {"events": 5}]), "the dialogue at [1].events: invalid type"),
        (json!({"events": [], "lex_weight": "1"}), "the dialogue at lex_weight: invalid type"),
        (
            json!({"events": [], "lex_weight": -0.1}),
            "the dialogue at lex_weight: expected a weight from 0 to 1",
        ),
        (
            json!({"events": [{"utterance_index": 1.5}]}),
            "the dialogue at events[0].utterance_index: invalid",
        ),
        (
            json!({"events": [{"prediction": 5}]}),
            "the dialogue at events[0].prediction: invalid type",
        ),
        (vectors(json!([[1.0]])), "the dialogue at vectors: invalid type"),
        (vectors(json!({"a": [1, "x"]})), "the dialogue at vectors.a[1]: invalid type"),
        (
            vectors(json!({"a": [1], "b": [1, 2]})),
            "the dialogue at vectors: the vector of \"b\" has 2 numbers, but the other vectors have 1",
        ),
    ] {
        let error =
            score_text_document(document.clone(), Rules::Reference).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{document}: {error}");
    }
}

/// Columns: events · vectors · scores of the first step, and the number of steps
#[test]
fn text_scores_depend_on_words_and_vectors() {
    let predicted = |step: i64, text: &str| json!({"event": "predicted", "utterance_index": 0, "step": step, "prediction": text});
    let complete = |truth: &str| json!({"event": "utterance_complete", "utterance_index": 0, "ground_truth": truth});
    let revealed = json!({"event": "revealed", "utterance_index": 0, "step": 1});
    let unknown = json!({"event": "started", "utterance_index": 0});
    for (events, vectors, expected, steps) in [
        (json!([predicted(0, "a"), complete("a")]), Value::Null, 0.0, 1),
        (json!([predicted(0, "a"), complete("a")]), json!({"a": [0.0]}), 0.0, 1),
        (json!([predicted(0, "a"), complete("a")]), json!({"a": [7.0]}), 1.0, 1),
        (json!([predicted(0, "a"), complete("a")]), json!({"a": [1e300, -1e300]}), 1.0, 1),
        (json!([unknown, revealed, complete("a")]), json!({"a": [7.0]}), 0.0, 2),
        (json!([predicted(0, "EOF"), complete("")]), Value::Null, 0.0, 1),
        (json!([predicted(0, "EOF"), complete("")]), json!({}), 1.0, 1),
        (json!([predicted(0, "a"), complete("EOF")]), json!({"a": [1.0], "": [1.0]}), 1.0, 1),
    ] {
        let document = json!({"events": events, "vectors": vectors});
        let scored = score_text_document(document, Rules::Reference).unwrap().value;
        let utterance = &scored["utterances"][0];
        assert_eq!(
            (&utterance["U_best"], &utterance["total_steps"]),
            (&json!(expected), &json!(steps)),
            "{events}"
        );
        assert_eq!(utterance["steps"][0]["semantic_cosine_raw"], json!(expected), "{events}");
    }
    let empty = json!({"dialogue_uid": null, "utterances": [],
        "dialogue_summary": {"average_U_best_early": 0.0, "semantic_baseline_b": 0.0}});
    assert_eq!(score_text_document(json!({"events": []}), Rules::Reference).unwrap().value, empty);
    assert_eq!(score_text_document(json!([]), Rules::Reference).unwrap().value, json!([]));
}

#[test]
fn text_log_events_may_be_json_strings() {
    let lines = [
        json!({"event": "predicted", "utterance_index": 0, "step": 0, "prediction": "one two"}),
        json!({"event": "utterance_complete", "utterance_index": 0, "ground_truth": "one two"}),
    ];
    let texts: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let scored = |events: Value| {
        score_text_document(json!({"events": events, "lex_weight": 1.0}), Rules::Reference)
    };
    let expected = scored(json!(lines)).unwrap().value;
    assert_eq!(expected["utterances"][0]["U_best"], 1.0);
    assert_eq!(scored(json!(texts)).unwrap().value, expected);
    assert_eq!(scored(json!([texts[0], lines[1]])).unwrap().value, expected);
    // A file ends with a blank line.
    assert_eq!(scored(json!(["", texts[0], " \n", texts[1], ""])).unwrap().value, expected);
    // Columns: second line · found
    for (line, found) in [
        (json!("{\"event\": "), "a string that is not JSON: EOF"),
        (json!("nonsense"), "a string that is not JSON"),
        (json!("[1]"), "another value"),
        (json!(7), "another value"),
    ] {
        let documents = json!([{"events": [lines[0], line]}]);
        let error = score_text_document(documents, Rules::Reference).unwrap_err().to_string();
        let expected = "the dialogue at [0].events[1]: expected an object, or a string that contains a line of the log; found";
        assert!(error.starts_with(&format!("{expected} {found}")), "{error}");
    }
}
