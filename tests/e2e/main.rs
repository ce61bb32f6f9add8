//! End-to-end tests of whole networks with the real binaries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod arena;
mod audit;
mod axon;
mod axon_peers;
mod babelbit_peers;
mod bench_miner;
mod byte_order_marks;
mod chain;
#[cfg(target_os = "linux")]
mod chaos;
mod chutes;
mod cli;
mod dashboard;
mod demo;
mod doctor;
mod fuzz;
mod guides;
#[cfg(target_os = "linux")]
mod half_open;
mod interpret;
mod kill;
mod localnet_peers;
mod market;
mod nineteen;
mod outputs;
mod peers;
mod prompting;
mod proof;
mod python_package;
mod rounds;
mod scoring_api;
mod scoring_tools;
#[cfg(unix)]
mod scripts;
mod settings;
mod shortening;
mod speech;
mod subnet_new;
mod subnet_template;
mod support;
mod test_miner;
mod text_contest;
mod text_rounds;
mod timelock_peers;
mod translation;
#[cfg(unix)]
mod update;
mod validate;
mod voice;
mod wallet;
mod wallet_peers;
mod whisper;
mod workers;
