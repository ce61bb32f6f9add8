//! The weight ledger: submits every epoch's weights exactly once, and records the outcome.
//!
//! A validator that loses its connection, is killed or runs twice must neither lose a submission nor repeat it. So
//! before anything is signed, an *intent* is recorded: one for each hotkey, subnet, mechanism and epoch. A signed
//! extrinsic is stored before it is sent. From then on every retry sends the same bytes, which the chain includes at
//! most once, and nothing is signed again until it is certain that those bytes can never take effect.
//!
//! Uses `taonet-chain`, `taonet-timelock` and `taonet-wallet`. Used by `taonet-validator` and `tao weights`.
//!
//! # Tour
//!
//! [`Ledger::open`] opens and locks the file: one process at a time. A [`Submitter`] carries out intents on a
//! [`Chain`](taonet_chain::Chain). [`Submitter::submit`] turns [`NewWeights`] into a [`Submission`] for the current
//! epoch; [`Submitter::advance`], called after a start and after every block, performs all later steps.
//!
//! ```
//! # use std::sync::Arc;
//! # use taonet_chain::{Schedule, WeightRules, testing::MockChain};
//! # use taonet_primitives::{BlockNumber, MechId, NetUid, Uid};
//! # use taonet_wallet::Keypair;
//! use taonet_chain::weights::{quantise, within_limits};
//! use taonet_chain::{At, Chain as _};
//! use taonet_ledger::{Ledger, NewWeights, Submitter};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (directory, chain) = (tempfile::tempdir()?, MockChain::default());
//! # let schedule = Schedule { tempo: 360, last_epoch: BlockNumber::new(0), pending_epoch: None, epoch_index: 7 };
//! # chain.set_weight_rules(NetUid(59), WeightRules {
//! #     neurons: 9, min_allowed_weights: 1, max_weights_limit: 65_535, version_key: 0, rate_limit_blocks: 100,
//! #     commit_reveal: None, mechanisms: 1, schedule,
//! # });
//! # let (directory, chain, hotkey) = (directory.path(), Arc::new(chain), Keypair::from_uri("//Alice")?);
//! let submitter = Submitter::new(Ledger::open(directory).await?, chain.clone(), hotkey).await?;
//! // Resume what an earlier process left unfinished.
//! submitter.advance().await?;
//!
//! let (netuid, mech, version_key) = (NetUid(59), MechId(0), 0);
//! // The scores, and the block of the state that they are based on.
//! let (scores, state_block) = ([(Uid(3), 0.8), (Uid(7), 0.15)], BlockNumber::new(0));
//! let rules = chain.weight_rules(netuid, At::Head).await?;
//! let weights = quantise(&within_limits(&scores, &rules)?)?;
//! let weights = NewWeights { netuid, mech, weights, version_key, state_block };
//! let submission = submitter.submit(weights.clone()).await?;
//! assert!(submission.submit.is_some_and(|extrinsic| extrinsic.outcome.is_some_and(|outcome| outcome.is_success())));
//!
//! // A second call in the same epoch signs nothing more.
//! submitter.submit(weights).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # States of a submission
//!
//! ```text
//! intent ── signed ── sent ──┬── included ──── finalized        done
//!                            │       └──────── failed           the call failed in a block
//!                            ├── unknown, dropped               the same bytes are sent again
//!                            ├── superseded, expired            never in a block (final blocks prove it): signed again
//!                            │                                  in the same epoch
//!                            └── invalid                        every pool refuses it: see retry
//! ```
//!
//! - **The form** depends on the subnet's settings: unencrypted, hash commit, or timelocked ([`Form`]). Salt and
//!   weights of a hash commit stay in the ledger; [`Submitter::advance`] reveals them in the epoch required by the
//!   chain, also after a restart.
//! - **No late submissions.** Nothing is resent after its epoch, and eras end with their epoch: if the epoch has too
//!   few blocks left, the weights are submitted in the next one. An extrinsic that was sent is followed until all
//!   blocks of its era are finalized.
//! - **Only finalized blocks count.** When a block is reverted, results from it are discarded and the same bytes are
//!   sent again.
//! - **After a runtime upgrade** no pool accepts older extrinsics: the call is signed again with the same nonce, so
//!   that at most one of the two is ever in a block.
//! - **After a refusal** (a rate limit, for example) nothing is signed automatically. [`Submitter::retry`] signs again
//!   if the refused bytes can no longer take effect, or with the same nonce, so that at most one of the two extrinsics
//!   is ever included.
//! - **Newer weights** replace older ones of the same epoch only if no extrinsic was signed for the older ones, or if
//!   each one signed can never take effect: failed in a finalized block, superseded, expired or withdrawn.
//! - **After a start** the first weights are accepted only if they are based on state at most one tempo old.
//!
//! # Limits
//!
//! Use one ledger per hotkey: the crate does not know about ledgers in another directory or on another machine, nor
//! about other programs that sign with the same hotkey. Two ledgers submit twice. The directory also contains
//! unrevealed salts and weights; only its owner can read it.
//!
//! # Why a separate crate
//!
//! Signing and sending are what can harm a validator; a separate crate makes them easier to review and test. Miners and
//! engines, which share `taonet-service` with the validator, also build without a chain client, a database and a
//! pairing library.

#![warn(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod error;
mod form;
mod state;
mod store;
mod submitter;

pub use error::SubmitError;
pub use form::{Form, Sealing, commit_hash, salt, timelocked_commit};
pub use state::State;
pub use store::{Intent, IntentKey, IntentState, Ledger, LedgerError, Plan, Signed};
pub use submitter::{Clock, Moment, NewWeights, Observer, Step, Submission, Submitter};
