//! Timelock encryption: data encrypted to a future [`Round`] of the drand beacon is unreadable
//! until the beacon publishes that round's signature, and readable by anyone afterwards. Subtensor
//! hides weights this way until they are revealed, one or more epochs later.
//!
//! ```
//! use std::time::Duration;
//! use taonet_timelock::{Beacon, Ciphertext, EpochSchedule, WeightsPayload, encrypt};
//! # use taonet_primitives::{Hotkey, Uid};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (hotkey, now) = (Hotkey::from_bytes([1; 32]), Duration::from_secs(1_763_650_000));
//! // The round that reveals weights committed in the next block.
//! let schedule = EpochSchedule {
//!     current_block: 1_100,
//!     last_epoch_block: 1_000,
//!     pending_epoch_at: None,
//!     blocks_since_last_step: 100,
//!     tempo: 360,
//!     reveal_period_epochs: 1,
//! };
//! let round = schedule.reveal_round(Beacon::quicknet(), Duration::from_secs(12), now)?;
//!
//! // The `commit` argument of `commit_timelocked_weights`.
//! let payload = WeightsPayload { hotkey, uids: vec![Uid(0), Uid(7)], values: vec![65_535, 1], version_key: 0 };
//! let commit = encrypt(&payload.to_bytes(), Beacon::quicknet(), round, &mut rand::rng())?.to_bytes();
//!
//! // Later, with the round's pulse: `Ciphertext::from_bytes(&commit)?.decrypt(&pulse)?`.
//! assert!(Ciphertext::from_bytes(&commit).is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! - [`Beacon`] is a drand network: its key and the times of its rounds; [`Pulse`] is its
//!   publication for one round.
//! - [`encrypt`] creates a [`Ciphertext`], [`Ciphertext::decrypt`] decrypts it.
//!   [`WrappedCiphertext`] is a ciphertext with its round, as in the Python package
//!   bittensor-drand.
//! - [`EpochSchedule`] computes the round to encrypt weights to; [`WeightsPayload`] is the
//!   plaintext.
//!
//! The scheme is identity-based encryption after Boneh and Franklin with the transform of Fujisaki
//! and Okamoto, over BLS12-381 with signatures in G1; the "identity" is the round. The container
//! format is the one that the chain reads.
//!
//! All functions are pure: time and randomness are arguments. Keys are wiped from memory after use,
//! as far as the underlying libraries allow.
//!
//! Uses `taonet-primitives`. Used by `taonet-ledger` and `tao weights` for weights that are
//! committed before they are revealed, by `taonet-localnet-runtime` to verify pulses and decrypt
//! commits, and by `bb push` for a miner's commitment.

#![warn(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod beacon;
mod ciphertext;
mod ibe;
mod payload;
mod pulse;
mod schedule;

pub use beacon::{Beacon, BeaconError, Round};
pub use ciphertext::{
    Ciphertext, DecryptError, EncryptError, FormatError, WrappedCiphertext, WrappedCiphertextError,
    encrypt,
};
pub use payload::{PayloadError, WeightsPayload};
pub use pulse::{Pulse, PulseError};
pub use schedule::{EpochSchedule, ScheduleError};
