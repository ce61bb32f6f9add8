//! `tao wallet create`, `new-coldkey` and `new-hotkey`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::password::PasswordArgs;
use taonet_cli_base::wallet_args::{HotkeyArgs, WalletArgs};
use taonet_wallet::{
    CryptoType, Keyfile, Mnemonic, Name, Overwrite, Password, Wallet, WalletError, WordCount,
    WrittenFiles,
};

use super::mnemonic::{MnemonicDestination, parse_word_count};
use super::written_key::{self, WrittenKey, check_free, not_completed};

/// Arguments for a new key
#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// Number of words of the mnemonic: 12, 15, 18, 21 or 24
    #[arg(long, alias = "n_words", value_parser = parse_word_count, default_value = "12", value_name = "COUNT")]
    n_words: WordCount,
    #[command(flatten)]
    write: WriteArgs,
}

/// Arguments for writing a keyfile
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Signature scheme: sr25519 or ed25519
    #[arg(long, default_value_t = CryptoType::Sr25519, value_name = "SCHEME")]
    pub(super) crypto_type: CryptoType,
    /// Replace an existing key of the same name; the old one is moved to .backups
    #[arg(long)]
    overwrite: bool,
}

impl WriteArgs {
    pub(super) const fn overwrite(&self) -> Overwrite {
        if self.overwrite { Overwrite::KeepBackup } else { Overwrite::Refuse }
    }
}

/// Arguments for the encryption of a new coldkey
#[derive(Debug, Args)]
#[command(next_help_heading = "Password options")]
pub(crate) struct ColdkeyPasswordArgs {
    #[command(flatten)]
    password: PasswordArgs,
    /// Leave the coldkey unencrypted: anyone who can read the file can spend the funds
    #[arg(long, alias = "no-password", conflicts_with_all = ["password_file", "password_fd"])]
    no_use_password: bool,
    /// Encrypt the coldkey (the default)
    #[arg(long, hide = true, conflicts_with = "no_use_password")]
    use_password: bool,
}

impl ColdkeyPasswordArgs {
    pub(super) fn choose(&self, wallet: &Wallet) -> anyhow::Result<Option<Password>> {
        if self.no_use_password {
            return Ok(None);
        }
        self.password.read_new(&format!("the coldkey of {}", wallet.name())).map(Some)
    }
}

/// Arguments for the encryption of a new hotkey
#[derive(Debug, Args)]
#[command(next_help_heading = "Password options")]
pub(crate) struct HotkeyPasswordArgs {
    /// Encrypt the hotkey; daemons then need its password at startup
    #[arg(long)]
    use_password: bool,
    /// Leave the hotkey unencrypted (the default)
    #[arg(long, hide = true, alias = "no-password", conflicts_with_all = ["use_password", "password_file", "password_fd"])]
    no_use_password: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

impl HotkeyPasswordArgs {
    pub(super) fn choose(&self, hotkey: &Name) -> anyhow::Result<Option<Password>> {
        let has_password = self.use_password || self.password.is_given();
        has_password.then(|| self.password.read_new(&format!("the hotkey {hotkey}"))).transpose()
    }
}

/// Create a wallet with a new coldkey and a new hotkey
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    new_key: NewKeyArgs,
    /// Write the coldkey's mnemonic to this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    coldkey_mnemonic_file: Option<PathBuf>,
    /// Write the hotkey's mnemonic to this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    hotkey_mnemonic_file: Option<PathBuf>,
    #[command(flatten)]
    wallet_args: HotkeyArgs,
    #[command(flatten)]
    password: ColdkeyPasswordArgs,
}

/// Create a coldkey
#[derive(Debug, Args)]
pub struct NewColdkeyArgs {
    #[command(flatten)]
    new_key: NewKeyArgs,
    /// Write the mnemonic to this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    mnemonic_file: Option<PathBuf>,
    #[command(flatten)]
    wallet_args: WalletArgs,
    #[command(flatten)]
    password: ColdkeyPasswordArgs,
}

/// Create a hotkey
#[derive(Debug, Args)]
pub struct NewHotkeyArgs {
    #[command(flatten)]
    new_key: NewKeyArgs,
    /// Write the mnemonic to this new file instead of showing it
    #[arg(long, value_name = "FILE")]
    mnemonic_file: Option<PathBuf>,
    #[command(flatten)]
    wallet_args: HotkeyArgs,
    #[command(flatten)]
    password: HotkeyPasswordArgs,
}

pub(crate) fn run(args: &CreateArgs, context: &Context) -> anyhow::Result<()> {
    let (wallet, hotkey) = (args.wallet_args.wallet()?, args.wallet_args.name()?);
    let overwrite = args.new_key.write.overwrite();
    let coldkey_output = MnemonicDestination::choose(
        args.coldkey_mnemonic_file.as_ref(),
        "--coldkey-mnemonic-file",
        context,
    )?;
    let hotkey_output = MnemonicDestination::choose(
        args.hotkey_mnemonic_file.as_ref(),
        "--hotkey-mnemonic-file",
        context,
    )?;
    // Check both paths before writing either key.
    check_free(&[wallet.coldkey_path(), wallet.coldkeypub_path()], overwrite)?;
    check_free(&[wallet.hotkey_path(&hotkey), wallet.hotkeypub_path(&hotkey)], overwrite)?;
    let password = args.password.choose(&wallet)?;
    let coldkey = args.new_key.coldkey(&wallet, password.as_ref(), &coldkey_output, context)?;
    let hotkey = args
        .new_key
        .hotkey(&wallet, &hotkey, None, &hotkey_output, context)
        .with_context(|| coldkey.written_files_text())?;
    written_key::report(&wallet, &[coldkey, hotkey], context)
}

