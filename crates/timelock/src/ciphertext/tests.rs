use std::num::NonZeroU32;

use ark_bls12_381::{Fr, G2Affine};
use ark_ec::{AffineRepr as _, CurveGroup as _};
use ark_serialize::CanonicalSerialize as _;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::PulseError;

/// Returns a beacon whose secret key is known to the tests.
fn beacon(secret: u64) -> (Beacon, impl Fn(Round) -> Pulse) {
    let secret = Fr::from(secret);
    let mut key = [0; 96];
    (G2Affine::generator() * secret)
        .into_affine()
        .serialize_compressed(key.as_mut_slice())
        .unwrap();
    let sign = move |round: Round| {
        let mut signature = [0; 48];
        (round.point() * secret)
            .into_affine()
            .serialize_compressed(signature.as_mut_slice())
            .unwrap();
        Pulse::new(round, &signature).unwrap()
    };
    (Beacon::new(&key, 0, NonZeroU32::MIN).unwrap(), sign)
}

fn sample(plaintext: &[u8], round: Round) -> Ciphertext {
    encrypt(plaintext, &beacon(77).0, round, &mut StdRng::seed_from_u64(1)).unwrap()
}

#[test]
fn only_the_pulse_of_the_round_decrypts() {
    let (trusted, sign) = beacon(77);
    let (other, sign_other) = beacon(78);
    let round = Round(1000);
    let ciphertext = sample(b"secret", round);
    assert_eq!(ciphertext.decrypt(&sign(round)), Ok(b"secret".to_vec()));
    assert_eq!(sign(round).verify(&trusted), Ok(()));
    assert_eq!(ciphertext.decrypt(&sign(Round(1001))), Err(DecryptError::WrongPulse(Round(1001))));
    assert_eq!(ciphertext.decrypt(&sign_other(round)), Err(DecryptError::WrongPulse(round)));
    assert_eq!(sign_other(round).verify(&trusted), Err(PulseError::Unverified(round)));
    assert_eq!(sign(round).verify(&other), Err(PulseError::Unverified(round)));
    // A signature with a wrong round number no longer verifies, but still decrypts.
    let renumbered = Pulse::new(Round(5), &sign(round).signature()).unwrap();
    assert_eq!(renumbered.verify(&trusted), Err(PulseError::Unverified(Round(5))));
    assert_eq!(ciphertext.decrypt(&renumbered), Ok(b"secret".to_vec()));
}

#[test]
fn equal_messages_have_different_ciphertexts() {
    let (beacon, _) = beacon(77);
    let mut rng = StdRng::seed_from_u64(2);
    let ciphertexts = [(); 2].map(|()| encrypt(b"same", &beacon, Round(1), &mut rng).unwrap());
    assert_ne!(ciphertexts[0].key, ciphertexts[1].key);
    assert_ne!(ciphertexts[0].nonce, ciphertexts[1].nonce);
    assert_ne!(ciphertexts[0].data, ciphertexts[1].data);
}

#[test]
fn changed_byte_is_rejected() {
    let pulse = beacon(77).1(Round(3));
    let bytes = sample(b"weights", Round(3)).to_bytes();
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 4;
        let opened = Ciphertext::from_bytes(&changed).map(|ciphertext| ciphertext.decrypt(&pulse));
        assert!(!matches!(opened, Ok(Ok(_))), "byte {position}");
    }
}

#[test]
fn malformed_containers_have_distinct_errors() {
    let bytes = sample(b"weights", Round(3)).to_bytes();
    let changed = |position: usize, with: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[position..position + with.len()].copy_from_slice(with);
        Ciphertext::from_bytes(&bytes).unwrap_err()
    };
    let length = |part, expected, actual| FormatError::Length { part, expected, actual };
    assert_eq!(changed(0, &[0]), FormatError::Point);
    assert_eq!(changed(96, &[31]), length("V", 32, 31));
    assert_eq!(changed(136, &u64::MAX.to_le_bytes()), length("W", 32, u64::MAX));
    assert_eq!(changed(176, &u64::MAX.to_le_bytes()), FormatError::Truncated { part: "body" });
    // The stated data length is one byte short: the nonce's length is then read one byte too early.
    assert_eq!(changed(184, &[22]), length("nonce", 12, (12 << 8) | u64::from(bytes[214])));
    assert_eq!(changed(bytes.len() - 8, b"CHACHA__"), FormatError::Suite);

    for end in 0..bytes.len() {
        assert!(
            matches!(Ciphertext::from_bytes(&bytes[..end]), Err(FormatError::Truncated { .. })),
            "{end} bytes"
        );
    }
    let longer = [bytes.as_slice(), b"more"].concat();
    assert_eq!(Ciphertext::from_bytes(&longer), Err(FormatError::Trailing(4)));
    let mut remaining = longer.as_slice();
    assert_eq!(Ciphertext::read(&mut remaining), Ciphertext::from_bytes(&bytes));
    assert_eq!(remaining, b"more");
    let mut remaining = &bytes[..99];
    Ciphertext::read(&mut remaining).unwrap_err();
    assert_eq!(remaining, &bytes[..99]);
}

#[test]
fn trailing_bytes_in_the_body_are_refused() {
    let bytes = sample(b"weights", Round(3)).to_bytes();
    let (head, tail) = (&bytes[..176], &bytes[184..]);
    let body = &tail[..tail.len() - 16];
    let longer = [body, &[0]].concat();
    let bytes =
        [head, &(longer.len() as u64).to_le_bytes(), &longer, &tail[tail.len() - 16..]].concat();
    let expected = FormatError::Length { part: "body after its nonce", expected: 0, actual: 1 };
    assert_eq!(Ciphertext::from_bytes(&bytes), Err(expected));
}

#[test]
fn debug_shows_no_content() {
    assert_eq!(format!("{:?}", sample(b"", Round(1))), "Ciphertext { bytes: 16, .. }");
}

#[test]
fn wrapped_ciphertext_without_its_frame_is_refused() {
    let wrapped = WrappedCiphertext { ciphertext: sample(b"weights", Round(3)), round: Round(3) };
    let bytes = wrapped.to_bytes();
    assert_eq!(WrappedCiphertext::from_bytes(&bytes), Ok(wrapped.clone()));
    assert_eq!(
        WrappedCiphertext::from_bytes(&[&bytes[..], &[0]].concat()),
        Err(WrappedCiphertextError::Frame)
    );
    assert_eq!(
        WrappedCiphertext::from_bytes(&bytes[..bytes.len() - 1]),
        Err(WrappedCiphertextError::Frame)
    );
    assert_eq!(
        WrappedCiphertext::from_bytes(&wrapped.ciphertext.to_bytes()),
        Err(WrappedCiphertextError::Frame)
    );
    let empty = [0; 9];
    assert_eq!(
        WrappedCiphertext::from_bytes(&empty),
        Err(FormatError::Truncated { part: "point" }.into())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn encrypted_messages_decrypt(secret in 1..u64::MAX, round: u64, plaintext: Vec<u8>, seed: u64) {
        let (beacon, sign) = beacon(secret);
        let round = Round(round);
        let ciphertext = encrypt(&plaintext, &beacon, round, &mut StdRng::seed_from_u64(seed)).unwrap();
        let read = Ciphertext::from_bytes(&ciphertext.to_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&ciphertext));
        prop_assert_eq!(read.unwrap().decrypt(&sign(round)), Ok(plaintext));
    }

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>) {
        prop_assert!(Ciphertext::from_bytes(&bytes).is_err());
        let _ = WrappedCiphertext::from_bytes(&bytes);
    }
}
