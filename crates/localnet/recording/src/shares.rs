//! The stakers' shares in the pools of hotkeys, as the main network counts them.
//!
//! The main network stored shares as fixed-point numbers, in `Alpha` and `TotalHotkeyShares`. A
//! share moved to `AlphaV2` or `TotalHotkeySharesV2`, as a floating-point number, when it changed;
//! until then, the chain reads the older entry. The chain also counts how often a pool was closed
//! and opened, in `AlphaSharePoolEpoch`: a share that was last written in another epoch, by
//! `AlphaShareEpoch`, is void. The localnet has only `AlphaV2` and `TotalHotkeySharesV2`.

use std::collections::BTreeMap;

use codec::{DecodeAll, Encode};
use sp_core::U256;
use taonet_localnet_runtime::fork::{Item, KeyPart};
use taonet_localnet_runtime::subtensor::types::SafeFloat;

/// Values by storage key.
type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Replaces the main network's items of shares by the localnet's, without void shares. The error
/// names an item with a malformed value.
pub(super) fn convert(
    items: &BTreeMap<String, Item>,
    entries: &mut Entries,
) -> Result<(), &'static str> {
    let shares = required_item(items, "SubtensorModule.AlphaV2")?;
    let pools = required_item(items, "SubtensorModule.TotalHotkeySharesV2")?;
    for (older, newer) in
        [("SubtensorModule.Alpha", shares), ("SubtensorModule.TotalHotkeyShares", pools)]
    {
        for (suffix, bits) in remove_entries::<u128>(items, older, entries)? {
            let (key, share) = ([newer.prefix(), &suffix].concat(), from_fixed_point(bits));
            if share.is_zero() {
                entries.remove(&key);
            } else {
                entries.insert(key, share.encode());
            }
        }
    }
    let pool_epochs = remove_entries::<u64>(items, "SubtensorModule.AlphaSharePoolEpoch", entries)?;
    let share_epochs = remove_entries::<u64>(items, "SubtensorModule.AlphaShareEpoch", entries)?;
    entries.retain(|key, _| {
        let parts = shares.parts(key);
        let Some([KeyPart::Account(hotkey), _, KeyPart::Netuid(netuid)]) = parts.as_deref() else {
            return true;
        };
        let pool = pools.key([&hotkey[..], &netuid.to_le_bytes()]);
        let pool_epoch = epoch_of(&pool_epochs, pools, &pool);
        pool_epoch == 0 || epoch_of(&share_epochs, shares, key) == pool_epoch
    });
    Ok(())
}

fn required_item<'a>(
    items: &'a BTreeMap<String, Item>,
    name: &'static str,
) -> Result<&'a Item, &'static str> {
    items.get(name).ok_or(name)
}

/// Returns the epoch of the entry of an item.
fn epoch_of(epochs: &BTreeMap<Vec<u8>, u64>, item: &Item, key: &[u8]) -> u64 {
    key.strip_prefix(item.prefix())
        .and_then(|suffix| epochs.get(suffix))
        .copied()
        .unwrap_or_default()
}

/// Removes the entries of an item; returns their values by key, without the item's prefix.
fn remove_entries<T: DecodeAll>(
    items: &BTreeMap<String, Item>,
    name: &'static str,
    entries: &mut Entries,
) -> Result<BTreeMap<Vec<u8>, T>, &'static str> {
    let Some(item) = items.get(name) else { return Ok(BTreeMap::new()) };
    let removed =
        entries.extract_if(item.prefix().to_vec().., |key, _| key.starts_with(item.prefix()));
    let decoded = removed.map(|(key, value)| {
        let value = T::decode_all(&mut value.as_slice()).map_err(|_| name)?;
        Ok((key.strip_prefix(item.prefix()).unwrap_or_default().to_vec(), value))
    });
    decoded.collect()
}

fn power_of_ten(exponent: u32) -> U256 {
    U256::from(10).pow(exponent.into())
}

/// Converts a number of 2⁻⁶⁴ units as the main network does, which rounds it down to a mantissa
/// above 10²⁰ and at most 10²¹: stakes stay the same to the rao.
pub(super) fn from_fixed_point(bits: u128) -> SafeFloat {
    // With the last of these exponents, the smallest number is large enough.
    let converted = (0..=40).find_map(|digits| {
        let mantissa = (U256::from(bits) * power_of_ten(digits)) >> 64;
        let is_normal = mantissa > power_of_ten(20);
        is_normal.then(|| SafeFloat { mantissa: mantissa.low_u128(), exponent: -i64::from(digits) })
    });
    converted.unwrap_or(SafeFloat::ZERO)
}
