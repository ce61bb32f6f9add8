//! Converts the chain's values to JSON and back, by their types in the metadata.
//!
//! | Type | JSON |
//! |---|---|
//! | accounts | SS58 address; also read from `0x…` |
//! | integers | a number; beyond 64 bits decimal text |
//! | byte lists | text where it is UTF-8, else `0x…` |
//! | byte arrays, hashes | `0x…` |
//! | structs | an object, or an array where the fields have no names; a newtype is its inner value |
//! | enums | `"Name"`, or `{"Name": fields}` |
//! | options | `null` or the value |
//! | maps | an object; decoding only |
//! | 256-bit numbers | decimal text; decoding only |

mod endless;
mod read;
mod walk;
mod write;

pub(crate) use endless::refuse_endless;
pub(crate) use read::{fields_of, read, to_json};
pub(crate) use walk::check;
pub use write::JsonError;
pub(crate) use write::{is_option, to_value};

use scale_info::PortableRegistry;

/// Maximum nesting depth: calls may nest without limit, and decoding each level uses stack space.
const MAX_NESTED: u8 = 128;
