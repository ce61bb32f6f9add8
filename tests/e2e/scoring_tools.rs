//! `bb score`, `bb score-batch` and `bb compute-weights` with given transcripts, without a
//! recogniser.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SampleFormat, Wav};
use tempfile::TempDir;

use crate::support::{bb, document, refusal, repository, require_sentence_model, stderr};

const TEXT: &str = "the ferry to the island leaves at ten in the morning";
const WORDS_PER_SECOND: f64 = 3.0;
/// Frame rate, fine enough for all completion times in the tables.
const FRAME_RATE: f64 = 1e9;

/// Writes the document and runs a command of `bb` on it.
fn run(command: &str, input: &Value) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "input.json", input);
    bb().args([command, "--json"]).arg(file).output().unwrap()
}

fn write(folder: &TempDir, name: &str, content: &Value) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content.to_string()).unwrap();
    path
}

fn transcript(text: &str) -> Value {
    let words = text.split_whitespace().zip(0..).map(|(word, index)| {
        json!({ "word": word, "start": f64::from(index) / WORDS_PER_SECOND, "end": f64::from(index + 1) / WORDS_PER_SECOND })
    });
    json!({ "text": text, "words": words.collect::<Vec<_>>(), "detected_language": "en" })
}

/// Returns a reply that ends this many seconds after the start of the source.
fn reply(text: &str, completion_sec: f64) -> Value {
    json!({
        "miner": "m", "duration_sec": 0.1, "first_output_frame": 0, "frame_rate_hz": FRAME_RATE,
        "arrivals": [], "eos_frame": (completion_sec * FRAME_RATE).round() as u64, "transcript": transcript(text),
    })
}

fn batch(source_duration_sec: f64, predictions: &[Value]) -> Value {
    json!({
        "challenge_uid": "c", "utterance_id": "c:7", "source_duration_sec": source_duration_sec,
        "reference": { "utterances": [
            { "utterance_id": "6", "reference_text": "another one" },
            { "utterance_id": "007", "reference_text": TEXT, "reference_wps": WORDS_PER_SECOND },
        ]},
        "predictions": predictions,
    })
}

fn results(input: &Value) -> Vec<Value> {
    require_sentence_model();
    document(&run("score-batch", input))["results"].as_array().unwrap().clone()
}

/// completion · source · overshoot · allowed · score
#[test]
fn latency_scores_match_the_table() {
    for (completion, source, overshoot, allowed, score) in [
        (14.4, 14.25, 0.15, 4.275, 0.998_769),
        (9.5, 10.0, 0.0, 3.0, 1.0),
        (10.0, 10.0, 0.0, 3.0, 1.0),
        (11.0, 10.0, 1.0, 3.0, 0.888_889),
        (12.9, 10.0, 2.9, 3.0, 0.065_556),
        (13.0, 10.0, 3.0, 3.0, 0.0),
        (5.0, 4.0, 1.0, 2.0, 0.75),
        (5.999, 4.0, 1.999, 2.0, 0.001),
        (40.0, 34.0, 6.0, 10.0, 0.64),
        (59.9, 50.0, 9.9, 10.0, 0.0199),
        (60.0, 50.0, 10.0, 10.0, 0.0),
        (0.5, 0.0, 0.5, 2.0, 0.9375),
    ] {
        let result = &results(&batch(source, &[reply(TEXT, completion)]))[0];
        let expected = json!({
            "score": score, "completion_sec": completion, "source_duration_sec": source,
            "overshoot_sec": overshoot, "allowed_overshoot_sec": allowed,
        });
        assert_eq!(result["latency"], expected, "{completion} of {source}");
        assert_eq!(
            result["score"], score,
            "the same words at the same rate: nothing but the latency counts"
        );
    }
}

/// Identical replies to a source of 10 s, with latencies that give the scores before the penalty.
fn replies(raw_scores: &[f64]) -> Vec<Value> {
    raw_scores.iter().map(|raw| reply(TEXT, 10.0 + 3.0 * (1.0 - raw).sqrt())).collect()
}

