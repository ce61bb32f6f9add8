//! Names of subnets for completions: those that `tao subnets list` saw last, in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use taonet_chain::{Network, Subnet};
use taonet_service::{Access, atomic_write};

/// Maximum number of networks whose subnets are kept; more are short-lived chains.
const MAX_NETWORKS: usize = 8;

/// Network name to the names of its subnets by netuid.
pub type ListedSubnets = BTreeMap<String, BTreeMap<u16, String>>;

/// Keeps the names of a network's subnets for later completions. A failure is only logged: it costs
/// nothing else.
pub fn keep_subnets(network: &Network, subnets: &[Subnet]) {
    let mut listed = read_listed();
    if listed.len() >= MAX_NETWORKS {
        listed.clear();
    }
    let names = subnets.iter().map(|subnet| (subnet.netuid.0, subnet.name.clone()));
    listed.insert(network.to_string(), names.collect());
    let Some(path) = listed_file() else { return };
    if let Err(error) = write_listed(&path, &listed) {
        tracing::debug!(
            error = format!("{error:#}"),
            "cannot keep the names of subnets for completions"
        );
    }
}

fn write_listed(path: &Path, listed: &ListedSubnets) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    Ok(atomic_write(path, &serde_json::to_vec(listed)?, Access::Owner)?)
}

fn listed_file() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("taonet").join("subnets.json"))
}

/// Reads the kept names; an unreadable file counts as empty.
pub fn read_listed() -> ListedSubnets {
    let text = listed_file().and_then(|path| fs::read(path).ok()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}
