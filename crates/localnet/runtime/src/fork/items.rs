//! The storage items of a chain that a fork can import, from the chain's metadata.

use std::collections::BTreeMap;

use codec::Decode;
use frame_metadata::v14::{
    StorageEntryMetadata, StorageEntryModifier, StorageEntryType, StorageHasher,
};
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef, TypeDefPrimitive};
use sp_io::hashing::{blake2_128, twox_64, twox_128};

use crate::Runtime;

/// The metadata version that [`items`] reads.
pub const METADATA_VERSION: u32 = 14;

/// Maximum number of types within the type of an item.
const MAX_TYPES: usize = 4_096;

/// Items of SubtensorModule that only the main network has: name, item of this runtime with the
/// same keys, encoding of the values.
const SHARE_ITEMS: [(&str, &str, &str); 4] = [
    ("Alpha", "AlphaV2", "u128"),
    ("AlphaShareEpoch", "AlphaV2", "u64"),
    ("AlphaSharePoolEpoch", "TotalHotkeySharesV2", "u64"),
    ("TotalHotkeyShares", "TotalHotkeySharesV2", "u128"),
];

/// Items of SubtensorModule that follow from other items, or belong to the node that runs the
/// chain.
const DERIVED_ITEMS: [&str; 5] =
    ["BlockEmission", "MaxEpochsPerBlock", "TotalIssuance", "TotalNetworks", "TotalStake"];

/// Why the storage items of a chain cannot be read from its metadata.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The metadata cannot be decoded.
    #[error("malformed metadata: {0}")]
    Malformed(#[from] codec::Error),
    /// The metadata has a different version.
    #[error("the metadata has version {0}, not {METADATA_VERSION}")]
    Version(u32),
}

/// A part of a map's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyPartKind {
    Netuid,
    /// A mechanism of a subnet: mechanism × 4 096 + netuid.
    Mechanism,
    Account,
    Other,
}

/// A hasher whose output ends with the hashed key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hasher {
    Identity,
    Twox64Concat,
    Blake2x128Concat,
}

impl Hasher {
    const fn from_metadata(hasher: &StorageHasher) -> Option<Self> {
        match hasher {
            StorageHasher::Identity => Some(Self::Identity),
            StorageHasher::Twox64Concat => Some(Self::Twox64Concat),
            StorageHasher::Blake2_128Concat => Some(Self::Blake2x128Concat),
            _ => None,
        }
    }

    fn hash(self, key: &[u8]) -> Vec<u8> {
        match self {
            Self::Identity => Vec::new(),
            Self::Twox64Concat => twox_64(key).to_vec(),
            Self::Blake2x128Concat => blake2_128(key).to_vec(),
        }
    }

    const fn hash_length(self) -> usize {
        match self {
            Self::Identity => 0,
            Self::Twox64Concat => 8,
            Self::Blake2x128Concat => 16,
        }
    }
}

/// Subnets and accounts in the keys of an item, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLayout {
    /// A single value.
    Value,
    /// A map whose first key is a subnet.
    Subnet,
    /// A map whose first key is a mechanism of a subnet.
    Mechanism,
    /// A map by account.
    Account,
    /// A map by account and subnet.
    AccountSubnet,
    /// A map by two accounts.
    AccountAccount,
    /// A map by account, subnet and another account.
    AccountSubnetAccount,
    /// A map by two accounts and subnet.
    AccountAccountSubnet,
}

/// A subnet or an account in a storage key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPart {
    /// Netuid of a subnet.
    Netuid(u16),
    /// An account.
    Account([u8; 32]),
}

/// A storage item that a fork can import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The default of an unset value, if it has one.
    pub default: Option<Vec<u8>>,
    /// Subnets and accounts in the keys.
    pub layout: KeyLayout,
    prefix: Vec<u8>,
    key: Vec<(Hasher, KeyPartKind)>,
    encoding: String,
}

impl Item {
    /// Returns the first bytes of all the item's storage keys.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Describes the encoding of keys and value, such as `Identity(u16) -> u16`. Two items with
    /// equal descriptions have equal encodings.
    pub fn encoding(&self) -> &str {
        &self.encoding
    }

