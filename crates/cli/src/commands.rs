//! The commands: one module per noun; each verb has its arguments and a `run` function.

pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod man;
pub(crate) mod update;
