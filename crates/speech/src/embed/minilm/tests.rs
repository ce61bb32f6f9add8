use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;

use super::*;
use crate::models::ModelStore;

/// Model shared by the tests, because loading is slow.
static MODEL: LazyLock<MiniLm> = LazyLock::new(|| {
    let store = ModelStore::new(std::env::var_os("BB_MODELS_DIR").map(PathBuf::from));
    let dir = store
        .locate(&ALL_MINILM_L6_V2)
        .unwrap_or_else(|error| panic!("run scripts/models first: {error}"));
    MiniLm::load(&dir).unwrap()
});

#[derive(Deserialize)]
struct Vectors {
    texts: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    text: String,
    vector: Vec<f32>,
}

fn vectors() -> Vec<Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/embeddings/minilm.json");
    serde_json::from_slice::<Vectors>(&std::fs::read(path).unwrap()).unwrap().texts
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn vectors_match_sentence_transformers() {
    let entries = vectors();
    let texts: Vec<&str> = entries.iter().map(|entry| entry.text.as_str()).collect();
    for (entry, ours) in entries.iter().zip(MODEL.embed(&texts).unwrap()) {
        assert_eq!(ours.0.len(), 384);
        let text: String = entry.text.chars().take(40).collect();
        assert!(
            cosine(&ours.0, &entry.vector) >= 0.99999,
            "{text:?}: {}",
            cosine(&ours.0, &entry.vector)
        );
        assert!(largest_difference(&ours.0, &entry.vector) < 1e-5, "{text:?}");
        let squared_norm: f64 = ours.0.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((squared_norm - 1.0).abs() < 1e-6, "{text:?}: {squared_norm}");
    }
}

#[test]
fn similar_meaning_is_close_and_case_is_ignored() {
    let [plain, meaning, case, other] = MODEL
        .embed(&[
            "We should leave now.",
            "We ought to go now.",
            "WE SHOULD LEAVE NOW.",
            "Sugar dissolves in tea.",
        ])
        .unwrap()
        .try_into()
        .unwrap();
    // The cosines computed by sentence-transformers.
    for (vector, expected) in [(meaning, 0.733_829_6), (case, 1.0), (other, 0.005_079_43)] {
        assert!(
            (plain.dot(&vector) - expected).abs() < 1e-5,
            "{} instead of {expected}",
            plain.dot(&vector)
        );
    }
}

#[test]
fn batched_vectors_equal_single_ones() {
    let entries = vectors();
    let texts: Vec<&str> =
        entries.iter().map(|entry| entry.text.as_str()).cycle().take(70).collect();
    for (text, together) in texts.iter().zip(MODEL.embed(&texts).unwrap()) {
        let separate = MODEL.embed(&[text]).unwrap();
        assert!(largest_difference(&separate[0].0, &together.0) < 1e-6, "{text:?}");
    }
}

#[test]
fn text_is_truncated_to_256_tokens() {
    let long = "word ".repeat(400);
    assert_eq!(MODEL.tokens(&long).unwrap().len(), 256);
    assert_eq!(MODEL.tokens("one two").unwrap(), [101, 2028, 2048, 102]);
    assert_eq!(MODEL.tokens("").unwrap(), [101, 102]);
}

#[test]
fn empty_input_has_no_vectors() {
    assert!(MODEL.embed(&[]).unwrap().is_empty());
}

#[test]
fn model_has_its_name_and_a_fingerprint_of_64_digits() {
    assert_eq!(MODEL.name(), "all-MiniLM-L6-v2");
    assert_eq!(MODEL.fingerprint().len(), 64);
}

#[test]
fn directory_without_the_model_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(MiniLm::load(dir.path()), Err(EmbedError::Model(_))));
}

#[test]
fn batches_are_bounded_and_keep_every_text() {
    for lengths in
        [vec![], vec![5], vec![2, 3, 3, 8], (1..200).collect::<Vec<usize>>(), vec![256; 64]]
    {
        let tokens: Vec<(usize, Vec<u32>)> =
            lengths.iter().map(|&n| vec![0; n]).enumerate().collect();
        let batches = batches(&tokens);
        assert_eq!(batches.concat(), tokens);
        let longest = lengths.last().copied().unwrap_or_default();
        for batch in batches {
            let size: usize = batch.iter().map(|(_, ids)| ids.len()).sum();
            assert!((1..=MAX_BATCH_TOKENS + longest).contains(&size), "{size}");
        }
    }
}
