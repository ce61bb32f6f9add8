use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taonet_babelbit_core::protocol::SAMPLE_BYTES;
use taonet_speech::{SampleFormat, encode_pcm};
use tempfile::SpooledTempFile;

/// Maximum size in bytes of a reply in memory: 21 s of mono audio. A longer reply spills to disk.
const MAX_REPLY_MEMORY_BYTES: usize = 1 << 20;
/// Maximum capacity in bytes of the decode buffer that is reused between chunks.
const MAX_SCRATCH_BYTES: usize = 64 << 10;

/// Why a reply's audio is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The text is not standard base64 with padding.
    #[error("audio_b64 is not base64: {0}")]
    Base64(base64::DecodeError),
    /// `n_bytes` does not match the size of `audio_b64`.
    #[error("n_bytes is {declared}, but audio_b64 has {actual} bytes")]
    ByteCount {
        /// Number of bytes declared by the miner.
        declared: u64,
        /// Number of bytes received.
        actual: usize,
    },
    /// The reply exceeds the maximum size.
    #[error("reply exceeds {limit} bytes of audio")]
    TooLong {
        /// The limit in bytes of samples.
        limit: usize,
    },
    /// The reply ends with an incomplete sample.
    #[error(
        "reply of {bytes} bytes is not a whole number of float32 samples on {channels} channel(s)"
    )]
    IncompleteSample {
        /// Number of bytes received.
        bytes: usize,
        /// Number of channels of the utterance.
        channels: u16,
    },
    /// The runner could not write the reply to its disk; the miner is not at fault.
    #[error("cannot spool a long reply to disk: {0}")]
    Disk(io::ErrorKind),
}

/// Decoder of a reply's chunks: validates and counts them, and returns their samples.
#[derive(Debug)]
pub(super) struct ReplyDecoder {
    /// Bytes of a partial sample, completed by the next chunk.
    incomplete_sample: Vec<u8>,
    scratch: Vec<u8>,
    bytes: usize,
    limit: usize,
    channels: u16,
}

impl ReplyDecoder {
    /// Creates a decoder for at most `limit` received bytes.
    pub(super) const fn new(channels: u16, limit: usize) -> Self {
        Self { incomplete_sample: Vec::new(), scratch: Vec::new(), bytes: 0, limit, channels }
    }

    /// Rejects a chunk that exceeds the limit, before decoding allocates memory for it.
    pub(super) fn check_length(&self, audio_b64: &str) -> Result<(), ReplyError> {
        if audio_b64.len() / 4 * 3 > self.remaining_capacity().saturating_add(3) {
            return Err(ReplyError::TooLong { limit: self.limit });
        }
        Ok(())
    }

    /// Decodes one chunk; returns its complete samples and its size in bytes.
    pub(super) fn push(
        &mut self,
        audio_b64: &str,
        declared: u64,
    ) -> Result<(Vec<f32>, usize), ReplyError> {
        self.check_length(audio_b64)?;
        let mut chunk = std::mem::take(&mut self.scratch);
        chunk.clear();
        chunk.append(&mut self.incomplete_sample);
        let carried_bytes = chunk.len();
        STANDARD.decode_vec(audio_b64, &mut chunk).map_err(ReplyError::Base64)?;
        let received = chunk.len() - carried_bytes;
        if declared > 0 && declared != received as u64 {
            return Err(ReplyError::ByteCount { declared, actual: received });
        }
        self.bytes += received;
        if self.bytes > self.limit {
            return Err(ReplyError::TooLong { limit: self.limit });
        }
        let (samples, incomplete) = chunk.as_chunks::<SAMPLE_BYTES>();
        let samples = samples.iter().map(|sample| f32::from_le_bytes(*sample)).collect();
        self.incomplete_sample.extend_from_slice(incomplete);
        // Reuse the buffer for the small chunks that most miners send, but free a large one.
        if chunk.capacity() <= MAX_SCRATCH_BYTES {
            self.scratch = chunk;
        }
        Ok((samples, received))
    }