/// scores before · scores after · pressures; all cosines are 1
#[test]
#[expect(clippy::approx_constant, reason = "scores have six decimals")]
fn duplicate_penalties_match_the_table() {
    let table: [(&[f64], &[f64], &[f64]); 5] = [
        (&[1.0, 1.0], &[0.707_107; 2], &[2.0; 2]),
        (&[1.0; 10], &[0.316_228; 10], &[10.0; 10]),
        (&[1.0, 0.1], &[1.0, 0.070_711], &[1.0, 2.0]),
        (&[0.95, 0.9, 0.5], &[0.95, 0.644_503, 0.296_174], &[1.0, 1.95, 2.85]),
        (&[0.666, 0.656], &[0.577_93, 0.508_237], &[1.328, 1.666]),
    ];
    for (raw, finals, pressures) in table {
        let results = results(&batch(10.0, &replies(raw)));
        let column = |pointer: &str| -> Vec<_> {
            results
                .iter()
                .map(|result| result.pointer(pointer).unwrap().as_f64().unwrap())
                .collect()
        };
        assert_eq!(column("/raw_score"), raw);
        assert_eq!(column("/score"), finals);
        assert_eq!(column("/duplicate_penalty/duplicate_pressure"), pressures);
        assert_eq!(column("/duplicate_penalty/max_peer_similarity"), vec![1.0; raw.len()]);
    }
}

#[test]
fn different_replies_have_no_duplicate_penalty() {
    let texts = ["the ferry leaves at ten", "a morning ferry goes to the island"];
    for result in results(&batch(10.0, &texts.map(|text| reply(text, 10.0)))) {
        assert!(
            result["duplicate_penalty"]["max_peer_similarity"].as_f64() < Some(0.88),
            "{result}"
        );
        assert_eq!((&result["score"], &result["raw_score"]), (&json!(1.0), &json!(1.0)));
    }
}

#[test]
fn list_of_batches_gives_a_list_of_results() {
    require_sentence_model();
    let silence = json!({ "miner": "silent", "eos_frame": 10, "arrivals": [] });
    let input = json!([batch(10.0, &replies(&[1.0])), batch(10.0, &[silence]), batch(10.0, &[])]);
    let report = document(&run("score-batch", &input));
    let report = report.as_array().unwrap();
    assert_eq!(report.len(), 3);
    assert_eq!(report[0]["results"][0]["score"], 1.0);
    assert_eq!(report[1]["results"][0]["score_error"], "ValueError:WAV payload had no frames");
    assert_eq!(report[2], json!({ "results": [] }));
}

#[test]
fn unknown_fields_are_ignored_with_warning() {
    require_sentence_model();
    let mut input = batch(10.0, &replies(&[1.0]));
    input["predictions"][0]["mood"] = json!("good");
    let output = run("score-batch", &input);
    assert_eq!(document(&output)["results"][0]["score"], 1.0);
    assert!(stderr(&output).contains("predictions.0.mood: unknown field"), "{}", stderr(&output));
    let output = run("compute-weights", &json!({ "main": [[1, 1]], "colour": "red" }));
    assert_eq!(document(&output)["uids"], json!([1]));
    assert!(stderr(&output).contains("colour: unknown field"), "{}", stderr(&output));
}

/// command · path of the invalid field · value · error message
#[test]
fn invalid_fields_are_refused_with_their_path() {
    require_sentence_model();
    for (command, path, value, expected_text) in [
        ("score-batch", "/source_duration_sec", json!("long"), "source_duration_sec: invalid type"),
        (
            "score-batch",
            "/source_duration_sec",
            json!(-1),
            "source_duration_sec: a duration must be at least 0",
        ),
        ("score-batch", "/predictions/0/arrivals", json!([[1]]), "predictions[0].arrivals[0]"),
        (
            "score-batch",
            "/predictions/0/transcript/words/2/start",
            json!(null),
            "transcript.words[2].start",
        ),
        ("score-batch", "/predictions/0/eos_frame", json!(-3), "predictions[0].eos_frame"),
        ("compute-weights", "/main/0/1", json!("all"), "main[0][1]"),
        ("compute-weights", "/arena/0/0", json!(70_000), "arena[0][0]"),
        ("compute-weights", "/burn_uid", json!(-1), "burn_uid"),
    ] {
        let mut input = batch(10.0, &replies(&[1.0]));
        if command == "compute-weights" {
            input = json!({ "main": [[1, 1.0]], "arena": [[2, 1.0]], "burn_uid": 248 });
        }
        *input.pointer_mut(path).unwrap() = value;
        let error = refusal(&run(command, &input), 1);
        assert!(error.contains(expected_text), "{path}: {error}");
    }
}

