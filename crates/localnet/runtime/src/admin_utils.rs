//! Administrative calls of the sudo key and of subnet owners.
//!
//! `calls` contains the table of all calls, `authority` the required authorities, `bounds` the
//! validation of values, and `pallet_of_calls` the macro that generates the pallet from the table.

#[macro_use]
mod pallet_of_calls;

mod authority;
mod bounds;
mod calls;
#[cfg(test)]
mod tests;

pub use calls::pallet::*;
