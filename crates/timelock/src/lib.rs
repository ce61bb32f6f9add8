//! Timelock encryption: what is encrypted to a future [`Round`] of the drand beacon, nobody can read before the beacon
//! publishes that round's signature, and everybody can afterwards. Subtensor hides weights this way until their epoch is
//! over.
//!
//! ```
//! use std::time::Duration;
//! use taonet_timelock::{Beacon, Ciphertext, EpochSchedule, WeightsPayload, encrypt};
//! # use taonet_primitives::{Hotkey, Uid};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (hotkey, now) = (Hotkey::from_bytes([1; 32]), Duration::from_secs(1_763_650_000));
//! // When weights that are committed in the next block come to light.
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
//! // What `commit_timelocked_weights` takes as its `commit`.
//! let payload = WeightsPayload { hotkey, uids: vec![Uid(0), Uid(7)], values: vec![65_535, 1], version_key: 0 };
//! let commit = encrypt(&payload.to_bytes(), Beacon::quicknet(), round, &mut rand::rng())?.to_bytes();
//!
//! // Later, with the round's pulse: `Ciphertext::from_bytes(&commit)?.decrypt(&pulse)?`.
//! assert!(Ciphertext::from_bytes(&commit).is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! - [`Beacon`] is who publishes: its key and when which round is due; [`Pulse`] is what it published for one round.
//! - [`encrypt`] makes a [`Ciphertext`], [`Ciphertext::decrypt`] opens it. [`Wrapped`] is the form in which the Python
//!   helpers hand data around: the round stands beside the ciphertext.
//! - [`EpochSchedule`] says which round weights should be encrypted to; [`WeightsPayload`] is what is encrypted then.
//!
//! The scheme is identity-based encryption after Boneh and Franklin with the transform of Fujisaki and Okamoto, over
//! BLS12-381 with signatures in G1; the "identity" is the round. The container is the one of the chain's own decoder.
//!
//! Everything is a pure function: time and randomness come in as arguments. Keys are wiped from memory after use, as far
//! as the libraries beneath allow.

#![warn(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod beacon;
mod ciphertext;
mod ibe;
mod payload;
mod pulse;
mod schedule;

pub use beacon::{Beacon, BeaconError, Round};
pub use ciphertext::{Ciphertext, DecryptError, EncryptError, FormatError, Wrapped, WrappedError, encrypt};
pub use payload::{PayloadError, WeightsPayload};
pub use pulse::{Pulse, PulseError};
pub use schedule::{EpochSchedule, ScheduleError};
