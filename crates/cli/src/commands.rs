//! The commands: one module per noun; each verb has its arguments and a `run` function.

pub(crate) mod axon;
pub(crate) mod babelbit;
pub(crate) mod balance;
pub(crate) mod block;
pub(crate) mod commitment;
pub(crate) mod completions;
pub(crate) mod delegates;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod localnet;
pub(crate) mod man;
pub(crate) mod metagraph;
pub(crate) mod models;
pub(crate) mod nineteen;
pub(crate) mod register;
pub(crate) mod serve_axon;
pub(crate) mod speech;
pub(crate) mod stake;
pub(crate) mod subnets;
pub(crate) mod sudo;
pub(crate) mod take;
pub(crate) mod transfer;
pub(crate) mod wallet;
pub(crate) mod watch;
pub(crate) mod weights;
pub(crate) mod yuma;
