//! The `tao wallet inspect` command.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::wallet_args::WalletArgs;
use taonet_wallet::{Backup, PublicKey, SecretState, StoredKey, Wallet};

use super::list::mismatch_text;

/// Show one wallet's keys
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    wallet_args: WalletArgs,
}

/// A key of the wallet and its file.
struct InspectedKey {
    role: &'static str,
    name: Option<String>,
    public: Option<PublicKey>,
    mismatch: Option<PublicKey>,
    secret: SecretState,
    path: PathBuf,
    /// File mode, if group or others can read the file.
    exposed_mode: Option<u32>,
    /// Backups of overwritten keys.
    backups: Vec<Backup>,
}

pub(crate) fn run(args: &InspectArgs, context: &Context) -> anyhow::Result<()> {
    let wallet = args.wallet_args.wallet()?;
    let keys = wallet_keys(&wallet)?;
    if context.json {
        let keys: Vec<_> = keys.iter().map(key_document).collect();
        let (name, directory) = (wallet.name().as_str(), wallet.directory());
        return context.print_json(
            &json!({ "wallet": name, "directory": directory.display().to_string(), "keys": keys }),
        );
    }
    let texts: Vec<_> = keys.iter().map(format_key).collect();
    context.print(&texts.join("\n"))
}

fn wallet_keys(wallet: &Wallet) -> anyhow::Result<Vec<InspectedKey>> {
    let Some(listed) = wallet.list() else {
        bail!(
            "no wallet in {}\nhint: list the wallets with `tao wallet list`",
            wallet.directory().display()
        );
    };
    let coldkey = (listed.coldkey, listed.mismatch);
    let mut keys =
        vec![InspectedKey::new("coldkey", None, coldkey, listed.secret, wallet.coldkey_path())];
    keys.extend(listed.hotkeys.into_iter().map(|hotkey| {
        let path = wallet.hotkey_path(&hotkey.name);
        InspectedKey::new(
            "hotkey",
            Some(hotkey.name.to_string()),
            (hotkey.hotkey, hotkey.mismatch),
            hotkey.secret,
            path,
        )
    }));
    Ok(keys)
}

impl InspectedKey {
    fn new(
        role: &'static str,
        name: Option<String>,
        (public, mismatch): (Option<PublicKey>, Option<PublicKey>),
        secret: SecretState,
        path: PathBuf,
    ) -> Self {
        let stored = (secret != SecretState::Absent).then(|| StoredKey::read(&path).ok()).flatten();
        let exposed_mode = stored.as_ref().and_then(StoredKey::exposed_mode);
        let backups = stored.map(|stored| stored.backups()).unwrap_or_default();
        Self { role, name, public, mismatch, secret, path, exposed_mode, backups }
    }
}

fn key_document(key: &InspectedKey) -> Value {
    let encryption = match key.secret {
        SecretState::Encrypted(method) => Some(method.to_string()),
        _ => None,
    };
    json!({
        "key": key.role,
        "name": key.name,
        "address": key.public.map(|public| public.to_string()),
        "keyfile_address": key.mismatch.map(|public| public.to_string()),
        "public_key": key.public.map(|public| format!("0x{}", hex::encode(public.as_bytes()))),
        "crypto_type": key.public.map(|public| public.crypto_type().name()),
        "secret": key.secret.name(),
        "encryption": encryption,
        "path": key.path.display().to_string(),
        "backups": key.backups.iter().map(backup_document).collect::<Vec<_>>(),
        "open_to_others": key.exposed_mode.map(|mode| format!("{mode:o}")),
    })
}

fn backup_document(backup: &Backup) -> Value {
    json!({ "path": backup.path.display().to_string(), "secret": backup.secret.name() })
}

fn format_key(key: &InspectedKey) -> String {
    let name = key.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    let public = key.public.map(|public| format!("{public} ({})", public.crypto_type()));
    let mismatch = key
        .mismatch
        .map(|keyfile| console::style(format!("  {}", mismatch_text(keyfile))).red().to_string());
    let backups = key
        .backups
        .iter()
        .map(|backup| format!("\n  backup  {} ({})", backup.path.display(), backup.secret.name()));
    format!(
        "{}  {}{}\n  secret  {}\n  file    {}{}",
        console::style(format!("{}{name}", key.role)).bold(),
        public.as_deref().unwrap_or("address unknown (encrypted)"),
        mismatch.unwrap_or_default(),
        storage_text(key),
        key.path.display(),
        backups.collect::<String>()
    )
}

fn storage_text(key: &InspectedKey) -> String {
    let protection = match key.secret {
        SecretState::Encrypted(method) => format!("encrypted ({method})"),
        other => other.name().to_owned(),
    };
    let exposure_text = key
        .exposed_mode
        .map(|mode| format!(", readable by others (mode {mode:o})"))
        .unwrap_or_default();
    let text = protection + &exposure_text;
    let has_warning = key.exposed_mode.is_some()
        || key.secret == SecretState::Unreadable
        || (key.role == "coldkey" && key.secret == SecretState::Plain);
    if has_warning { console::style(text).yellow().to_string() } else { text }
}
