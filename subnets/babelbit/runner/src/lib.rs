//! The runner: plays a challenge to every miner, scores the replies and writes the result files.
//!
//! For each utterance, the runner validates and stores the engine's audio ([`read_source`]), cuts
//! it into frames once for all miners ([`Source`]), and plays it to each miner over a separate
//! [`MinerConnection`]. It writes the reply's audio to a file, then a row to the [`Ledger`]. It
//! scores an utterance when every miner has replied or failed, and writes each miner's result files
//! from the ledger's rows when all utterances are scored.
//!
//! Replies of 256 miners take at most 664 MiB of memory: each reply buffers 1 MiB and spills to
//! disk beyond that, 8 replies are encoded at a time (88 MiB for mono replies of two minutes), and
//! incoming responses take 320 MiB (see [`taonet_wire::ClientConfig`]). In addition, each runtime
//! thread needs about four times the size of the response that it parses, each recognition thread
//! needs one reply, and each source in use needs 130 KB per second of audio. A fetched challenge
//! takes at most 512 MiB until it is on disk, before the first request to a miner.
//!
//! A slow or failing miner does not delay the others. The next run resumes an interrupted run and
//! reuses the replies and scores in the ledger. Miners with a score file of any other program are
//! not called; [`EarlierFiles`] lists such files. [`LiveUtterance`] plays speech to one miner while
//! it is spoken, without a ledger or a score.
//!
//! Uses `taonet-babelbit-engine` (its client), `taonet-babelbit-scorer`, `taonet-babelbit-core`
//! (protocol, rules and records), `taonet-wire` and `taonet-wallet` (signed requests),
//! `taonet-http`, `taonet-objects` (uploads), `taonet-chain` and `taonet-validator` (the metagraph,
//! from the nodes or the subtensor gateway), `taonet-neuron` (miners of the metagraph),
//! `taonet-speech`, `taonet-database` (its errors), `taonet-service` and `taonet-primitives`. Used
//! by `bb runner` and `tao demo`; `taonet-babelbit-arena`, `taonet-babelbit-audit`,
//! `taonet-babelbit-dashboard` and `taonet-babelbit-text-runner` use its ledger, files and
//! connections, `taonet-babelbit-config` its settings.

mod artifacts;
mod challenge_run;
mod connection;
mod earlier_files;
mod error;
mod events;
mod file_name;
pub mod files;
pub mod http;
mod import;
mod ledger;
mod live;
mod miners;
mod names;
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
pub use earlier_files::{EarlierChallenge, EarlierFiles};
pub use error::RunError;
pub use events::{RunEvent, RunObserver};
pub use file_name::file_name_part;
pub use http::HttpMiner;
pub use ledger::{
    ChallengeHeader, ChallengeRow, ChallengeState, Ledger, LedgerError, NamedFile, NewChallenge,
    OutboxCounts, OutboxEntry, ReplyFailure, ReplyRecord, ResultRow, ResultSummary, RoundEnd,
    RoundRow, ScoreSummary, SourceInfo, StoredScore, TextChallenge, TextFile, UtteranceRow,
    WrittenFiles,
};
pub use live::LiveUtterance;
pub use miners::{MinersError, read_miners};
pub use names::read_names;
pub use player::{PlayError, PlayFailure, WallClock};
pub use reply::ReplyError;
pub use reply_scorer::{References, ReplyScorer};
pub use report::{MinerReport, RunOutcome, RunProfile, RunReport, UtteranceReport};
pub use rounds::{
    ArenaSchedule, ArenaUnavailable, ChainView, ChainViewError, ConnectChain, ConnectMiner,
    DueRound, ListArenaMiners, MinerSource, PlayedRound, RoundDependencies, RoundError,
    RoundObserver, RoundPlayer, RoundReport, Rounds, ScheduleSettings, Shuffle, SpeechRounds,
    announced_miners, random_order, registered_miners,
};
pub use run::{Miner, Runner};
pub use settings::{PlaySettings, RunPaths, RunnerSettings};
pub use source::{Source, SourceError, read_source};
pub use taonet_neuron::{AddressError, AddressPolicy, MinerAddress, MinerEntry};
