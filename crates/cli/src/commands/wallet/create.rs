//! `tao wallet create`, `new-coldkey` and `new-hotkey`.

use std::path::PathBuf;

use clap::Args;
use taonet_wallet::{CryptoType, Keyfile, Mnemonic, Name, Overwrite, Password, Wallet, WordCount};

use super::made::{self, Made, check_free, not_written};
use super::mnemonic::{Destination, word_count};
use super::place::{HotkeyArgs, WalletArgs};
use crate::context::Context;
use crate::password::PasswordArgs;

/// What a new key is like
#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// Words of the mnemonic: 12, 15, 18, 21 or 24
    #[arg(long, value_parser = word_count, default_value = "12", value_name = "COUNT")]
    n_words: WordCount,
    #[command(flatten)]
    write: WriteArgs,
}

/// How a key is written
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// The signature scheme: sr25519, or ed25519
    #[arg(long, default_value_t = CryptoType::Sr25519, value_name = "SCHEME")]
    pub(super) crypto_type: CryptoType,
    /// Replace a key of the same name, which is kept as a backup beside it
    #[arg(long)]
    overwrite: bool,
}

impl WriteArgs {
    pub(super) const fn overwrite(&self) -> Overwrite {
        if self.overwrite { Overwrite::KeepBackup } else { Overwrite::Refuse }
    }
}

/// Whether a coldkey is encrypted
#[derive(Debug, Args)]
#[command(next_help_heading = "Password options")]
pub(crate) struct ColdkeyPasswordArgs {
    #[command(flatten)]
    password: PasswordArgs,
    /// Leave the coldkey unencrypted: whoever reads the file has the funds
    #[arg(long, alias = "no-password", conflicts_with_all = ["password_file", "password_fd"])]
    no_use_password: bool,
}

impl ColdkeyPasswordArgs {
    pub(super) fn choose(&self, wallet: &Wallet) -> anyhow::Result<Option<Password>> {
        let of = || format!("the coldkey of {}", wallet.name());
        if self.no_use_password { Ok(None) } else { self.password.for_new(&of()).map(Some) }
    }
}

/// Whether a hotkey is encrypted
#[derive(Debug, Args)]
#[command(next_help_heading = "Password options")]
pub(crate) struct HotkeyPasswordArgs {
    /// Encrypt the hotkey; daemons then need its password
    #[arg(long)]
    use_password: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

impl HotkeyPasswordArgs {
    pub(super) fn choose(&self, hotkey: &Name) -> anyhow::Result<Option<Password>> {
        let wanted = self.use_password || self.password.is_given();
        wanted.then(|| self.password.for_new(&format!("the hotkey {hotkey}"))).transpose()
    }
}

/// Make a wallet: a new coldkey and a new hotkey
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    new: NewKeyArgs,
    /// Write the coldkey's mnemonic to this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    coldkey_mnemonic_file: Option<PathBuf>,
    /// Write the hotkey's mnemonic to this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    hotkey_mnemonic_file: Option<PathBuf>,
    #[command(flatten)]
    place: HotkeyArgs,
    #[command(flatten)]
    password: ColdkeyPasswordArgs,
}

/// Make a new coldkey
#[derive(Debug, Args)]
pub(crate) struct NewColdkeyArgs {
    #[command(flatten)]
    new: NewKeyArgs,
    /// Write the mnemonic to this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    mnemonic_file: Option<PathBuf>,
    #[command(flatten)]
    place: WalletArgs,
    #[command(flatten)]
    password: ColdkeyPasswordArgs,
}

/// Make a new hotkey
#[derive(Debug, Args)]
pub(crate) struct NewHotkeyArgs {
    #[command(flatten)]
    new: NewKeyArgs,
    /// Write the mnemonic to this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    mnemonic_file: Option<PathBuf>,
    #[command(flatten)]
    place: HotkeyArgs,
    #[command(flatten)]
    password: HotkeyPasswordArgs,
}

