//! Dispatches every call with extreme arguments and origins: no call panics, a call that fails
//! changes nothing, and its error is that of the snapshot.

use std::collections::{BTreeMap, BTreeSet};

use codec::{Compact, Decode, Encode};
use frame_support::storage::{TransactionOutcome, with_transaction};
use scale_info::{TypeDef, TypeDefPrimitive};
use sp_runtime::traits::Dispatchable;
use sp_runtime::{DispatchError, ModuleError};
use taonet_localnet_runtime::genesis::{development_account, genesis};
use taonet_localnet_runtime::runtime::{RuntimeOrigin, System};
use taonet_localnet_runtime::{AccountId, RuntimeCall};

use crate::{notation, vectors};

/// Calls that are not dispatched: a wrong timestamp panics on purpose, and only a node can read the
/// version of another runtime.
const UNDISPATCHED_CALLS: [&str; 2] = ["Timestamp.set", "System.set_code"];

/// Netuid of the subnet that is started.
const BABELBIT: u16 = 59;

/// Values for the arguments of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    /// Zeros, empty lists, first variants.
    Zero,
    /// Ones, lists of one item, second variants.
    One,
    /// The largest numbers, lists of two items, last variants.
    Max,
}

/// Arguments of a call: extreme numbers, with subnets and accounts that exist, or that do not.
#[derive(Clone, Copy, Debug)]
struct Arguments {
    fill: Fill,
    uses_existing_ids: bool,
}

impl Arguments {
    fn all() -> impl Iterator<Item = Self> {
        let fills = [Fill::Zero, Fill::One, Fill::Max].into_iter();
        fills.flat_map(|fill| {
            [true, false].map(|uses_existing_ids| Self { fill, uses_existing_ids })
        })
    }

    /// Encodes a value of a type of our metadata.
    fn encode(self, id: u32, out: &mut Vec<u8>) {
        let types = &vectors::localnet_metadata().types;
        let name = notation::name(types, id);
        match name.as_str() {
            "NetUid" if self.uses_existing_ids => return BABELBIT.encode_to(out),
            "AccountId32" if self.uses_existing_ids => {
                return development_account("Alice").unwrap().encode_to(out);
            }
            // A nested call.
            "RuntimeCall" => return out.extend([0, 0, 0]),
            _ => {}
        }
        match &types.resolve(id).unwrap().type_def {
            TypeDef::Composite(composite) => {
                composite.fields.iter().for_each(|field| self.encode(field.ty.id, out));
            }
            TypeDef::Tuple(tuple) => {
                tuple.fields.iter().for_each(|field| self.encode(field.id, out));
            }
            TypeDef::Array(array) => {
                (0..array.len).for_each(|_| self.encode(array.type_param.id, out));
            }
            TypeDef::Sequence(sequence) => {
                let length: u32 = match self.fill {
                    Fill::Zero => 0,
                    Fill::One => 1,
                    Fill::Max => 2,
                };
                Compact(length).encode_to(out);
                (0..length).for_each(|_| self.encode(sequence.type_param.id, out));
            }
            TypeDef::Variant(variants) => {
                // Without a value, the arguments do not decode.
                let Some(last) = variants.variants.len().checked_sub(1) else { return };
                let variant_position = match self.fill {
                    Fill::Zero => 0,
                    Fill::One => last.min(1),
                    Fill::Max => last,
                };
                let variant = &variants.variants[variant_position];
                out.push(variant.index);
                variant.fields.iter().for_each(|field| self.encode(field.ty.id, out));
            }
            TypeDef::Compact(compact) => {
                let mut inner = Vec::new();
                self.encode(compact.type_param.id, &mut inner);
                if inner.is_empty() {
                    return;
                }
                inner.resize(16, 0);
                Compact(u128::from_le_bytes(inner.try_into().unwrap())).encode_to(out);
            }
            TypeDef::Primitive(primitive) => self.encode_primitive(primitive, out),
            TypeDef::BitSequence(_) => Compact(0_u32).encode_to(out),
        }
    }

    fn encode_primitive(self, primitive: &TypeDefPrimitive, out: &mut Vec<u8>) {
        let width = match primitive {
            TypeDefPrimitive::Bool => return out.push(u8::from(self.fill != Fill::Zero)),
            TypeDefPrimitive::Str => return String::new().encode_to(out),
            TypeDefPrimitive::Char | TypeDefPrimitive::U32 | TypeDefPrimitive::I32 => 4,
            TypeDefPrimitive::U8 | TypeDefPrimitive::I8 => 1,
            TypeDefPrimitive::U16 | TypeDefPrimitive::I16 => 2,
            TypeDefPrimitive::U64 | TypeDefPrimitive::I64 => 8,
            TypeDefPrimitive::U128 | TypeDefPrimitive::I128 => 16,
            TypeDefPrimitive::U256 | TypeDefPrimitive::I256 => 32,
        };
        let start = out.len();
        out.resize(start + width, if self.fill == Fill::Max { 0xff } else { 0 });
        if self.fill == Fill::One {
            out[start] = 1;
        }
    }
}

