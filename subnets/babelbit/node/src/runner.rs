//! The runner: plays a challenge to every miner, scores the replies and writes the result files.

mod connection;
mod ledger;
mod miners;
mod player;
mod reply;
mod settings;
mod source;
#[cfg(test)]
mod testing;

pub use connection::{CallError, MinerConnection, PredictCall};
pub use ledger::{
    ChallengeRow, ChallengeState, Ledger, LedgerError, MinerKey, NewChallenge, ReplyRecord, ResultRow, SourceInfo,
    StoredScore, UtteranceRow,
};
pub use miners::{AddressError, AddressPolicy, MinerAddress, MinerEntry, MinersError, parse_miners, read_miners};
pub use player::{PlayError, PlayFailure, PlayedReply, WallClock, play_utterance};
pub use reply::ReplyError;
pub use settings::{PlaySettings, RunPaths, RunnerSettings};
pub use source::{Source, SourceError, read_source};
