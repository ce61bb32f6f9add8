use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use taonet_babelbit_core::records::ChallengeStatus;
use taonet_primitives::bytes_without_bom;
use taonet_service::read_bounded;

use super::compare::differences;
use super::recompute::reference_texts;
use super::{ChallengeRecord, Engines, Mismatch, MismatchLocation};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::MinerResult;
use taonet_babelbit_runner::files::{Layout, predicted_name, source_name};
use taonet_babelbit_runner::{ChallengeState, ResultRow};

/// Maximum size of a result file in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Keys with file paths, which are not part of the content.
const PATH_FIELDS: [&str; 2] = ["log_file", "run_file"];
/// Key of the speech translation metrics, which files of earlier versions lack.
const METRICS: &str = "metrics";

/// Compares sources, result files and bundles with their expected content. `rows` contain the
/// recomputed scores.
pub(super) fn compare(
    record: &ChallengeRecord,
    layout: &Layout,
    rows: &[ResultRow],
    engines: &Engines,
) -> Vec<Mismatch> {
    let last = rows.iter().filter_map(|row| record.conditions_of(row)).next_back();
    let options = last.map_or(&engines.options, |conditions| &conditions.options);
    let texts = reference_texts(record, &options.target_language);
    let mut mismatches = compare_sources(record, layout);
    let mut scores = Vec::new();
    for miner in record.miners() {
        let rows: Vec<ResultRow> = rows.iter().filter(|row| row.miner == miner).cloned().collect();
        let result = MinerResult {
            challenge: &record.challenge,
            miner,
            rows: &rows,
            reference_texts: &texts,
            rules: options.rules,
        };
        scores.push(result.score());
        if has_files(record, layout, miner) {
            mismatches.extend(compare_documents(record, layout, &result));
            mismatches.extend(compare_bundle(record, layout, miner, &rows));
        }
    }
    if record.challenge.state == ChallengeState::Finished {
        mismatches.extend(compare_status(record, layout, &scores));
    }
    mismatches
}

fn compare_sources(record: &ChallengeRecord, layout: &Layout) -> Vec<Mismatch> {
    let mismatches = record.challenge.utterances.iter().filter_map(|utterance| {
        let source = utterance.source.as_ref().ok()?;
        let digest = hash_of(&layout.shared_source(utterance.index));
        let digest = match digest {
            Ok(hash) if hash == source.wav_sha256 => return None,
            Ok(hash) => json!(hash),
            Err(error) => json!(error.to_string()),
        };
        let mismatch = Mismatch::new(
            MismatchLocation::Source,
            "audio.sha256",
            json!(source.wav_sha256),
            digest,
        );
        Some(mismatch.with_utterance(record, utterance.index))
    });
    mismatches.collect()
}

/// Whether all files of the miner are written: the miner is finished, or the challenge is partial
/// and the miner's challenge score exists.
fn has_files(record: &ChallengeRecord, layout: &Layout, miner: MinerKey) -> bool {
    let is_partial = record.challenge.state == ChallengeState::Partial;
    record.finished.contains(&miner) || (is_partial && layout.challenge_score(miner).exists())
}

/// Compares the miner's three JSON files.
fn compare_documents(
    record: &ChallengeRecord,
    layout: &Layout,
    result: &MinerResult<'_>,
) -> Vec<Mismatch> {
    let locations = [
        MismatchLocation::RunLog,
        MismatchLocation::ChallengeRun,
        MismatchLocation::ChallengeScore,
    ];
    // Serialising numbers and strings cannot fail.
    let Ok(documents) = result.documents(layout) else { return Vec::new() };
    let mut mismatches = Vec::new();
    for (location, document) in locations.into_iter().zip(documents) {
        let content = match read_json(&document.path) {
            Ok(content) => content,
            Err(error) => {
                let mismatch =
                    Mismatch::new(location, "file", json!(error.to_string()), json!("a JSON file"));
                mismatches.push(mismatch.with_miner(result.miner));
                continue;
            }
        };
        let mut skipped = PATH_FIELDS.to_vec();
        if content.get(METRICS).is_none() {
            skipped.push(METRICS);
        }
        for difference in differences(&content, &document.content, &skipped) {
            let (index, field) = split_utterance_path(&difference.path, result.rows);
            let mismatch = Mismatch::new(location, field, difference.recorded, difference.actual)
                .with_miner(result.miner);
            mismatches.push(match index {
                Some(index) => mismatch.with_utterance(record, index),
                None => mismatch,
            });
        }
    }
    mismatches
}

