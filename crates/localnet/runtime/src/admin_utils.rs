//! Administrative calls of the sudo key and of subnet owners.
//!
//! `calls` is the table of all calls, `authority` says who may make them, `bounds` what values some of them take, and
//! `pallet_of_calls` makes a pallet of the table.

#[macro_use]
mod pallet_of_calls;

mod authority;
mod bounds;
mod calls;
#[cfg(test)]
mod tests;

pub use calls::pallet::*;
