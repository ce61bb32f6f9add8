//! Startup message of a localnet.

use std::path::Path;

use serde_json::{Value, json};
use taonet_cli_base::table::{key_values, table};
use taonet_cli_base::tables::ACCOUNTS;
use taonet_localnet::NodeHandle;
use taonet_primitives::Rao;

use super::record::describe_subnets;
use super::start::LoadedFork;
use super::{clock, rpc};

/// An account with funds in the genesis block.
pub(crate) struct Account {
    /// Development key such as `//Alice`; `None` for an account endowed by address.
    pub(crate) name: Option<String>,
    pub(crate) address: String,
    pub(crate) free: Rao,
}

/// A running chain and its accounts.
pub(crate) struct Announcement<'a> {
    pub(crate) node: &'a NodeHandle,
    /// URL of the followed node, if any.
    pub(crate) leader_url: Option<&'a str>,
    pub(crate) directory: Option<&'a Path>,
    /// The fork that the chain started from, if any.
    pub(crate) loaded_fork: Option<&'a LoadedFork>,
    pub(crate) accounts: Vec<Account>,
}

impl Announcement<'_> {
    /// Returns the JSON startup message, the first line on standard output.
    pub(crate) fn document(&self) -> Value {
        let url = self.node.url();
        let accounts = self
            .accounts
            .iter()
            .map(|account| json!({ "name": account.name, "address": account.address, "free_rao": account.free.get() }));
        json!({
            "service": "localnet",
            "url": url,
            "http": rpc::http_url(&url),
            "port": self.node.address().port(),
            "genesis": format!("{:?}", self.node.genesis()),
            "block": self.node.head().number(),
            "block_time": self.node.clock().map(clock::block_time_option),
            "follows": self.leader_url,
            "data": self.directory.map(|directory| directory.display().to_string()),
            "fork": self.loaded_fork.map(|LoadedFork { recording, fork }| json!({
                "origin": recording.origin(),
                "netuids": recording.netuids(),
                "entries": fork.entries,
                "left_out": fork.omitted_items,
            })),
            "pid": std::process::id(),
            "accounts": accounts.collect::<Vec<_>>(),
        })
    }

    /// Returns the startup message as text.
    pub(crate) fn text(&self) -> String {
        let url = self.node.url();
        let mut node = key_values();
        node.add_row(["WebSocket", &url]);
        node.add_row(["HTTP", &rpc::http_url(&url)]);
        if let Some(leader) = self.leader_url {
            node.add_row(["follows", leader]);
        }
        if let Some(clock) = self.node.clock() {
            node.add_row(["clock", &clock::describe(clock)]);
        }
        node.add_row(["genesis", &format!("{:?}", self.node.genesis())]);
        node.add_row(["block", &self.node.head().number().to_string()]);
        let state = match self.directory {
            Some(directory) => directory.display().to_string(),
            None => "in memory, discarded on shutdown".to_owned(),
        };
        node.add_row(["state", &state]);
        if let Some(LoadedFork { recording, .. }) = self.loaded_fork {
            let (origin, subnets) = (recording.origin(), describe_subnets(recording.netuids()));
            node.add_row([
                "fork",
                &format!("{subnets} of {} after block {}", origin.chain, origin.block),
            ]);
        }
        let mut accounts = table(&ACCOUNTS);
        for account in &self.accounts {
            accounts.add_row([
                account.name.as_deref().unwrap_or("–"),
                &account.address,
                &account.free.to_string(),
            ]);
        }
        format!(
            "localnet is up\n{node}\n\nAccounts (the keys of named accounts are public)\n{accounts}\n\nTry \
             this\n  btcli subnets list --network {url}\n  python -c 'import bittensor; \
             print(bittensor.Subtensor(\"{url}\").block)'\n  tao subnets list --network {url}\n\nCtrl-C stops the localnet."
        )
    }
}