#[test]
fn files_that_are_not_json_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.json");
    std::fs::write(&cut, r#"{"main": [[1, "#).unwrap();
    let deep = folder.path().join("deep.json");
    std::fs::write(&deep, "[".repeat(1_000_000)).unwrap();
    for (file, expected_text) in [
        (cut.as_path(), "line 1 column 14"),
        (deep.as_path(), "recursion limit"),
        (Path::new("absent.json"), "No such file"),
    ] {
        for command in ["score-batch", "compute-weights"] {
            let error = refusal(&bb().arg(command).arg(file).output().unwrap(), 1);
            assert!(
                error.contains(file.to_str().unwrap()) && error.contains(expected_text),
                "{error}"
            );
        }
    }
}

/// main · arena · percent · burn uid · uids · weights
#[test]
fn weights_match_reference_table() {
    let no_predictions = json!([]);
    let burn = json!(248);
    let three = json!([[1, 0.9], [3, 0.2], [4, 0.5]]);
    for (main, arena, percent, burn_uid, uids, weights) in [
        (json!([[10, 3], [2, 1]]), &no_predictions, 0, &burn, json!([10, 2]), vec![0.75, 0.25]),
        (
            three.clone(),
            &json!([[2, 0.8]]),
            90,
            &burn,
            json!([1, 3, 4, 2]),
            vec![0.05625, 0.0125, 0.03125, 0.9],
        ),
        (
            three.clone(),
            &json!([[2, 0.8]]),
            40,
            &burn,
            json!([1, 3, 4, 2]),
            vec![0.3375, 0.075, 0.1875, 0.4],
        ),
        (three, &json!([[1, 0.8]]), 80, &burn, json!([1, 3, 4]), vec![0.9125, 0.025, 0.0625]),
        (
            json!([[1, 0.9], [3, 0.1]]),
            &no_predictions,
            90,
            &burn,
            json!([1, 3, 248]),
            vec![0.09, 0.01, 0.9],
        ),
        (json!([]), &json!([[5, 0.0]]), 90, &burn, json!([248, 5]), vec![0.1, 0.9]),
        (json!([]), &no_predictions, 90, &burn, json!([248]), vec![1.0]),
        (json!([]), &no_predictions, 0, &burn, json!([248]), vec![1.0]),
        (json!([[7, 1], [9, 3]]), &json!([[42, 0.3]]), 100, &burn, json!([42]), vec![1.0]),
        (json!([[1, 1]]), &no_predictions, 90, &Value::Null, json!([1]), vec![1.0]),
        // The arena gets the complete share, but has no miner, and there is no uid to burn for.
        (json!([[7, 1], [9, 3]]), &no_predictions, 100, &Value::Null, json!([]), vec![]),
        (json!([[7, 1], [9, 3]]), &no_predictions, 120, &Value::Null, json!([]), vec![]),
    ] {
        let input =
            json!({ "main": main, "arena": arena, "arena_percent": percent, "burn_uid": burn_uid });
        let report = document(&run("compute-weights", &input));
        assert_eq!(report["uids"], uids, "{input}");
        let report: Vec<f64> = serde_json::from_value(report["weights"].clone()).unwrap();
        assert_eq!(report.len(), weights.len());
        assert!(
            report.iter().zip(&weights).all(|(own, table)| (own - table).abs() < 1e-12),
            "{input}: {report:?}"
        );
    }
}

fn wav(folder: &TempDir, name: &str, seconds: u32) -> PathBuf {
    let samples = (0..seconds * 24_000).map(|index| 0.1 * (index as f32 / 20.0).sin()).collect();
    let bytes = Wav::encode(&Pcm::mono(samples, SampleRate::HZ_24K), SampleFormat::S16).unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn single_reply_score_has_all_fields() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    let reference = json!({ "reference_text": TEXT, "reference_wps": WORDS_PER_SECOND });
    let arrivals =
        json!({ "arrivals": [[30, 192_000]], "eos_frame": 50, "first_output_frame": 30 });
    let (source, predicted) = (wav(&folder, "source.wav", 4), wav(&folder, "predicted.wav", 2));
    let score = |source: &Path| {
        let mut command = bb();
        command
            .args(["score", "--json", "--source"])
            .arg(source)
            .arg("--predicted")
            .arg(&predicted);
        command.arg("--reference").arg(write(&folder, "reference.json", &reference));
        command.arg("--transcript").arg(write(&folder, "transcript.json", &transcript(TEXT)));
        command
    };
    let arrivals = write(&folder, "arrivals.json", &arrivals);
    let result = document(&score(&source).arg("--arrivals").arg(arrivals).output().unwrap());
    let fields: Vec<_> = result.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "score raw_score accuracy accuracy_pass speech_rate latency stt_text gt_text predicted_duration_sec \
        effective_completion_sec source_duration_sec score_is_fallback score_method scoring_metadata_source \
        duplicate_penalty";
    assert_eq!(fields, expected.split_whitespace().collect::<Vec<_>>());
    // Two seconds that arrive with frame 30 are heard after 30 / 12.5 + 2 seconds.
    assert_eq!(
        (&result["effective_completion_sec"], &result["score"]),
        (&json!(4.4), &json!(0.96))
    );
    assert_eq!(result["speech_rate"]["ratio"], 1.0);

    let output = score(&source).output().unwrap();
    assert_eq!(document(&output)["score"], 1.0);
    assert!(stderr(&output).contains("no arrivals"), "{}", stderr(&output));

    let text = write(&folder, "text.wav", &json!("no sound"));
    for (file, expected_text) in [
        (text.as_path(), "text.wav is not a readable WAV file"),
        (Path::new("absent.wav"), "cannot read"),
    ] {
        let error = refusal(&score(file).output().unwrap(), 1);
        assert!(error.contains(expected_text), "{error}");
    }
}

