//! Runner of the text-prediction contest.
//!
//! Miners predict the complete utterance while its words are revealed one by one; an early and
//! close prediction scores best. [`TextRunner::run_once`] plays the engine's current text challenge
//! to all miners word by word, scores their predictions, and writes the same files as the reference
//! system: a log for each miner and dialogue, the scores of the dialogue, and the miner's mean
//! score over all dialogues. The validator converts the scores to weights.
//!
//! ```no_run
//! use taonet_babelbit_engine::client::EngineClient;
//! use taonet_babelbit_runner::submission::Outbox;
//! use taonet_babelbit_text_runner::{TextMiner, TextRunner};
//!
//! # async fn example(
//! #     runner: TextRunner, engine: EngineClient, miners: Vec<TextMiner>, outbox: Outbox,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let report = runner.run_once(&engine, &miners, |_token| {}).await?;
//! println!("{} files written", report.files.len());
//! let counts = outbox.drain().await?;
//! println!("{} files not submitted yet", counts.waiting);
//! # Ok(())
//! # }
//! ```
//!
//! A run holds its results in memory and writes the files at the end. Then one transaction of the
//! ledger ([`open_ledger`]) records the challenge as played and queues the files for the outbox of
//! `taonet-babelbit-runner`, which submits them to the scoring API and retries until each is
//! accepted. A run that is killed earlier leaves no record: the next run plays the challenge again.
//! A run in which no miner has a score is not recorded either. The means of all miners omit a
//! dialogue that cannot be scored, and the mean of one miner omits a dialogue whose files cannot be
//! written.
//!
//! [`TextRounds`] is the contest's player for the loop of `taonet-babelbit-runner`, which repeats
//! rounds by block number. [`TextMiners`] lists the miners of a round: [`AxonMiners`] those that
//! the metagraph announces, [`CommittedMiners`] also those whose commitments on the chain name a
//! model on Chutes, [`TextArena`] those of the arena.
//!
//! All miners receive a word at the same time and have [`PlayOptions::step_timeout`] to answer, so
//! one slow miner delays a step at most by that time; a miner with [`PlayOptions::max_errors`]
//! consecutive errors is not called again in the run, and the session ends when none is left.
//! Predictions beyond [`MAX_SESSION_BYTES`] count as errors. With [`BlockSteps`], steps begin and
//! end at blocks of the chain; a chain without new blocks ends the session with an error.
//!
//! An arena round waits until its miners are healthy, each miner has a longer timeout for its first
//! prediction ([`Startup`]), and its session continues without an active miner
//! ([`PlayOptions::continues_without_miners`]).
//!
//! Uses `taonet-babelbit-chutes` (miners on Chutes), `taonet-babelbit-engine` (its client),
//! `taonet-babelbit-runner` (the loop, the ledger, the outbox, addresses and signed calls of
//! miners), `taonet-babelbit-core` (the scores), `taonet-speech` (sentence embeddings),
//! `taonet-wire`, `taonet-service` and `taonet-primitives`. Used by the demonstration and `bb
//! runner --contest text`, and by `taonet-babelbit-arena` for its connections.

mod files;
mod hosted;
mod miner;
mod play;
mod rounds;
mod run;
mod score;
mod startup;
mod steps;

pub use hosted::{CommittedMiners, PublishedText, ReadCommitments, ReadError};
pub use miner::{MAX_PREDICTION_BYTES, MAX_SESSION_BYTES, TextConnection, TextMiner};
pub use play::{OmittedUtterance, PlayError, PlayOptions};
pub use rounds::{
    AxonMiners, ConnectTextMiner, MinerSelection, ShuffleMiners, TextArenaRounds, TextMiners,
    TextRounds,
};
pub use run::{
    TextMinerReport, TextOutcome, TextReport, TextRunError, TextRunner, UnscoredDialogue,
    open_ledger,
};
pub use score::{ScoringError, score_logs};
pub use startup::{Startup, TextArena};
pub use steps::{BlockSteps, ChainStalled, ReadHeight};

#[cfg(test)]
mod tests;
