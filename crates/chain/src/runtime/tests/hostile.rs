//! Tests with hostile metadata, which is well-formed but not from a real chain.

use codec::{Compact, Encode as _};
use scale_info::form::PortableForm;
use scale_info::{
    Field, Path, PortableRegistry, Type, TypeDef, TypeDefArray, TypeDefCompact, TypeDefComposite,
    TypeDefPrimitive, TypeDefSequence, TypeDefTuple, TypeDefVariant, Variant,
};
use subxt::ext::frame_metadata::v14::{
    PalletStorageMetadata, StorageEntryMetadata, StorageEntryModifier, StorageEntryType,
    StorageHasher,
};
use subxt::ext::frame_metadata::v15::{
    CustomMetadata, ExtrinsicMetadata, OuterEnums, PalletMetadata, RuntimeMetadataV15,
};
use subxt::ext::frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};

use super::*;

type Def = TypeDef<PortableForm>;

fn tuple(parts: impl IntoIterator<Item = u32>) -> Def {
    TypeDefTuple::new_portable(parts.into_iter().map(Into::into)).into()
}

fn wrapper(inner: u32) -> Def {
    TypeDefComposite::new([field(inner)]).into()
}

fn list(item: u32) -> Def {
    TypeDefSequence::new(item.into()).into()
}

fn array(len: u32, item: u32) -> Def {
    TypeDefArray::new(len, item.into()).into()
}

fn compact(inner: u32) -> Def {
    TypeDefCompact::new(inner.into()).into()
}

fn choice(inner: u32) -> Def {
    let none =
        Variant { name: "Nothing".to_owned(), fields: Vec::new(), index: 0, docs: Vec::new() };
    let some =
        Variant { name: "Some".to_owned(), fields: vec![field(inner)], index: 1, docs: Vec::new() };
    TypeDefVariant::new([none, some]).into()
}

fn field(ty: u32) -> Field<PortableForm> {
    Field { name: None, ty: ty.into(), type_name: None, docs: Vec::new() }
}

/// Builds metadata with these types, which follow `u8` (ID 0) and the empty tuple (ID 1). The
/// storage value `P.V`, the key of `P.M` and the events have the last type.
pub(super) fn metadata(defs: impl IntoIterator<Item = Def>) -> Vec<u8> {
    let first: [Def; 2] = [TypeDefPrimitive::U8.into(), tuple([])];
    let types: Vec<_> = first
        .into_iter()
        .chain(defs)
        .map(|type_def| Type {
            path: Path { segments: Vec::new() },
            type_params: Vec::new(),
            type_def,
            docs: Vec::new(),
        })
        .zip(0..)
        .map(|(ty, id)| scale_info::PortableType::new(id, ty))
        .collect();
    let last = u32::try_from(types.len() - 1).unwrap();
    let entry = |name: &str, ty| StorageEntryMetadata {
        name: name.to_owned(),
        modifier: StorageEntryModifier::Optional,
        ty,
        default: Vec::new(),
        docs: Vec::new(),
    };
    let map = StorageEntryType::Map {
        hashers: vec![StorageHasher::Identity],
        key: last.into(),
        value: 0.into(),
    };
    let pallet = PalletMetadata {
        name: "P".to_owned(),
        storage: Some(PalletStorageMetadata {
            prefix: "P".to_owned(),
            entries: vec![entry("V", StorageEntryType::Plain(last.into())), entry("M", map)],
        }),
        calls: None,
        event: None,
        constants: Vec::new(),
        error: None,
        index: 0,
        docs: Vec::new(),
    };
    let metadata = RuntimeMetadataV15 {
        types: PortableRegistry { types },
        pallets: vec![pallet],
        extrinsic: ExtrinsicMetadata {
            version: 4,
            address_ty: 0.into(),
            call_ty: 1.into(),
            signature_ty: 0.into(),
            extra_ty: 1.into(),
            signed_extensions: Vec::new(),
        },
        ty: 1.into(),
        apis: Vec::new(),
        outer_enums: OuterEnums {
            call_enum_ty: 1.into(),
            event_enum_ty: last.into(),
            error_enum_ty: 1.into(),
        },
        custom: CustomMetadata { map: std::collections::BTreeMap::new() },
    };
    RuntimeMetadataPrefixed(0x6174_656d, RuntimeMetadata::V15(metadata)).encode()
}

fn runtime_of(defs: impl IntoIterator<Item = Def>) -> Result<Runtime, ChainError> {
    Runtime::new(&metadata(defs), BlockHash::from_bytes([0; 32]), 1, 1)
}

