//! Size of a block in bits: code lengths as zlib assigns them, and the shorter of the fixed and the
//! dynamic code.

/// Number of literal and length symbols, and of distance symbols.
pub(super) const LITERAL_SYMBOLS: usize = 286;
pub(super) const DISTANCE_SYMBOLS: usize = 30;
/// Number of code length symbols.
const LENGTH_SYMBOLS: usize = 19;
const END_OF_BLOCK: usize = 256;
/// Code length symbols for a repeated length, a run of zeros and a long run of zeros.
const REPEAT_PREVIOUS: usize = 16;
const ZEROS: usize = 17;
const MANY_ZEROS: usize = 18;
/// Storage order of the lengths of the code length code (RFC 1951, 3.2.7).
const CODE_LENGTH_ORDER: [usize; LENGTH_SYMBOLS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Returns the symbol of a match's length, `3..=258`.
pub(super) fn length_symbol(length: usize) -> usize {
    match length - 3 {
        255 => 285,
        short @ 0..8 => 257 + short,
        long => {
            let extra = long.ilog2() as usize - 2;
            257 + 4 * extra + (long >> extra)
        }
    }
}

/// Returns the symbol of a match's distance, `1..=32768`.
pub(super) fn distance_symbol(distance: usize) -> usize {
    match distance - 1 {
        near @ 0..4 => near,
        far => {
            let extra = far.ilog2() as usize - 1;
            2 * extra + (far >> extra)
        }
    }
}

fn extra_of_literal(symbol: usize) -> usize {
    match symbol {
        265..285 => (symbol - 261) / 4,
        _ => 0,
    }
}

fn extra_of_distance(symbol: usize) -> usize {
    (symbol / 2).saturating_sub(1)
}

fn extra_of_length(symbol: usize) -> usize {
    match symbol {
        REPEAT_PREVIOUS => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

fn fixed_length(symbol: usize) -> usize {
    match symbol {
        144..256 => 9,
        256..280 => 7,
        _ => 8,
    }
}

/// Returns the total size of symbols with these frequencies, given the size of each in bits.
fn sum_bits(frequencies: &[u32], bits: impl Fn(usize) -> usize) -> usize {
    frequencies.iter().enumerate().map(|(symbol, count)| *count as usize * bits(symbol)).sum()
}

/// Returns the size in bits of a block with these symbol frequencies, without its three header
/// bits.
pub(super) fn block_bits(
    mut literals: [u32; LITERAL_SYMBOLS],
    mut distances: [u32; DISTANCE_SYMBOLS],
) -> usize {
    literals[END_OF_BLOCK] = 1;
    let fixed = sum_bits(&literals, |symbol| fixed_length(symbol) + extra_of_literal(symbol))
        + sum_bits(&distances, |symbol| 5 + extra_of_distance(symbol));
    let (literal_counts, distance_counts) = (literals, distances);
    let literal_code = code_lengths(&mut literals, 15);
    let distance_code = code_lengths(&mut distances, 15);
    let mut counts = [0; LENGTH_SYMBOLS];
    count_lengths(&literal_code, &mut counts);
    count_lengths(&distance_code, &mut counts);
    let symbol_counts = counts;
    let length_code = code_lengths(&mut counts, 7);
    let last = CODE_LENGTH_ORDER
        .iter()
        .rposition(|&symbol| length_code.get(symbol).is_some_and(|length| *length > 0));
    let dynamic = 14
        + 3 * (last.unwrap_or(0).max(3) + 1)
        + sum_bits(&symbol_counts, |symbol| {
            length_code.get(symbol).copied().unwrap_or(0) + extra_of_length(symbol)
        })
        + sum_bits(&literal_counts, |symbol| {
            literal_code.get(symbol).copied().unwrap_or(0) + extra_of_literal(symbol)
        })
        + sum_bits(&distance_counts, |symbol| {
            distance_code.get(symbol).copied().unwrap_or(0) + extra_of_distance(symbol)
        });
    // Compared in bytes: the fixed code wins a tie.
    if (fixed + 3).div_ceil(8) <= (dynamic + 3).div_ceil(8) { fixed } else { dynamic }
}

/// Returns the code lengths of the symbols up to the last used one, with zlib's tie-breaking. Adds
/// symbols until two have a code.
fn code_lengths(frequencies: &mut [u32], max_length: usize) -> Vec<usize> {
    let mut heap: Vec<usize> =
        (0..frequencies.len()).filter(|&symbol| frequencies[symbol] > 0).collect();
    let mut last = heap.last().copied();
    while heap.len() < 2 {
        let symbol = match last {
            Some(symbol) if symbol < 2 => symbol + 1,
            _ => 0,
        };
        last = last.max(Some(symbol));
        frequencies[symbol] = 1;
        heap.push(symbol);
    }
    let count = frequencies.len();
    let mut tree = Tree { weights: frequencies.to_vec(), depths: vec![0; count], heap };
    let mut parents = vec![usize::MAX; count];
    for at in (0..tree.heap.len() / 2).rev() {
        tree.sift(at);
    }
    // Once reversed, nodes by descending weight, the root first.
    let mut order = Vec::new();
    while tree.heap.len() >= 2 {
        let minimum = tree.heap.swap_remove(0);
        tree.sift(0);
        let second = tree.heap[0];
        order.extend([minimum, second]);
        let node = tree.weights.len();
        tree.weights.push(tree.weights[minimum] + tree.weights[second]);
        tree.depths.push(tree.depths[minimum].max(tree.depths[second]) + 1);
        parents.push(usize::MAX);
        (parents[minimum], parents[second]) = (node, node);
        tree.heap[0] = node;
        tree.sift(0);
    }
    let mut lengths = vec![0; tree.weights.len()];
    let mut length_counts = vec![0usize; max_length + 1];
    let mut overflow = 0usize;
    for &node in order.iter().rev() {
        let length = lengths[parents[node]] + 1;
        overflow += usize::from(length > max_length);
        lengths[node] = length.min(max_length);
        if node < count {
            length_counts[lengths[node]] += 1;
        }
    }
    if overflow > 0 {
        shorten(&mut length_counts, overflow);
        // The rarest leaves get the longest codes.
        let mut leaves = order.iter().filter(|node| **node < count);
        for length in (1..=max_length).rev() {
            for &leaf in leaves.by_ref().take(length_counts[length]) {
                lengths[leaf] = length;
            }
        }
    }
    lengths.truncate(last.unwrap_or(0) + 1);
    lengths
}

/// Limits code lengths to the maximum, as zlib does.
fn shorten(length_counts: &mut [usize], mut overflow: usize) {
    let max_length = length_counts.len() - 1;
    while overflow > 0 {
        let Some(length) = (1..max_length).rev().find(|&length| length_counts[length] > 0) else {
            return;
        };
        length_counts[length] -= 1;
        length_counts[length + 1] += 2;
        length_counts[max_length] -= 1;
        overflow = overflow.saturating_sub(2);
    }
}

struct Tree {
    weights: Vec<u32>,
    depths: Vec<u32>,
    /// Binary heap of nodes, the lightest first.
    heap: Vec<usize>,
}

impl Tree {
    fn is_lighter(&self, a: usize, b: usize) -> bool {
        let (weights, depths) = (&self.weights, &self.depths);
        weights[a] < weights[b] || (weights[a] == weights[b] && depths[a] <= depths[b])
    }

    /// Sifts a node down the heap.
    fn sift(&mut self, mut at: usize) {
        let Some(&node) = self.heap.get(at) else { return };
        loop {
            let mut child = 2 * at + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len()
                && self.is_lighter(self.heap[child + 1], self.heap[child])
            {
                child += 1;
            }
            if self.is_lighter(node, self.heap[child]) {
                break;
            }
            self.heap[at] = self.heap[child];
            at = child;
        }
        self.heap[at] = node;
    }
}

/// Counts the code length symbols, with run-length encoding.
fn count_lengths(lengths: &[usize], counts: &mut [u32; LENGTH_SYMBOLS]) {
    let mut previous = None;
    let (mut maximum, mut minimum) = if lengths.first() == Some(&0) { (138, 3) } else { (7, 4) };
    let mut run = 0;
    for (index, &length) in lengths.iter().enumerate() {
        let next = lengths.get(index + 1).copied();
        run += 1;
        if run < maximum && next == Some(length) {
            continue;
        }
        if run < minimum {
            counts[length] += run;
        } else if length != 0 {
            if previous != Some(length) {
                counts[length] += 1;
            }
            counts[REPEAT_PREVIOUS] += 1;
        } else {
            counts[if run <= 10 { ZEROS } else { MANY_ZEROS }] += 1;
        }
        (run, previous) = (0, Some(length));
        (maximum, minimum) = match next {
            Some(0) => (138, 3),
            Some(next) if next == length => (6, 3),
            _ => (7, 4),
        };
    }
}
