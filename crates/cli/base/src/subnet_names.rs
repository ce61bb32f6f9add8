//! Names of subnets for completions: those of the last `tao subnets list`, stored in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use taonet_chain::{Network, Subnet};
use taonet_service::{Access, atomic_write};

/// Maximum number of networks whose subnets are stored; further ones are usually short-lived
/// chains.
const MAX_NETWORKS: usize = 8;

/// Network name to the names of its subnets by netuid.
pub type ListedSubnets = BTreeMap<String, BTreeMap<u16, String>>;

/// Stores the names of a network's subnets for later completions. A failure is only logged: only
/// completions need the names.
pub fn store_subnet_names(network: &Network, subnets: &[Subnet]) {
    let mut listed = read_subnet_names();
    if listed.len() >= MAX_NETWORKS {
        listed.clear();
    }
    let names = subnets.iter().map(|subnet| (subnet.netuid.0, subnet.name.clone()));
    listed.insert(network.to_string(), names.collect());
    let Some(path) = subnet_names_file() else { return };
    if let Err(error) = write_subnet_names(&path, &listed) {
        tracing::debug!(
            error = format!("{error:#}"),
            "cannot keep the names of subnets for completions"
        );
    }
}

fn write_subnet_names(path: &Path, listed: &ListedSubnets) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    Ok(atomic_write(path, &serde_json::to_vec(listed)?, Access::Owner)?)
}

fn subnet_names_file() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("taonet").join("subnets.json"))
}

/// Reads the stored names; an unreadable file counts as empty.
pub fn read_subnet_names() -> ListedSubnets {
    let text = subnet_names_file().and_then(|path| fs::read(path).ok()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}
