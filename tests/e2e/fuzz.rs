//! The fuzz targets with their seeds and changed copies of these. scripts/fuzz searches for longer,
//! guided by coverage.

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "public in the crate of the fuzz targets")]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::support::repository;

/// Number of changed copies of each seed.
const COPIES: usize = 100;
/// Bytes at the limits of lengths and of text.
const EXTREMES: [u8; 6] = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];

/// Names of the entries of a directory, sorted, without extensions.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Contents of all files of a directory, in the order of their names.
fn contents(directory: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Returns a range within a length.
fn range(length: usize, random: &mut StdRng) -> std::ops::Range<usize> {
    let (one, other) = (random.random_range(0..=length), random.random_range(0..=length));
    one.min(other)..one.max(other)
}

/// Changes an input as libFuzzer does: bits, bytes, missing and repeated parts, parts of another
/// input.
fn change(input: &mut Vec<u8>, other: &[u8], random: &mut StdRng) {
    let offset = random.random_range(0..=input.len());
    match random.random_range(0..6) {
        0 if offset < input.len() => input[offset] ^= 1 << random.random_range(0..8),
        1 if offset < input.len() => {
            input[offset] = EXTREMES[random.random_range(0..EXTREMES.len())];
        }
        2 => input.truncate(offset),
        3 => drop(input.drain(range(input.len(), random))),
        4 => {
            let part = input[range(input.len(), random)].to_vec();
            drop(input.splice(offset..offset, part));
        }
        _ => drop(input.splice(offset..offset, other[range(other.len(), random)].to_vec())),
    }
}

#[test]
fn fuzz_targets_do_not_panic_on_changed_seeds() {
    let target_names: Vec<String> =
        targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&repository("fuzz/seeds")), target_names, "seeds");
    assert_eq!(names(&repository("fuzz/fuzz_targets")), target_names, "programs");
    let mut random = StdRng::seed_from_u64(1);
    for (name, check) in targets::TARGETS {
        let assert_passes = |input: &[u8]| {
            assert!(
                catch_unwind(|| check(input)).is_ok(),
                "{name} fails for {}",
                input.escape_ascii()
            );
        };
        let seeds = contents(&repository("fuzz/seeds").join(name));
        for seed in &seeds {
            assert_passes(seed);
            for _ in 0..COPIES {
                let mut copy = seed.clone();
                for _ in 0..random.random_range(1..=4) {
                    let other = &seeds[random.random_range(0..seeds.len())];
                    change(&mut copy, other, &mut random);
                }
                assert_passes(&copy);
            }
        }
    }
}
