//! The work of a registration, and the search on processor cores.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use sha3::Keccak256;
use taonet_primitives::{BlockHash, Coldkey, Hotkey, NetUid};

/// Prefix of the hashed bytes.
const DOMAIN: &[u8; 25] = b"subtensor-pow-register-v1";
/// Number of hashed bytes before the nonce: domain, netuid, block, hotkey and coldkey.
const PREFIX_BYTES: usize = DOMAIN.len() + 2 + 3 * 32;
/// Number of hashes between two reads of the clock.
const BATCH_HASHES: u64 = 1 << 10;

/// Input of a seal, and its difficulty.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// The subnet.
    pub netuid: NetUid,
    /// A recent block; the chain accepts work for the last few blocks only.
    pub block: BlockHash,
    /// The hotkey to be registered.
    pub hotkey: Hotkey,
    /// The coldkey that signs the registration.
    pub coldkey: Coldkey,
    /// Average number of nonces per solution, at least 1.
    pub difficulty: u64,
}

/// A nonce with its seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solution {
    /// The nonce.
    pub nonce: u64,
    /// The nonce's seal.
    pub seal: [u8; 32],
}

impl Work {
    /// Returns the solution with a nonce, or `None` if the nonce does not meet the difficulty.
    pub fn verify(&self, nonce: u64) -> Option<Solution> {
        let seal = seal(&Sha256::new_with_prefix(self.prefix()), nonce);
        meets_difficulty(&seal, self.difficulty).then_some(Solution { nonce, seal })
    }

    /// Returns the hashed bytes before the nonce.
    pub(crate) fn prefix(&self) -> [u8; PREFIX_BYTES] {
        let Self { netuid, block, hotkey, coldkey, .. } = self;
        let (netuid, mut prefix) = (netuid.0.to_le_bytes(), [0; PREFIX_BYTES]);
        let keys = block.as_bytes().iter().chain(hotkey.as_bytes()).chain(coldkey.as_bytes());
        for (target, byte) in prefix.iter_mut().zip(DOMAIN.iter().chain(&netuid).chain(keys)) {
            *target = *byte;
        }
        prefix
    }

    /// Searches nonces from `start` upwards on several threads, until one meets the difficulty or
    /// the deadline passes. Adds the number of hashes to `hash_count`.
    pub(crate) fn search(
        &self,
        start: u64,
        threads: NonZeroUsize,
        deadline: Instant,
        hash_count: &AtomicU64,
    ) -> Option<Solution> {
        let solution = OnceLock::new();
        let (prefix, thread_count) = (Sha256::new_with_prefix(self.prefix()), threads.get() as u64);
        std::thread::scope(|scope| {
            for thread in 0..thread_count {
                let (prefix, solution) = (&prefix, &solution);
                scope.spawn(move || {
                    let mut nonce = start.wrapping_add(thread);
                    while solution.get().is_none() && Instant::now() < deadline {
                        for _ in 0..BATCH_HASHES {
                            let seal = seal(prefix, nonce);
                            if meets_difficulty(&seal, self.difficulty) {
                                // Another thread may have been faster.
                                let _ = solution.set(Solution { nonce, seal });
                                break;
                            }
                            nonce = nonce.wrapping_add(thread_count);
                        }
                        hash_count.fetch_add(BATCH_HASHES, Ordering::Relaxed);
                    }
                });
            }
        });
        solution.into_inner()
    }
}

/// Returns the seal of a nonce: keccak256(sha256(prefix ‖ nonce)).
fn seal(prefix: &Sha256, nonce: u64) -> [u8; 32] {
    Keccak256::digest(prefix.clone().chain_update(nonce.to_le_bytes()).finalize()).into()
}