/// Returns each call by name, with each of its sets of arguments that decodes.
fn calls() -> Vec<(String, Arguments, RuntimeCall)> {
    let metadata = vectors::localnet_metadata();
    let mut calls = Vec::new();
    for pallet in &metadata.pallets {
        let Some(ty) = &pallet.calls else { continue };
        let TypeDef::Variant(variants) = &metadata.types.resolve(ty.ty.id).unwrap().type_def else {
            panic!("calls are an enum")
        };
        for call in &variants.variants {
            let name = format!("{}.{}", pallet.name, call.name);
            if UNDISPATCHED_CALLS.contains(&name.as_str()) {
                continue;
            }
            for arguments in Arguments::all() {
                let mut bytes = vec![pallet.index, call.index];
                call.fields.iter().for_each(|field| arguments.encode(field.ty.id, &mut bytes));
                if let Ok(decoded) = RuntimeCall::decode(&mut bytes.as_slice()) {
                    calls.push((name.clone(), arguments, decoded));
                }
            }
        }
    }
    calls
}

/// Prints the call during which a panic occurs.
struct Attempt<'a>(&'a str, Arguments, &'a str);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} of {:?} by {}", self.0, self.1, self.2);
        }
    }
}

fn state_root() -> Vec<u8> {
    sp_io::storage::root(sp_core::storage::StateVersion::V1)
}

/// Runs code in a storage transaction, and reverts its effects.
fn within_transaction<T>(code: impl FnOnce() -> T) -> T {
    with_transaction(|| TransactionOutcome::Rollback(Ok::<_, DispatchError>(code()))).unwrap()
}

/// Dispatches a call and reverts its effects; if it failed, returns its error and the state root
/// that it left.
fn attempt(call: &RuntimeCall, origin: RuntimeOrigin) -> Option<(DispatchError, Vec<u8>)> {
    within_transaction(|| {
        call.clone().dispatch(origin).err().map(|failure| (failure.error, state_root()))
    })
}

/// Returns the result of a call as the snapshot shows it: the name of the error, or `ok`.
fn result(error: Option<&DispatchError>) -> String {
    match error {
        None => "ok".into(),
        Some(DispatchError::Module(ModuleError { index, error, .. })) => {
            let metadata = vectors::localnet_metadata();
            let pallet = metadata.pallets.iter().find(|pallet| pallet.index == *index).unwrap();
            let errors = metadata.types.resolve(pallet.error.as_ref().unwrap().ty.id).unwrap();
            let TypeDef::Variant(variants) = &errors.type_def else { panic!("errors are an enum") };
            let variant =
                variants.variants.iter().find(|variant| variant.index == error[0]).unwrap();
            format!("{}.{}", pallet.name, variant.name)
        }
        Some(error) => format!("{error:?}"),
    }
}

/// Returns a row per call with different results: its name, who called, and the results of all
/// arguments, or one result if they are equal.
fn table(results: &BTreeMap<(&str, &str), Vec<String>>) -> String {
    let mut callers: BTreeMap<(&str, &[String]), Vec<&str>> = BTreeMap::new();
    for ((name, by), results) in results {
        let is_equal = results.iter().all(|result| *result == results[0]);
        let results = if is_equal { &results[..1] } else { results };
        callers.entry((name, results)).or_default().push(by);
    }
    let row = |((name, results), by): (&(&str, &[String]), &Vec<&str>)| {
        format!("{name} | {} | {}\n", by.join(", "), results.join(" "))
    };
    callers.iter().map(row).collect()
}

#[test]
fn failed_calls_with_extreme_arguments_change_nothing() {
    let calls = calls();
    let mut results: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    let stranger = AccountId::new([0x77; 32]);
    let alice = development_account("Alice").unwrap();
    let (mut succeeded, mut unsigned) = (0, Vec::new());
    sp_io::TestExternalities::new(genesis(&[]).unwrap()).execute_with(|| {
        System::set_block_number(1);
        // Computed in a transaction, as in `attempt`: the state includes the depth of nested
        // transactions.
        let before = within_transaction(state_root);
        for (name, arguments, call) in &calls {
            let origins = [
                ("none", RuntimeOrigin::none()),
                ("stranger", RuntimeOrigin::signed(stranger.clone())),
                ("Alice", RuntimeOrigin::signed(alice.clone())),
                ("root", RuntimeOrigin::root()),
            ];
            for (by, origin) in origins {
                let _attempt = Attempt(name, *arguments, by);
                let failure = attempt(call, origin);
                let error = failure.as_ref().map(|(error, _)| error);
                results.entry((name, by)).or_default().push(result(error));
                if let Some((error, after)) = &failure {
                    assert!(
                        *after == before,
                        "{name} of {arguments:?} by {by} changed the state: {error:?}"
                    );
                    continue;
                }
                succeeded += 1;
                if by == "none" && unsigned.last() != Some(&name.as_str()) {
                    unsigned.push(name.as_str());
                }
            }
        }
    });
    let tried = calls.iter().map(|(name, _, _)| name).collect::<BTreeSet<_>>().len();
    println!("{tried} calls, {} arguments, {succeeded} successes", calls.len());
    assert!(tried > 180 && calls.len() > 5 * tried, "{tried} calls, {} arguments", calls.len());
    assert!(succeeded > 500, "{succeeded} successes");
    assert_eq!(unsigned, UNSIGNED);
    let columns = "Call | callers | results with zeros, ones and the largest numbers, each for an existing subnet and account, and \
                   for others; one result if all are equal";
    insta::with_settings!({ description => columns, omit_expression => true }, {
        insta::assert_snapshot!("errors", table(&results));
    });
}

/// The calls that succeed without a signature.
const UNSIGNED: [&str; 5] = [
    "System.remark",
    // Without effect.
    "SubtensorModule.set_tempo",
    "SubtensorModule.set_activity_cutoff_factor",
    "Drand.write_pulse",
    "MevShield.announce_next_key",
];
