//! Commands that send requests to neurons: `tao axon` and `tao bench-miner`.
//!
//! - [`axon`] debugs connections from a shell: `serve` echoes signed requests, `call` sends one,
//!   `ping` sends many and measures them, `reset` withdraws a published endpoint.
//! - [`bench_miner`] loads a miner with requests at a constant rate and with bounded concurrency,
//!   and reports outcomes, percentiles of the response times and reasons of failures, as a table,
//!   JSON, CSV and a plot.
//!
//! Both sign requests as validators do, by the schemes of `taonet-wire`, and classify responses the
//! same way: `axon::CallOutcome` is the outcome of one request. Requests are JSON, so a miner in
//! any language can be tested, with types that this program does not know.
//!
//! `tao axon serve` is a neuron without a task: it verifies signatures as miners do, determines its
//! external address, and can open the port of a router. Its metrics are in docs/metrics.md.
//!
//! Exit codes follow from the outcome: `tao axon call` has that of its request, and `tao
//! bench-miner` 0 if any request succeeded, else that of the last one.
//!
//! Response times of a benchmark count from when a request was due, so that a slow miner cannot
//! hide its delay by slowing the sender down. docs/bench-miner.md describes files of requests.
//!
//! Miners at public addresses are loaded only with `--yes`.
//!
//! Uses `taonet-chain`, `taonet-cli-base`, `taonet-neuron`, `taonet-primitives`, `taonet-reach`,
//! `taonet-service`, `taonet-wallet` and `taonet-wire`. Used by `taonet-cli`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

pub mod axon;
pub mod bench_miner;
