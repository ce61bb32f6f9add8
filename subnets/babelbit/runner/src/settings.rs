use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_babelbit_core::Rules;
use taonet_babelbit_core::protocol::{SAMPLE_BYTES, SAMPLE_RATE_HZ};
use taonet_babelbit_core::records::ChallengeType;

/// Directories of a run's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPaths {
    /// Directory of run logs and audio:
    /// `{logs}/s2s/{challenge_uid}/{type}/miner_{uid}__hk_{hotkey}/`.
    pub logs: PathBuf,
    /// Directory of challenge runs and challenge scores.
    pub scores: PathBuf,
    /// Directory of status files, one per processed challenge.
    pub status: PathBuf,
    /// Directory of the ledger, `runner.sqlite`. Only one runner at a time can use it.
    pub state: PathBuf,
}

impl RunPaths {
    /// Places all directories below `directory`.
    pub fn in_directory(directory: &Path) -> Self {
        Self {
            logs: directory.join("logs"),
            scores: directory.join("scores"),
            status: directory.join("challenge_status"),
            state: directory.join("state"),
        }
    }
}

/// Settings of a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Contest of the challenges to play.
    pub challenge_type: ChallengeType,
    /// ID of the main challenge that a solo challenge accompanies.
    pub main_challenge_uid: Option<String>,
    /// Directories of the run's files.
    pub paths: RunPaths,
    /// Fallback directory of reference documents, for challenges without references from the
    /// engine.
    pub metadata_root: Option<PathBuf>,
    /// Maximum number of miners in a run. If there are more, miners with replies in the challenge
    /// are selected first, then, in a solo challenge, those with replies in its main challenge.
    pub max_miners: usize,
    /// Play settings of each utterance.
    pub play: PlaySettings,
    /// Scoring rules for the mean over a challenge.
    pub rules: Rules,
    /// Maximum age at which the runner resumes an unfinished challenge that is no longer current.
    pub resume_within: Duration,
    /// Whether the runner queues result files in the ledger's outbox, from which an
    /// [`Outbox`](crate::submission::Outbox) submits them.
    pub submit: bool,
}

impl RunnerSettings {
    /// Returns the default settings for the contest `main`.
    pub fn new(paths: RunPaths) -> Self {
        Self {
            challenge_type: ChallengeType::Main,
            main_challenge_uid: None,
            paths,
            metadata_root: None,
            max_miners: usize::MAX,
            play: PlaySettings::default(),
            rules: Rules::Reference,
            resume_within: Duration::from_hours(24),
            submit: false,
        }
    }
}

/// Timeouts and limits for one utterance with one miner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaySettings {
    /// Number of startup utterances: the first utterances of a challenge, which get the longer
    /// `init_timeout`, since a miner may have to load its models.
    pub startup_utterances: u32,
    /// Timeout for opening a session in a startup utterance.
    pub init_timeout: Duration,
    /// Timeout for opening a session in any other utterance, and for any other request.
    pub miner_timeout: Duration,
    /// Maximum timeout for opening a session, which also limits
    /// [`MinerConnection::min_timeout`](super::MinerConnection::min_timeout); `None` sets no limit.
    pub max_init_timeout: Option<Duration>,
    /// Timeout for the response to a frame.
    pub chunk_timeout: Duration,
    /// Number of frames at the start of each startup utterance to which `startup_chunk_timeout`
    /// applies.
    pub startup_frames: u32,
    /// Timeout for the responses to the first `startup_frames` frames, if longer than
    /// `chunk_timeout`.
    pub startup_chunk_timeout: Duration,
    /// Timeout for the response to the last frame, and for the rest of the reply; both are measured
    /// from the sending of that frame.
    pub drain_timeout: Duration,
    /// Minimum time for the rest of the reply, measured from the response to the last frame.
    pub final_drain_min: Duration,
    /// Maximum number of empty requests that drain the reply after the last frame.
    pub drain_max_requests: u32,
    /// Number of consecutive failed utterances after which the runner drops a miner; 0 disables
    /// dropping.
    pub drop_after_failures: u32,
    /// Maximum duration of a reply's audio.
    pub max_reply: Duration,
    /// Maximum duration of an utterance's source, summed over its channels: at 24 kHz and in
    /// base64, a minute takes 8 MB.
    pub max_source: Duration,
}