/// Returns whether a seal, as a little-endian number of 256 bits, meets a difficulty: their product
/// does not overflow.
fn meets_difficulty(seal: &[u8; 32], difficulty: u64) -> bool {
    let carry = seal.as_chunks::<8>().0.iter().fold(0_u64, |carry, limb| {
        let product =
            u128::from(u64::from_le_bytes(*limb)) * u128::from(difficulty) + u128::from(carry);
        (product >> 64) as u64
    });
    carry == 0
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns the work of the recordings, which the keys //Bob and //Alice registered.
    pub(crate) fn recorded(netuid: u16, block: &str, difficulty: u64) -> Work {
        let keys = [
            "8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48",
            "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d",
        ];
        let [hotkey, coldkey] = keys.map(bytes);
        Work {
            netuid: NetUid(netuid),
            block: BlockHash::from_bytes(bytes(block)),
            hotkey: Hotkey::from_bytes(hotkey),
            coldkey: Coldkey::from_bytes(coldkey),
            difficulty,
        }
    }

    pub(crate) fn bytes(digits: &str) -> [u8; 32] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    pub(crate) const ONE: NonZeroUsize = NonZeroUsize::MIN;

    pub(crate) fn far_deadline() -> Instant {
        Instant::now() + Duration::from_mins(5)
    }

    /// Columns: netuid, nonce, block and seal, as recorded in pow.json
    #[test]
    fn seals_match_the_real_chain() {
        for (netuid, nonce, block, expected) in [
            (
                1,
                0,
                "5fdbd2c428d6bc0d15367691187f4030ce50229f3cca7db0f4d6c81cc513000d",
                "d79da8e3773df8e31826d4567d4dd45ee0d5de3331c5faa562b510ad50453d88",
            ),
            (
                4,
                4_294_967_296,
                "33b99b69306eb033546cd8ef3fad8d576559e4ac2045c85792d4a6c44e132137",
                "2b3dac8fecdd0ef9e9f917b9841f7d8357d73e0453e6fccd9fa7e5964727054c",
            ),
            (
                5,
                18_446_744_073_709_551_615,
                "bae969eb71ad69f5724d3ec5073f27dfc90ad368e7e07af62d156235b90b9c1d",
                "cb9e1ea8b4342eb647ed9229bb635094d052f8d30d4807a568271e850a9741a4",
            ),
        ] {
            let solution = Solution { nonce, seal: bytes(expected) };
            assert_eq!(recorded(netuid, block, 1).verify(nonce), Some(solution), "{nonce}");
        }
    }

    /// Block of [`MINED`].
    pub(crate) const MINED_IN: &str =
        "9a871106515f53290bd1f16401526faccf7b88b6ec95a94ee353d96921e223c6";
    /// Columns: difficulty, first nonce and its seal, as recorded in pow.json
    pub(crate) const MINED: [(u64, u64, &str); 5] = [
        (1, 0, "3de34b865039b6d210e95d7ae1ba0c18d8fb7362ab7d6ed0b8e2cf680aeddbb8"),
        (2, 1, "8c64bdc596197c6937dbd2b7af3d8b8859bdcc9636c78dd23a273befd9c7065a"),
        (16, 19, "adbd375353f64867d7f65f1a0467a5744abbd659167a0a722a6b5ce730be450f"),
        (1000, 745, "5b642bda42d8f2b85a374fa40f7bb9d4f7515763df1244870b7152978e0b0f00"),
        (20_000, 1787, "25f599caf5b58d58ca329e722f9a04cbc2dc6eaf3ba24c07a62bbeb160430100"),
    ];

    #[test]
    fn first_nonce_meeting_the_difficulty_is_found() {
        for (difficulty, nonce, seal) in MINED {
            let solution = recorded(1, MINED_IN, difficulty).search(
                0,
                ONE,
                far_deadline(),
                &AtomicU64::new(0),
            );
            assert_eq!(solution, Some(Solution { nonce, seal: bytes(seal) }), "{difficulty}");
        }
    }

    #[test]
    fn several_threads_share_the_search() {
        let work = recorded(59, &"01".repeat(32), 1_000);
        let threads = NonZeroUsize::new(4).unwrap();
        let solution = work.search(u64::MAX, threads, far_deadline(), &AtomicU64::new(0)).unwrap();
        assert_eq!(work.verify(solution.nonce), Some(solution));
        let (impossible_work, hash_count) =
            (Work { difficulty: u64::MAX, ..work }, AtomicU64::new(0));
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(impossible_work.search(0, threads, deadline, &hash_count), None);
        assert!(hash_count.into_inner() >= BATCH_HASHES);
    }

    #[test]
    fn seal_is_compared_as_little_endian_number() {
        let number = |offset: usize, byte: u8| {
            let mut seal = [0; 32];
            seal[offset] = byte;
            seal
        };
        for (seal, difficulty, expected) in [
            ([0; 32], u64::MAX, true),
            ([255; 32], 1, true),
            ([255; 32], 2, false),
            (number(31, 127), 2, true),
            (number(31, 128), 2, false),
            (number(0, 255), u64::MAX, true),
            (number(24, 1), u64::MAX, true),
            (number(24, 2), u64::MAX, false),
        ] {
            assert_eq!(meets_difficulty(&seal, difficulty), expected, "{seal:?} {difficulty}");
        }
    }
}
