//! Tests of the encodings of calls, signature payloads and extrinsics.

use codec::{DecodeAll, Encode};
use frame_metadata_hash_extension::CheckMetadataHash;
use frame_support::traits::GetCallMetadata;
use serde_json::Value as Json;
use sp_core::H256;
use sp_core::crypto::Ss58Codec;
use sp_io::hashing::blake2_256;
use sp_runtime::generic::Era;
use sp_runtime::{MultiAddress, MultiSignature};
use taonet_localnet_runtime::extensions::{
    ChargeFee, CheckNonce, CheckShieldedTxValidity, DrandPriority, SubtensorTransactionExtension,
    SudoTransactionExtension,
};
use taonet_localnet_runtime::proxy;
use taonet_localnet_runtime::types::{AlphaBalance, NetUid, TaoBalance};
use taonet_localnet_runtime::{
    AccountId, Runtime, RuntimeCall, Signature, TxExtension, UncheckedExtrinsic, subtensor,
};

use super::{list, part, text};
use crate::values;
use crate::vectors::bytes;

const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
const CHARLIE: &str = "5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y";

fn account(address: &str) -> AccountId {
    AccountId::new(values::account(address).unwrap())
}

fn transfer(to: &str, value: u64) -> RuntimeCall {
    RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
        dest: MultiAddress::Id(account(to)),
        value,
    })
}

/// Returns the call that the recorded client encoded.
fn call(module: &str, function: &str, with: &Json) -> RuntimeCall {
    use pallet_balances::Call as Balances;
    use subtensor::Call as Subtensor;
    let key = |name: &str| account(text(&with[name]));
    let number = |name: &str| with[name].as_u64().unwrap();
    let netuid = || NetUid(u16::try_from(number("netuid")).unwrap());
    let numbers = |name: &str| {
        list(&with[name]).iter().map(|n| u16::try_from(n.as_u64().unwrap()).unwrap()).collect()
    };
    match (module, function) {
        ("Balances", "transfer_keep_alive") => transfer(text(&with["dest"]), number("value")),
        ("Balances", "transfer_allow_death") => {
            let dest = MultiAddress::Id(key("dest"));
            RuntimeCall::Balances(Balances::transfer_allow_death { dest, value: number("value") })
        }
        ("SubtensorModule", "add_stake") => RuntimeCall::SubtensorModule(Subtensor::add_stake {
            hotkey: key("hotkey"),
            netuid: netuid(),
            amount_staked: TaoBalance(number("amount_staked")),
        }),
        ("SubtensorModule", "remove_stake") => {
            RuntimeCall::SubtensorModule(Subtensor::remove_stake {
                hotkey: key("hotkey"),
                netuid: netuid(),
                amount_unstaked: AlphaBalance(number("amount_unstaked")),
            })
        }
        ("SubtensorModule", "burned_register") => {
            RuntimeCall::SubtensorModule(Subtensor::burned_register {
                netuid: netuid(),
                hotkey: key("hotkey"),
            })
        }
        ("SubtensorModule", "set_weights") => {
            RuntimeCall::SubtensorModule(Subtensor::set_weights {
                netuid: netuid(),
                dests: numbers("dests"),
                weights: numbers("weights"),
                version_key: number("version_key"),
            })
        }
        ("System", "remark") => {
            RuntimeCall::System(frame_system::Call::remark { remark: bytes(&with["remark"]) })
        }
        ("Sudo", "sudo") => {
            let inner = &with["call"];
            let call = call(text(&inner["module"]), text(&inner["function"]), inner);
            RuntimeCall::Sudo(pallet_sudo::Call::sudo { call: Box::new(call) })
        }
        ("Utility", "batch") => {
            assert_eq!(
                with["calls"],
                serde_json::json!(["transfer 1 to bob", "transfer 2 to charlie"])
            );
            RuntimeCall::Utility(pallet_utility::Call::batch {
                calls: vec![transfer(BOB, 1), transfer(CHARLIE, 2)],
            })
        }
        ("Proxy", "proxy") => {
            assert_eq!(
                (&with["force_proxy_type"], &with["call"]),
                (&"Transfer".into(), &"transfer 1 to bob".into())
            );
            RuntimeCall::Proxy(proxy::Call::proxy {
                real: MultiAddress::Id(key("real")),
                force_proxy_type: Some(proxy::ProxyType::Transfer),
                call: Box::new(transfer(BOB, 1)),
            })
        }
        other => panic!("{other:?} is not in the recorded calls"),
    }
}

