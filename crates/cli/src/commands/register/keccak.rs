//! Keccak-256 of 32 bytes: the hash of the chain's proof of work, which is not SHA-3.

#![allow(clippy::indexing_slicing, reason = "the state has 25 lanes, and every index is below 25")]

/// Number of bytes that the sponge absorbs at once.
const RATE: usize = 136;
/// Constants of the 24 rounds.
const ROUNDS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];
/// Rotations and positions of the lanes in the order in which a round moves them.
const MOVES: [(u32, usize); 24] = [
    (1, 10),
    (3, 7),
    (6, 11),
    (10, 17),
    (15, 18),
    (21, 3),
    (28, 5),
    (36, 16),
    (45, 8),
    (55, 21),
    (2, 24),
    (14, 4),
    (27, 15),
    (41, 23),
    (56, 19),
    (8, 13),
    (25, 12),
    (43, 2),
    (62, 20),
    (18, 14),
    (39, 22),
    (61, 9),
    (20, 6),
    (44, 1),
];

/// Returns the Keccak-256 hash of 32 bytes.
pub(super) fn keccak_256(message: &[u8; 32]) -> [u8; 32] {
    let mut state = [0_u64; 25];
    for (lane, bytes) in state.iter_mut().zip(message.as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    // Padding: the first bit after the message, and the last bit of the block.
    state[4] = 1;
    state[RATE / 8 - 1] ^= 1 << 63;
    permute(&mut state);
    let mut hash = [0; 32];
    for (bytes, lane) in hash.as_chunks_mut::<8>().0.iter_mut().zip(state) {
        *bytes = lane.to_le_bytes();
    }
    hash
}

fn permute(state: &mut [u64; 25]) {
    for constant in ROUNDS {
        let mut parities = [0; 5];
        for (x, parity) in parities.iter_mut().enumerate() {
            *parity = state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20];
        }
        for x in 0..5 {
            let change = parities[(x + 4) % 5] ^ parities[(x + 1) % 5].rotate_left(1);
            for lane in state.iter_mut().skip(x).step_by(5) {
                *lane ^= change;
            }
        }
        let mut moved = state[1];
        for (rotation, place) in MOVES {
            (state[place], moved) = (moved.rotate_left(rotation), state[place]);
        }
        for row in state.as_chunks_mut::<5>().0 {
            let before = *row;
            for (x, lane) in row.iter_mut().enumerate() {
                *lane ^= !before[(x + 1) % 5] & before[(x + 2) % 5];
            }
        }
        state[0] ^= constant;
    }
}
