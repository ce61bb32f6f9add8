//! The container, as the chain's decoder reads it. Lengths are 64-bit little-endian:
//!
//! `U (96) ‖ 32 ‖ V ‖ 32 ‖ W ‖ length ‖ { length ‖ data with tag ‖ 12 ‖ nonce } ‖ 8 ‖ "AES_GCM_"`

use ark_bls12_381::G2Affine;
use ark_serialize::{CanonicalDeserialize as _, CanonicalSerialize as _};
use taonet_primitives::counted;

use super::{Ciphertext, NONCE};
use crate::ibe::{SealedKey, WIDTH};

const POINT: usize = 96;
const SUITE: &[u8; 8] = b"AES_GCM_";

/// Why bytes are no ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end within a part.
    #[error("the ciphertext ends within its {part}: get it again, whole")]
    Truncated {
        /// The part.
        part: &'static str,
    },
    /// A part says that it is longer or shorter than it can be.
    #[error(
        "the {part} of the ciphertext has {} instead of {expected}: it is no drand timelock ciphertext of this kind",
        counted(.found, "byte")
    )]
    Length {
        /// The part.
        part: &'static str,
        /// The length that it must have.
        expected: u64,
        /// The length that it states.
        found: u64,
    },
    /// The first 96 bytes are no point of G2 in compressed form, or outside its prime-order group.
    #[error(
        "the ciphertext does not begin with a point of G2 of BLS12-381: it is no drand timelock ciphertext of this kind"
    )]
    Point,
    /// Encrypted by another cipher.
    #[error("the ciphertext's cipher is not AES_GCM_: it was made by a newer tool than this one knows")]
    Suite,
    /// Something follows.
    #[error("{} after the ciphertext: if a round is among them, read it as wrapped data", counted(.0, "byte"))]
    Trailing(usize),
}

impl Ciphertext {
    /// The container's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        write(&mut body, &self.data);
        write(&mut body, &self.nonce);
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let _ = self.key.u.serialize_compressed(&mut bytes);
        write(&mut bytes, &self.key.v);
        write(&mut bytes, &self.key.w);
        write(&mut bytes, &body);
        write(&mut bytes, SUITE);
        bytes
    }

    /// Reads a container that fills its bytes.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut rest = bytes;
        let ciphertext = Self::read(&mut rest)?;
        if rest.is_empty() { Ok(ciphertext) } else { Err(FormatError::Trailing(rest.len())) }
    }

    /// Reads a container from the front of `input` and leaves there what follows it, as the chain's decoder does.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes begin with none.
    pub fn read(input: &mut &[u8]) -> Result<Self, FormatError> {
        let mut rest = *input;
        let point: [u8; POINT] = take_array(&mut rest, "point")?;
        let v: [u8; WIDTH] = read_array(&mut rest, "V")?;
        let w: [u8; WIDTH] = read_array(&mut rest, "W")?;
        let mut body = read_part(&mut rest, "body")?;
        let data = read_part(&mut body, "data")?.to_vec();
        let nonce: [u8; NONCE] = read_array(&mut body, "nonce")?;
        if !body.is_empty() {
            return Err(FormatError::Length { part: "body after its nonce", expected: 0, found: body.len() as u64 });
        }
        if read_part(&mut rest, "cipher's name")? != SUITE {
            return Err(FormatError::Suite);
        }
        // Last: it costs far more than all the rest.
        let u = G2Affine::deserialize_compressed(point.as_slice()).map_err(|_| FormatError::Point)?;
        *input = rest;
        Ok(Self { key: SealedKey { u, v, w }, data, nonce })
    }
}

/// Writes a part after its length.
fn write(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part);
}

fn take_array<const N: usize>(rest: &mut &[u8], part: &'static str) -> Result<[u8; N], FormatError> {
    let (taken, left) = rest.split_first_chunk().ok_or(FormatError::Truncated { part })?;
    *rest = left;
    Ok(*taken)
}

fn read_length(rest: &mut &[u8], part: &'static str) -> Result<u64, FormatError> {
    take_array(rest, part).map(u64::from_le_bytes)
}

/// A part of any length, after its length.
fn read_part<'a>(rest: &mut &'a [u8], part: &'static str) -> Result<&'a [u8], FormatError> {
    let length = read_length(rest, part)?;
    let (taken, left) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(FormatError::Truncated { part })?;
    *rest = left;
    Ok(taken)
}

/// A part of a fixed length, after its length.
fn read_array<const N: usize>(rest: &mut &[u8], part: &'static str) -> Result<[u8; N], FormatError> {
    let (found, expected) = (read_length(rest, part)?, N as u64);
    if found != expected {
        return Err(FormatError::Length { part, expected, found });
    }
    take_array(rest, part)
}
