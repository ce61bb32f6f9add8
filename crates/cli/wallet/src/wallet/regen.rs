//! `tao wallet regen-coldkey`, `regen-coldkeypub`, `regen-hotkey` and `regen-hotkeypub`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::prompt;
use taonet_cli_base::secret_file;
use taonet_cli_base::wallet_args::{HotkeyArgs, WalletArgs};
use taonet_wallet::{
    CryptoType, Keyfile, Keypair, Mnemonic, Password, PolkadotJs, PolkadotJsError, PublicKey,
};
use zeroize::Zeroizing;

use super::create::{ColdkeyPasswordArgs, HotkeyPasswordArgs, WriteArgs};
use super::written_key::{self, WrittenKey, check_free, not_written};

/// Arguments that locate the secret of a key
#[derive(Debug, Args)]
#[group(multiple = false)]
#[command(next_help_heading = "Secret (one of these; default: prompt on the terminal)")]
struct SecretArgs {
    /// File with the mnemonic, with an optional derivation path (`word word …//path`); `-` is
    /// standard input
    #[arg(id = "mnemonic_file", long = "mnemonic-file", value_name = "FILE")]
    mnemonic: Option<PathBuf>,
    /// File with the 32-byte seed as 64 hex digits; `-` is standard input
    #[arg(id = "seed_file", long = "seed-file", value_name = "FILE")]
    seed: Option<PathBuf>,
    /// File with the private key as in keyfiles: 128 hex digits, 64 for ed25519; `-` is standard
    /// input
    #[arg(id = "private_key_file", long = "private-key-file", value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Polkadot-JS account export (JSON)
    #[arg(id = "json_file", long = "json-file", alias = "json-path", value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Arguments for the secret of a key and its password
#[derive(Debug, Args)]
struct SourceArgs {
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    secret: SecretArgs,
    /// File with the export's password on one line [default: prompt on the terminal]
    #[arg(long, requires = "json_file", value_name = "FILE")]
    json_password_file: Option<PathBuf>,
}

/// Recover a coldkey
#[derive(Debug, Args)]
pub struct RegenColdkeyArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    wallet_args: WalletArgs,
    #[command(flatten)]
    password: ColdkeyPasswordArgs,
}

/// Recover a hotkey
#[derive(Debug, Args)]
pub struct RegenHotkeyArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    wallet_args: HotkeyArgs,
    #[command(flatten)]
    password: HotkeyPasswordArgs,
}

/// Write the public file of a coldkey
#[derive(Debug, Args)]
pub struct RegenColdkeypubArgs {
    /// Address of the coldkey, or its public key as 0x and 64 hex digits
    #[arg(long, visible_alias = "public-key", aliases = ["ss58-address", "public-key-hex"], value_name = "ADDRESS|KEY")]
    ss58: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    wallet_args: WalletArgs,
}

/// Write the public file of a hotkey
#[derive(Debug, Args)]
pub struct RegenHotkeypubArgs {
    /// Address of the hotkey, or its public key as 0x and 64 hex digits
    #[arg(long, visible_alias = "public-key", aliases = ["ss58-address", "public-key-hex"], value_name = "ADDRESS|KEY")]
    ss58: String,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    wallet_args: HotkeyArgs,
}

pub(crate) fn run_coldkey(args: &RegenColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    let wallet = args.wallet_args.wallet()?;
    let overwrite = args.source.write.overwrite();
    check_free(&[wallet.coldkey_path()], overwrite)?;
    let key = args.source.read_keyfile()?;
    let password = args.password.choose(&wallet)?;
    let written_files =
        wallet.write_coldkey(&key, password.as_ref(), overwrite).map_err(not_written)?;
    written_key::report(
        &wallet,
        &[WrittenKey::new("coldkey", key.public(), password.is_some(), written_files)],
        context,
    )
}

pub(crate) fn run_hotkey(args: &RegenHotkeyArgs, context: &Context) -> anyhow::Result<()> {
    let (wallet, hotkey) = (args.wallet_args.wallet()?, args.wallet_args.name()?);
    let overwrite = args.source.write.overwrite();
    check_free(&[wallet.hotkey_path(&hotkey)], overwrite)?;
    let key = args.source.read_keyfile()?;
    let password = args.password.choose(&hotkey)?;
    let written_files =
        wallet.write_hotkey(&hotkey, &key, password.as_ref(), overwrite).map_err(not_written)?;
    let key = WrittenKey::new("hotkey", key.public(), password.is_some(), written_files)
        .named(hotkey.as_str());
    written_key::report(&wallet, &[key], context)
}

