use serde::{Deserialize, Serialize};
use taonet_primitives::Seconds;

use super::{ScoreOptions, latency};
use crate::protocol::{FRAME_RATE_HZ, SAMPLE_BYTES, SAMPLE_RATE_HZ};

/// Arrival times of a reply on the virtual clock, in frames of the source.
///
/// The response to frame `k` (from 1) arrives at `k / frame_rate_hz` seconds, regardless of the
/// miner's real latency; the `j`-th request after the last of `n` frames counts as frame `n + j`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Frames per second of the source.
    pub frame_rate_hz: f64,
    /// Number of the frame whose response had the first audio; 0 if there was no audio.
    pub first_output_frame: u64,
    /// Frame number and size in bytes of each response with audio, in chronological order.
    pub arrivals: Vec<(u64, u64)>,
    /// Number of the frame whose response ended the reply.
    pub eos_frame: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            frame_rate_hz: FRAME_RATE_HZ,
            first_output_frame: 0,
            arrivals: Vec::new(),
            eos_frame: 0,
        }
    }
}

impl Timeline {
    /// Creates a timeline at the protocol's frame rate; the first output frame is that of the first
    /// non-empty arrival.
    pub fn new(arrivals: Vec<(u64, u64)>, eos_frame: u64) -> Self {
        let first_output_frame =
            arrivals.iter().find(|(_, bytes)| *bytes > 0).map_or(0, |(frame, _)| *frame);
        Self { first_output_frame, arrivals, eos_frame, ..Self::default() }
    }

    /// Returns the number of audio bytes in the complete reply.
    pub fn total_bytes(&self) -> u64 {
        self.arrivals.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }

    /// Returns the time in seconds at which a listener has heard the complete reply. Each piece
    /// plays once it has arrived and the previous piece has ended; the result is never before the
    /// frame that ended the reply. `channels` is the number of channels of the reply.
    ///
    /// The frame rate must be above 0.
    pub fn completion(&self, channels: u16) -> f64 {
        let bytes_per_second =
            f64::from(SAMPLE_RATE_HZ) * f64::from(channels.max(1)) * SAMPLE_BYTES as f64;
        let playback_end = self.arrivals.iter().filter(|(_, bytes)| *bytes > 0).fold(
            0.0_f64,
            |playback_end, (frame, bytes)| {
                playback_end.max(*frame as f64 / self.frame_rate_hz)
                    + *bytes as f64 / bytes_per_second
            },
        );
        playback_end.max(self.eos_frame as f64 / self.frame_rate_hz)
    }

    /// Returns the timing of a reply of `predicted_duration` to a source of `source_duration`, for
    /// the latency score.
    pub fn timing(
        &self,
        channels: u16,
        predicted_duration: Seconds,
        source_duration: Seconds,
    ) -> Timing {
        let predicted = predicted_duration.get();
        let completion = if self.frame_rate_hz > 0.0 && self.frame_rate_hz.is_finite() {
            self.completion(channels)
        } else {
            0.0
        };
        let effective = effective_completion(
            completion,
            self.first_output_frame,
            self.frame_rate_hz,
            predicted,
        );
        Timing {
            predicted_duration,
            effective_completion: Seconds::new(effective).unwrap_or(predicted_duration),
            source_duration,
        }
    }
}

/// Returns the later of `completion` and the time at which the reply would end if it played without
/// pauses from its first output frame, in seconds; only `predicted_duration` if the frame rate is
/// not above 0.
pub fn effective_completion(
    completion: f64,
    first_output_frame: u64,
    frame_rate_hz: f64,
    predicted_duration: f64,
) -> f64 {
    if frame_rate_hz > 0.0 && frame_rate_hz.is_finite() {
        completion.max(first_output_frame as f64 / frame_rate_hz + predicted_duration)
    } else {
        predicted_duration
    }
}

/// Durations that determine a reply's latency score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Duration of the reply.
    pub predicted_duration: Seconds,
    /// Time from the start of the source until a listener has heard the complete reply.
    pub effective_completion: Seconds,
    /// Duration of the source.
    pub source_duration: Seconds,
}

impl Timing {
    /// Whether the latency score is 0, so that recognition can be skipped.
    pub fn is_too_late(&self, options: &ScoreOptions) -> bool {
        latency(self.effective_completion.get(), self.source_duration.get(), options).score <= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounding::round4;

    /// Returns the number of bytes in mono audio of this duration.
    fn bytes(seconds: f64) -> u64 {
        (seconds * 96_000.0).round() as u64
    }

    /// Columns: case · completion · effective completion
    #[test]
    fn completion_follows_the_virtual_clock() {
        let steady_arrivals = (11..=60).map(|frame| (frame, bytes(0.08))).collect();
        for (case, arrivals, eos, completion, effective) in [
            ("one 2.0 s chunk at frame 30, eos frame 50", vec![(30, bytes(2.0))], 50, 4.4, 4.4),
            (
                "0.08 s at frame 1, then 3.0 s at frame 126 (eos)",
                vec![(1, bytes(0.08)), (126, bytes(3.0))],
                126,
                13.08,
                13.08,
            ),
            ("50 x 0.08 s at frames 11…60", steady_arrivals, 60, 4.88, 4.88),
            ("no audio, eos at frame 10", vec![], 10, 0.8, 0.8),
            ("empty replies do not count", vec![(3, 0), (5, bytes(0.08)), (9, 0)], 5, 0.48, 0.48),
        ] {
            let timeline = Timeline::new(arrivals, eos);
            let predicted = Seconds::new(timeline.total_bytes() as f64 / 96_000.0).unwrap();
            let timing = timeline.timing(1, predicted, Seconds::ZERO);
            assert_eq!(round4(timeline.completion(1)), completion, "{case}");
            assert_eq!(round4(timing.effective_completion.get()), effective, "{case}");
        }
    }

    #[test]
    fn stereo_bytes_take_half_the_playback_time() {
        assert_eq!(Timeline::new(vec![(10, bytes(2.0))], 10).completion(2), 1.8);
    }

    /// A source of 14.25 s has 179 frames of 80 ms.
    #[test]
    fn padded_last_frame_ends_after_the_source() {
        assert_eq!(round4(Timeline::new(vec![], 179).completion(1) - 14.25), 0.07);
    }

    /// Columns: completion, first frame, frame rate, reply · effective completion
    #[test]
    fn completion_is_at_least_first_frame_plus_reply_duration() {
        for (completion, first, rate, reply, effective) in [
            (1.25, 99, 1.0, 3.0, 102.0),
            (5.0, 10, 12.5, 1.0, 5.0),
            (5.0, 10, 0.0, 1.5, 1.5),
            (5.0, 10, -1.0, 1.5, 1.5),
        ] {
            assert_eq!(effective_completion(completion, first, rate, reply), effective);
        }
    }

    #[test]
    fn malformed_timeline_has_finite_times() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 5e-324] {
            let timeline = Timeline {
                frame_rate_hz: rate,
                ..Timeline::new(vec![(u64::MAX, u64::MAX)], u64::MAX)
            };
            assert!(
                timeline
                    .timing(0, Seconds::ZERO, Seconds::ZERO)
                    .effective_completion
                    .get()
                    .is_finite()
            );
        }
    }
}