pub(crate) fn run_coldkey(args: &NewColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    let wallet = args.wallet_args.wallet()?;
    let output =
        MnemonicDestination::choose(args.mnemonic_file.as_ref(), "--mnemonic-file", context)?;
    check_free(&[wallet.coldkey_path(), wallet.coldkeypub_path()], args.new_key.write.overwrite())?;
    let password = args.password.choose(&wallet)?;
    written_key::report(
        &wallet,
        &[args.new_key.coldkey(&wallet, password.as_ref(), &output, context)?],
        context,
    )
}

pub(crate) fn run_hotkey(args: &NewHotkeyArgs, context: &Context) -> anyhow::Result<()> {
    let (wallet, hotkey) = (args.wallet_args.wallet()?, args.wallet_args.name()?);
    let output =
        MnemonicDestination::choose(args.mnemonic_file.as_ref(), "--mnemonic-file", context)?;
    check_free(
        &[wallet.hotkey_path(&hotkey), wallet.hotkeypub_path(&hotkey)],
        args.new_key.write.overwrite(),
    )?;
    let password = args.password.choose(&hotkey)?;
    written_key::report(
        &wallet,
        &[args.new_key.hotkey(&wallet, &hotkey, password.as_ref(), &output, context)?],
        context,
    )
}

impl NewKeyArgs {
    fn coldkey(
        &self,
        wallet: &Wallet,
        password: Option<&Password>,
        mnemonic_output: &MnemonicDestination<'_>,
        context: &Context,
    ) -> anyhow::Result<WrittenKey> {
        self.create(
            "coldkey",
            |key| wallet.write_coldkey(key, password, self.write.overwrite()),
            password.is_some(),
            mnemonic_output,
            context,
        )
    }

    fn hotkey(
        &self,
        wallet: &Wallet,
        hotkey: &Name,
        password: Option<&Password>,
        mnemonic_output: &MnemonicDestination<'_>,
        context: &Context,
    ) -> anyhow::Result<WrittenKey> {
        let write =
            |key: &Keyfile| wallet.write_hotkey(hotkey, key, password, self.write.overwrite());
        let key = self.create("hotkey", write, password.is_some(), mnemonic_output, context)?;
        Ok(key.named(hotkey.as_str()))
    }

    fn create(
        &self,
        role: &'static str,
        write: impl FnOnce(&Keyfile) -> Result<WrittenFiles, WalletError>,
        is_encrypted: bool,
        mnemonic_output: &MnemonicDestination<'_>,
        context: &Context,
    ) -> anyhow::Result<WrittenKey> {
        let mnemonic = Mnemonic::generate(self.n_words)?;
        let key = Keyfile::from_mnemonic(&mnemonic, self.write.crypto_type);
        mnemonic_output.write(&mnemonic)?;
        let result = write(&key);
        if let Err(error) = &result
            && !error.is_partly_written()
        {
            mnemonic_output.remove_file();
        } else {
            mnemonic_output.show(&format!("the {role}"), &mnemonic, context)?;
        }
        let result = result.map_err(|error| not_completed(error, mnemonic_output.file()))?;
        Ok(WrittenKey::new(role, key.public(), is_encrypted, result)
            .with_mnemonic_file(mnemonic_output.file()))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A partly written key keeps its mnemonic file, since only the mnemonic can restore the key.
    #[test]
    fn mnemonic_file_is_removed_if_no_key_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let write = WriteArgs { crypto_type: CryptoType::Sr25519, overwrite: false };
        let new = NewKeyArgs { n_words: WordCount::try_from(12).unwrap(), write };
        let failed = || WalletError::Write {
            path: "coldkeypub.txt".into(),
            source: io::Error::other("disk full"),
        };
        let partly = WalletError::PartlyWritten {
            files: vec!["/w/coldkey".into()],
            backups: vec!["/w/.backups/coldkey.1".into()],
            source: Box::new(failed()),
        };
        for (name, error, stays) in [("first", partly, true), ("second", failed(), false)] {
            let file = folder.path().join(name);
            let output = MnemonicDestination::File(&file);
            let key = new.create("coldkey", |_| Err(error), false, &output, &Context::new(true));
            assert_eq!(file.exists(), stays, "{name}");
            let message = format!("{:#}", key.unwrap_err());
            for part in ["/w/coldkey", "/w/.backups/coldkey.1", file.to_str().unwrap()] {
                assert_eq!(message.contains(part), stays, "{message}");
            }
            assert!(message.contains("coldkeypub.txt"), "{message}");
        }
    }
}
