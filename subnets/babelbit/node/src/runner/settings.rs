use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_babelbit_core::Rules;
use taonet_babelbit_core::protocol::{SAMPLE_BYTES, SAMPLE_RATE_HZ};
use taonet_babelbit_core::records::ChallengeType;

/// Where a run keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPaths {
    /// Run logs and audio: `{logs}/s2s/{challenge_uid}/{type}/miner_{uid}__hk_{hotkey}/`.
    pub logs: PathBuf,
    /// Challenge runs and challenge scores.
    pub scores: PathBuf,
    /// One status file per processed challenge.
    pub status: PathBuf,
    /// The ledger, `runner.sqlite`. One runner at a time works on a state directory.
    pub state: PathBuf,
}

impl RunPaths {
    /// Everything below one directory.
    pub fn below(directory: &Path) -> Self {
        Self {
            logs: directory.join("logs"),
            scores: directory.join("scores"),
            status: directory.join("challenge_status"),
            state: directory.join("state"),
        }
    }
}

/// How a run goes about its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Which contest is played.
    pub challenge_type: ChallengeType,
    /// Where the files go.
    pub paths: RunPaths,
    /// Where reference documents are looked up when the engine gives none.
    pub metadata_root: Option<PathBuf>,
    /// How each utterance is played.
    pub play: PlaySettings,
    /// Whose rules count for the mean over a challenge.
    pub rules: Rules,
    /// An unfinished challenge older than this is not taken up again.
    pub resume_within: Duration,
    /// Whether result files are put into the ledger's outbox, from which an [`Outbox`](crate::submission::Outbox)
    /// submits them.
    pub submit: bool,
}

impl RunnerSettings {
    /// Settings with every default, for the contest `main`.
    pub fn new(paths: RunPaths) -> Self {
        Self {
            challenge_type: ChallengeType::Main,
            paths,
            metadata_root: None,
            play: PlaySettings::default(),
            rules: Rules::Reference,
            resume_within: Duration::from_hours(24),
            submit: false,
        }
    }
}

/// Deadlines and limits for one utterance with one miner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaySettings {
    /// How many utterances, from the first, have the long deadline for opening a session: a miner may load its models.
    pub startup_utterances: u32,
    /// Deadline for opening a session while starting up.
    pub init_timeout: Duration,
    /// Deadline for opening a session later, and for any single request.
    pub miner_timeout: Duration,
    /// Deadline for the answer to a frame.
    pub chunk_timeout: Duration,
    /// Deadline for the answer to the last frame, and for the whole rest of the reply after it was sent.
    pub drain_timeout: Duration,
    /// The rest of the reply has at least this long, counted from the answer to the last frame.
    pub final_drain_min: Duration,
    /// How often the rest of the reply is asked for.
    pub drain_max_requests: u32,
    /// Longest reply to one utterance, as time of sound.
    pub max_reply: Duration,
    /// Longest source of one utterance, as time of sound, summed over its channels: at 24 kHz and in base64 a minute
    /// takes 8 MB.
    pub max_source: Duration,
}

impl Default for PlaySettings {
    fn default() -> Self {
        Self {
            startup_utterances: 1,
            init_timeout: Duration::from_mins(10),
            miner_timeout: Duration::from_secs(10),
            chunk_timeout: Duration::from_secs(3),
            drain_timeout: Duration::from_secs(10),
            final_drain_min: Duration::from_secs(5),
            drain_max_requests: 8,
            max_reply: Duration::from_mins(2),
            max_source: Duration::from_mins(10),
        }
    }
}

impl PlaySettings {
    /// The longest reply to one utterance, in bytes of samples.
    pub fn max_reply_bytes(&self, channels: u16) -> usize {
        let per_second = SAMPLE_RATE_HZ as usize * SAMPLE_BYTES * usize::from(channels);
        (self.max_reply.as_secs_f64() * per_second as f64) as usize
    }

    /// The largest answer to one request, in bytes of JSON: a whole reply in base64, and something around it.
    pub fn max_answer_bytes(&self, channels: u16) -> usize {
        answer_bytes(self.max_reply_bytes(channels))
    }

    pub(super) fn init_deadline(&self, utterance_index: u32) -> Duration {
        if utterance_index < self.startup_utterances { self.init_timeout } else { self.miner_timeout }
    }
}

/// The largest answer with `sound` bytes of samples: base64, and something around it.
pub(super) const fn answer_bytes(sound: usize) -> usize {
    sound.div_ceil(3) * 4 + 64 * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_utterance_may_take_long_to_open() {
        let settings = PlaySettings::default();
        assert_eq!(settings.init_deadline(0), Duration::from_mins(10));
        assert_eq!(settings.init_deadline(1), Duration::from_secs(10));
        let patient = PlaySettings { startup_utterances: 3, ..settings };
        assert_eq!(patient.init_deadline(2), Duration::from_mins(10));
        assert_eq!(patient.init_deadline(3), Duration::from_secs(10));
    }

    #[test]
    fn a_reply_is_limited_by_its_sound() {
        let settings = PlaySettings { max_reply: Duration::from_millis(1500), ..PlaySettings::default() };
        assert_eq!(settings.max_reply_bytes(2), 288_000);
    }
}
