//! The weight ledger: every epoch's weights are submitted once, and what became of them is known.
//!
//! A validator that loses its connection, is killed or runs twice must neither lose a submission nor double it. So
//! before anything is signed, an *intent* is written down: one for each hotkey, subnet, mechanism and epoch. What is
//! signed is stored before it is sent, and from then on the same bytes are sent again, never signed again, until it is
//! certain that they have no effect: the chain takes the same bytes at most once.
//!
//! # Tour
//!
//! [`Ledger::open`] opens the file, which one process at a time may have. A [`Submitter`] carries intents out on a
//! [`Chain`](taonet_chain::Chain). [`Submitter::submit`] takes [`NewWeights`] to a [`Submission`] for the current epoch;
//! [`Submitter::advance`], after a start and after every block, does all the rest.
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
//! // Whatever a process before this one left unfinished.
//! submitter.advance().await?;
//!
//! let (netuid, mech, version_key) = (NetUid(59), MechId(0), 0);
//! // The scores, and the block at which they were found.
//! let (scores, state_block) = ([(Uid(3), 0.8), (Uid(7), 0.15)], BlockNumber::new(0));
//! let rules = chain.weight_rules(netuid, At::Head).await?;
//! let weights = quantise(&within_limits(&scores, &rules)?)?;
//! let weights = NewWeights { netuid, mech, weights, version_key, state_block };
//! let submission = submitter.submit(weights.clone()).await?;
//! assert!(submission.submit.is_some_and(|extrinsic| extrinsic.outcome.is_some_and(|outcome| outcome.is_success())));
//!
//! // Again, in the same epoch: nothing more is signed.
//! submitter.submit(weights).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a submission
//!
//! ```text
//! intent ── signed ── sent ──┬── included ──── finalized        done
//!                            │       └──────── failed           the call was refused in a block
//!                            ├── unknown, dropped               the same bytes are sent again
//!                            ├── superseded, expired            never in a block, as final blocks say: signed anew in
//!                            │                                  the same epoch
//!                            └── invalid                        no pool takes it: see retry
//! ```
//!
//! - **The form** is the subnet's own setting: in clear, committed to by hash, or timelocked ([`Form`]). Salt and weights of
//!   a commit by hash stay in the ledger; [`Submitter::advance`] reveals them in the epoch in which the chain wants them,
//!   also after a restart.
//! - **Too late is too late.** Nothing of a past epoch is sent again, and eras end with their epoch: where it has too few
//!   blocks left, the weights are for the next one. What was sent is followed until its era is over and final.
//! - **Only final blocks count.** A block that is undone takes back what was learnt from it; the same bytes are sent again.
//! - **After an upgrade of the runtime** no pool takes what was signed before: it is signed again under the same nonce, so
//!   that at most one of the two is ever in a block.
//! - **After a refusal** (a rate limit, say) nothing is signed by itself. [`Submitter::retry`] does, where it is certain that
//!   the refused bytes have no effect any more, or under the same nonce, so that at most one of the two ever has.
//! - **Newer weights** take the place of the epoch's older ones only while nothing is signed for those, or when all that was
//!   signed has no effect and never will: failed in a final block, superseded, expired or withdrawn.
//! - **After a start** the first weights are taken only when they follow from a state younger than a tempo.
//!
//! # What it cannot know
//!
//! One hotkey, one ledger: what stands in another directory, on another machine or in another program that signs with the
//! same hotkey is not known here, so two of them submit twice. The directory also has salts and weights that are not
//! revealed yet; it is made for its owner only.
//!
//! # Why a crate of its own
//!
//! The daemons that share `taonet-service` mostly never submit weights, and should not be built with a chain client, a
//! database and a pairing library. And what can hurt a validator, what it signs, is easier to read and to test alone.

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