    /// Returns the storage key with these encoded parts, or the first bytes of the keys that begin
    /// with them.
    pub fn key<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut key = self.prefix.clone();
        for ((hasher, _), part) in self.key.iter().zip(parts) {
            key.extend(hasher.hash(part));
            key.extend_from_slice(part);
        }
        key
    }

    /// Returns the subnets and accounts in a storage key, up to the first part of another type;
    /// `None` if it is not a key of this item.
    pub fn parts(&self, key: &[u8]) -> Option<Vec<KeyPart>> {
        let mut remaining = key.strip_prefix(self.prefix.as_slice())?;
        let mut parts = Vec::new();
        for (hasher, part) in &self.key {
            let (hash, after_hash) = remaining.split_at_checked(hasher.hash_length())?;
            let key_length = match part {
                KeyPartKind::Netuid | KeyPartKind::Mechanism => 2,
                KeyPartKind::Account => 32,
                KeyPartKind::Other => return Some(parts),
            };
            let (bytes, after_key) = after_hash.split_at_checked(key_length)?;
            if hasher.hash(bytes) != hash {
                return None;
            }
            parts.push(match part {
                KeyPartKind::Account => KeyPart::Account(bytes.try_into().ok()?),
                KeyPartKind::Mechanism => {
                    KeyPart::Netuid(u16::from_le_bytes(bytes.try_into().ok()?) % 4_096)
                }
                _ => KeyPart::Netuid(u16::from_le_bytes(bytes.try_into().ok()?)),
            });
            remaining = after_key;
        }
        remaining.is_empty().then_some(parts)
    }

    /// Whether this is a complete storage key, with parts of known types only.
    pub fn is_key(&self, key: &[u8]) -> bool {
        self.parts(key).is_some_and(|parts| parts.len() == self.key.len())
    }

    /// Returns the subnet in a storage key; the inner `None` for a key without one.
    pub fn netuid(&self, key: &[u8]) -> Option<Option<u16>> {
        let parts = self.parts(key)?;
        Some(parts.iter().find_map(|part| match part {
            KeyPart::Netuid(netuid) => Some(*netuid),
            KeyPart::Account(_) => None,
        }))
    }
}

/// Storage items by name, such as `SubtensorModule.Tempo`. An item that no fork can import has
/// the reason as its error.
pub type Items = BTreeMap<String, Result<Item, &'static str>>;

/// Returns the storage items of subnets, neurons, stake and balances that a chain's metadata
/// describes. Totals that a fork recomputes are not among them.
///
/// # Errors
/// [`MetadataError`].
pub fn items(metadata: &[u8]) -> Result<Items, MetadataError> {
    let RuntimeMetadata::V14(metadata) = RuntimeMetadataPrefixed::decode(&mut &*metadata)?.1 else {
        let version = metadata.get(4).copied().unwrap_or_default();
        return Err(MetadataError::Version(version.into()));
    };
    let mut items = Items::new();
    for pallet in &metadata.pallets {
        let Some(storage) = &pallet.storage else { continue };
        for entry in storage.entries.iter().filter(|entry| is_imported(&pallet.name, &entry.name)) {
            let item = parse_item(&metadata.types, &storage.prefix, entry);
            items.insert(format!("{}.{}", pallet.name, entry.name), item);
        }
    }
    Ok(items)
}

/// Returns the items of this crate's runtime.
///
/// # Errors
/// [`MetadataError`], which does not occur.
pub fn runtime_items() -> Result<Items, MetadataError> {
    let metadata =
        Runtime::metadata_at_version(METADATA_VERSION).ok_or(MetadataError::Version(0))?;
    items(&metadata)
}

