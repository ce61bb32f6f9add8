use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};

/// Computes BLAKE2b-256, the hash of extrinsics, calls, block headers and multisig accounts.
pub fn blake2_256(bytes: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(bytes).into()
}
