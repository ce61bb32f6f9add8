//! Text miners with a language model.

use std::path::Path;

use serde_json::{Value, json};

use super::{run_challenge, small_talk, text_engine};
use crate::axon;
use crate::support::{
    Daemon, assert_metrics_described, local_bb, refusal, repository, require_sentence_model,
};

/// Model and variables of a language model.
const LANGUAGE_MODELS: [(&str, &[(&str, &str)]); 3] = [
    ("gpt2", &[]),
    ("llama", &[("MINER_LOAD_IN_8BIT", "1")]),
    ("gpt2-q4_0.gguf", &[("MINER_DEVICE", "cpu"), ("MINER_LOAD_IN_8BIT", "1")]),
];

#[test]
fn language_model_predicts_and_reuses_cached_tokens() {
    require_sentence_model();
    let folder = tempfile::tempdir().unwrap();
    let engine = text_engine(&small_talk(folder.path()));
    for (model, variables) in LANGUAGE_MODELS {
        let mut miner = local_bb();
        miner
            .args(["miner", "--contest", "text", "--key-uri", "//Bob"])
            .envs(variables.iter().copied());
        miner.env("MINER_MODEL_ID", repository("vectors/lm").join(model));
        let miner = Daemon::start(&mut miner);
        let address = miner.url().trim_start_matches("http://");
        let count = |kind: &str| {
            let metrics = axon::get(address, "/metrics");
            assert_metrics_described(&metrics, "text miner");
            let name = format!("taonet_text_miner_lm_tokens_total{{kind=\"{kind}\"}} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse::<f64>().unwrap()
        };
        // The warm-up counts too.
        let (read, reused) = (count("read"), count("reused"));
        let model_path = folder.path().join(model);
        std::fs::create_dir(&model_path).unwrap();
        let report = run_challenge(&engine, &miner, &model_path);
        assert_eq!(
            (&report["outcome"], &report["utterances"]),
            (&json!("finished"), &json!(3)),
            "{report}"
        );
        assert_eq!(report["miners"][0]["errors"], json!(0), "{report}");
        let health: Value = serde_json::from_str(&axon::get(address, "/healthz")).unwrap();
        assert_eq!(health["model"], model, "{health}");
        // Most tokens of a prompt are cached from the prompt of the previous word.
        let (read, reused) = (count("read") - read, count("reused") - reused);
        assert!(reused > read && read > 0.0, "{reused} reused, {read} read");
        let log = miner.log();
        assert_eq!(
            log.contains("the file is already quantised"),
            Path::new(model).extension().is_some_and(|extension| extension == "gguf"),
            "{log}"
        );
    }
}

/// Columns: variables · status · part of the error
#[test]
fn invalid_language_model_variables_are_explained() {
    let table = [
        (&[("MINER_DEVICE", "gpu")][..], 2, "MINER_DEVICE=gpu: expected cpu, cuda or mps"),
        (&[("MINER_DEVICE", "cuda")], 1, "device cuda is not available"),
        (&[("MINER_LOAD_IN_4BIT", "maybe")], 2, "MINER_LOAD_IN_4BIT=maybe: expected 1 or 0"),
        (&[("MINER_LOAD_IN_8BIT", "1"), ("MINER_LOAD_IN_4BIT", "1")], 2, "hint: unset one of them"),
    ];
    for (variables, status, text) in table {
        let mut miner = local_bb();
        miner
            .args(["miner", "--contest", "text", "--key-uri", "//Bob"])
            .envs(variables.iter().copied());
        let error = refusal(
            &miner.env("MINER_MODEL_ID", repository("vectors/lm/gpt2")).output().unwrap(),
            status,
        );
        assert!(error.contains(text), "{variables:?}: {error}");
    }
}