/// Returns the main network's items of alpha shares that this runtime lacks. A recording converts
/// their entries to `AlphaV2` and `TotalHotkeySharesV2`. `runtime_items` are the items of this
/// crate's runtime.
pub fn share_items(runtime_items: &Items) -> BTreeMap<String, Item> {
    let items = SHARE_ITEMS.into_iter().filter_map(|(name, template, value)| {
        let template = runtime_items.get(&format!("SubtensorModule.{template}"))?.as_ref().ok()?;
        let (pallet, _) = template.prefix.split_at_checked(16)?;
        let (keys, _) = template.encoding.split_once("-> ")?;
        let item = Item {
            default: None,
            prefix: [pallet, &twox_128(name.as_bytes())].concat(),
            encoding: format!("{keys}-> {value}"),
            ..template.clone()
        };
        Some((format!("SubtensorModule.{name}"), item))
    });
    items.collect()
}

fn is_imported(pallet: &str, item: &str) -> bool {
    match pallet {
        "SubtensorModule" => !DERIVED_ITEMS.contains(&item),
        "Swap" | "Commitments" | "AlphaAssets" => true,
        "Proxy" => ["Proxies", "Announcements"].contains(&item),
        "Balances" => ["Locks", "Reserves", "Holds", "Freezes"].contains(&item),
        "System" => item == "Account",
        "Timestamp" => item == "Now",
        _ => false,
    }
}

fn parse_item(
    types: &PortableRegistry,
    pallet: &str,
    entry: &StorageEntryMetadata<PortableForm>,
) -> Result<Item, &'static str> {
    let mut describer = TypeDescriber { types, remaining_types: MAX_TYPES, enclosing: Vec::new() };
    let (key, value, encoding) = match &entry.ty {
        StorageEntryType::Plain(value) => (Vec::new(), value.id, String::new()),
        StorageEntryType::Map { hashers, key, value } => {
            let parts = match (
                &types.resolve(key.id).ok_or("its key type is missing")?.type_def,
                hashers.len(),
            ) {
                (TypeDef::Tuple(tuple), count) if count > 1 => {
                    tuple.fields.iter().map(|field| field.id).collect()
                }
                _ => vec![key.id],
            };
            if parts.len() != hashers.len() {
                return Err("its keys do not match its hashers");
            }
            let mut key = Vec::new();
            let mut encoding = String::new();
            for (hasher, id) in hashers.iter().zip(parts) {
                let reversible_hasher =
                    Hasher::from_metadata(hasher).ok_or("its keys are hashes")?;
                key.push((reversible_hasher, key_part_kind(types, id)));
                encoding = format!("{encoding}{hasher:?}({}) ", describer.describe(id)?);
            }
            (key, value.id, format!("{encoding}-> "))
        }
    };
    let encoding = format!("{encoding}{}", describer.describe(value)?);
    let parts: Vec<KeyPartKind> = key.iter().map(|(_, part)| *part).collect();
    let layout = match parts.as_slice() {
        [] => KeyLayout::Value,
        [KeyPartKind::Netuid, ..] => KeyLayout::Subnet,
        [KeyPartKind::Mechanism, ..] => KeyLayout::Mechanism,
        [KeyPartKind::Account] => KeyLayout::Account,
        [KeyPartKind::Account, KeyPartKind::Netuid] => KeyLayout::AccountSubnet,
        [KeyPartKind::Account, KeyPartKind::Account] => KeyLayout::AccountAccount,
        [KeyPartKind::Account, KeyPartKind::Netuid, KeyPartKind::Account] => {
            KeyLayout::AccountSubnetAccount
        }
        [KeyPartKind::Account, KeyPartKind::Account, KeyPartKind::Netuid] => {
            KeyLayout::AccountAccountSubnet
        }
        _ => return Err("its keys are neither subnets nor accounts"),
    };
    let default =
        matches!(entry.modifier, StorageEntryModifier::Default).then(|| entry.default.clone());
    let prefix = [twox_128(pallet.as_bytes()), twox_128(entry.name.as_bytes())].concat();
    Ok(Item { default, layout, prefix, key, encoding })
}

