//! `tao wallet inspect`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use comfy_table::{Cell, Color};
use serde_json::{Value, json};
use taonet_wallet::{PublicKey, SecretState, StoredKey, Wallet};

use super::list::secret_name;
use super::place::WalletArgs;
use crate::context::Context;
use crate::table::table;

/// Show one wallet's keys
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    place: WalletArgs,
}

/// A key of the wallet and its file.
struct Key {
    role: &'static str,
    name: Option<String>,
    public: Option<PublicKey>,
    secret: SecretState,
    path: PathBuf,
    /// The file's mode, where others than its owner may read it.
    exposed: Option<u32>,
}

pub(crate) fn run(args: &InspectArgs, context: &Context) -> anyhow::Result<()> {
    let wallet = args.place.wallet()?;
    let keys = keys(&wallet)?;
    if context.json {
        let keys: Vec<_> = keys.iter().map(document).collect();
        let (name, directory) = (wallet.name().as_str(), wallet.directory());
        return context.print_json(&json!({ "wallet": name, "directory": directory, "keys": keys }));
    }
    let mut rows = table(&["key", "address", "scheme", "kept", "file"], &[]);
    for key in &keys {
        rows.add_row(vec![
            Cell::new(key.name.as_ref().map_or_else(|| key.role.to_owned(), |name| format!("{} {name}", key.role))),
            Cell::new(key.public.map_or_else(|| "–".to_owned(), |key| key.to_string())),
            Cell::new(key.public.map_or("–", |key| key.crypto_type().name())),
            kept(key),
            Cell::new(key.path.display()),
        ]);
    }
    context.print(&rows.to_string())
}

fn keys(wallet: &Wallet) -> anyhow::Result<Vec<Key>> {
    let Some(listed) = wallet.list() else {
        bail!("{} holds no wallet: tao wallet list shows which there are", wallet.directory().display());
    };
    let mut keys = vec![Key::new("coldkey", None, listed.coldkey, listed.secret, wallet.coldkey_path())];
    keys.extend(listed.hotkeys.into_iter().map(|hotkey| {
        let path = wallet.hotkey_path(&hotkey.name);
        Key::new("hotkey", Some(hotkey.name.to_string()), hotkey.hotkey, hotkey.secret, path)
    }));
    Ok(keys)
}

impl Key {
    fn new(
        role: &'static str,
        name: Option<String>,
        public: Option<PublicKey>,
        secret: SecretState,
        path: PathBuf,
    ) -> Self {
        let exposed = (secret != SecretState::Absent).then(|| StoredKey::read(&path).ok()?.exposed()).flatten();
        Self { role, name, public, secret, path, exposed }
    }
}

fn document(key: &Key) -> Value {
    let encryption = match key.secret {
        SecretState::Encrypted(method) => Some(method.to_string()),
        _ => None,
    };
    json!({
        "key": key.role,
        "name": key.name,
        "address": key.public.map(|public| public.to_string()),
        "public_key": key.public.map(|public| format!("0x{}", hex::encode(public.as_bytes()))),
        "crypto_type": key.public.map(|public| public.crypto_type().name()),
        "secret": secret_name(key.secret),
        "encryption": encryption,
        "path": key.path,
        "open_to_others": key.exposed.map(|mode| format!("{mode:o}")),
    })
}

fn kept(key: &Key) -> Cell {
    let mut text = match key.secret {
        SecretState::Encrypted(method) => format!("encrypted ({method})"),
        other => secret_name(other).to_owned(),
    };
    if let Some(mode) = key.exposed {
        text += &format!(", open to others ({mode:o})");
    }
    let worrying = key.exposed.is_some() || (key.role == "coldkey" && key.secret == SecretState::Plain);
    if worrying { Cell::new(text).fg(Color::Yellow) } else { Cell::new(text) }
}