/// Decodes bytes of the last type as a value, a key and an event.
fn read_all(runtime: &Runtime, bytes: &[u8]) -> Result<(), ChainError> {
    let json = runtime.storage_value_json("P", "V", Some(bytes)).map(drop);
    let typed = runtime.storage_value::<Vec<u8>>("P", "V", Some(bytes)).map(drop);
    let mut key = runtime.storage_key("P", "M", &[]).unwrap();
    key.extend_from_slice(bytes);
    let keys = runtime.storage_keys::<Vec<Json>>("P", "M", &key).map(drop);
    // One event, in the phase of an extrinsic.
    let event = [&Compact(1_u32).encode(), [0, 0, 0, 0, 0].as_slice(), bytes, &[0]].concat();
    let events = runtime.decode_events(&event).map(drop);
    // Returns an error only if every decoder rejects the bytes.
    let errors =
        [json, typed, keys, events].into_iter().map(Result::err).collect::<Option<Vec<_>>>();
    errors.and_then(|mut errors| errors.pop()).map_or(Ok(()), Err)
}

#[test]
fn recursive_types_are_refused() {
    for defs in [
        vec![tuple([2])],
        vec![wrapper(2)],
        vec![tuple([0, 3]), wrapper(2)],
        vec![array(3, 2)],
        vec![compact(2)],
        vec![compact(3), wrapper(2)],
    ] {
        let error = runtime_of(defs.clone()).unwrap_err();
        assert!(format!("{error:?}").contains("Recursive"), "{defs:?}: {error:?}");
    }
    // A newtype within a newtype, a hundred thousand levels deep.
    let error = runtime_of((2..100_000).map(|id| wrapper(id + 1)).chain([tuple([])])).unwrap_err();
    assert!(format!("{error:?}").contains("TooDeep"), "{error:?}");
    // With an enum or a list in between, the bytes determine the depth.
    for defs in [vec![choice(2)], vec![list(2)], vec![tuple([0, 3]), choice(2)]] {
        runtime_of(defs).unwrap();
    }
}

#[test]
fn deeply_nested_values_are_refused() {
    // An endless `Some(Some(Some(…`.
    let runtime = runtime_of([choice(2)]).unwrap();
    assert!(read_all(&runtime, &[vec![1; 50], vec![0]].concat()).is_ok());
    assert!(read_all(&runtime, &vec![1; 1_000_000]).is_err());
    let runtime = runtime_of([list(2)]).unwrap();
    assert!(read_all(&runtime, &vec![4; 1_000_000]).is_err());
    // Encoding must end too, since JSON does not limit the depth.
    assert!(runtime.storage_key_of_json("P", "M", &[Json::from(7)]).is_err());
    let runtime = runtime_of([choice(2)]).unwrap();
    let _ = runtime.storage_key_of_json("P", "M", &[Json::from(7)]);
}

#[test]
fn long_lists_of_empty_values_are_refused() {
    let maximum = Compact(u32::MAX).encode();
    for (defs, bytes) in [
        (vec![list(1)], maximum.as_slice()),
        (vec![array(u32::MAX, 1)], &[]),
        (vec![tuple([1, 1]), list(2)], &maximum),
        (vec![list(0)], &maximum),
        (vec![compact(1)], &[0]),
    ] {
        let runtime = runtime_of(defs.clone()).unwrap();
        assert!(read_all(&runtime, bytes).is_err(), "{defs:?}");
    }
}

#[test]
fn exponential_number_of_empty_values_is_refused() {
    // Each type is a pair of the previous one, 64 levels deep: 2⁶⁴ values in zero bytes.
    let runtime = runtime_of((1..65).map(|id| tuple([id, id]))).unwrap();
    let error = read_all(&runtime, &[]).unwrap_err();
    assert!(format!("{error:?}").contains("too many values"), "{error:?}");
}

#[test]
fn fuzz_seeds_are_valid_metadata() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/chain_values");
    let mut events = 0;
    for seed in std::fs::read_dir(seeds).unwrap() {
        let seed = std::fs::read(seed.unwrap().path()).unwrap();
        let (length, remaining) = seed.split_first_chunk().unwrap();
        let (metadata, bytes) = remaining.split_at(u16::from_le_bytes(*length).into());
        assert!(crate::testing::decode_node_data(metadata, bytes));
        let runtime = Runtime::new(metadata, BlockHash::from_bytes([0; 32]), 1, 1).unwrap();
        events += runtime.decode_events(bytes).map_or(0, |events| events.len());
    }
    assert_eq!(events, 2);
}

#[test]
fn wrapped_compact_numbers_are_read() {
    let runtime = runtime_of([wrapper(0), tuple([2]), compact(3)]).unwrap();
    let value = runtime.storage_value_json("P", "V", Some(&[28])).unwrap().unwrap();
    assert!(value.to_string().contains('7'), "{value}");
}
