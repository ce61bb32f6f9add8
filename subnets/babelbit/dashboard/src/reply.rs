//! Position of a reply's audio on the time axis of its source.

use taonet_babelbit_core::protocol::{SAMPLE_BYTES, SAMPLE_RATE_HZ};
use taonet_babelbit_core::scoring::Timeline;
use taonet_dashboard::draw::{Mark, Piece};
use taonet_dashboard::printable;
use taonet_primitives::Word;

/// Maximum number of pieces of a reply on the axis.
pub(crate) const MAX_PIECES: usize = 20_000;

/// Computes when a listener hears each part of a reply: as soon as the part has arrived and the
/// previous parts have been played.
pub(crate) fn pieces(timeline: &Timeline, channels: u16) -> Vec<Piece> {
    let bytes_per_second =
        f64::from(SAMPLE_RATE_HZ) * f64::from(channels.max(1)) * SAMPLE_BYTES as f64;
    if !(timeline.frame_rate_hz.is_finite() && timeline.frame_rate_hz > 0.0) {
        return Vec::new();
    }
    let (mut playback_end, mut offset) = (0.0_f64, 0.0);
    let arrivals = timeline.arrivals.iter().filter(|(_, bytes)| *bytes > 0).take(MAX_PIECES);
    let pieces = arrivals.map(|(frame, bytes)| {
        let start = playback_end.max(*frame as f64 / timeline.frame_rate_hz);
        let seconds = *bytes as f64 / bytes_per_second;
        let piece = Piece { start, offset, seconds };
        playback_end = start + seconds;
        offset += seconds;
        piece
    });
    pieces.collect()
}

/// Whether a reply has more parts than are drawn.
pub(crate) fn is_truncated(timeline: &Timeline) -> bool {
    timeline.arrivals.iter().filter(|(_, bytes)| *bytes > 0).nth(MAX_PIECES).is_some()
}

/// Maps the words of a reply from their times in its recording to their times on the axis.
pub(crate) fn marks(words: &[Word], pieces: &[Piece]) -> Vec<Mark> {
    let mark = |word: &Word| {
        let piece = pieces.iter().rev().find(|piece| piece.offset <= word.start + 1e-6)?;
        Some(Mark { start: piece.start + (word.start - piece.offset), text: printable(&word.text) })
    };
    words.iter().filter(|word| word.start.is_finite()).filter_map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_pieces_play_on_arrival_without_overlap() {
        // One second of sound is 96 000 bytes; a frame takes 0.08 s.
        let timeline = Timeline::new(vec![(25, 96_000), (30, 0), (31, 96_000), (100, 48_000)], 100);
        let pieces = pieces(&timeline, 1);
        let starts: Vec<_> =
            pieces.iter().map(|piece| (piece.start, piece.offset, piece.seconds)).collect();
        assert_eq!(starts, [(2.0, 0.0, 1.0), (3.0, 1.0, 1.0), (8.0, 2.0, 0.5)]);
        let word = |start| Word { text: "<b>".into(), start, end: start };
        let marks = marks(&[word(0.5), word(1.5), word(2.25), word(f64::NAN)], &pieces);
        assert_eq!(marks.iter().map(|mark| mark.start).collect::<Vec<_>>(), [2.5, 3.5, 8.25]);
    }

    #[test]
    fn number_of_reply_pieces_is_limited() {
        for (count, expected) in [(MAX_PIECES, false), (MAX_PIECES + 1, true)] {
            let timeline = Timeline::new((0..count).map(|at| (at as u64, 2)).collect(), 1);
            assert_eq!(
                (pieces(&timeline, 1).len(), is_truncated(&timeline)),
                (MAX_PIECES, expected)
            );
        }
    }

    #[test]
    fn malformed_timeline_has_no_pieces() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let timeline =
                Timeline { frame_rate_hz: rate, ..Timeline::new(vec![(1, u64::MAX)], u64::MAX) };
            assert!(pieces(&timeline, 0).is_empty());
        }
        assert_eq!(marks(&[Word { text: "a".into(), start: 0.0, end: 0.0 }], &[]), []);
    }
}
