use taonet_babelbit_core::protocol::SAMPLE_RATE_HZ;

/// Fraction of the source heard so far by which the reply, from its first word, may outlast it.
/// Longer replies are mostly words that the recogniser invents, as in a language that it does not
/// know. A slow voice, a fast speaker and a long translation need some of it; for validators, a
/// reply that ends later than this fraction, up to [`MAX_EXCESS`], is too late to score.
const EXCESS_FRACTION: f64 = 0.3;
/// Lower bound of the time by which the reply may outlast the source, in seconds: a phrase of a
/// fast speaker.
const MIN_EXCESS: f64 = 3.0;
/// Upper bound of the time by which the reply may outlast the source, in seconds.
const MAX_EXCESS: f64 = 10.0;

/// The listener's playback position on the validator's virtual clock: each frame is answered at its
/// end, and the reply to a frame plays after all earlier replies.
///
/// All values are samples of one channel at 24 kHz.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Playback {
    now: u64,
    /// End of the output so far.
    end: u64,
    /// Start of the first spoken word.
    start: Option<u64>,
    /// End of the last spoken word.
    speech_end: u64,
    /// Length of the reply from its first word.
    reply_samples: u64,
}

impl Playback {
    /// Advances the clock by a source frame of this many samples.
    pub(super) fn advance(&mut self, samples: usize) {
        self.now += samples as u64;
    }

    /// Appends this many samples of speech to the reply, returned for the current frame.
    pub(super) fn append_speech(&mut self, samples: usize) {
        let start = self.end.max(self.now);
        self.start = self.start.or(Some(start));
        self.end = start + samples as u64;
        self.speech_end = self.end;
        self.reply_samples += samples as u64;
    }

    /// Records `samples` of silence returned for the current frame.
    pub(super) fn append_silence(&mut self, samples: usize) {
        self.end = self.end.max(self.now) + samples as u64;
        if self.start.is_some() {
            self.reply_samples += samples as u64;
        }
    }

    /// Returns the backlog in seconds: earlier output that is still playing.
    pub(super) fn backlog(&self) -> f64 {
        self.end.saturating_sub(self.now) as f64 / f64::from(SAMPLE_RATE_HZ)
    }

    /// Returns the time from the start of the first word until further output would play, in
    /// seconds; 0 before the first word.
    pub(super) fn elapsed(&self) -> f64 {
        let next = self.end.max(self.now);
        self.start
            .map_or(0.0, |start| next.saturating_sub(start) as f64 / f64::from(SAMPLE_RATE_HZ))
    }

    /// Returns the duration of the reply from its first word, in seconds: the time on which
    /// validators base the speaking rate. Silence that was not sent is not in it.
    pub(super) fn sent_duration(&self) -> f64 {
        self.reply_samples as f64 / f64::from(SAMPLE_RATE_HZ)
    }

    /// Returns whether the reply, with this many more samples, does not outlast the source so far by
    /// too much.
    pub(super) fn has_room(&self, samples: usize) -> bool {
        let source_s = self.now as f64 / f64::from(SAMPLE_RATE_HZ);
        self.excess(samples) <= (EXCESS_FRACTION * source_s).clamp(MIN_EXCESS, MAX_EXCESS)
    }

    /// Returns the time in seconds by which the reply, from its first word, would outlast the source
    /// so far if it were `samples` longer; negative while it is shorter.
    fn excess(&self, samples: usize) -> f64 {
        self.elapsed() + (samples as f64 - self.now as f64) / f64::from(SAMPLE_RATE_HZ)
    }

    /// Returns the time since the end of the last word in seconds; 0 while speech is playing.
    pub(super) fn silence(&self) -> f64 {
        self.now.saturating_sub(self.speech_end) as f64 / f64::from(SAMPLE_RATE_HZ)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playback_measures_speech_silence_and_backlog() {
        let mut playback = Playback::default();
        playback.append_silence(2_400);
        playback.advance(24_000);
        assert!(playback.elapsed().abs() < 1e-9 && playback.sent_duration().abs() < 1e-9);
        assert!((playback.silence() - 1.0).abs() < 1e-9);
        assert!((playback.excess(36_000) - 0.5).abs() < 1e-9);
        playback.append_speech(48_000);
        playback.append_speech(12_000);
        assert!((playback.backlog() - 2.5).abs() < 1e-9 && (playback.elapsed() - 2.5).abs() < 1e-9);
        assert!((playback.excess(12_000) - 2.0).abs() < 1e-9);
        playback.advance(72_000);
        assert!((playback.silence() - 0.5).abs() < 1e-9 && playback.backlog().abs() < 1e-9);
        assert!((playback.elapsed() - 3.0).abs() < 1e-9);
        assert!((playback.sent_duration() - 2.5).abs() < 1e-9);
        playback.append_silence(2_400);
        assert!((playback.sent_duration() - 2.6).abs() < 1e-9);
        playback.advance(2_400);
        assert!((playback.silence() - 0.6).abs() < 1e-9 && playback.backlog().abs() < 1e-9);
    }

    /// Columns: seconds of the source so far · seconds of the longest reply
    #[test]
    fn reply_may_outlast_its_source_by_a_fraction_of_it() {
        for (source_s, longest) in [(0, 3), (1, 4), (10, 13), (20, 26), (60, 70)] {
            let mut playback = Playback::default();
            playback.advance(source_s * 24_000);
            assert!(playback.has_room(longest * 24_000), "{source_s}");
            assert!(!playback.has_room(longest * 24_000 + 1), "{source_s}");
        }
    }
}
