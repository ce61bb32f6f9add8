//! Result files of the text contest, read with limits: other programs may write to the directory.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use taonet_babelbit_runner::file_name_part;
use taonet_dashboard::{open_file, printable};

/// Maximum number of runs of miners listed, the latest first.
const MAX_RUNS: usize = 512;
/// Maximum size of a result file in bytes.
const MAX_BYTES: u64 = 8 << 20;
/// Prefix of the file with a miner's scores in a challenge.
const RUN_PREFIX: &str = "challenge_run_";
/// Length of the time at the end of a file's name, such as `20261122_030405`.
const TIMESTAMP_LEN: usize = 15;

/// The runs of a directory.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Runs of miners, the latest challenge first, then by score.
    pub(super) runs: Vec<Arc<RunSummary>>,
    /// Number of malformed files.
    pub(super) unreadable: usize,
}

/// A miner's result in a challenge, as listed.
#[derive(Debug)]
pub(super) struct RunSummary {
    /// Name of the file without `.json`.
    pub(super) name: String,
    pub(super) challenge: String,
    pub(super) contest: String,
    pub(super) miner_uid: u16,
    pub(super) miner_hotkey: String,
    pub(super) dialogues: usize,
    pub(super) mean: Option<f64>,
}

/// The listed runs of a directory. A file is read again only after it changed.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<String, Entry>,
    /// Number of files read so far.
    #[cfg(test)]
    pub(super) reads: usize,
}

/// A file of the index.
#[derive(Debug)]
struct Entry {
    version: FileVersion,
    content: Content,
}

/// Size of a file and the time of its last change.
type FileVersion = (u64, Option<SystemTime>);

#[derive(Debug)]
enum Content {
    Text(Arc<RunSummary>),
    /// A file of the speech contest.
    Speech,
    Unreadable,
}

/// The scores of a miner in a challenge, with those of its dialogues.
#[derive(Debug)]
pub(super) struct Run {
    /// Name of the file without `.json`.
    pub(super) name: String,
    pub(super) document: RunDocument,
}

