use std::time::Duration;

use taonet_babelbit_runner::{ArenaSchedule, PlaySettings, ScheduleSettings};

/// How often a round is tried in its epoch: with the pauses between, for some two hours and a half.
const ATTEMPTS: u32 = 20;
/// Frames of an utterance that the reference gives longer while an arena's miners start up; not to be set there either.
const STARTUP_FRAMES: u32 = 4;
/// The time it gives them.
const STARTUP_CHUNK: Duration = Duration::from_mins(1);

/// When the runner's loop plays what, and what is different in the arena.
#[derive(Debug, Clone)]
pub struct RoundSettings {
    /// Blocks from one main round to the next.
    pub tempo: u32,
    /// Whether a main round is played at the start.
    pub on_startup: bool,
    /// Whether a solo round follows each main round.
    pub solo: bool,
    /// The arena's rounds.
    pub arena: ArenaRoundSettings,
}

/// When arena rounds are played, and how.
#[derive(Debug, Clone)]
pub struct ArenaRoundSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// Blocks from one to the next.
    pub cadence: u32,
    /// Whether one is played at the start.
    pub on_startup: bool,
    /// How many utterances miners have for starting up.
    pub startup_utterances: u32,
    /// A miner that fails so many utterances in a row is dropped; 0 means never.
    pub drop_after_failures: u32,
    /// Deadline of one call to a miner.
    pub miner_timeout: Duration,
    /// Longest time for opening a session.
    pub init_barrier: Duration,
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
            init_barrier: Duration::from_mins(10),
        };
        Self { tempo: 2_160, on_startup: false, solo: true, arena }
    }

    /// When rounds are due.
    pub fn schedule(&self) -> ScheduleSettings {
        let ArenaRoundSettings { enabled, cadence, on_startup, .. } = self.arena;
        ScheduleSettings {
            tempo: self.tempo,
            on_startup: self.on_startup,
            solo: self.solo,
            arena: enabled.then_some(ArenaSchedule { cadence, on_startup }),
            attempts: ATTEMPTS,
        }
    }

    /// How arena rounds are played, where main rounds are played like `main`.
    pub fn arena_play(&self, main: &PlaySettings) -> PlaySettings {
        PlaySettings {
            startup_utterances: self.arena.startup_utterances,
            startup_frames: STARTUP_FRAMES,
            startup_chunk_timeout: STARTUP_CHUNK,
            miner_timeout: self.arena.miner_timeout,
            init_barrier: Some(self.arena.init_barrier),
            drop_after_failures: self.arena.drop_after_failures,
            ..main.clone()
        }
    }
}
