//! Malformed keys with products of polynomials.

use taonet_proof_core::network::{Matrices, Network};

use super::super::config::{BOUNDED, HIDING, LARGE, MAX_LOG_ROWS, MIN_LOG_ROWS, TILES};
use super::super::{Stark, StarkHiding, StarkHidingInputs};
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
    for (case, change) in changes {
        assert!(!is_valid(change), "{case}");
    }
}

#[test]
fn malformed_keys_of_large_circuits_are_rejected() {
    for parameters in [LARGE, BOUNDED] {
        let is_valid = |change: Change| {
            let mut file = VerificationKeyFile::from_bytes(&key(&matrices())).unwrap();
            file.format = parameters.format;
            change(&mut file);
            VerificationKeyFile::from_bytes(&file.to_bytes().unwrap()).is_ok()
        };
        assert!(is_valid(|_| ()));
        assert!(is_valid(|file| file.log_rows[7] = 23));
        assert!(!is_valid(|file| file.log_rows[7] = 24));
        assert!(!is_valid(|file| file.log_rows[7] = 0));
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

#[test]
fn malformed_keys_of_hidden_proofs_are_rejected() {
    let key =
        |network: &Network| StarkHiding.setup(&network.lower().unwrap()).unwrap().verification;
    let (with_polynomials, without_polynomials) = (key(&matrices()), key(&testing::network(1)));
    let is_valid = |key: &[u8], change: Change| {
        let mut file = VerificationKeyFile::from_bytes(key).unwrap();
        change(&mut file);
        VerificationKeyFile::from_bytes(&file.to_bytes().unwrap()).is_ok()
    };
    let [min, max] = HIDING.log_rows;
    assert_eq!((min, max), (7, 21));
    for key in [&with_polynomials, &without_polynomials] {
        assert!(is_valid(key, |_| ()));
        assert!(is_valid(key, |file| file.log_rows[1] = 21));
        let changes: [(&str, Change); 4] = [
            ("a table of 64 rows", |file| file.log_rows[1] = 6),
            ("a table of 2^22 rows", |file| file.log_rows[1] = 22),
            ("8 tables", |file| file.log_rows.truncate(8)),
            ("no products in tiles", |file| file.log_rows[1] = 0),
        ];
        for (case, change) in changes {
            assert!(!is_valid(key, change), "{case}");
        }
    }
    let changes: [(&str, Change); 3] = [
        ("polynomials without kernels", |file| file.log_rows[6] = 7),
        ("operands without polynomials", |file| file.log_rows[8] = 7),
        ("gaps without polynomials", |file| file.gaps = vec![1]),
    ];
    for (case, change) in changes {
        assert!(!is_valid(&without_polynomials, change), "{case}");
    }
    assert!(!is_valid(&with_polynomials, |file| file.log_rows[6] = 0));
}

#[test]
fn malformed_keys_of_hidden_inputs_are_rejected() {
    let circuit = testing::network(1).lower().unwrap();
    let key = StarkHidingInputs.setup(&circuit).unwrap().verification;
    let is_valid = |change: Change| {
        let mut file = VerificationKeyFile::from_bytes(&key).unwrap();
        change(&mut file);
        VerificationKeyFile::from_bytes(&file.to_bytes().unwrap()).is_ok()
    };
    assert!(is_valid(|_| ()));
    assert!(is_valid(|file| file.log_rows[INPUTS_INDEX] = 21));
    let changes: [(&str, Change); 6] = [
        ("format 5", |file| file.format = HIDING.format),
        ("9 tables", |file| file.log_rows.truncate(9)),
        ("no inputs", |file| file.log_rows[INPUTS_INDEX] = 0),
        ("a table of 64 rows", |file| file.log_rows[INPUTS_INDEX] = 6),
        ("more inputs than rows", |file| file.inputs = (1 << file.log_rows[INPUTS_INDEX]) + 1),
        ("as many outputs as rows", |file| file.outputs = 1 << file.log_rows[0]),
    ];
    for (case, change) in changes {
        assert!(!is_valid(change), "{case}");
    }
}
