//! Import of a recording of the real chain into a fork.

use taonet_localnet_runtime::fork::{items, runtime_items, share_items};

use crate::vectors;

/// Items that both chains have with different encodings; a fork omits them.
const DIFFERENT: [&str; 1] = ["Balances.Holds"];

/// Minimum number of items that a fork imports; raise it as more are supported.
const MIN_FORK_ITEMS: usize = 200;

#[test]
fn importable_items_match_the_real_chain() {
    let Some(metadata) = vectors::read("metadata_v14_spec461.scale.gz") else { return };
    let (theirs, own) = (items(&metadata).unwrap(), runtime_items().unwrap());
    let mut count = 0;
    for (name, item) in &own {
        let (Ok(item), Some(their)) = (item, theirs.get(name)) else { continue };
        let their = their.as_ref().unwrap_or_else(|reason| panic!("{name}: {reason}"));
        if DIFFERENT.contains(&name.as_str()) {
            assert_ne!(item, their, "{name} is equal");
            continue;
        }
        assert_eq!(item, their, "{name}");
        count += 1;
    }
    println!("{count} items");
    assert!(count >= MIN_FORK_ITEMS, "{count} items");
}

#[test]
fn share_items_match_the_real_chain() {
    let Some(metadata) = vectors::read("metadata_v14_spec461.scale.gz") else { return };
    let (theirs, converted) = (items(&metadata).unwrap(), share_items(&runtime_items().unwrap()));
    assert_eq!(converted.len(), 4);
    for (name, item) in converted {
        let their = theirs[&name].as_ref().unwrap();
        assert_eq!(
            (item.prefix(), item.encoding(), item.layout),
            (their.prefix(), their.encoding(), their.layout),
            "{name}"
        );
    }
}
