use std::time::Duration;

use taonet_babelbit_runner::{ArenaSchedule, PlaySettings, ScheduleSettings};

/// Maximum number of attempts of a round in its epoch: with backoff, about two and a half hours.
const MAX_ATTEMPTS: u32 = 20;
/// Number of frames at the start of a startup utterance to which [`STARTUP_CHUNK_TIMEOUT`] applies;
/// also a constant in the reference.
const STARTUP_FRAMES: u32 = 4;
/// Timeout of an arena miner's response to each of the first [`STARTUP_FRAMES`] frames of a startup
/// utterance.
const STARTUP_CHUNK_TIMEOUT: Duration = Duration::from_mins(1);

/// Schedule of the runner's rounds, and the settings specific to the arena.
#[derive(Debug, Clone)]
pub struct RoundSettings {
    /// Blocks between two main rounds.
    pub tempo: u32,
    /// Whether a main round is played at startup.
    pub on_startup: bool,
    /// Whether a solo round follows each main round.
    pub solo: bool,
    /// Blocks per step of the text contest's rounds; with 0, steps do not wait for blocks.
    pub step_blocks: u32,
    /// Settings of arena rounds.
    pub arena: ArenaRoundSettings,
}

/// Schedule and settings of arena rounds.
#[derive(Debug, Clone)]
pub struct ArenaRoundSettings {
    /// Whether arena rounds are enabled.
    pub enabled: bool,
    /// Blocks between two arena rounds.
    pub cadence: u32,
    /// Whether an arena round is played at startup.
    pub on_startup: bool,
    /// Number of startup utterances: the first ones of a challenge, with a longer timeout for
    /// opening sessions.
    pub startup_utterances: u32,
    /// Number of consecutive failed utterances after which the runner drops a miner; 0 disables
    /// this.
    pub drop_after_failures: u32,
    /// Timeout of one request to a miner.
    pub miner_timeout: Duration,
    /// Upper limit of the timeout for opening a session.
    pub max_init_timeout: Duration,
    /// Time for the text contest's miners to become healthy, and time of each for its first
    /// prediction; 0 disables both.
    pub startup_timeout: Duration,
    /// Timeout of one attempt at a first prediction in the text contest.
    pub startup_request_timeout: Duration,
}

impl RoundSettings {
    pub(super) const fn defaults() -> Self {
        let arena = ArenaRoundSettings {
            enabled: false,
            cadence: 300,
            on_startup: false,
            startup_utterances: 3,
            drop_after_failures: 2,
            miner_timeout: Duration::from_secs(10),
            max_init_timeout: Duration::from_mins(10),
            startup_timeout: Duration::from_mins(5),
            startup_request_timeout: Duration::from_mins(1),
        };
        Self { tempo: 2_160, on_startup: false, solo: true, step_blocks: 0, arena }
    }

    /// Returns the schedule settings of the runner.
    pub fn schedule(&self) -> ScheduleSettings {
        let ArenaRoundSettings { enabled, cadence, on_startup, .. } = self.arena;
        ScheduleSettings {
            tempo: self.tempo,
            on_startup: self.on_startup,
            solo: self.solo,
            arena: enabled.then_some(ArenaSchedule { cadence, on_startup }),
            attempts: MAX_ATTEMPTS,
        }
    }

    /// Derives the play settings of arena rounds from the settings of main rounds.
    pub fn arena_play(&self, main: &PlaySettings) -> PlaySettings {
        PlaySettings {
            startup_utterances: self.arena.startup_utterances,
            startup_frames: STARTUP_FRAMES,
            startup_chunk_timeout: STARTUP_CHUNK_TIMEOUT,
            miner_timeout: self.arena.miner_timeout,
            max_init_timeout: Some(self.arena.max_init_timeout),
            drop_after_failures: self.arena.drop_after_failures,
            ..main.clone()
        }
    }
}
