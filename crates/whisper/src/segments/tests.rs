#![allow(clippy::float_cmp)] // Times are computed in the reference's order.

use super::*;

const BEGIN: u32 = 100;

/// Returns the segments as (start, end, number of tokens), and the next window's frame.
fn split_summary(
    tokens: &[u32],
    seek: usize,
    size: usize,
) -> (Vec<(f64, f64, usize)>, usize, bool) {
    let split = split(tokens, BEGIN, seek, size);
    let drafts =
        split.drafts.iter().map(|draft| (draft.start, draft.end, draft.tokens.len())).collect();
    (drafts, split.seek, split.ends_in_timestamp)
}

#[test]
#[allow(clippy::type_complexity)] // A table.
fn windows_are_split_at_pairs_of_timestamps() {
    // (tokens, frame of the window, frames of the window) -> segments, next frame, ends in a
    // timestamp
    let cases: [(&[u32], usize, usize, &[(f64, f64, usize)], usize, bool); 8] = [
        // Two segments, the second closed by a single timestamp: the window is complete.
        (&[100, 1, 2, 150, 150, 3, 200], 0, 3000, &[(0.0, 1.0, 4), (1.0, 2.0, 3)], 3000, true),
        // The second segment is unfinished: the next window begins at the last pair of timestamps.
        (&[100, 1, 2, 150, 150, 3], 0, 3000, &[(0.0, 1.0, 4)], 100, false),
        // The last segment is closed by a pair of timestamps.
        (&[100, 1, 150, 160, 3, 200, 200], 0, 3000, &[(0.0, 1.0, 3), (1.2, 2.0, 3)], 200, false),
        // A single segment with an end timestamp.
        (&[100, 1, 2, 150], 0, 3000, &[(0.0, 1.0, 4)], 3000, true),
        // A segment without an end timestamp lasts as long as the window.
        (&[100, 1, 2], 0, 700, &[(0.0, 7.0, 3)], 700, false),
        // The first timestamp does not move the start of a single segment.
        (&[110, 1, 2, 150], 0, 700, &[(0.0, 1.0, 4)], 700, true),
        // A window that does not begin at the start of the recording.
        (&[100, 1, 150, 150, 2, 200], 3000, 1500, &[(30.0, 31.0, 3), (31.0, 32.0, 3)], 4500, true),
        // No tokens.
        (&[], 0, 500, &[(0.0, 5.0, 0)], 500, false),
    ];
    for (tokens, seek, size, segments, next, ends) in cases {
        assert_eq!(
            split_summary(tokens, seek, size),
            (segments.to_vec(), next, ends),
            "{tokens:?}"
        );
    }
}
