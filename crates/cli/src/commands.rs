//! One module a noun; each verb has its arguments and a `run`.

pub(crate) mod axon;
pub(crate) mod babelbit;
pub(crate) mod demo;
pub(crate) mod localnet;
pub(crate) mod models;
pub(crate) mod speech;
pub(crate) mod wallet;
pub(crate) mod yuma;
