//! Commands for keys, accounts and stake: `tao wallet`, `balance`, `transfer`, `stake`, `lock`,
//! `delegates`, `take`, `proxy`, `multisig` and `crowdloan`.
//!
//! Each module is a group of commands; each command has its arguments with their help, and a
//! function that runs it.
//!
//! - [`wallet`] creates, recovers, lists, encrypts and exports keys, signs and verifies messages,
//!   and shows and swaps what the chain knows of a coldkey. Commands for keys alone connect to no
//!   chain.
//! - [`balance`] and [`transfer`] are for TAO, [`stake`] for alpha: add, remove, move, limit
//!   prices, child hotkeys, root dividends. [`lock`] locks stake, and [`delegates`] and [`take`]
//!   are for those who receive it.
//! - [`proxy`], [`multisig`] and [`crowdloan`] let several accounts act as one.
//!
//! Every command that spends shows what it will do and what it costs, asks on a terminal unless
//! `--yes` is given, and with `--dry-run` stops before it sends. Trades of alpha have a price limit
//! by default: one that would move the price by more than 5 % fails.
//!
//! Keys are read from keyfiles, from prompts or from files, never from arguments, which other users
//! can see. The memory of the process is protected from core dumps and debuggers.
//!
//! `tao sudo stake-burn` runs [`stake::burn`]; its command is with the other commands of an owner.
//!
//! Uses `taonet-chain`, `taonet-cli-base`, `taonet-cli-chain`, `taonet-primitives` and
//! `taonet-wallet`. Used by `taonet-cli` and `taonet-cli-subnets`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

pub mod balance;
pub mod crowdloan;
pub mod delegates;
pub mod lock;
pub mod multisig;
pub mod proxy;
pub mod stake;
pub mod take;
pub mod transfer;
pub mod wallet;
