//! Commands for subnets: `tao subnets`, `metagraph`, `register`, `serve-axon`, `weights`,
//! `commitment`, `sudo` and `yuma`.
//!
//! Each module is a command or a group of commands, with its arguments and a function `run`.
//!
//! - [`subnets`] lists, creates, starts and checks subnets, shows prices and hyperparameters, and
//!   writes the files of a new subnet's program (`tao subnets new`, from the example of the kit).
//! - [`scores`] explains, exports and imports the scores of a validator on the kit, for `tao
//!   subnets` and for the commands of such a subnet.
//! - [`metagraph`] shows the neurons of a subnet, or what changed between two blocks.
//! - [`register`] registers a hotkey, with TAO or with proof of work; the feature `opencl` also
//!   searches on OpenCL devices. [`serve_axon`] publishes a neuron's endpoint, and [`commitment`]
//!   texts of neurons.
//! - [`weights`] sets, commits, reveals and shows weights. It submits directly, without the weight
//!   ledger of daemons.
//! - [`sudo`] sets hyperparameters, as root or as the owner of a subnet.
//! - [`yuma`] computes one epoch of Yuma consensus from a file, without a chain.
//!
//! A subnet's own commands, such as `tao nineteen`, are in the crate of that subnet; here is what
//! all subnets have on the chain. docs/chain.md has the JSON keys of every command.
//!
//! The commands keep no state, except for the names of subnets that `tao subnets list` saw last:
//! completions show them.
//!
//! Uses `taonet-chain`, `taonet-cli-base`, `taonet-cli-wallet`, `taonet-consensus`, `taonet-kit`,
//! `taonet-ledger`, `taonet-pow`, `taonet-primitives`, `taonet-service` and `taonet-timelock`. Used
//! by `taonet-cli-prompting` and `taonet-cli`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

pub mod commitment;
pub mod metagraph;
pub mod register;
pub mod scores;
pub mod serve_axon;
pub mod subnets;
pub mod sudo;
pub mod weights;
pub mod yuma;
