use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::protocol::PROTOCOL;
use taonet_babelbit_core::records::{
    ChallengeStatus, ChallengeType, METHOD_NOT_SCORED, RunLog, RunLogUtterance,
};
use taonet_babelbit_core::scoring::{challenge_mean, common_method};

use super::files::{Layout, link, predicted_name, replace, source_name, write_json};
use super::ledger::{ChallengeRow, ResultRow, WrittenFiles};
use super::source::sha256;
use taonet_babelbit_core::records::MinerKey;

pub(crate) mod measured;
mod scores;
mod utterance;

/// Inputs of one miner's result files.
pub struct MinerResult<'a> {
    /// Challenge of the result, with its utterances.
    pub challenge: &'a ChallengeRow,
    /// Uid and hotkey of the miner.
    pub miner: MinerKey,
    /// Result rows, sorted by utterance; at least one row.
    pub rows: &'a [ResultRow],
    /// Expected translation of each utterance.
    pub reference_texts: &'a BTreeMap<u32, String>,
    /// Scoring rules.
    pub rules: Rules,
}

impl MinerResult<'_> {
    /// Returns the miner's unrounded score in the challenge.
    pub fn score(&self) -> f64 {
        let scores: Vec<_> = self.rows.iter().map(ResultRow::score_or_zero).collect();
        challenge_mean(&scores, self.challenge.utterances.len(), self.rules)
    }

    /// Writes the miner's run log, audio bundle, challenge run and challenge score, in this order.
    ///
    /// The last file marks the miner as scored for other programs that scan the scores directory.
    pub(super) fn write(&self, layout: &Layout) -> io::Result<()> {
        let directory = layout.miner(self.miner);
        for row in self.rows {
            if self.source_of(row).is_some() {
                let name = source_name(row.utterance_index);
                link(&layout.shared_source(row.utterance_index), &directory.join(name))?;
            }
        }
        let [log, run, score] = self.documents(layout)?;
        write_json(&log.path, &log.content)?;
        replace(&layout.bundle(self.miner), |file| self.write_bundle(&directory, file))?;
        write_json(&run.path, &run.content)?;
        write_json(&score.path, &score.content)
    }

    /// Returns the metadata of the files written by [`Self::write`].
    pub(super) fn written_files(&self, layout: &Layout) -> io::Result<WrittenFiles> {
        let log = std::fs::read(layout.run_log(self.miner))?;
        let run_sha256 = sha256(&log);
        let method = serde_json::from_slice::<RunLog>(&log)?.score_method;
        Ok(WrittenFiles { run_sha256, score_method: method })
    }

    /// Builds the miner's run log, challenge run and challenge score.
    ///
    /// # Errors
    /// [`io::Error`] when a value cannot be serialised.
    pub fn documents(&self, layout: &Layout) -> io::Result<[Document; 3]> {
        let log = self.run_log();
        let summary = scores::summarize(&log);
        let (log_path, run_path) = (layout.run_log(self.miner), layout.challenge_run(self.miner));
        let run = serde_json::to_value(scores::challenge_run(&log, summary, &log_path))?;
        let score = serde_json::to_value(scores::challenge_score(
            &log,
            summary,
            &run_path,
            &self.measured_replies(),
        ))?;
        Ok([
            Document { path: log_path, content: serde_json::to_value(&log)? },
            Document { path: run_path, content: run },
            Document { path: layout.challenge_score(self.miner), content: score },
        ])
    }

    fn run_log(&self) -> RunLog {
        let utterances: Vec<RunLogUtterance> =
            self.rows.iter().filter_map(|row| self.utterance_record(row)).collect();
        let method =
            common_method(utterances.iter().map(|utterance| utterance.score_method.as_str()));
        RunLog {
            challenge_uid: self.challenge.challenge_uid.clone(),
            challenge_type: self.challenge.challenge_type,
            miner_uid: self.miner.uid,
            miner_hotkey: self.miner.hotkey,
            protocol: PROTOCOL.to_owned(),
            score_is_fallback: false,
            score_method: method.unwrap_or(METHOD_NOT_SCORED).to_owned(),
            completed: self.challenge.error.is_none()
                && utterances.len() == self.challenge.utterances.len()
                && utterances.iter().all(|utterance| utterance.completed),
            score: self.score(),
            utterances,
            error: self.challenge.error.clone(),
        }
    }

    /// Writes an uncompressed tar of the result's audio files: replies first, then sources.
    fn write_bundle(&self, directory: &Path, file: &mut File) -> io::Result<()> {
        let mut tar = tar::Builder::new(file);
        let predicted = self
            .rows
            .iter()
            .filter(|row| row.outcome.is_ok())
            .map(|row| predicted_name(row.utterance_index));
        let sources = self
            .rows
            .iter()
            .filter(|row| self.source_of(row).is_some())
            .map(|row| source_name(row.utterance_index));
        for name in predicted.chain(sources) {
            let bytes = std::fs::read(directory.join(&name))?;
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            // A fixed modification time makes the archives of identical results byte-identical.
            header.set_mtime(0);
            tar.append_data(&mut header, name, bytes.as_slice())?;
        }
        tar.finish()
    }
}

/// A JSON document and the path of its file.
pub struct Document {
    pub path: PathBuf,
    pub content: Value,
}

/// Writes the status file of a processed challenge. `scores` has one entry per miner with files.
pub(super) fn write_status(
    layout: &Layout,
    challenge: &ChallengeRow,
    scores: &[f64],
    processed_at: jiff::Timestamp,
) -> io::Result<()> {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    let mut metadata = serde_json::Map::new();
    metadata.insert("scores_dir".to_owned(), json!(layout.paths().scores.to_string_lossy()));
    metadata.insert("logs_dir".to_owned(), json!(layout.paths().logs.to_string_lossy()));
    match challenge.challenge_type {
        ChallengeType::Main => {}
        ChallengeType::Solo => {
            metadata.insert("paired_challenge_uid".to_owned(), json!(challenge.main_challenge_uid));
        }
        ChallengeType::Arena => {
            metadata.insert("route_source".to_owned(), json!("list_arena_miners"));
        }
    }
    let status = ChallengeStatus {
        challenge_uid: challenge.challenge_uid.clone(),
        challenge_type: challenge.challenge_type,
        processed_at: processed_at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
        miner_count: scores.len(),
        total_dialogues: challenge.utterances.len(),
        mean_score: (!scores.is_empty()).then_some(mean),
        metadata,
    };
    write_json(&layout.status(), &status)
}
