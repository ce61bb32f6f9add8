//! Newtypes and codecs shared by taonet's crates. No I/O, no clock, no randomness.
//!
//! External input is parsed once into one of these types; from then on the type carries the
//! guarantee: a [`Hotkey`] is always a key of 32 bytes, a [`Seconds`] is never NaN.
//!
//! - accounts: [`Hotkey`], [`Coldkey`] and [`AccountId`], with their SS58 addresses ([`Ss58`]);
//! - subnets: [`NetUid`], [`Uid`], [`MechId`] and [`Weights`];
//! - amounts: [`Rao`] (10⁻⁹ TAO) and [`Alpha`], a subnet's own token;
//! - blocks: [`BlockNumber`], [`BlockHash`] and [`ExtrinsicHash`];
//! - speech: [`Seconds`], [`SampleRate`], and a [`Transcript`] with the times of its [`Word`]s;
//! - network addresses: [`is_public`];
//! - retries: [`Backoff`];
//! - texts: [`counted`], a number with its noun in the singular or plural; [`truncated`], the
//!   beginning of a text; [`without_bom`], a text without its byte order mark; [`page_text`], the
//!   text of a web page; [`take_complete_text`] of a text that arrives in parts; [`with_causes`] and
//!   [`innermost_cause`] of an error; [`split_hint`], which splits a message at its hint;
//!   [`panic_message`] of a caught panic.
//!
//! ```
//! use taonet_primitives::{Hotkey, Rao};
//!
//! let alice: Hotkey = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".parse()?;
//! assert_eq!(alice.as_bytes()[0], 0xd4);
//! assert_eq!("1.5".parse::<Rao>()?, Rao::new(1_500_000_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Uses no other crate of the workspace. Used by nearly every crate that handles accounts, amounts,
//! blocks or speech.

mod account;
mod amount;
mod backoff;
mod base58;
mod block;
mod byte_order_mark;
mod causes;
mod counted;
mod ids;
mod page_text;
mod panics;
mod partial_text;
mod printable_excerpt;
mod public_address;
#[cfg(feature = "scale")]
mod scale;
mod ss58;
mod transcript;
mod truncated;
mod units;
mod weights;

pub use account::{AccountId, Coldkey, Hotkey};
pub use amount::{Alpha, AmountError, Rao};
pub use backoff::Backoff;
pub use block::{BlockHash, BlockNumber, ExtrinsicHash, HashError};
pub use byte_order_mark::{bytes_without_bom, without_bom};
pub use causes::{HINT, INLINE_HINT, innermost_cause, split_hint, with_causes};
pub use counted::counted;
pub use ids::{IdError, MechId, NetUid, Uid};
pub use page_text::page_text;
pub use panics::panic_message;
pub use partial_text::take_complete_text;
pub use printable_excerpt::printable_excerpt;
pub use public_address::is_public;
pub use ss58::{Ss58, Ss58Error, Ss58Prefix};
pub use transcript::{Transcript, Word};
pub use truncated::truncated;
pub use units::{SampleRate, Seconds, UnitError};
pub use weights::Weights;
