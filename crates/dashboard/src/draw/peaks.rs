use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use crate::file::open_file;

/// Size of the read buffer in bytes.
const BUFFER: usize = 64 * 1024;
/// Number of envelope points of a recording.
const POINTS: usize = 400;
/// Maximum number of samples read per point; longer recordings are subsampled.
const MAX_SAMPLES_PER_POINT: u64 = 2_000;

/// Envelope of a recording: the lowest and highest sample of each of its parts, which have equal
/// durations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Peaks {
    /// Duration of the recording in seconds.
    pub seconds: f64,
    /// Lowest and highest sample of each part, from -1 to 1.
    pub points: Vec<(f32, f32)>,
}

/// Why a recording has no envelope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeaksError {
    /// The file is missing or unreadable.
    #[error("unreadable recording: {0}")]
    Read(#[from] io::Error),
    /// The file is not a WAV file with 8-bit or 16-bit PCM samples.
    #[error("the recording is not a WAV file with PCM samples")]
    Format,
}

/// Header fields of a WAV file that are needed to find its samples.
struct Layout {
    channels: u16,
    hz: u32,
    width: u16,
    start: u64,
    bytes: u64,
}

impl Peaks {
    /// Reads the envelope of a WAV file with 8-bit or 16-bit PCM samples. Reads only a part of a
    /// long file. Blocks the thread.
    ///
    /// # Errors
    /// [`PeaksError`] when the file is unreadable or has a different format.
    pub fn read(path: &Path) -> Result<Self, PeaksError> {
        let mut file = BufReader::with_capacity(BUFFER, open_file(path)?);
        let size = file.get_ref().metadata()?.len();
        let Layout { channels, hz, width, start, bytes } = layout(&mut file, size)?;
        let block = u64::from(channels) * u64::from(width);
        let frames = bytes / block;
        let points = frames.min(POINTS as u64);
        let mut peaks = Self { seconds: frames as f64 / f64::from(hz), points: Vec::new() };
        let mut part = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        let mut skipped = 0;
        for point in 0..points {
            let (from, to) = (frames * point / points, frames * (point + 1) / points);
            let count = (to - from).min(MAX_SAMPLES_PER_POINT);
            part.resize(usize::try_from(count * block).map_err(|_| PeaksError::Format)?, 0);
            // Keeps the buffer, unlike `seek`.
            file.seek_relative(skipped)?;
            file.read_exact(&mut part)?;
            skipped = i64::try_from((to - from - count) * block).map_err(|_| PeaksError::Format)?;
            peaks.points.push(extremes(&part, width));
        }
        Ok(peaks)
    }
}

fn widen((low, high): (f32, f32), sample: f32) -> (f32, f32) {
    (low.min(sample), high.max(sample))
}

fn extremes(bytes: &[u8], width: u16) -> (f32, f32) {
    if width == 1 {
        return bytes.iter().map(|byte| (f32::from(*byte) - 128.0) / 128.0).fold((0.0, 0.0), widen);
    }
    let (samples, _) = bytes.as_chunks::<2>();
    samples
        .iter()
        .map(|sample| f32::from(i16::from_le_bytes(*sample)) / 32_768.0)
        .fold((0.0, 0.0), widen)
}

