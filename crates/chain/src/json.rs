//! The chain's values as JSON and back, by the types of the metadata.
//!
//! | Type | JSON |
//! |---|---|
//! | accounts | SS58 address; also read from `0x…` |
//! | whole numbers | a number; beyond 64 bits decimal text |
//! | byte lists | text where it is UTF-8, else `0x…` |
//! | byte arrays, hashes | `0x…` |
//! | structs | an object, or an array where the fields have no names; a wrapper is what it wraps |
//! | enums | `"Name"`, or `{"Name": fields}` |
//! | options | `null` or the value |
//! | maps | an object; read only |
//! | numbers of 256 bits | decimal text; read only |

mod endless;
mod read;
mod walk;
mod write;

pub(crate) use endless::refuse_endless;
pub(crate) use read::{fields_of, read, to_json};
pub(crate) use walk::check;
pub use write::JsonError;
pub(crate) use write::to_value;

use scale_info::PortableRegistry;

/// Types within types that are read, at most: calls may stand in calls without end, and reading them takes stack.
const MOST_NESTED: u8 = 128;