/// Splits a path such as `utterances.2.score` into the utterance and its field.
fn split_utterance_path<'a>(path: &'a str, rows: &[ResultRow]) -> (Option<u32>, &'a str) {
    let utterance_field = path.strip_prefix("utterances.").and_then(|rest| rest.split_once('.'));
    let row = utterance_field
        .and_then(|(position, field)| Some((rows.get(position.parse::<usize>().ok()?)?, field)));
    row.map_or((None, path), |(row, field)| (Some(row.utterance_index), field))
}

/// Compares the members of the miner's `audio.tar`.
fn compare_bundle(
    record: &ChallengeRecord,
    layout: &Layout,
    miner: MinerKey,
    rows: &[ResultRow],
) -> Vec<Mismatch> {
    let mut expected = BTreeMap::new();
    for row in rows {
        let index = row.utterance_index;
        if let Ok(hash) = &row.outcome {
            expected.insert(predicted_name(index), (index, hash.clone()));
        }
        let utterance =
            record.challenge.utterances.iter().find(|utterance| utterance.index == index);
        if let Some(Ok(source)) = utterance.map(|utterance| &utterance.source) {
            expected.insert(source_name(index), (index, source.wav_sha256.clone()));
        }
    }
    let members = match member_hashes(&layout.bundle(miner)) {
        Ok(members) => members,
        Err(error) => {
            let mismatch = Mismatch::new(
                MismatchLocation::Bundle,
                "file",
                json!(error.to_string()),
                json!("a tar file"),
            );
            return vec![mismatch.with_miner(miner)];
        }
    };
    let unexpected = members.keys().filter(|name| !expected.contains_key(*name)).map(|name| {
        let actual_hash = members.get(name).cloned();
        Mismatch::new(MismatchLocation::Bundle, name.clone(), json!(actual_hash), Value::Null)
            .with_miner(miner)
    });
    let changed = expected.iter().filter_map(|(name, (index, hash))| {
        let actual_hash = members.get(name);
        (actual_hash != Some(hash)).then(|| {
            let mismatch = Mismatch::new(
                MismatchLocation::Bundle,
                format!("{name} sha256"),
                json!(actual_hash),
                json!(hash),
            );
            mismatch.with_miner(miner).with_utterance(record, *index)
        })
    });
    unexpected.chain(changed).collect()
}

/// Computes the SHA-256 of each member of a tar file, by name.
fn member_hashes(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut archive = tar::Archive::new(File::open(path)?);
    let mut members = BTreeMap::new();
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut hash = Sha256::new();
        io::copy(&mut entry, &mut hash)?;
        members.insert(name, hex::encode(hash.finalize()));
    }
    Ok(members)
}

fn compare_status(record: &ChallengeRecord, layout: &Layout, scores: &[f64]) -> Vec<Mismatch> {
    let read = || -> io::Result<ChallengeStatus> {
        Ok(serde_json::from_value(read_json(&layout.status())?)?)
    };
    let status = match read() {
        Ok(status) => status,
        Err(error) => {
            return vec![Mismatch::new(
                MismatchLocation::Status,
                "file",
                json!(error.to_string()),
                json!("a JSON file"),
            )];
        }
    };
    let mean = (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
    let status_document = |uid: &str, miners: usize, utterances: usize, mean: Option<f64>| json!({ "challenge_uid": uid, "miner_count": miners, "total_dialogues": utterances, "mean_score": mean });
    let ChallengeStatus { challenge_uid, miner_count, total_dialogues, mean_score, .. } = &status;
    let stored = status_document(challenge_uid, *miner_count, *total_dialogues, *mean_score);
    let challenge = &record.challenge;
    let expected =
        status_document(&challenge.challenge_uid, scores.len(), challenge.utterances.len(), mean);
    differences(&stored, &expected, &[])
        .into_iter()
        .map(|difference| {
            Mismatch::new(
                MismatchLocation::Status,
                difference.path,
                difference.recorded,
                difference.actual,
            )
        })
        .collect()
}

fn read_json(path: &Path) -> io::Result<Value> {
    let text = read_bounded(path, MAX_FILE_BYTES)?;
    Ok(serde_json::from_slice(bytes_without_bom(&text))?)
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}