pub(crate) fn run_coldkeypub(args: &RegenColdkeypubArgs, context: &Context) -> anyhow::Result<()> {
    let wallet = args.wallet_args.wallet()?;
    let key = PublicKey::parse(&args.ss58, args.write.crypto_type)
        .context("--ss58 is not a valid address or public key")?;
    let written_files =
        wallet.write_coldkeypub(key, args.write.overwrite()).map_err(not_written)?;
    written_key::report(
        &wallet,
        &[WrittenKey::new("coldkeypub", key, false, written_files)],
        context,
    )
}

pub(crate) fn run_hotkeypub(args: &RegenHotkeypubArgs, context: &Context) -> anyhow::Result<()> {
    let (wallet, hotkey) = (args.wallet_args.wallet()?, args.wallet_args.name()?);
    let key = PublicKey::parse(&args.ss58, args.write.crypto_type)
        .context("--ss58 is not a valid address or public key")?;
    let written_files =
        wallet.write_hotkeypub(&hotkey, key, args.write.overwrite()).map_err(not_written)?;
    written_key::report(
        &wallet,
        &[WrittenKey::new("hotkeypub", key, false, written_files).named(hotkey.as_str())],
        context,
    )
}

impl SourceArgs {
    fn read_keyfile(&self) -> anyhow::Result<Keyfile> {
        let scheme = self.write.crypto_type;
        let secret = &self.secret;
        if let Some(file) = &secret.json {
            return self.import_json(file);
        }
        if let Some(file) = &secret.mnemonic {
            read_secret(file, scheme, from_mnemonic)
        } else if let Some(file) = &secret.seed {
            read_secret(file, scheme, from_seed)
        } else if let Some(file) = &secret.private_key {
            read_secret(file, scheme, from_private_key)
        } else {
            let hint = "pass the secret in a file with --mnemonic-file, --seed-file, --private-key-file or --json-file";
            let input = prompt::read_secret("Mnemonic, or seed or private key in hex", hint)?;
            from_any(input.trim(), scheme)
        }
    }

    fn import_json(&self, file: &Path) -> anyhow::Result<Keyfile> {
        if self.write.crypto_type != CryptoType::Sr25519 {
            return Err(ClassifiedError::usage("Polkadot-JS exports hold sr25519 keys only"));
        }
        let name = file.display();
        let export = PolkadotJs::parse(secret_file::read(file)?.as_bytes())
            .with_context(|| format!("{name} is not a Polkadot-JS account export"))?;
        let password = match &self.json_password_file {
            Some(file) => Password::from_file(file)?,
            None if export.is_encrypted() => Password::new(prompt::read_secret(
                &format!("Password of {name}"),
                "pass the export's password with --json-password-file",
            )?),
            None => Password::new(String::new()),
        };
        match export.open(&password) {
            Ok(keypair) => Ok(Keyfile::from_keypair(keypair)),
            Err(error @ PolkadotJsError::WrongPassword) => Err(ClassifiedError::error(
                Failure::Authentication,
                format!("cannot decrypt {name}: {error}"),
            )),
            Err(error) => Err(error).with_context(|| format!("cannot decrypt {name}")),
        }
    }
}

/// Classifies a secret by its form: hex digits are a private key or seed, anything else is a
/// mnemonic.
fn from_any(text: &str, scheme: CryptoType) -> anyhow::Result<Keyfile> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match digits.len() {
        _ if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => from_mnemonic(text, scheme),
        128 => from_private_key(text, scheme),
        _ => from_seed(text, scheme),
    }
}

fn from_mnemonic(text: &str, scheme: CryptoType) -> anyhow::Result<Keyfile> {
    match text.find('/') {
        None => {}
        Some(0) => bail!("missing mnemonic before the derivation path"),
        Some(_) => return Ok(Keyfile::from_keypair(Keypair::from_uri_with(text, scheme)?)),
    }
    Ok(Keyfile::from_mnemonic(&Mnemonic::parse(text)?, scheme))
}

fn from_seed(text: &str, scheme: CryptoType) -> anyhow::Result<Keyfile> {
    let bytes = from_hex(text)?;
    let Ok(seed) = bytes.as_slice().try_into() else {
        bail!("expected a seed of 64 hex digits, not {}", 2 * bytes.len())
    };
    Ok(Keyfile::from_seed(seed, scheme))
}

fn from_private_key(text: &str, scheme: CryptoType) -> anyhow::Result<Keyfile> {
    Ok(Keyfile::from_keypair(Keypair::from_private_key_with(&from_hex(text)?, scheme)?))
}

fn read_secret(
    file: &Path,
    scheme: CryptoType,
    parse: fn(&str, CryptoType) -> anyhow::Result<Keyfile>,
) -> anyhow::Result<Keyfile> {
    parse(&secret_file::read(file)?, scheme)
        .with_context(|| format!("{} is not a valid secret", file.display()))
}

fn from_hex(text: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    // The parser's error would reveal a digit of the secret.
    hex::decode(digits).map(Zeroizing::new).map_err(|_| anyhow::anyhow!("odd number of hex digits"))
}
