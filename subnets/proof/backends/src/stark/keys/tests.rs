//! Malformed keys with products of polynomials.

use taonet_proof_core::network::{Matrices, Network};

use super::super::Stark;
use super::super::config::TILES;
use super::*;
use crate::{Backend as _, testing};

fn key(network: &Network) -> Vec<u8> {
    Stark.setup(&network.lower().unwrap()).unwrap().verification
}

fn matrices() -> Network {
    testing::matrices(Matrices { count: 1, rows: 2, inner: 3, columns: 2 }, None)
}

/// Changes a valid key.
type Change = fn(&mut VerificationKeyFile);

#[test]
fn malformed_keys_with_polynomials_are_rejected() {
    let is_valid = |change: Change| {
        let mut file = VerificationKeyFile::from_bytes(&key(&matrices())).unwrap();
        change(&mut file);
        VerificationKeyFile::from_bytes(&file.to_bytes().unwrap()).is_ok()
    };
    assert!(is_valid(|_| ()));
    assert!(is_valid(|file| file.gaps = vec![MAX_DEGREE as u32; MAX_GAPS]));
    let changes: [(&str, Change); 8] = [
        ("33 gaps", |file| file.gaps = vec![1; MAX_GAPS + 1]),
        ("a gap above the degree", |file| file.gaps = vec![MAX_DEGREE as u32 + 1]),
        ("8 tables", |file| file.log_rows.truncate(8)),
        ("10 tables", |file| file.log_rows.push(MIN_LOG_ROWS)),
        ("no polynomials", |file| file.log_rows[6] = 0),
        ("no kernels", |file| file.log_rows[7] = 0),
        ("a table of 8 rows", |file| file.log_rows[8] = MIN_LOG_ROWS - 1),
        ("a table of 2^23 rows", |file| file.log_rows[4] = MAX_LOG_ROWS + 1),
    ];
    for (what, change) in changes {
        assert!(!is_valid(change), "{what}");
    }
}

#[test]
fn key_of_another_format_is_rejected() {
    let formats = [(matrices(), POLYNOMIALS, TILES), (testing::network(1), TILES, POLYNOMIALS)];
    for (network, format, other) in formats {
        let mut key = key(&network);
        // The format is the first byte.
        assert_eq!(u32::from(key[0]), format.format);
        key[0] = other.format as u8;
        assert!(VerificationKeyFile::from_bytes(&key).is_err(), "{}", other.format);
    }
}