/// Finds the samples of a WAV file of `size` bytes.
fn layout(file: &mut BufReader<File>, size: u64) -> Result<Layout, PeaksError> {
    let riff: [u8; 12] = array(file)?;
    if !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
        return Err(PeaksError::Format);
    }
    let mut format = None;
    let mut at = 12_u64;
    // Gives up after 64 chunks without samples: such a file is not a recording.
    for _ in 0..64 {
        let name: [u8; 4] = array(file)?;
        let length = u64::from(u32::from_le_bytes(array(file)?));
        at += 8;
        match &name {
            b"fmt " if length >= 16 => {
                let tag = u16::from_le_bytes(array(file)?);
                let channels = u16::from_le_bytes(array(file)?);
                let hz = u32::from_le_bytes(array(file)?);
                let _: [u8; 6] = array(file)?;
                let bits = u16::from_le_bytes(array(file)?);
                let is_pcm =
                    matches!(tag, 1 | 0xfffe) && matches!(bits, 8 | 16) && channels > 0 && hz > 0;
                format = Some((channels, hz, bits / 8)).filter(|_| is_pcm);
            }
            b"data" => {
                let (channels, hz, width) = format.ok_or(PeaksError::Format)?;
                return Ok(Layout {
                    channels,
                    hz,
                    width,
                    start: at,
                    bytes: length.min(size.saturating_sub(at)),
                });
            }
            _ => {}
        }
        at = at
            .checked_add(length + length % 2)
            .filter(|at| *at <= size)
            .ok_or(PeaksError::Format)?;
        file.seek(SeekFrom::Start(at))?;
    }
    Err(PeaksError::Format)
}

fn array<const N: usize>(file: &mut BufReader<File>) -> Result<[u8; N], PeaksError> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(samples: &[i16], hz: u32) -> Vec<u8> {
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        file.extend(hz.to_le_bytes());
        file.extend((hz * 2).to_le_bytes());
        file.extend(b"\x02\0\x10\0LIST\x03\0\0\0abc\0data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn read(bytes: &[u8]) -> Result<Peaks, PeaksError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Peaks::read(file.path())
    }

    #[test]
    fn envelope_has_minimum_and_maximum_of_each_interval() {
        let samples: Vec<i16> =
            (0..8_000).map(|at| if at < 4_000 { 0 } else { 16_384 * (1 - 2 * (at % 2)) }).collect();
        let peaks = read(&wav(&samples, 8_000)).unwrap();
        assert_eq!((peaks.seconds, peaks.points.len()), (1.0, POINTS));
        assert!(peaks.points[..POINTS / 2].iter().all(|point| *point == (0.0, 0.0)));
        assert!(peaks.points[POINTS / 2..].iter().all(|point| *point == (-0.5, 0.5)));
        assert_eq!(read(&wav(&[], 8_000)).unwrap(), Peaks { seconds: 0.0, points: vec![] });
        assert_eq!(read(&wav(&[32_767], 8_000)).unwrap().points.len(), 1);
    }

    #[test]
    fn malformed_recordings_are_refused() {
        let wav_bytes = wav(&[1; 100], 8_000);
        assert!(
            matches!(Peaks::read(&std::env::temp_dir()), Err(PeaksError::Read(_))),
            "a directory"
        );
        assert!(Peaks::read(Path::new("/absent.wav")).is_err());
        for length in 0..wav_bytes.len() - 200 {
            assert!(read(&wav_bytes[..length]).is_err(), "{length}");
        }
        // A truncated file yields an envelope of the samples that are present.
        let truncated = read(&wav_bytes[..wav_bytes.len() - 100]).unwrap();
        assert_eq!((truncated.seconds, truncated.points.len()), (0.006_25, 50));
        let mut other = wav_bytes;
        other[20] = 3;
        assert!(matches!(read(&other), Err(PeaksError::Format)), "floats");
    }

    #[test]
    fn long_recording_is_sampled_in_bounded_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut header = wav(&[], 24_000);
        let bytes = 24_000_u32 * 2 * 7_200;
        let end = header.len();
        header[end - 4..].copy_from_slice(&bytes.to_le_bytes());
        std::fs::write(file.path(), &header).unwrap();
        // A sparse file, whose samples take no disk space.
        file.as_file().set_len(header.len() as u64 + u64::from(bytes)).unwrap();
        // A busy machine is slower at times: the fastest run counts.
        let times = (0..5).map(|_| {
            let start = std::time::Instant::now();
            let peaks = Peaks::read(file.path()).unwrap();
            assert_eq!((peaks.seconds, peaks.points.len()), (7_200.0, POINTS));
            start.elapsed()
        });
        let fastest = times.min().unwrap();
        assert!(fastest < std::time::Duration::from_secs(1), "{fastest:?}");
    }
}
