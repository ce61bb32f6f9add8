use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taonet_babelbit_core::protocol::SAMPLE_BYTES;
use taonet_speech::{SampleFormat, encode_pcm};

/// Room for decoding that is kept between chunks: 4 frames.
const MAX_SCRATCH_BYTES: usize = 64 << 10;

/// What is wrong with the sound of a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Not standard base64 with padding.
    #[error("audio_b64 is not base64: {0}")]
    Base64(base64::DecodeError),
    /// `n_bytes` says something else than `audio_b64` holds.
    #[error("n_bytes is {declared}, audio_b64 holds {actual} bytes")]
    ByteCount {
        /// What the miner declared.
        declared: u64,
        /// What it sent.
        actual: usize,
    },
    /// More sound than one utterance may have.
    #[error("reply exceeds {limit} bytes of audio")]
    TooLong {
        /// The limit in bytes of samples.
        limit: usize,
    },
    /// The reply as a whole ends within a sample.
    #[error("reply of {bytes} bytes is not a whole number of float32 samples on {channels} channel(s)")]
    Ragged {
        /// Bytes received.
        bytes: usize,
        /// Channels of the utterance.
        channels: u16,
    },
}

/// The sound of a reply as it grows: checked, counted and kept as 16-bit samples, half of what arrives.
#[derive(Debug)]
pub(super) struct ReplyAudio {
    pcm: Vec<u8>,
    /// Bytes of a sample that the next chunk completes.
    rest: Vec<u8>,
    scratch: Vec<u8>,
    bytes: usize,
    limit: usize,
    channels: u16,
}

impl ReplyAudio {
    pub(super) fn new(channels: u16, limit: usize) -> Self {
        Self { pcm: Vec::new(), rest: Vec::new(), scratch: Vec::new(), bytes: 0, limit, channels }
    }

    /// Refuses a chunk by its length alone: decoding would cost the memory that the limit protects.
    pub(super) fn check_length(&self, audio_b64: &str) -> Result<(), ReplyError> {
        if audio_b64.len() / 4 * 3 > self.room().saturating_add(3) {
            return Err(ReplyError::TooLong { limit: self.limit });
        }
        Ok(())
    }

    /// Takes one chunk; gives its number of bytes.
    pub(super) fn push(&mut self, audio_b64: &str, declared: u64) -> Result<usize, ReplyError> {
        self.check_length(audio_b64)?;
        let mut chunk = std::mem::take(&mut self.scratch);
        chunk.clear();
        chunk.append(&mut self.rest);
        let carried = chunk.len();
        STANDARD.decode_vec(audio_b64, &mut chunk).map_err(ReplyError::Base64)?;
        let received = chunk.len() - carried;
        if declared > 0 && declared != received as u64 {
            return Err(ReplyError::ByteCount { declared, actual: received });
        }
        self.bytes += received;
        if self.bytes > self.limit {
            return Err(ReplyError::TooLong { limit: self.limit });
        }
        let (whole, rest) = chunk.as_chunks::<SAMPLE_BYTES>();
        let samples: Vec<f32> = whole.iter().map(|sample| f32::from_le_bytes(*sample)).collect();
        self.pcm.extend(encode_pcm(&samples, SampleFormat::S16));
        self.rest.extend_from_slice(rest);
        // Worth keeping for the small chunks that most miners send, not for a whole reply.
        if chunk.capacity() <= MAX_SCRATCH_BYTES {
            self.scratch = chunk;
        }
        Ok(received)
    }

    /// Bytes of samples that it may still take, as they arrive.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes)
    }

    /// Bytes that it would hold after this chunk.
    pub(super) fn held_after(&self, audio_b64: &str) -> usize {
        self.pcm.len() + audio_b64.len() / 4 * 3 / 2
    }

    /// The whole reply: interleaved 16-bit samples, little-endian.
    pub(super) fn finish(self) -> Result<Vec<u8>, ReplyError> {
        let frame = SAMPLE_BYTES * usize::from(self.channels.max(1));
        if self.bytes.is_multiple_of(frame) {
            Ok(self.pcm)
        } else {
            Err(ReplyError::Ragged { bytes: self.bytes, channels: self.channels })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finished(reply: ReplyAudio) -> Vec<i16> {
        reply.finish().unwrap().as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect()
    }

    fn b64(samples: &[f32]) -> String {
        STANDARD.encode(samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn samples_become_16_bit() {
        let mut reply = ReplyAudio::new(1, 1000);
        let samples = [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(reply.push(&b64(&samples), 36), Ok(36));
        assert_eq!(finished(reply), [-32768, -16384, 0, 16383, 32767, 32767, 0, 32767, -32768]);
    }

    #[test]
    fn a_sample_may_span_chunks_but_the_reply_may_not_end_in_one() {
        let mut reply = ReplyAudio::new(1, 100);
        reply.push(&STANDARD.encode([0, 0, 0]), 0).unwrap();
        reply.push("", 0).unwrap();
        reply.push(&STANDARD.encode([0x3f]), 1).unwrap();
        assert_eq!(finished(reply), [16383]);

        let mut odd = ReplyAudio::new(1, 100);
        odd.push(&STANDARD.encode([0; 5]), 0).unwrap();
        assert_eq!(odd.finish(), Err(ReplyError::Ragged { bytes: 5, channels: 1 }));
        let mut half = ReplyAudio::new(2, 100);
        half.push(&b64(&[0.0; 3]), 0).unwrap();
        assert_eq!(half.finish(), Err(ReplyError::Ragged { bytes: 12, channels: 2 }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let push = |text: &str, declared| ReplyAudio::new(1, 16).push(text, declared);
        assert!(matches!(push("!!!!", 0), Err(ReplyError::Base64(_))));
        assert!(matches!(push("AAA", 0), Err(ReplyError::Base64(_))), "padding is required");
        assert!(matches!(push("AAAA AAAA", 0), Err(ReplyError::Base64(_))));
        assert_eq!(push("AAAA", 4), Err(ReplyError::ByteCount { declared: 4, actual: 3 }));
        assert_eq!(push(&b64(&[0.0; 4]), 0), Ok(16));
        assert_eq!(push(&b64(&[0.0; 5]), 0), Err(ReplyError::TooLong { limit: 16 }));
        assert_eq!(push(&"A".repeat(1 << 20), 0), Err(ReplyError::TooLong { limit: 16 }));
    }

    proptest! {
        #[test]
        fn chunking_never_changes_the_sound(samples in prop::collection::vec(any::<f32>(), 0..50), cut in 1_usize..20) {
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let mut whole = ReplyAudio::new(1, 1000);
            whole.push(&STANDARD.encode(&bytes), 0).unwrap();
            let mut parts = ReplyAudio::new(1, 1000);
            for part in bytes.chunks(cut) {
                parts.push(&STANDARD.encode(part), part.len() as u64).unwrap();
            }
            prop_assert_eq!(whole.finish(), parts.finish());
        }

        #[test]
        fn no_text_panics(text in ".{0,60}", declared: u64) {
            let _ = ReplyAudio::new(1, 16).push(&text, declared);
        }
    }
}
