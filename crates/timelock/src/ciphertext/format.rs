//! The container format of ciphertexts, as read by the chain. Lengths are 64-bit little-endian:
//!
//! `U (96) ‖ 32 ‖ V ‖ 32 ‖ W ‖ length ‖ { length ‖ data with tag ‖ 12 ‖ nonce } ‖ 8 ‖ "AES_GCM_"`

use ark_bls12_381::G2Affine;
use ark_serialize::{CanonicalDeserialize as _, CanonicalSerialize as _};
use taonet_primitives::counted;

use super::{Ciphertext, NONCE_BYTES};
use crate::ibe::{SECRET_BYTES, SealedKey};

const POINT_BYTES: usize = 96;
const SUITE: &[u8; 8] = b"AES_GCM_";

/// Why bytes are not a valid ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end within a field.
    #[error("the ciphertext is truncated in its {part}; hint: fetch it again")]
    Truncated {
        /// The name of the truncated field.
        part: &'static str,
    },
    /// A field states an invalid length.
    #[error(
        "the {part} of the ciphertext has {}, expected {expected}: unsupported timelock ciphertext",
        counted(.actual, "byte")
    )]
    Length {
        /// The name of the field.
        part: &'static str,
        /// The required length.
        expected: u64,
        /// The stated length.
        actual: u64,
    },
    /// The first 96 bytes are not a compressed point of G2, or the point is outside its prime-order
    /// group.
    #[error(
        "the ciphertext does not start with a BLS12-381 G2 point: it is not a drand timelock ciphertext"
    )]
    Point,
    /// The cipher suite is unsupported.
    #[error(
        "unsupported cipher, expected AES_GCM_; hint: a newer tool may have created the ciphertext"
    )]
    Suite,
    /// Bytes follow the ciphertext.
    #[error(
        "trailing data after the ciphertext: {}; hint: if it is a round, decode the input as a wrapped ciphertext",
        counted(.0, "byte")
    )]
    Trailing(usize),
}

impl Ciphertext {
    /// Encodes the ciphertext in the container format.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        write_field(&mut body, &self.data);
        write_field(&mut body, &self.nonce);
        let mut bytes = Vec::new();
        // Writing to memory cannot fail.
        let _ = self.key.u.serialize_compressed(&mut bytes);
        write_field(&mut bytes, &self.key.v);
        write_field(&mut bytes, &self.key.w);
        write_field(&mut bytes, &body);
        write_field(&mut bytes, SUITE);
        bytes
    }

    /// Decodes a ciphertext from the container format, which must span all bytes.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut remaining = bytes;
        let ciphertext = Self::read(&mut remaining)?;
        if remaining.is_empty() {
            Ok(ciphertext)
        } else {
            Err(FormatError::Trailing(remaining.len()))
        }
    }

    /// Decodes a ciphertext from the start of `input` and advances `input` past it, as the chain
    /// does.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes do not begin with a container.
    pub fn read(input: &mut &[u8]) -> Result<Self, FormatError> {
        let mut remaining = *input;
        let point: [u8; POINT_BYTES] = take_array(&mut remaining, "point")?;
        let v: [u8; SECRET_BYTES] = read_array(&mut remaining, "V")?;
        let w: [u8; SECRET_BYTES] = read_array(&mut remaining, "W")?;
        let mut body = read_field(&mut remaining, "body")?;
        let data = read_field(&mut body, "data")?.to_vec();
        let nonce: [u8; NONCE_BYTES] = read_array(&mut body, "nonce")?;
        if !body.is_empty() {
            return Err(FormatError::Length {
                part: "body after its nonce",
                expected: 0,
                actual: body.len() as u64,
            });
        }
        if read_field(&mut remaining, "cipher's name")? != SUITE {
            return Err(FormatError::Suite);
        }
        // Parsed last, since it costs far more than all other fields together.
        let u =
            G2Affine::deserialize_compressed(point.as_slice()).map_err(|_| FormatError::Point)?;
        *input = remaining;
        Ok(Self { key: SealedKey { u, v, w }, data, nonce })
    }
}

/// Writes a field with its length prefix.
fn write_field(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part);
}

fn take_array<const N: usize>(
    input: &mut &[u8],
    part: &'static str,
) -> Result<[u8; N], FormatError> {
    let (bytes, remaining) = input.split_first_chunk().ok_or(FormatError::Truncated { part })?;
    *input = remaining;
    Ok(*bytes)
}

fn read_length(input: &mut &[u8], part: &'static str) -> Result<u64, FormatError> {
    take_array(input, part).map(u64::from_le_bytes)
}

/// Reads a field of any length, after its length prefix.
fn read_field<'a>(input: &mut &'a [u8], part: &'static str) -> Result<&'a [u8], FormatError> {
    let length = read_length(input, part)?;
    let (bytes, remaining) = usize::try_from(length)
        .ok()
        .and_then(|length| input.split_at_checked(length))
        .ok_or(FormatError::Truncated { part })?;
    *input = remaining;
    Ok(bytes)
}

/// Reads a field of a fixed length, after its length prefix.
fn read_array<const N: usize>(
    input: &mut &[u8],
    part: &'static str,
) -> Result<[u8; N], FormatError> {
    let (actual, expected) = (read_length(input, part)?, N as u64);
    if actual != expected {
        return Err(FormatError::Length { part, expected, actual });
    }
    take_array(input, part)
}
