//! Converts a chain's SCALE values to JSON and back, by their types in the metadata.
//!
//! ```
//! use subxt::ext::scale_value::scale::encode_as_type;
//! use taonet_scale_json::{decode, to_json, to_value};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use scale_info::{MetaType, PortableRegistry, Registry};
//! # let mut registry = Registry::new();
//! # let type_id = registry.register_type(&MetaType::new::<(u16, Option<bool>)>()).id;
//! # let types = PortableRegistry::from(registry);
//! let json = serde_json::json!([7, true]);
//! let value = to_value(&json, type_id, &types, "argument")?;
//! let mut bytes = Vec::new();
//! encode_as_type(&value, type_id, &types, &mut bytes)?;
//! assert_eq!(bytes, [7, 0, 1, 1]);
//!
//! let decoded = decode(&mut bytes.as_slice(), type_id, &types)?;
//! assert_eq!(to_json(&decoded, &types), json);
//! # Ok(())
//! # }
//! ```
//!
//! Uses `taonet-primitives` (addresses). Used by `taonet-chain`, whose tests compare it with
//! recorded values.
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

#![deny(clippy::arithmetic_side_effects)]

mod read;
mod recursion;
mod walk;
mod write;

pub use read::{decode, fields_of, to_json};
pub use recursion::{RecursionError, check_recursion};
pub use walk::encoded_len;
pub use write::{JsonError, is_option, to_value};

use scale_info::PortableRegistry;

/// Maximum nesting depth: calls may nest without limit, and decoding each level uses stack space.
const MAX_NESTING_DEPTH: u8 = 128;