#[test]
fn text_dialogue_scores_match_the_python_program() {
    let file = std::fs::read_to_string(repository("vectors/text-scores/dialogue.json")).unwrap();
    let recorded: Value = serde_json::from_str(&file).unwrap();
    assert_ne!(recorded["scores"]["dialogue_summary"]["semantic_baseline_b"], 0.0);
    assert_eq!(document(&run("score-text", &recorded["document"])), recorded["scores"]);
}

#[test]
fn text_dialogues_are_scored_step_by_step() {
    let dialogue = json!({
        "events": [
            { "event": "predicted", "utterance_index": 0, "step": 0, "prediction": "the cat EOF" },
            { "event": "predicted", "utterance_index": 0, "step": 1, "prediction": "the ferry leaves" },
            { "event": "utterance_complete", "utterance_index": 0, "ground_truth": "the ferry leaves EOF" },
            { "event": "predicted", "utterance_index": 1, "step": 0, "prediction": "incomplete" },
        ],
        "vectors": { "the cat": [3, 4], "the ferry leaves": [10, 0] },
    });
    let expected = json!({
        "dialogue_uid": null,
        "utterances": [{
            "utterance_number": 0, "ground_truth": "the ferry leaves", "best_step": 0, "U_best": 0.6, "total_steps": 2,
            "steps": [
                {
                    "step": 0, "lexical_similarity": 0.0, "semantic_cosine_raw": 0.6, "semantic_similarity": 0.6,
                    "earliness": 1.0, "U_step": 0.6, "prediction": "the cat",
                },
                {
                    "step": 1, "lexical_similarity": 0.0, "semantic_cosine_raw": 1.0, "semantic_similarity": 1.0,
                    "earliness": 0.5, "U_step": 0.5, "prediction": "the ferry leaves",
                },
            ],
        }],
        "dialogue_summary": { "average_U_best_early": 0.6, "semantic_baseline_b": 0.0 },
    });
    assert_eq!(document(&run("score-text", &dialogue)), expected);
    assert_eq!(document(&run("score-text", &json!([dialogue]))), json!([expected]));
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "dialogue.json", &dialogue);
    let strict =
        document(&bb().args(["score-text", "--rules", "strict"]).arg(file).output().unwrap());
    assert_eq!(strict["utterances"][0]["steps"][0]["lexical_similarity"], 0.3125);
    for (path, value, expected_text) in [
        ("/lex_weight", json!(1.5), "[0].lex_weight: expected a weight from 0 to 1"),
        (
            "/events/1/step",
            json!(1e4 as u32),
            "[0].events[1].step: an utterance has at most 10000 steps",
        ),
        (
            "/events/1/utterance_index",
            json!("first"),
            "[0].events[1].utterance_index: invalid type",
        ),
        ("/vectors/the cat", json!([1]), "[0].vectors: the vector of"),
        ("/events/1/prediction", json!("a surprise"), "[0].vectors: no vector for \"a surprise\""),
    ] {
        let mut wrong = json!([dialogue]);
        wrong[0]["lex_weight"] = json!(0.0);
        *wrong[0].pointer_mut(path).unwrap() = value;
        let error = refusal(&run("score-text", &wrong), 1);
        assert!(error.contains(expected_text), "{path}: {error}");
    }
}