fn key_part_kind(types: &PortableRegistry, id: u32) -> KeyPartKind {
    let name = types.resolve(id).and_then(|ty| ty.path.segments.last()).map(String::as_str);
    match name {
        Some("NetUid") => KeyPartKind::Netuid,
        Some("NetUidStorageIndex") => KeyPartKind::Mechanism,
        Some("AccountId32") => KeyPartKind::Account,
        _ => KeyPartKind::Other,
    }
}

/// Describes types by their encoding: without names, and without the boundaries of structs, which
/// encode nothing.
struct TypeDescriber<'a> {
    types: &'a PortableRegistry,
    /// Number of types that may still be described.
    remaining_types: usize,
    /// The types that contain the current one.
    enclosing: Vec<u32>,
}

impl TypeDescriber<'_> {
    fn describe(&mut self, id: u32) -> Result<String, &'static str> {
        self.encoding(id).ok_or("its type is too large or malformed")
    }

    fn encoding(&mut self, id: u32) -> Option<String> {
        let parts = self.parts(id)?;
        Some(match parts.as_slice() {
            [part] => part.clone(),
            parts => format!("({})", parts.join(", ")),
        })
    }

    fn parts(&mut self, id: u32) -> Option<Vec<String>> {
        self.remaining_types = self.remaining_types.checked_sub(1)?;
        if let Some(levels_up) = self.enclosing.iter().rev().position(|outer| *outer == id) {
            return Some(vec![format!("outer{levels_up}")]);
        }
        self.enclosing.push(id);
        let parts = self.parts_of(id);
        self.enclosing.pop();
        parts
    }

    fn parts_of(&mut self, id: u32) -> Option<Vec<String>> {
        let types = self.types;
        Some(match &types.resolve(id)?.type_def {
            TypeDef::Composite(composite) => self.fields(&composite.fields)?,
            TypeDef::Tuple(tuple) => {
                let parts: Option<Vec<_>> =
                    tuple.fields.iter().map(|field| self.parts(field.id)).collect();
                parts?.concat()
            }
            TypeDef::Variant(variant) => {
                let mut variants: Vec<_> = variant.variants.iter().collect();
                variants.sort_by_key(|variant| variant.index);
                let variants = variants.into_iter().map(|variant| {
                    let fields = self.fields(&variant.fields)?;
                    Some(format!("{}({})", variant.index, fields.join(", ")).replace("()", ""))
                });
                vec![format!("{{{}}}", variants.collect::<Option<Vec<_>>>()?.join(", "))]
            }
            TypeDef::Sequence(sequence) => {
                vec![format!("[{}]", self.encoding(sequence.type_param.id)?)]
            }
            TypeDef::Array(array) => {
                vec![format!("[{}; {}]", self.encoding(array.type_param.id)?, array.len)]
            }
            TypeDef::Compact(compact) => {
                vec![format!("compact {}", self.encoding(compact.type_param.id)?)]
            }
            TypeDef::Primitive(primitive) => vec![primitive_name(primitive).to_owned()],
            TypeDef::BitSequence(_) => vec!["bits".to_owned()],
        })
    }

    fn fields(&mut self, fields: &[Field<PortableForm>]) -> Option<Vec<String>> {
        let parts: Option<Vec<_>> = fields.iter().map(|field| self.parts(field.ty.id)).collect();
        Some(parts?.concat())
    }
}