    /// Returns the remaining quota in received bytes.
    pub(super) const fn remaining_capacity(&self) -> usize {
        self.limit.saturating_sub(self.bytes)
    }

    /// Checks that the reply ends with a complete sample of each channel.
    pub(super) fn check_end(&self) -> Result<(), ReplyError> {
        let frame_bytes = SAMPLE_BYTES * usize::from(self.channels.max(1));
        if self.bytes.is_multiple_of(frame_bytes) {
            Ok(())
        } else {
            Err(ReplyError::IncompleteSample { bytes: self.bytes, channels: self.channels })
        }
    }
}

/// Buffer of a reply's audio: decodes chunks and converts them to 16-bit samples, which take half
/// of the received size. Beyond [`MAX_REPLY_MEMORY_BYTES`], the buffer spills to an unnamed
/// temporary file, so that memory does not limit the number of concurrent replies.
#[derive(Debug)]
pub(super) struct ReplyAudio {
    pcm: SpooledTempFile,
    decoder: ReplyDecoder,
}

/// A buffer with size limit 0.
impl Default for ReplyAudio {
    fn default() -> Self {
        Self::new(1, 0, Path::new(""))
    }
}

impl ReplyAudio {
    /// Creates a buffer for at most `limit` received bytes; a reply longer than
    /// [`MAX_REPLY_MEMORY_BYTES`] spills to the directory `spool`.
    pub(super) fn new(channels: u16, limit: usize, spool: &Path) -> Self {
        let pcm = SpooledTempFile::new_in(MAX_REPLY_MEMORY_BYTES, spool);
        Self { pcm, decoder: ReplyDecoder::new(channels, limit) }
    }

    /// Rejects a chunk that exceeds the limit, before decoding allocates memory for it.
    pub(super) fn check_length(&self, audio_b64: &str) -> Result<(), ReplyError> {
        self.decoder.check_length(audio_b64)
    }

    /// Whether [`Self::push`] of this chunk blocks on disk I/O.
    pub(super) fn may_block(&self, audio_b64: &str) -> bool {
        !audio_b64.is_empty()
            && self.decoder.bytes + audio_b64.len() / 4 * 3 > 2 * MAX_REPLY_MEMORY_BYTES
    }

    /// Appends one chunk; returns its size in bytes.
    pub(super) fn push(&mut self, audio_b64: &str, declared: u64) -> Result<usize, ReplyError> {
        let (samples, received) = self.decoder.push(audio_b64, declared)?;
        let pcm = encode_pcm(&samples, SampleFormat::S16);
        self.pcm.write_all(&pcm).map_err(|error| ReplyError::Disk(error.kind()))?;
        Ok(received)
    }

    /// Returns the remaining quota in received bytes.
    pub(super) const fn remaining_capacity(&self) -> usize {
        self.decoder.remaining_capacity()
    }

