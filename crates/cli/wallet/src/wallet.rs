//! `tao wallet …`: wallets and keyfiles in the format of Bittensor's tools.

mod change;
mod create;
mod export;
mod faucet;
mod identity;
mod inspect;
mod list;
mod message;
mod mnemonic;
mod overview;
mod regen;
mod sign;
mod ss58;
mod swap;
mod validator_info;
mod verify;
mod written_key;

use clap::Subcommand;
use taonet_cli_base::chain::ReadColdkeyArgs;
use taonet_cli_base::context::Context;
use taonet_cli_base::memory;

/// The commands of `tao wallet`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a wallet with a new coldkey and a new hotkey
    Create(create::CreateArgs),
    /// Create a coldkey
    NewColdkey(create::NewColdkeyArgs),
    /// Create a hotkey
    NewHotkey(create::NewHotkeyArgs),
    /// Recover a coldkey from its mnemonic, seed, private key or Polkadot-JS export
    RegenColdkey(regen::RegenColdkeyArgs),
    /// Write the public file of a coldkey from its address
    RegenColdkeypub(regen::RegenColdkeypubArgs),
    /// Recover a hotkey from its mnemonic, seed, private key or Polkadot-JS export
    RegenHotkey(regen::RegenHotkeyArgs),
    /// Write the public file of a hotkey from its address
    RegenHotkeypub(regen::RegenHotkeypubArgs),
    /// List wallets and their hotkeys
    List(list::ListArgs),
    /// Show a wallet's keys: addresses, files, encryption, permissions
    Inspect(inspect::InspectArgs),
    /// Show a wallet's balance, stake and neurons
    Overview(overview::OverviewArgs),
    Faucet(faucet::FaucetArgs),
    SetIdentity(identity::SetIdentityArgs),
    /// Show the identity of a coldkey
    GetIdentity(ReadColdkeyArgs),
    SwapHotkey(swap::SwapHotkeyArgs),
    /// Replace a coldkey: announce, wait, execute
    #[command(subcommand)]
    SwapColdkey(swap::Command),
    AssociateHotkey(swap::AssociateHotkeyArgs),
    /// Sign a message, or a validator's public information
    Sign(sign::SignArgs),
    /// Verify a signature; exit code 1 when it is invalid
    Verify(verify::VerifyArgs),
    /// Encrypt a keyfile with a password
    Encrypt(change::EncryptArgs),
    /// Decrypt a keyfile on disk
    Decrypt(change::DecryptArgs),
    /// Change the password of a keyfile
    ChangePassword(change::ChangePasswordArgs),
    /// Export a key as encrypted Polkadot-JS JSON
    Export(export::ExportArgs),
    /// Convert SS58 addresses between networks
    #[command(subcommand)]
    Ss58(ss58::Command),
}

/// Runs a command of `tao wallet`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
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
        Command::SetIdentity(args) => identity::set(args, context),
        Command::GetIdentity(args) => identity::get(args, context),
        Command::SwapHotkey(args) => swap::swap_hotkey(args, context),
        Command::SwapColdkey(command) => swap::run_swap_coldkey(command, context),
        Command::AssociateHotkey(args) => swap::associate(args, context),
        Command::Sign(args) => sign::run(args, context),
        Command::Verify(args) => verify::run(args, context),
        Command::Encrypt(args) => change::encrypt(args, context),
        Command::Decrypt(args) => change::decrypt(args, context),
        Command::ChangePassword(args) => change::change_password(args, context),
        Command::Export(args) => export::run(args, context),
        Command::Ss58(command) => ss58::run(command, context),
    }
}
