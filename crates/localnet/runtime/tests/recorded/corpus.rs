//! Decodes and re-encodes sample values of all types of the recorded runtime.

use crate::structure::PALLET_ENUMS;
use crate::vectors::bytes;
use crate::{coverage, notation, values, vectors};

#[test]
fn recorded_samples_of_served_types_round_trip() {
    let Some(compressed) = vectors::read("scale_type_corpus_spec461.json.gz") else { return };
    let corpus: serde_json::Value = serde_json::from_slice(&compressed).unwrap();
    let (theirs, equal) =
        (vectors::real_chain_metadata().unwrap(), coverage::equal_types().unwrap());
    let (mut types, mut samples, mut missing, mut out_of_range) = (0, 0, 0, 0);
    for recorded in corpus["types"].as_array().unwrap() {
        let id = u32::try_from(recorded["id"].as_u64().unwrap()).unwrap();
        let Some(ours) = equal.get(&id) else { continue };
        let name = notation::name(&theirs.types, id);
        // Samples of unsupported pallets cannot be decoded; scheduled calls have an origin of any
        // pallet.
        let has_items_of_all_pallets =
            ["EventRecord", "IdAmount", "Scheduled"].iter().any(|part| name.contains(part))
                || PALLET_ENUMS.iter().any(|all| name.contains(all));
        types += 1;
        for sample in recorded["samples"].as_array().unwrap() {
            match values::round_trip(*ours, &bytes(&sample["scale_hex"])) {
                Ok(_) => samples += 1,
                Err(_) if has_items_of_all_pallets => missing += 1,
                // The corpus has compact numbers that exceed their type; no runtime decodes these.
                Err(error) if error.contains("decoding Compact") => out_of_range += 1,
                // An account by index: our index type is empty, and no client uses such addresses.
                Err(_) if ["MultiAddress", "Compact<()>"].contains(&name.as_str()) => missing += 1,
                Err(error) => panic!("{name} ({id}): {error}: {sample}"),
            }
        }
    }
    println!(
        "{types} types, {samples} samples; {missing} samples are of unsupported pallets or calls, \
         {out_of_range} have numbers that exceed their types"
    );
    assert!(types >= MIN_TYPES && samples >= MIN_SAMPLES, "{types} types, {samples} samples");
}

/// Minimum number of compared types; raise it as more are supported.
const MIN_TYPES: usize = 450;
/// Minimum number of compared samples.
const MIN_SAMPLES: usize = 1_300;
