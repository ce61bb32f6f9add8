//! The runner: plays a challenge to every miner, scores the replies and writes the result files.
//!
//! The path of an utterance: the engine's audio is validated and stored ([`read_source`]), cut into frames once for all
//! miners ([`Source`]), and played to each miner by a separate pipeline over a [`MinerConnection`]. The reply's audio
//! is written to a file, then its row to the [`Ledger`]. When every miner has replied or failed, the utterance is
//! scored; when all are scored, each miner's result files are written from the ledger's rows.
//!
//! Replies of 256 miners take at most 664 MiB of memory: each reply buffers 1 MiB and spills to disk beyond that, 8 are
//! encoded at a time (88 MiB for mono replies of two minutes), and responses share 320 MiB while they are read (see
//! [`taonet_wire::ClientConfig`]). Parsing a response needs about four times its size per thread of the runtime,
//! recognition one reply per thread, and a source that is being played 130 KB a second. The challenge itself takes at
//! most 512 MiB, until it is on disk and the first miner is called.
//!
//! A slow or failing miner delays no other. A killed run is resumed by the next one: replies and scores in the ledger
//! are neither played nor scored again.
//!
//! Uses `taonet-babelbit-engine` (its client), `taonet-babelbit-scorer`, `taonet-wire` and `taonet-objects`.
//! Used by `bb runner`; arena and audit use its ledger, files and connections.

mod artifacts;
#[cfg(test)]
mod captured_log;
mod challenge_run;
mod connection;
mod error;
mod events;
pub mod files;
pub mod http;
mod import;
mod ledger;
mod miners;
mod past_scores;
mod player;
mod reply;
mod reply_scorer;
mod report;
mod rounds;
mod run;
mod settings;
mod source;
mod source_store;
pub mod submission;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use artifacts::MinerResult;
pub use connection::{CallError, MinerConnection, PredictCall};
pub use error::RunError;
pub use events::{RunEvent, RunObserver};
pub use http::HttpMiner;
pub use ledger::{
    ChallengeHead, ChallengeRow, ChallengeState, Ledger, LedgerError, NewChallenge, OutboxCounts, OutboxEntry,
    ReplyRecord, ResultDigest, ResultRow, RoundEnd, RoundRow, ScoreDigest, SourceInfo, StoredScore, UtteranceRow,
    WrittenFiles,
};
pub use miners::{AddressError, AddressPolicy, MinerAddress, MinerEntry, MinersError, parse_miners, read_miners};
pub use player::{PlayError, PlayFailure, WallClock};
pub use reply::ReplyError;
pub use reply_scorer::{References, ReplyScorer};
pub use report::{MinerReport, RunOutcome, RunProfile, RunReport, UtteranceReport};
pub use rounds::{
    ArenaMiners, ArenaSchedule, ArenaUnavailable, ChainView, ChainViewError, ConnectChain, ConnectMiner, MinerSource,
    RoundError, RoundObserver, RoundReport, Rounds, RoundsParts, RoundsSettings, ScheduleSettings, Shuffle,
    random_order, registered_miners,
};
pub use run::{Miner, Runner};
pub use settings::{PlaySettings, RunPaths, RunnerSettings};
pub use source::{Source, SourceError, read_source};