impl Default for PlaySettings {
    fn default() -> Self {
        Self {
            startup_utterances: 1,
            init_timeout: Duration::from_mins(10),
            miner_timeout: Duration::from_secs(10),
            max_init_timeout: None,
            chunk_timeout: Duration::from_secs(3),
            startup_frames: 0,
            startup_chunk_timeout: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(10),
            final_drain_min: Duration::from_secs(5),
            drain_max_requests: 8,
            drop_after_failures: 0,
            max_reply: Duration::from_mins(2),
            max_source: Duration::from_mins(10),
        }
    }
}

impl PlaySettings {
    /// Returns the maximum size of a reply in bytes of samples.
    pub fn max_reply_bytes(&self, channels: u16) -> usize {
        let bytes_per_second = SAMPLE_RATE_HZ as usize * SAMPLE_BYTES * usize::from(channels);
        (self.max_reply.as_secs_f64() * bytes_per_second as f64) as usize
    }

    /// Returns the maximum size of a response in bytes of JSON: a complete reply in base64, plus
    /// overhead.
    pub fn max_response_bytes(&self, channels: u16) -> usize {
        response_bytes(self.max_reply_bytes(channels))
    }

    /// Returns the timeout for opening a session over a connection with the minimum timeout
    /// `min_timeout`.
    pub(super) fn init_timeout_for(&self, utterance_index: u32, min_timeout: Duration) -> Duration {
        let default_timeout = if utterance_index < self.startup_utterances {
            self.init_timeout
        } else {
            self.miner_timeout
        };
        default_timeout.max(min_timeout).min(self.max_init_timeout.unwrap_or(Duration::MAX))
    }

    /// Returns the timeout of the response to frame number `frame` (from 1), which is not the last
    /// frame.
    pub(super) fn chunk_timeout_for(&self, utterance_index: u32, frame: usize) -> Duration {
        let is_startup =
            utterance_index < self.startup_utterances && frame <= self.startup_frames as usize;
        if is_startup {
            self.chunk_timeout.max(self.startup_chunk_timeout)
        } else {
            self.chunk_timeout
        }
    }

    /// Whether a miner is dropped after this many consecutive failures.
    pub(super) const fn should_drop(&self, failures: usize) -> bool {
        self.drop_after_failures > 0 && failures >= self.drop_after_failures as usize
    }
}

/// Returns the maximum size in bytes of a response with `sample_bytes` bytes of samples: base64,
/// plus overhead.
pub(super) const fn response_bytes(sample_bytes: usize) -> usize {
    sample_bytes.div_ceil(3) * 4 + 64 * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_startup_utterances_have_a_long_init_timeout() {
        let settings = PlaySettings::default();
        let deadline =
            |settings: &PlaySettings, index| settings.init_timeout_for(index, Duration::ZERO);
        assert_eq!(deadline(&settings, 0), Duration::from_mins(10));
        assert_eq!(deadline(&settings, 1), Duration::from_secs(10));
        let three_startups = PlaySettings { startup_utterances: 3, ..settings };
        assert_eq!(deadline(&three_startups, 2), Duration::from_mins(10));
        assert_eq!(deadline(&three_startups, 3), Duration::from_secs(10));
    }

    #[test]
    fn min_timeout_extends_the_init_timeout_up_to_the_barrier() {
        let min_timeout = Duration::from_mins(20);
        let settings = PlaySettings::default();
        assert_eq!(settings.init_timeout_for(5, min_timeout), min_timeout);
        let arena = PlaySettings { max_init_timeout: Some(Duration::from_mins(10)), ..settings };
        assert_eq!(arena.init_timeout_for(5, min_timeout), Duration::from_mins(10));
        assert_eq!(arena.init_timeout_for(5, Duration::ZERO), Duration::from_secs(10));
    }

    #[test]
    fn first_frames_of_first_utterances_have_a_long_timeout() {
        let settings =
            PlaySettings { startup_utterances: 3, startup_frames: 4, ..PlaySettings::default() };
        for (utterance, frame, seconds) in [(0, 1, 60), (2, 4, 60), (2, 5, 3), (3, 1, 3)] {
            assert_eq!(
                settings.chunk_timeout_for(utterance, frame),
                Duration::from_secs(seconds),
                "{utterance} {frame}"
            );
        }
        assert_eq!(PlaySettings::default().chunk_timeout_for(0, 1), Duration::from_secs(3));
    }

    #[test]
    fn max_reply_bytes_follow_from_the_duration() {
        let settings =
            PlaySettings { max_reply: Duration::from_millis(1500), ..PlaySettings::default() };
        assert_eq!(settings.max_reply_bytes(2), 288_000);
    }
}
