//! Playback of a reply to a listener: each piece starts once it has arrived and the previous one
//! has ended.

use taonet_primitives::Word;

use crate::protocol::{SAMPLE_BYTES, SAMPLE_RATE_HZ};
use crate::scoring::Timeline;

/// A time or duration in milliseconds, SimulEval's unit.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Milliseconds(pub(super) f64);

impl Milliseconds {
    /// Creates a duration of `value` milliseconds; `None` if `value` is not finite.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// Returns the number of milliseconds.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A piece of a reply: a chunk with its delay and duration, as SimulEval defines them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// Duration of the source that was sent before the piece arrived.
    pub delay: Milliseconds,
    /// Duration of the piece.
    pub duration: Milliseconds,
}

/// Pieces of a reply, in order of arrival.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Playback {
    pieces: Vec<Piece>,
}

impl Playback {
    /// Creates a playback of the pieces that are not empty.
    pub fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self { pieces: pieces.into_iter().filter(|piece| piece.duration.0 > 0.0).collect() }
    }

    /// Creates the playback of a reply with `channels` channels to a source of duration `source`.
    /// As in SimulEval, delays are limited to the source's duration, even for audio that arrived
    /// after the last frame. The playback is empty if the frame rate is not above 0.
    pub fn for_reply(timeline: &Timeline, channels: u16, source: Milliseconds) -> Self {
        let bytes_per_second =
            f64::from(SAMPLE_RATE_HZ) * f64::from(channels.max(1)) * SAMPLE_BYTES as f64;
        if !(timeline.frame_rate_hz > 0.0 && timeline.frame_rate_hz.is_finite()) {
            return Self::default();
        }
        Self::new(timeline.arrivals.iter().filter_map(|(frame, bytes)| {
            let sent_ms = 1000.0 * *frame as f64 / timeline.frame_rate_hz;
            Some(Piece {
                delay: Milliseconds::new(sent_ms.min(source.0))?,
                duration: Milliseconds::new(1000.0 * *bytes as f64 / bytes_per_second)?,
            })
        }))
    }

    /// Returns the pieces, in order of arrival.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Returns the time at which a listener has heard each word, computed from the word's end in
    /// the recording.
    pub fn word_delays(&self, words: &[Word]) -> Vec<Milliseconds> {
        let ends =
            words.iter().filter(|word| !word.text.trim().is_empty()).map(|word| 1000.0 * word.end);
        ends.filter_map(|end| Milliseconds::new(self.playback_time(end)?)).collect()
    }

    /// Returns the time in milliseconds at which the recording has been played up to a position.
    fn playback_time(&self, position: f64) -> Option<f64> {
        let (mut offset, mut previous_end) = (0.0, 0.0_f64);
        let mut time = None;
        for piece in &self.pieces {
            let start = previous_end.max(piece.delay.0);
            time = Some(start + position - offset);
            if position <= offset + piece.duration.0 {
                break;
            }
            offset += piece.duration.0;
            previous_end = start + piece.duration.0;
        }
        time
    }
}
