//! `tao wallet …`: keys on disk, as Bittensor's tools keep them.

mod change;
mod create;
mod export;
mod faucet;
mod inspect;
mod list;
mod made;
mod message;
mod mnemonic;
mod overview;
pub(crate) mod place;
mod regen;
mod sign;
mod ss58;
mod validator_info;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::memory;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a wallet: a new coldkey and a new hotkey
    Create(create::CreateArgs),
    /// Make a new coldkey
    NewColdkey(create::NewColdkeyArgs),
    /// Make a new hotkey
    NewHotkey(create::NewHotkeyArgs),
    /// Recover a coldkey from its mnemonic, seed, private key or Polkadot-JS export
    RegenColdkey(regen::RegenColdkeyArgs),
    /// Write the public file of a coldkey whose secret is kept elsewhere
    RegenColdkeypub(regen::RegenColdkeypubArgs),
    /// Recover a hotkey from its mnemonic, seed, private key or Polkadot-JS export
    RegenHotkey(regen::RegenHotkeyArgs),
    /// Write the public file of a hotkey whose secret is kept elsewhere
    RegenHotkeypub(regen::RegenHotkeypubArgs),
    /// Show all wallets and their hotkeys
    List(list::ListArgs),
    /// Show one wallet's keys: addresses, files, how they are protected
    Inspect(inspect::InspectArgs),
    /// Show a wallet's funds, and its hotkeys' neurons on all subnets
    Overview(overview::OverviewArgs),
    Faucet(faucet::FaucetArgs),
    /// Sign a message, or a validator's information about itself
    Sign(sign::SignArgs),
    /// Check who signed a message; exit code 1 when the signature does not hold
    Verify(verify::VerifyArgs),
    /// Protect a plain keyfile with a password
    Encrypt(change::EncryptArgs),
    /// Take the password off a keyfile
    Decrypt(change::DecryptArgs),
    /// Give an encrypted keyfile another password
    ChangePassword(change::ChangePasswordArgs),
    /// Write a key as an encrypted Polkadot-JS export
    Export(export::ExportArgs),
    /// Convert addresses between networks
    #[command(subcommand)]
    Ss58(ss58::Command),
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    memory::protect();
    match command {
        Command::Create(args) => create::run(args, context),
        Command::NewColdkey(args) => create::run_coldkey(args, context),
        Command::NewHotkey(args) => create::run_hotkey(args, context),
        Command::RegenColdkey(args) => regen::run_coldkey(args, context),
        Command::RegenColdkeypub(args) => regen::run_coldkeypub(args, context),
        Command::RegenHotkey(args) => regen::run_hotkey(args, context),
        Command::RegenHotkeypub(args) => regen::run_hotkeypub(args, context),
        Command::List(args) => list::run(args, context),
        Command::Inspect(args) => inspect::run(args, context),
        Command::Overview(args) => overview::run(args, context),
        Command::Faucet(args) => faucet::run(args, context),
        Command::Sign(args) => sign::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Encrypt(args) => change::encrypt(args, context),
        Command::Decrypt(args) => change::decrypt(args, context),
        Command::ChangePassword(args) => change::change_password(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Ss58(command) => ss58::run(command, context),
    }
}
