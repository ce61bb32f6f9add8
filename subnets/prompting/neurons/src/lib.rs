//! The neurons of the text-prompting subnet, on `taonet-kit`: miners complete conversations,
//! validators reward the completions.
//!
//! - [`Prompting`] is the protocol: roles and messages in, a completion out. Miners and validators
//!   of the Python SDK with the same class take part in the subnet;
//! - [`miner`] creates a miner that completes with a [`Completer`]: a language model in the
//!   process, a server with OpenAI's API, or canned answers;
//! - [`PromptingChallenge`] is what validators ask and reward. A question comes from a [`Dataset`],
//!   or the network itself asks it about a passage of the dataset. A gate chooses the best miners
//!   for it and random ones; the [`Judge`] rewards their completions, and the gate learns from the
//!   rewards;
//! - [`NextTokenChallenge`] is an alternative to it: miners with a language model predict the next
//!   tokens of texts ([`NextTokens`]), and their rewards are Shapley values;
//! - [`ask()`] sends a conversation to miners and returns their completions, the best first, each
//!   with the reason; [`ask_streaming`] sends it to one miner, as a [`StreamPrompting`], and takes
//!   its completion in parts.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use taonet_chain::Chain;
//! use taonet_kit::{MinerSettings, Validator, ValidatorSettings};
//! use taonet_primitives::NetUid;
//! use taonet_prompting_neurons::{
//!     CannedAnswers, ChallengeSettings, Completer, Dataset, HashedWords, Judge, PromptingChallenge, miner, query_limits,
//! };
//! use taonet_service::Shutdown;
//! use taonet_wallet::Keypair;
//! use tokio::net::TcpListener;
//!
//! # type Done = Result<(), Box<dyn std::error::Error>>;
//! # async fn mine(keypair: Keypair, chain: Arc<dyn Chain>, shutdown: Shutdown) -> Done {
//! let completer = Completer::canned(CannedAnswers::open(Path::new("answers.jsonl"))?);
//! let miner = miner(keypair, MinerSettings::new(NetUid(1)), completer);
//! miner.run(TcpListener::bind("0.0.0.0:8091").await?, chain, &shutdown).await?;
//! # Ok(())
//! # }
//! # async fn validate(keypair: Keypair, chain: Arc<dyn Chain>, shutdown: Shutdown) -> Done {
//! let (state, judge) = (Path::new("state"), Judge::new(Arc::new(HashedWords), None));
//! let dataset = Dataset::open(Path::new("questions"))?;
//! let challenge = PromptingChallenge::open(state, judge, dataset, 7, ChallengeSettings::default())?;
//! let limits = query_limits(Duration::from_secs(12));
//! let settings = ValidatorSettings { query: limits, ..ValidatorSettings::new(NetUid(1)) };
//! let validator = Validator::open(challenge, keypair, chain, state, settings, &shutdown).await?;
//! validator.run(&shutdown).await;
//! # Ok(())
//! # }
//! ```
//!
//! - **Completions are untrusted**: their size, their time and the lengths of lists are limited
//!   ([`query_limits`]), and at most [`MAX_TEXT`] characters of each are rewarded.
//! - **The gate survives restarts**: it is replaced atomically after each step, with the position
//!   in the dataset and the question that the miners have asked. A gate of another embedding model
//!   is refused.
//! - **Every step is recorded** in `events.jsonl`: the question, all completions and the parts of
//!   their rewards, from which the weights can be recomputed. [`explain_rewards`] finds the
//!   completions behind the score of a miner, which the kit explains by its rewards.
//!
//! The original dataset of the text subnets, the Mountain on IPFS, no longer exists; questions come
//! from files of the validator's own, or from a URL whose content is known by its SHA-256 or its
//! IPFS CID ([`RemoteFile`]). The crate downloads nothing else and has no commands. Validators ask
//! for complete responses only.
//!
//! Uses `taonet-kit` (miner, validator), `taonet-prompting-core` (formulas), `taonet-lm` (language
//! models), `taonet-speech` (sentence embeddings), `taonet-http` (OpenAI's API, downloads),
//! `taonet-wire`, `taonet-service`, `taonet-wallet` and `taonet-primitives`. Used by
//! `taonet-prompting-dashboard`, `tao prompting` and `tao prompt`.

mod ask;
mod bounded;
mod canned;
mod challenge;
mod completer;
mod dataset;
mod embedder;
mod events;
mod explain;
mod gate_file;
mod judge;
mod lines;
mod next_token_challenge;
mod next_tokens;
mod protocol;
mod remote;

pub use ask::{AskError, MinerAnswer, ask, ask_streaming, client, reward_reply};
pub use canned::CannedAnswers;
pub use challenge::{ChallengeError, ChallengeSettings, PromptingChallenge};
pub use completer::{CompleteError, Completer, miner};
pub use dataset::{Dataset, DatasetError, Item};
pub use embedder::HashedWords;
pub use events::{AnswerRecord, EventLog, LatestSteps, StepRecord};
pub use explain::{ExplainedReward, explain_rewards};
pub use gate_file::{GateFile, GateFileError};
pub use judge::{Judge, JudgeError, MAX_TEXT};
pub use lines::LinesError;
pub use next_token_challenge::{NextTokenChallenge, NextTokenError};
pub use next_tokens::NextTokens;
pub use protocol::{Prompting, StreamPrompting, query_limits};
pub use remote::{CidError, RemoteError, RemoteFile};
