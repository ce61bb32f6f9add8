//! Newtypes and codecs shared by every taonet crate. No I/O, no clock, no randomness.
//!
//! A value that comes from outside is parsed once into one of these types; from then on the type carries
//! the guarantee: a [`Hotkey`] is always 32 bytes with a checked address, a [`Seconds`] is never NaN.

mod hotkey;
mod ids;
mod transcript;
mod units;

pub use hotkey::{Hotkey, Ss58Error};
pub use ids::{NetUid, Uid};
pub use transcript::{Transcript, Word};
pub use units::{SampleRate, Seconds, UnitError};
