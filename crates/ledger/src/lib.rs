//! The weight ledger: submits the weights of an epoch at most once, even after a crash, and records
//! the outcome.
//!
//! A validator that loses its connection, is killed or runs twice must neither lose a submission
//! nor repeat it. So before anything is signed, an *intent* is recorded: one for each hotkey,
//! subnet, mechanism and epoch. A signed extrinsic is stored before it is sent. From then on every
//! retry sends the same bytes, which the chain includes at most once. Another extrinsic is signed
//! only if those bytes can never take effect, or with the same nonce, so that the chain includes at
//! most one of the two.
//!
//! Uses `taonet-chain`, `taonet-timelock`, `taonet-wallet` and `taonet-primitives`. Used by
//! `taonet-validator`, `taonet-python`, `taonet-dashboard` and `taonet-doctor`, by the commands
//! that open the ledger of a subtensor gateway, and for its encodings by `tao weights`, which
//! submits without a ledger.
//!
//! # Tour
//!
//! [`Ledger::open`] opens the database and locks it, so that only one process at a time can submit.
//! A [`Submitter`] carries out intents on a [`Chain`](taonet_chain::Chain). [`Submitter::submit`]
//! turns [`NewWeights`] into a [`Submission`] for the current epoch; [`Submitter::advance`], called
//! after a start and after every block, performs all later steps. [`LedgerReader`] reads the
//! database without the lock.
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
//! // Resume the unfinished work of an earlier process.
//! submitter.advance().await?;
//!
//! let (netuid, mech, version_key) = (NetUid(59), MechId(0), 0);
//! // The scores, and the block of the state that they are based on.
//! let (scores, state_block) = ([(Uid(3), 0.8), (Uid(7), 0.15)], BlockNumber::new(0));
//! let rules = chain.weight_rules(netuid, At::Head).await?;
//! let weights = quantise(&within_limits(&scores, &rules)?)?;
//! let weights = NewWeights { netuid, mech, weights, version_key, state_block };
//! let first = submitter.submit(weights.clone()).await?.submit.ok_or("no extrinsic was signed")?;
//! assert!(first.outcome.is_some_and(|outcome| outcome.is_success()));
//!
//! // A second call in the same epoch returns the same extrinsic.
//! let second = submitter.submit(weights).await?.submit.ok_or("no extrinsic was signed")?;
//! assert_eq!(second.extrinsic, first.extrinsic);
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
//!                            ├── superseded, expired            never in a block, as finalized blocks prove:
//!                            │                                  signed again in the same epoch
//!                            └── invalid                        every pool refuses it: see retry
//! ```
//!
//! Two states are missing above: a signed extrinsic that was not sent before its epoch ended is
//! `withdrawn`, and a sent one is `lost` if the nodes have pruned the blocks that might contain it.
//!
//! - **The form** depends on the subnet's settings: unencrypted, hash commit, or timelocked
//!   ([`SubmissionForm`]). Salt and weights of a hash commit stay in the ledger;
//!   [`Submitter::advance`] reveals them in the epoch required by the chain, even after a restart.
//! - **No late submissions.** Nothing is resent after its epoch, and an extrinsic's era (the blocks
//!   in which it is valid) ends with the epoch. If the epoch has too few blocks left, the weights
//!   are submitted in the next one. An extrinsic that was sent is tracked until all blocks of its
//!   era are finalized.
//! - **Only finalized blocks count.** When a block is reverted, results from it are discarded and
//!   the same bytes are sent again.
//! - **After a runtime upgrade** no pool accepts older extrinsics: the call is signed again with
//!   the same nonce, so that at most one of the two is ever in a block.
//! - **After a refusal** (a rate limit, for example) nothing is signed automatically.
//!   [`Submitter::retry`] signs again only if the refused bytes can no longer take effect, or if
//!   the new extrinsic has the same nonce, so that at most one of the two is ever included.
//! - **Newer weights** replace older ones of the same epoch only if no extrinsic was signed for the
//!   older ones, or if none of the signed extrinsics can still take effect: each failed in a
//!   finalized block, or is superseded, expired or withdrawn.
//! - **After a start** the first weights are accepted only if they are based on state at most one
//!   tempo old.
//! - **Before signing** the chain is compared with the ledger. If the chain has weights of the
//!   hotkey in this epoch that the ledger does not know ([`SubmitError::AlreadySubmitted`]), or a
//!   commit is no longer pending ([`SubmitError::NotCommitted`]), nothing is signed: the ledger may
//!   be a restored backup. While the pool has extrinsics of the hotkey, nothing is signed either.
//! - **Timelocked weights** are revealed by the chain's time. If the local clock differs from it by
//!   more than five minutes, nothing is signed ([`SubmitError::ClockDifference`]).
//!
//! # Limits
//!
//! Use one ledger per hotkey. The crate learns about other ledgers and programs that sign with the
//! same hotkey from the chain only: two processes that sign in the same block have the same nonce,
//! so that one of the two takes effect, but which one is left to chance. A restored ledger lacks
//! the salts of newer hash commits, which it cannot reveal. The directory also contains unrevealed
//! salts and weights; only its owner can read it.
//!
//! # Why a separate crate
//!
//! Errors in signing and sending would harm a validator most; in a separate crate, this code is
//! easier to review and test. The separation also lets miners and engines, which share
//! `taonet-service` with the validator, build without a chain client, a database or a pairing
//! library.

#![warn(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod error;
mod form;
mod state;
mod store;
mod submitter;

pub use error::SubmitError;
pub use form::{Sealing, SubmissionForm, chain_time, commit_hash, salt, timelocked_commit};
pub use state::State;
pub use store::{
    Intent, IntentKey, IntentState, Ledger, LedgerError, LedgerReader, Plan, Record,
    RecordedExtrinsic, StoredExtrinsic,
};
pub use submitter::{Clock, NewWeights, Observer, Step, StepProgress, Submission, Submitter};