pub(crate) fn run(args: &CreateArgs, context: &Context) -> anyhow::Result<()> {
    let (wallet, hotkey) = (args.place.wallet()?, args.place.name()?);
    let overwrite = args.new.write.overwrite();
    let coldkey_goes = Destination::choose(args.coldkey_mnemonic_file.as_ref(), "--coldkey-mnemonic-file", context)?;
    let hotkey_goes = Destination::choose(args.hotkey_mnemonic_file.as_ref(), "--hotkey-mnemonic-file", context)?;
    // Both, before one of them is written.
    check_free(&[wallet.coldkey_path(), wallet.coldkeypub_path()], overwrite)?;
    check_free(&[wallet.hotkey_path(&hotkey), wallet.hotkeypub_path(&hotkey)], overwrite)?;
    let password = args.password.choose(&wallet)?;
    let keys = [
        args.new.coldkey(&wallet, password.as_ref(), &coldkey_goes, context)?,
        args.new.hotkey(&wallet, &hotkey, None, &hotkey_goes, context)?,
    ];
    made::tell(&wallet, &keys, context)
}

pub(crate) fn run_coldkey(args: &NewColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    let wallet = args.place.wallet()?;
    let goes = Destination::choose(args.mnemonic_file.as_ref(), "--mnemonic-file", context)?;
    check_free(&[wallet.coldkey_path(), wallet.coldkeypub_path()], args.new.write.overwrite())?;
    let password = args.password.choose(&wallet)?;
    made::tell(&wallet, &[args.new.coldkey(&wallet, password.as_ref(), &goes, context)?], context)
}

pub(crate) fn run_hotkey(args: &NewHotkeyArgs, context: &Context) -> anyhow::Result<()> {
    let (wallet, hotkey) = (args.place.wallet()?, args.place.name()?);
    let goes = Destination::choose(args.mnemonic_file.as_ref(), "--mnemonic-file", context)?;
    check_free(&[wallet.hotkey_path(&hotkey), wallet.hotkeypub_path(&hotkey)], args.new.write.overwrite())?;
    let password = args.password.choose(&hotkey)?;
    made::tell(&wallet, &[args.new.hotkey(&wallet, &hotkey, password.as_ref(), &goes, context)?], context)
}

impl NewKeyArgs {
    fn coldkey(
        &self,
        wallet: &Wallet,
        password: Option<&Password>,
        mnemonic_goes: &Destination<'_>,
        context: &Context,
    ) -> anyhow::Result<Made> {
        let write = |key: &Keyfile| wallet.write_coldkey(key, password, self.write.overwrite());
        self.make("coldkey", write, password.is_some(), mnemonic_goes, context)
    }

    fn hotkey(
        &self,
        wallet: &Wallet,
        hotkey: &Name,
        password: Option<&Password>,
        mnemonic_goes: &Destination<'_>,
        context: &Context,
    ) -> anyhow::Result<Made> {
        let write = |key: &Keyfile| wallet.write_hotkey(hotkey, key, password, self.write.overwrite());
        let made = self.make("hotkey", write, password.is_some(), mnemonic_goes, context)?;
        Ok(made.named(hotkey.as_str()))
    }

    fn make(
        &self,
        role: &'static str,
        write: impl FnOnce(&Keyfile) -> Result<taonet_wallet::Written, taonet_wallet::WalletError>,
        encrypted: bool,
        mnemonic_goes: &Destination<'_>,
        context: &Context,
    ) -> anyhow::Result<Made> {
        let mnemonic = Mnemonic::generate(self.n_words)?;
        let key = Keyfile::from_mnemonic(&mnemonic, self.write.crypto_type);
        mnemonic_goes.keep(&mnemonic)?;
        let written = write(&key).map_err(|error| {
            mnemonic_goes.undo();
            not_written(error)
        })?;
        mnemonic_goes.show(&format!("the {role}"), &mnemonic, context)?;
        Ok(Made::new(role, key.public(), encrypted, written).with_mnemonic_file(mnemonic_goes.file()))
    }
}
