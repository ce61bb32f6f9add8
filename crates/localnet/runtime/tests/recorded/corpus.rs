//! Sample values of every type of the recorded runtime, read and written by ours.

use crate::vectors::bytes;
use crate::{coverage, notation, values, vectors};

/// Types with a variant for each pallet within: samples of pallets that we lack cannot be read.
const OF_ALL_PALLETS: [&str; 7] = [
    "RuntimeCall",
    "RuntimeEvent",
    "RuntimeError",
    "OriginCaller",
    "RuntimeHoldReason",
    "RuntimeFreezeReason",
    "EventRecord",
];

#[test]
fn samples_of_the_types_that_we_have_come_back_as_they_were() {
    let Some(compressed) = vectors::gunzip("scale_type_corpus_spec461.json.gz") else { return };
    let corpus: serde_json::Value = serde_json::from_slice(&compressed).unwrap();
    let (theirs, equal) = (vectors::theirs().unwrap(), coverage::equal_types().unwrap());
    let (mut types, mut samples, mut lacking) = (0, 0, 0);
    for recorded in corpus["types"].as_array().unwrap() {
        let id = u32::try_from(recorded["id"].as_u64().unwrap()).unwrap();
        let Some(ours) = equal.get(&id) else { continue };
        let name = notation::name(&theirs.types, id);
        let of_all_pallets = OF_ALL_PALLETS.iter().any(|all| name.contains(all));
        types += 1;
        for sample in recorded["samples"].as_array().unwrap() {
            match values::round_trip(*ours, &bytes(&sample["scale_hex"])) {
                Ok(_) => samples += 1,
                Err(_) if of_all_pallets => lacking += 1,
                Err(error) => panic!("{name} ({id}): {error}: {sample}"),
            }
        }
    }
    println!("{types} types, {samples} samples; {lacking} samples are of pallets or calls that are not served");
    assert!(types >= TYPES && samples >= SAMPLES, "{types} types, {samples} samples");
}

/// At least so many; more as more is served.
const TYPES: usize = 250;
const SAMPLES: usize = 750;
