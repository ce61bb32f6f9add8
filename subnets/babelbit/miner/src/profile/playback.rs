use taonet_babelbit_core::protocol::SAMPLE_RATE_HZ;

/// When the listener hears what, by the validator's clock: a frame is answered at the time it ends, and what is
/// returned plays after everything returned before.
///
/// All figures are samples of one channel at 24 kHz.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Playback {
    now: u64,
    until: u64,
    /// When the last word ends.
    spoken: u64,
}

impl Playback {
    /// A frame of `samples` was heard.
    pub(super) fn advance(&mut self, samples: usize) {
        self.now += samples as u64;
    }

    /// `samples` are returned with the answer to the present frame.
    pub(super) fn say(&mut self, samples: usize) {
        self.until = self.until.max(self.now) + samples as u64;
        self.spoken = self.until;
    }

    /// As many samples of silence are returned with the answer to the present frame.
    pub(super) fn pause(&mut self, samples: usize) {
        self.until = self.until.max(self.now) + samples as u64;
    }

    /// Seconds for which the listener still hears what was returned earlier.
    pub(super) fn ahead(&self) -> f64 {
        self.until.saturating_sub(self.now) as f64 / f64::from(SAMPLE_RATE_HZ)
    }

    /// Seconds since the listener last heard a word; 0 while one is spoken.
    pub(super) fn quiet(&self) -> f64 {
        self.now.saturating_sub(self.spoken) as f64 / f64::from(SAMPLE_RATE_HZ)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_plays_after_what_was_said() {
        let mut playback = Playback::default();
        playback.advance(24_000);
        assert!((playback.quiet() - 1.0).abs() < 1e-9);
        playback.say(48_000);
        playback.say(12_000);
        assert!((playback.ahead() - 2.5).abs() < 1e-9);
        playback.advance(72_000);
        assert!((playback.quiet() - 0.5).abs() < 1e-9 && playback.ahead().abs() < 1e-9);
        playback.pause(2_400);
        playback.advance(2_400);
        assert!((playback.quiet() - 0.6).abs() < 1e-9 && playback.ahead().abs() < 1e-9);
    }
}
