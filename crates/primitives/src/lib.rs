//! Newtypes and codecs shared by every taonet crate. No I/O, no clock, no randomness.
//!
//! A value from outside is parsed once into one of these types; from then on the type carries the guarantee: a
//! [`Hotkey`] is always 32 bytes with a checked address, a [`Seconds`] is never NaN.
//!
//! Uses no other crate of the workspace. Used by nearly all of them.

mod account;
mod amount;
mod block;
mod counted;
mod ids;
#[cfg(feature = "scale")]
mod scale;
mod ss58;
mod transcript;
mod units;
mod weights;

pub use account::{AccountId, Coldkey, Hotkey};
pub use amount::{Alpha, AmountError, Rao};
pub use block::{BlockHash, BlockNumber, ExtrinsicHash, HashError};
pub use counted::counted;
pub use ids::{MechId, NetUid, Uid};
pub use ss58::{Ss58, Ss58Error, Ss58Prefix};
pub use transcript::{Transcript, Word};
pub use units::{SampleRate, Seconds, UnitError};
pub use weights::Weights;
