//! Tests that need the repository: a copy of the example does not have them.

mod guide;
mod programs;
mod registrations;
