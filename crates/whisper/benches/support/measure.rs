//! Recordings, processor time and peak memory of the benchmarks.

use std::error::Error;
use std::path::Path;

use taonet_speech::{Wav, resample_for_recognition};

/// Reads a WAV file as samples at 16 kHz.
pub(crate) fn read_wav(path: &Path) -> Result<Vec<f32>, Box<dyn Error + Send + Sync>> {
    let file = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(resample_for_recognition(&Wav::decode(&file)?.pcm))
}

/// Returns the processor time of all threads in seconds; 0 if the system does not report it.
pub(crate) fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, in hundredths of a second.
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Returns the peak resident memory of the process in megabytes; 0 if the system does not report
/// it.
pub(crate) fn peak_megabytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) >> 10
}