/// Returns the name of a primitive type, such as `u64`.
pub const fn primitive_name(primitive: &TypeDefPrimitive) -> &'static str {
    match primitive {
        TypeDefPrimitive::Bool => "bool",
        TypeDefPrimitive::Char => "char",
        TypeDefPrimitive::Str => "str",
        TypeDefPrimitive::U8 => "u8",
        TypeDefPrimitive::U16 => "u16",
        TypeDefPrimitive::U32 => "u32",
        TypeDefPrimitive::U64 => "u64",
        TypeDefPrimitive::U128 => "u128",
        TypeDefPrimitive::U256 => "u256",
        TypeDefPrimitive::I8 => "i8",
        TypeDefPrimitive::I16 => "i16",
        TypeDefPrimitive::I32 => "i32",
        TypeDefPrimitive::I64 => "i64",
        TypeDefPrimitive::I128 => "i128",
        TypeDefPrimitive::I256 => "i256",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Items {
        runtime_items().unwrap()
    }

    fn get(name: &str) -> Item {
        own()[name].clone().unwrap()
    }

    #[test]
    fn items_have_expected_layout_and_encoding() {
        for (name, layout, encoding) in [
            ("SubtensorModule.Tempo", KeyLayout::Subnet, "Identity(u16) -> u16"),
            ("SubtensorModule.TaoWeight", KeyLayout::Value, "u64"),
            ("SubtensorModule.SubnetTAO", KeyLayout::Subnet, "Identity(u16) -> u64"),
            (
                "SubtensorModule.Weights",
                KeyLayout::Mechanism,
                "Identity(u16) Identity(u16) -> [(u16, u16)]",
            ),
            ("SubtensorModule.Owner", KeyLayout::Account, "Blake2_128Concat([u8; 32]) -> [u8; 32]"),
            (
                "SubtensorModule.ChildKeys",
                KeyLayout::AccountSubnet,
                "Blake2_128Concat([u8; 32]) Identity(u16) -> [(u64, [u8; 32])]",
            ),
            ("SubtensorModule.RecycleOrBurn", KeyLayout::Subnet, "Identity(u16) -> {0, 1}"),
            ("Timestamp.Now", KeyLayout::Value, "u64"),
        ] {
            let item = get(name);
            assert_eq!((item.layout, item.encoding()), (layout, encoding), "{name}");
        }
        let layout = |name: &str| get(name).layout;
        assert_eq!(layout("SubtensorModule.AlphaV2"), KeyLayout::AccountAccountSubnet);
        assert_eq!(layout("SubtensorModule.Lock"), KeyLayout::AccountSubnetAccount);
        assert_eq!(layout("SubtensorModule.BasketClaimed"), KeyLayout::AccountAccount);
        assert_eq!(layout("System.Account"), KeyLayout::Account);
        let reason = own()["SubtensorModule.LastRateLimitedBlock"].clone().unwrap_err();
        assert_eq!(reason, "its keys are neither subnets nor accounts");
        assert!(
            !own().contains_key("SubtensorModule.TotalIssuance")
                && !own().contains_key("System.Number")
        );
    }

    #[test]
    fn storage_keys_are_built_and_parsed() {
        let (hotkey, coldkey) = ([1; 32], [2; 32]);
        let item = get("SubtensorModule.AlphaV2");
        let key = item.key([&hotkey[..], &coldkey, &59u16.to_le_bytes()]);
        let parts = [KeyPart::Account(hotkey), KeyPart::Account(coldkey), KeyPart::Netuid(59)];
        assert_eq!(item.parts(&key), Some(parts.to_vec()));
        assert_eq!(item.netuid(&key), Some(Some(59)));
        // Another item's key, a part of a key, more than a key, a wrong hash.
        let mut wrong = key.clone();
        wrong[40] ^= 1;
        let longer = [&key[..], &[0]].concat();
        for key in [
            &get("SubtensorModule.Owner").key([&hotkey[..]])[..],
            &key[..key.len() - 1],
            &longer,
            &wrong,
        ] {
            assert_eq!(item.parts(key), None);
        }
        let item = get("SubtensorModule.Weights");
        let key = item.key([&(4_096u16 + 59).to_le_bytes()[..], &7u16.to_le_bytes()]);
        assert_eq!(item.netuid(&key), Some(Some(59)));
        assert_eq!(
            get("SubtensorModule.Owner").netuid(&get("SubtensorModule.Owner").key([&hotkey[..]])),
            Some(None)
        );
    }

    #[test]
    fn malformed_or_newer_metadata_is_refused() {
        assert!(matches!(items(b""), Err(MetadataError::Malformed(_))));
        assert!(matches!(items(b"meta\x0e"), Err(MetadataError::Malformed(_))));
        let newer = Runtime::metadata_at_version(15).unwrap();
        assert!(matches!(items(&newer), Err(MetadataError::Version(15))));
    }
}