    /// Returns the complete reply as interleaved 16-bit samples, little-endian. The file position
    /// is at the end.
    pub(super) fn finish(self) -> Result<SpooledTempFile, ReplyError> {
        self.decoder.check_end()?;
        Ok(self.pcm)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use proptest::prelude::*;

    use super::*;

    fn new(channels: u16, limit: usize) -> ReplyAudio {
        ReplyAudio::new(channels, limit, &std::env::temp_dir())
    }

    fn decode_samples(reply: ReplyAudio) -> Vec<i16> {
        let (mut pcm, mut bytes) = (reply.finish().unwrap(), Vec::new());
        pcm.rewind().unwrap();
        pcm.read_to_end(&mut bytes).unwrap();
        bytes.as_chunks().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect()
    }

    fn b64(samples: &[f32]) -> String {
        STANDARD.encode(samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn reply_samples_are_converted_to_16_bit() {
        let mut reply = new(1, 1000);
        let samples = [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        assert_eq!(reply.push(&b64(&samples), 36), Ok(36));
        assert_eq!(
            decode_samples(reply),
            [-32768, -16384, 0, 16383, 32767, 32767, 0, 32767, -32768]
        );
    }

    #[test]
    fn reply_ending_within_a_sample_is_an_error() {
        let mut reply = new(1, 100);
        reply.push(&STANDARD.encode([0, 0, 0]), 0).unwrap();
        reply.push("", 0).unwrap();
        reply.push(&STANDARD.encode([0x3f]), 1).unwrap();
        assert_eq!(decode_samples(reply), [16383]);

        let mut partial_sample = new(1, 100);
        partial_sample.push(&STANDARD.encode([0; 5]), 0).unwrap();
        assert_eq!(
            partial_sample.finish().unwrap_err(),
            ReplyError::IncompleteSample { bytes: 5, channels: 1 }
        );
        let mut partial_frame = new(2, 100);
        partial_frame.push(&b64(&[0.0; 3]), 0).unwrap();
        assert_eq!(
            partial_frame.finish().unwrap_err(),
            ReplyError::IncompleteSample { bytes: 12, channels: 2 }
        );
    }

    #[test]
    fn invalid_chunk_is_reported() {
        let push = |text: &str, declared| new(1, 16).push(text, declared);
        assert!(matches!(push("!!!!", 0), Err(ReplyError::Base64(_))));
        assert!(matches!(push("AAA", 0), Err(ReplyError::Base64(_))), "padding is required");
        assert!(matches!(push("AAAA AAAA", 0), Err(ReplyError::Base64(_))));
        assert_eq!(push("AAAA", 4), Err(ReplyError::ByteCount { declared: 4, actual: 3 }));
        assert_eq!(push(&b64(&[0.0; 4]), 0), Ok(16));
        assert_eq!(push(&b64(&[0.0; 5]), 0), Err(ReplyError::TooLong { limit: 16 }));
        assert_eq!(push(&"A".repeat(1 << 20), 0), Err(ReplyError::TooLong { limit: 16 }));
    }

    #[test]
    fn long_reply_is_kept_on_disk() {
        let spool = tempfile::tempdir().unwrap();
        let frame = b64(&[0.5; 1_920]);
        let mut reply = ReplyAudio::new(1, 1 << 30, spool.path());
        let mut frames = 0;
        while !reply.may_block(&frame) {
            reply.push(&frame, 0).unwrap();
            frames += 1;
        }
        assert!(!reply.pcm.is_rolled() && !reply.may_block(""));
        for _ in 0..10 {
            assert!(reply.may_block(&frame));
            reply.push(&frame, 0).unwrap();
        }
        assert!(reply.pcm.is_rolled());
        // The file is unnamed, so none remains after any exit of the process.
        assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
        assert_eq!(decode_samples(reply), vec![16_383; (frames + 10) * 1_920]);

        let mut without_spool = ReplyAudio::new(1, 1 << 30, &spool.path().join("missing"));
        let error = without_spool.push(&b64(&vec![0.5; MAX_REPLY_MEMORY_BYTES]), 0).unwrap_err();
        assert_eq!(error, ReplyError::Disk(io::ErrorKind::NotFound));
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_change_the_audio(samples in prop::collection::vec(any::<f32>(), 0..50), cut in 1_usize..20) {
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let mut at_once = new(1, 1000);
            at_once.push(&STANDARD.encode(&bytes), 0).unwrap();
            let mut chunked = new(1, 1000);
            for part in bytes.chunks(cut) {
                chunked.push(&STANDARD.encode(part), part.len() as u64).unwrap();
            }
            prop_assert_eq!(decode_samples(at_once), decode_samples(chunked));
        }

        #[test]
        fn arbitrary_chunk_never_panics(text in ".{0,60}", declared: u64) {
            let _ = new(1, 16).push(&text, declared);
        }
    }
}
