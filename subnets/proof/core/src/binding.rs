use serde::{Deserialize, Serialize};
use taonet_primitives::Hotkey;

use crate::Digest;

/// Domain separator of the digests.
const DOMAIN: &[u8] = b"taonet proof of inference, binding, 1";

/// Binding of a proof to one request and one miner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Random bytes of the request, never reused.
    pub nonce: Digest,
    /// Hotkey of the miner that the request was sent to.
    pub miner: Hotkey,
    /// Identity of the circuit.
    pub circuit: Digest,
    /// SHA-256 of the verification key.
    pub verification_key: Digest,
}

impl Binding {
    /// Computes the digest in the proof's public inputs: SHA-256 over a domain separator, nonce,
    /// hotkey, circuit ID, verification key and inputs. A proof for one digest verifies for no
    /// other.
    pub fn digest(&self, inputs: &[i64]) -> Digest {
        Digest::of_parts(&[
            DOMAIN,
            self.nonce.as_bytes(),
            self.miner.as_bytes(),
            self.circuit.as_bytes(),
            self.verification_key.as_bytes(),
            Digest::of_values(inputs).as_bytes(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_changes_the_digest() {
        let binding = Binding {
            nonce: Digest::of(b"nonce"),
            miner: Hotkey::from_bytes([1; 32]),
            circuit: Digest::of(b"circuit"),
            verification_key: Digest::of(b"key"),
        };
        let others = [
            Binding { nonce: Digest::of(b"other"), ..binding.clone() },
            Binding { miner: Hotkey::from_bytes([2; 32]), ..binding.clone() },
            Binding { circuit: Digest::of(b"other"), ..binding.clone() },
            Binding { verification_key: Digest::of(b"other"), ..binding.clone() },
            Binding {
                circuit: binding.verification_key,
                verification_key: binding.circuit,
                ..binding.clone()
            },
        ];
        let digest = binding.digest(&[1, 2, 3]);
        for other in others {
            assert_ne!(other.digest(&[1, 2, 3]), digest, "{other:?}");
        }
        assert_ne!(binding.digest(&[1, 2, 4]), digest);
        assert_ne!(binding.digest(&[1, 2]), digest);
    }
}
