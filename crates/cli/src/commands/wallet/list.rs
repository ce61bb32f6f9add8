//! `tao wallet list`.

use clap::Args;
use serde_json::{Map, Value, json};
use taonet_wallet::{ListedHotkey, ListedWallet, Name, PublicKey, SecretState, Wallets};

use super::place::RootArgs;
use crate::context::Context;

/// Label of a keyfile that cannot be read.
const UNREADABLE: &str = "  keyfile unreadable";

/// List wallets and their hotkeys
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    root: RootArgs,
}

pub(crate) fn run(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    let wallets = args.root.wallets()?;
    let list = wallets.list()?;
    if context.json {
        let list: Vec<_> = list.iter().map(document).collect();
        return context.print_json(&json!({ "path": wallets.root(), "wallets": list }));
    }
    if list.is_empty() {
        context.say(&format!("no wallets in {}; create one with `tao wallet create`", wallets.root().display()));
        return Ok(());
    }
    context.print(&tree(&wallets, &list))
}

fn document(wallet: &ListedWallet) -> Value {
    let hotkeys = wallet.hotkeys.iter().map(|hotkey| key(&hotkey.name, hotkey.hotkey, hotkey.mismatch, hotkey.secret));
    let mut document = key(&wallet.name, wallet.coldkey, wallet.mismatch, wallet.secret);
    document.insert("hotkeys".to_owned(), hotkeys.map(Value::Object).collect());
    document.into()
}

fn key(name: &Name, public: Option<PublicKey>, mismatch: Option<PublicKey>, secret: SecretState) -> Map<String, Value> {
    let fields = [
        ("name", json!(name.as_str())),
        ("address", json!(public.map(|key| key.to_string()))),
        ("keyfile_address", json!(mismatch.map(|key| key.to_string()))),
        ("crypto_type", json!(public.map(|key| key.crypto_type().name()))),
        ("secret", json!(secret.name())),
    ];
    fields.map(|(field, value)| (field.to_owned(), value)).into_iter().collect()
}

/// Tree view: the directory, its wallets, and their hotkeys.
fn tree(wallets: &Wallets, list: &[ListedWallet]) -> String {
    let width = |names: &mut dyn Iterator<Item = usize>| names.max().unwrap_or_default();
    let names = width(&mut list.iter().map(|wallet| wallet.name.as_str().chars().count()));
    let mut lines = vec![wallets.root().display().to_string()];
    for (position, wallet) in list.iter().enumerate() {
        let is_last = position + 1 == list.len();
        let (branch, below) = if is_last { ("└──", "    ") } else { ("├──", "│   ") };
        let name = console::style(format!("{:names$}", wallet.name)).bold();
        lines.push(format!("{branch} {name}  {}", coldkey(wallet)));
        let hotkeys = width(&mut wallet.hotkeys.iter().map(|hotkey| hotkey.name.as_str().chars().count()));
        for (position, key) in wallet.hotkeys.iter().enumerate() {
            let branch = if position + 1 == wallet.hotkeys.len() { "└──" } else { "├──" };
            lines.push(format!("{below}{branch} {:hotkeys$}  {}", key.name, hotkey(key)));
        }
    }
    lines.join("\n")
}

fn coldkey(wallet: &ListedWallet) -> String {
    let note = match wallet.secret {
        SecretState::Plain => "  not encrypted",
        SecretState::Encrypted(_) => "",
        SecretState::Unreadable => UNREADABLE,
        _ => "  public file only",
    };
    address(wallet.coldkey, "no public file") + &mismatch(wallet.mismatch) + &console::style(note).yellow().to_string()
}

fn hotkey(hotkey: &ListedHotkey) -> String {
    let note = match hotkey.secret {
        SecretState::Encrypted(_) => "  encrypted".to_owned(),
        SecretState::Unreadable => console::style(UNREADABLE).yellow().to_string(),
        _ => String::new(),
    };
    address(hotkey.hotkey, "no public file") + &mismatch(hotkey.mismatch) + &note
}

/// Warning for a public file that contradicts the keyfile.
pub(super) fn mismatch(keyfile: Option<PublicKey>) -> String {
    keyfile
        .map(|key| console::style(format!("  does not match: the keyfile is {key}'s")).red().to_string())
        .unwrap_or_default()
}

fn address(key: Option<PublicKey>, otherwise: &str) -> String {
    key.map_or_else(|| otherwise.to_owned(), |key| key.to_string())
}
