//! Decodes the recorded samples of each type into Rust types.

use serde_json::Value as Json;
use subxt::ext::scale_decode::DecodeAsType;
use taonet_primitives::{BlockHash, BlockNumber, MechId, NetUid};

use super::metagraph::RawMetagraph;
use super::subnets::RawSubnet;
use crate::vectors::{bytes, parse, read, runtime};
use crate::{Block, Price, SimulatedSwap, Stake, Subnet};

/// Decodes all samples of a type as `T`; skips samples with numbers that do not fit their type.
fn samples<T: DecodeAsType>(name: &str) -> Option<Vec<(T, Json)>> {
    let (runtime, corpus) = (runtime()?, read("scale_type_corpus_spec461.json.gz")?);
    let corpus = parse(&String::from_utf8(corpus).unwrap());
    let case =
        corpus["types"].as_array().unwrap().iter().find(|case| case["name"] == *name).unwrap();
    let type_id = case["id"].as_u64().unwrap() as u32;
    let mut read = Vec::new();
    for sample in case["samples"].as_array().unwrap() {
        let raw = bytes(&sample["scale_hex"]);
        match T::decode_as_type(&mut raw.as_slice(), type_id, runtime.types()) {
            Ok(value) => read.push((value, sample["decoded"].clone())),
            Err(error) => assert!(error.to_string().contains("out of range"), "{name}: {error}"),
        }
    }
    Some(read)
}

#[test]
fn recorded_stakes_prices_and_swaps_decode() {
    let Some(stakes) = samples::<Stake>("pallet_subtensor::rpc_info::stake_info::StakeInfo") else {
        return;
    };
    let mut read = 0;
    for (stake, recorded) in stakes {
        assert_eq!(stake.hotkey.to_string(), recorded["hotkey"].as_str().unwrap());
        assert_eq!(Json::from(stake.stake.get()), recorded["stake"]);
        assert_eq!(Json::from(stake.is_registered), recorded["is_registered"]);
        read += 1;
    }
    for (price, recorded) in
        samples::<Price>("pallet_subtensor_swap_runtime_api::SubnetPrice").unwrap()
    {
        assert_eq!(
            (Json::from(price.netuid.0), Json::from(price.price.get())),
            (recorded["netuid"].clone(), recorded["price"].clone())
        );
        read += 1;
    }
    for (swap, recorded) in
        samples::<SimulatedSwap>("pallet_subtensor_swap_runtime_api::SimSwapResult").unwrap()
    {
        assert_eq!(Json::from(swap.alpha_slippage.get()), recorded["alpha_slippage"]);
        read += 1;
    }
    assert!(read > 5, "{read}");
}

#[test]
fn recorded_subnets_decode() {
    let Some(subnets) =
        samples::<RawSubnet>("pallet_subtensor::rpc_info::dynamic_info::DynamicInfo")
    else {
        return;
    };
    for (raw, recorded) in subnets {
        let subnet = Subnet::from(raw);
        assert_eq!(Json::from(subnet.alpha_in.get()), recorded["alpha_in"]);
        assert_eq!(subnet.identity.is_some(), !recorded["subnet_identity"].is_null());
    }
}

#[test]
fn recorded_metagraphs_decode() {
    let name = "pallet_subtensor::rpc_info::metagraph::SelectiveMetagraph";
    let Some(metagraphs) = samples::<RawMetagraph>(name) else { return };
    for (raw, recorded) in metagraphs {
        let block = Block { number: BlockNumber::new(7), hash: BlockHash::from_bytes([0; 32]) };
        let metagraph = raw.into_metagraph(NetUid(1), MechId(0), block, &[]);
        assert!(metagraph.neurons.len() <= recorded["hotkeys"].as_array().map_or(0, Vec::len));
        if let Some(burn) = recorded["burn"].as_u64() {
            assert_eq!(metagraph.burn.get(), burn);
        }
    }
}