#[derive(Debug, Deserialize)]
pub(super) struct RunDocument {
    pub(super) challenge_uid: Option<String>,
    /// `main`, `solo` or `arena`; absent in files of the reference's first generation.
    #[serde(default)]
    pub(super) challenge_type: Option<String>,
    pub(super) miner_uid: u16,
    pub(super) miner_hotkey: String,
    /// Scores by dialogue; absent in files of the speech contest.
    #[serde(default)]
    pub(super) dialogues: Option<Vec<Dialogue>>,
    #[serde(default, rename = "challenge_mean_U")]
    pub(super) mean: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dialogue {
    pub(super) dialogue_uid: String,
    #[serde(rename = "dialogue_average_u_best_early")]
    pub(super) score: f64,
}

/// The scores of a miner in a dialogue.
#[derive(Debug, Deserialize)]
pub(super) struct DialogueDocument {
    pub(super) utterances: Vec<Utterance>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Utterance {
    #[serde(rename = "utterance_number")]
    pub(super) number: i64,
    pub(super) ground_truth: String,
    pub(super) steps: Vec<Step>,
    pub(super) best_step: usize,
    #[serde(rename = "U_best")]
    pub(super) best: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Step {
    #[serde(rename = "step")]
    pub(super) index: usize,
    pub(super) lexical_similarity: f64,
    pub(super) semantic_similarity: f64,
    pub(super) earliness: f64,
    #[serde(rename = "U_step")]
    pub(super) score: f64,
    pub(super) prediction: String,
}

impl RunSummary {
    /// Returns the time of the run in its name.
    pub(super) fn time(&self) -> &str {
        run_time(&self.name)
    }

    fn of(run: Run) -> Option<Self> {
        let dialogues = run.document.dialogues.as_ref()?.len();
        Some(Self {
            challenge: run.challenge(),
            contest: run.contest(),
            miner_uid: run.document.miner_uid,
            miner_hotkey: printable(&run.document.miner_hotkey),
            dialogues,
            mean: run.document.mean,
            name: run.name,
        })
    }
}

impl Run {
    /// Returns the challenge's ID for display.
    pub(super) fn challenge(&self) -> String {
        printable(self.document.challenge_uid.as_deref().unwrap_or("unknown"))
    }

    /// Returns the contest for display.
    pub(super) fn contest(&self) -> String {
        printable(self.document.challenge_type.as_deref().unwrap_or("main"))
    }

    /// Returns the name of the file with the scores of a dialogue; `None` if the run's name is not
    /// one that the runner writes.
    fn dialogue_file(&self, dialogue_uid: &str) -> Option<String> {
        let (head, time) = self.name.strip_prefix(RUN_PREFIX)?.rsplit_once("_run_")?;
        Some(format!(
            "dialogue_run_{head}_dlg_{}_run_{time}-score.json",
            file_name_part(dialogue_uid)
        ))
    }

    /// Reads the scores of a dialogue.
    ///
    /// # Errors
    /// When the file is missing, too large or malformed.
    pub(super) fn dialogue(
        &self,
        scores: &Path,
        dialogue_uid: &str,
    ) -> io::Result<DialogueDocument> {
        let file = self.dialogue_file(dialogue_uid);
        read_json(&scores.join(
            file.ok_or_else(|| {
                io::Error::other("the file name is not one that the runner writes")
            })?,
        ))
    }
}

fn run_time(name: &str) -> &str {
    name.get(name.len().saturating_sub(TIMESTAMP_LEN)..).unwrap_or_default()
}

impl Index {
    /// Lists the latest runs of a directory. Blocks the thread.
    ///
    /// # Errors
    /// When the directory is not readable.
    pub(super) fn list(&mut self, scores: &Path) -> io::Result<Runs> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(scores)? {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".json"));
            files.extend(name.filter(|name| name.starts_with(RUN_PREFIX)).map(str::to_owned));
        }
        files.sort_unstable_by(|a, b| run_time(b).cmp(run_time(a)).then_with(|| a.cmp(b)));
        files.truncate(MAX_RUNS);
        let mut old_entries = std::mem::take(&mut self.entries);
        let mut runs = Runs::default();
        for name in files {
            let metadata = std::fs::metadata(scores.join(format!("{name}.json"))).ok();
            let version = metadata
                .map(|metadata| (metadata.len(), metadata.modified().ok()))
                .unwrap_or_default();
            let unchanged =
                old_entries.remove(&name).filter(|unchanged| unchanged.version == version);
            let entry = unchanged.unwrap_or_else(|| {
                #[cfg(test)]
                {
                    self.reads += 1;
                }
                Entry { version, content: Content::read(scores, &name) }
            });
            match &entry.content {
                Content::Text(run) => runs.runs.push(Arc::clone(run)),
                Content::Speech => {}
                Content::Unreadable => runs.unreadable += 1,
            }
            self.entries.insert(name, entry);
        }
        let mean = |run: &RunSummary| run.mean.unwrap_or(f64::NEG_INFINITY);
        runs.runs.sort_by(|a, b| b.time().cmp(a.time()).then_with(|| mean(b).total_cmp(&mean(a))));
        Ok(runs)
    }
}

impl Content {
    fn read(scores: &Path, name: &str) -> Self {
        match read_run(scores, name) {
            Ok(run) => {
                RunSummary::of(run).map_or(Self::Speech, |summary| Self::Text(Arc::new(summary)))
            }
            Err(_) => Self::Unreadable,
        }
    }
}

/// Reads a run by its name in a URL. Blocks the thread.
///
/// # Errors
/// When the name is not that of a run, or the file is missing, too large or malformed.
pub(super) fn read_run(scores: &Path, name: &str) -> io::Result<Run> {
    let is_safe =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !is_safe || !name.starts_with(RUN_PREFIX) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Run { name: name.to_owned(), document: read_json(&scores.join(format!("{name}.json")))? })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut bytes = Vec::new();
    open_file(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("larger than {MAX_BYTES} bytes"),
        ));
    }
    serde_json::from_slice(&bytes).map_err(io::Error::from)
}