#[test]
fn calls_have_the_recorded_bytes() {
    let Some(calls) = part("calls") else { return };
    let mut compared = 0;
    for recorded in list(&calls) {
        let (module, function) = (text(&recorded["module"]), text(&recorded["function"]));
        let call = call(module, function, &recorded["params"]);
        let bytes = bytes(&recorded["data_hex"]);
        assert_eq!(call.encode(), bytes, "{recorded}");
        assert_eq!(RuntimeCall::decode_all(&mut &bytes[..]).unwrap(), call);
        let metadata = call.get_call_metadata();
        assert_eq!((metadata.pallet_name, metadata.function_name), (module, function));
        compared += 1;
    }
    assert_eq!(compared, 10);
}

/// Returns the transaction extensions of a recorded extrinsic.
fn extension(json: &Json) -> TxExtension {
    let era = match &json["era"] {
        Json::String(_) => Era::Immortal,
        era => Era::mortal(era["period"].as_u64().unwrap(), era["current"].as_u64().unwrap()),
    };
    let nonce = u32::try_from(json["nonce"].as_u64().unwrap()).unwrap();
    (
        frame_system::CheckNonZeroSender::<Runtime>::new(),
        frame_system::CheckSpecVersion::<Runtime>::new(),
        frame_system::CheckTxVersion::<Runtime>::new(),
        frame_system::CheckGenesis::<Runtime>::new(),
        frame_system::CheckEra::<Runtime>::from(era),
        CheckNonce(nonce),
        frame_system::CheckWeight::<Runtime>::new(),
        ChargeFee::with_tip(json["tip"].as_u64().unwrap()),
        (
            SudoTransactionExtension,
            CheckShieldedTxValidity,
            SubtensorTransactionExtension,
            DrandPriority,
            CheckMetadataHash::<Runtime>::new(false),
        ),
    )
}

fn recorded_call(json: &Json) -> RuntimeCall {
    RuntimeCall::decode_all(&mut &bytes(&json["call_data_hex"])[..]).unwrap()
}

#[test]
fn signatures_cover_the_recorded_bytes() {
    let (Some(payloads), Some(network)) = (part("signature_payloads"), part("network")) else {
        return;
    };
    let hash = |json: &Json| H256::from_slice(&bytes(json));
    let genesis = hash(&network["genesis_hash"]);
    let version = |name: &str| u32::try_from(network[name].as_u64().unwrap()).unwrap();
    let (spec, transaction) = (version("spec_version"), version("transaction_version"));
    for recorded in list(&payloads) {
        let birth = recorded.get("era_birth_block_hash").map_or(genesis, hash);
        let implicit = ((), spec, transaction, genesis, birth, (), (), (), ((), (), (), (), None));
        let call = recorded_call(recorded);
        let payload = sp_runtime::generic::SignedPayload::<RuntimeCall, TxExtension>::from_raw(
            call,
            extension(recorded),
            implicit,
        );
        let bytes = bytes(&recorded["payload_hex"]);
        assert!(bytes.len() <= 256, "longer payloads are hashed");
        payload.using_encoded(|signed| assert_eq!(signed, bytes, "{recorded}"));
    }
    assert_eq!(list(&payloads).len(), 2);
}

#[test]
fn signed_calls_have_the_recorded_bytes() {
    let Some(extrinsics) = part("extrinsics") else { return };
    for recorded in list(&extrinsics) {
        let signer = account(text(&recorded["address"]));
        assert_eq!(signer.to_ss58check(), recorded["address"]);
        let signature =
            sp_core::sr25519::Signature::try_from(&bytes(&recorded["signature_hex"])[..]).unwrap();
        assert_eq!(
            (&recorded["crypto_type"], &recorded["signature_version"]),
            (&Json::from(1), &Json::from(1))
        );
        let extrinsic = UncheckedExtrinsic::new_signed(
            recorded_call(recorded),
            MultiAddress::Id(signer),
            Signature::from(MultiSignature::Sr25519(signature)),
            extension(recorded),
        );
        let bytes = bytes(&recorded["extrinsic_hex"]);
        assert_eq!(extrinsic.encode(), bytes, "{recorded}");
        assert_eq!(UncheckedExtrinsic::decode_all(&mut &bytes[..]).unwrap().encode(), bytes);
        assert_eq!(format!("0x{}", hex::encode(blake2_256(&bytes))), recorded["extrinsic_hash"]);
    }
    assert_eq!(list(&extrinsics).len(), 2);
}

#[test]
fn addresses_match_recording() {
    let Some(addresses) = part("ss58") else { return };
    for recorded in list(&addresses) {
        let key = AccountId::try_from(&bytes(&recorded["public_key_hex"])[..]).unwrap();
        assert_eq!(key.to_ss58check(), recorded["address"]);
        assert_eq!(account(text(&recorded["address"])), key);
    }
    // The addresses of multisig accounts are compared in the unit tests of the runtime.
    assert_eq!(list(&addresses).len(), 4);
}
