//! Length of a zlib-compressed text, a measure of repetition.
//!
//! Other implementations of the format find different matches: for repetitive texts of a few
//! hundred bytes the result can be twice as long and fall on the other side of a threshold. This
//! implementation is zlib's level 6: lazy matching over hash chains, and the shortest of stored,
//! fixed and dynamic blocks. It only counts bits and writes nothing.
#![allow(clippy::indexing_slicing)] // Tables and positions of a buffer whose sizes are set here.

mod huffman;

use huffman::{DISTANCE_SYMBOLS, LITERAL_SYMBOLS, block_bits};

/// Minimum and maximum match length.
const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 258;
/// Level 6 thresholds: matches of these lengths shorten the search, end it, or disable lazy
/// matching.
const GOOD_LENGTH: usize = 8;
const NICE_LENGTH: usize = 128;
const MAX_LAZY_LENGTH: usize = 16;
const MAX_CHAIN: usize = 128;
/// Maximum distance of a match, in bytes.
const MAX_DISTANCE: usize = 32_768 - MAX_MATCH - MIN_MATCH - 1;
/// Maximum distance of a three-byte match that saves space, in bytes.
const MAX_SHORT_MATCH_DISTANCE: usize = 4096;
/// Maximum number of symbols per block.
const MAX_SYMBOLS: usize = 16_383;
const HASH_BITS: usize = 15;

/// Computes the length in bytes of the result of Python's `zlib.compress`.
pub(super) fn compressed_length(text: &[u8]) -> usize {
    let mut compressor = Compressor::new(text);
    compressor.run();
    // Two bytes of header, four of checksum.
    2 + compressor.bits.div_ceil(8) + 4
}

/// Frequencies of a block's symbols.
struct Block {
    literals: [u32; LITERAL_SYMBOLS],
    distances: [u32; DISTANCE_SYMBOLS],
    symbols: usize,
    /// Start of the block's text.
    start: usize,
}

impl Block {
    fn new(start: usize) -> Self {
        Self { literals: [0; LITERAL_SYMBOLS], distances: [0; DISTANCE_SYMBOLS], symbols: 0, start }
    }
}

struct Compressor {
    /// The text, padded with as many zeros as a match may read.
    window: Vec<u8>,
    length: usize,
    /// The latest position of each hash, and the previous position with the same hash for each
    /// position; 0 means none.
    head: Vec<usize>,
    previous: Vec<usize>,
    block: Block,
    bits: usize,
}

impl Compressor {
    fn new(text: &[u8]) -> Self {
        let mut window = text.to_vec();
        window.resize(text.len() + 2 * MAX_MATCH, 0);
        let (head, previous) = (vec![0; 1 << HASH_BITS], vec![0; text.len()]);
        Self { window, length: text.len(), head, previous, block: Block::new(0), bits: 0 }
    }

    /// Inserts a position under the hash of its three bytes; returns the previous position with
    /// that hash.
    fn insert(&mut self, at: usize) -> usize {
        let [a, b, c] = [0, 1, 2].map(|offset| usize::from(self.window[at + offset]));
        let hash = ((a << 10) ^ (b << 5) ^ c) & ((1 << HASH_BITS) - 1);
        self.previous[at] = self.head[hash];
        std::mem::replace(&mut self.head[hash], at)
    }

    fn run(&mut self) {
        let mut at = 0;
        let (mut length, mut matched) = (MIN_MATCH - 1, 0);
        let mut has_literal = false;
        while at < self.length {
            let candidate = if self.length - at >= MIN_MATCH { self.insert(at) } else { 0 };
            let (length_before, matched_before) = (length, matched);
            length = MIN_MATCH - 1;
            if candidate != 0 && length_before < MAX_LAZY_LENGTH && at - candidate <= MAX_DISTANCE {
                (length, matched) = self.longest_match(at, candidate, length_before, matched);
                if length == MIN_MATCH && at - matched > MAX_SHORT_MATCH_DISTANCE {
                    length = MIN_MATCH - 1;
                }
            }
            if length_before >= MIN_MATCH && length <= length_before {
                // The match at the previous position is at least as long: emit it.
                self.count_match(at - 1 - matched_before, length_before);
                let last = self.length.saturating_sub(MIN_MATCH);
                for position in at + 1..at + length_before - 1 {
                    if position <= last {
                        self.insert(position);
                    }
                }
                at += length_before - 1;
                (has_literal, length) = (false, MIN_MATCH - 1);
                self.flush_if_full(at);
            } else {
                if has_literal {
                    self.count_literal(at - 1);
                    self.flush_if_full(at);
                }
                has_literal = true;
                at += 1;
            }
        }
        if has_literal {
            self.count_literal(self.length - 1);
        }
        self.flush(self.length);
    }

    /// Finds the longest match that is longer than the previous one. Returns its length and
    /// position, or the length and position of the previous match if there is no longer one.
    fn longest_match(
        &self,
        at: usize,
        candidate: usize,
        before: usize,
        matched: usize,
    ) -> (usize, usize) {
        let lookahead = self.length - at;
        let nice = NICE_LENGTH.min(lookahead);
        let limit = at.saturating_sub(MAX_DISTANCE);
        let (mut best, mut matched) = (before, matched);
        let mut candidate = candidate;
        for _ in 0..if before >= GOOD_LENGTH { MAX_CHAIN / 4 } else { MAX_CHAIN } {
            let (current_bytes, candidate_bytes) =
                (&self.window[at..at + MAX_MATCH], &self.window[candidate..candidate + MAX_MATCH]);
            // A longer match must agree at these positions.
            if current_bytes[best.min(MAX_MATCH - 1)] == candidate_bytes[best.min(MAX_MATCH - 1)]
                && current_bytes[..2] == candidate_bytes[..2]
            {
                let length =
                    current_bytes.iter().zip(candidate_bytes).take_while(|(a, b)| a == b).count();
                if length > best {
                    (best, matched) = (length, candidate);
                    if length >= nice {
                        break;
                    }
                }
            }
            candidate = self.previous[candidate];
            if candidate <= limit {
                break;
            }
        }
        (best.min(lookahead), matched)
    }

    fn count_literal(&mut self, at: usize) {
        self.block.literals[usize::from(self.window[at])] += 1;
        self.block.symbols += 1;
    }

    fn count_match(&mut self, distance: usize, length: usize) {
        self.block.literals[huffman::length_symbol(length)] += 1;
        self.block.distances[huffman::distance_symbol(distance)] += 1;
        self.block.symbols += 1;
    }

    fn flush_if_full(&mut self, at: usize) {
        if self.block.symbols >= MAX_SYMBOLS {
            self.flush(at);
        }
    }

    fn flush(&mut self, at: usize) {
        let block = std::mem::replace(&mut self.block, Block::new(at));
        self.bits += 3;
        let bits = block_bits(block.literals, block.distances);
        let stored = at - block.start;
        // Sizes in bytes, including the block's three header bits, as zlib compares them.
        if stored + 4 <= (bits + 3).div_ceil(8) {
            self.bits = self.bits.next_multiple_of(8) + 32 + 8 * stored;
        } else {
            self.bits += bits;
        }
    }
}
