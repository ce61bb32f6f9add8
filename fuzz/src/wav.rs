//! WAV files from engines and miners: decoding never panics, and the samples match the header and
//! are within -1 to 1.

use taonet_speech::{Wav, WavHeader, resample_for_recognition};

/// Checks one input.
pub fn check(file: &[u8]) {
    let Ok(wav) = Wav::decode(file) else { return };
    let header = WavHeader::read(file).expect("a file that is decoded has a header");
    assert_eq!(header.channels, wav.pcm.channels);
    assert_eq!(header.frames * usize::from(header.channels), wav.pcm.samples.len());
    assert!(wav.pcm.samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
    // A low rate makes much of little.
    if header.frames < 10_000 && header.rate.hz() >= 8_000 {
        assert_eq!(resample_for_recognition(&wav.pcm).is_empty(), header.frames == 0);
    }
}
