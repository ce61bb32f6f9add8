//! Devices that search, and their common interface.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crate::error::PowError;
#[cfg(feature = "opencl")]
use crate::opencl::OpenCl;
use crate::work::{Solution, Work};

/// Name of a device: `cpu`, `opencl` (the first OpenCL device) or `opencl:INDEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// Cores of the processor.
    #[default]
    Cpu,
    /// The OpenCL device with this index; graphics cards are listed before other devices.
    OpenCl(usize),
}

/// The text does not name a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected cpu, opencl or opencl:INDEX")]
pub struct UnknownDevice;

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "opencl" => Ok(Self::OpenCl(0)),
            _ => {
                let index = text.strip_prefix("opencl:").ok_or(UnknownDevice)?;
                index.parse().map(Self::OpenCl).map_err(|_| UnknownDevice)
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::OpenCl(index) => write!(f, "opencl:{index}"),
        }
    }
}

/// A device that is ready to search.
#[derive(Debug)]
pub struct Searcher(SearchBackend);

#[derive(Debug)]
enum SearchBackend {
    Cpu(NonZeroUsize),
    #[cfg(feature = "opencl")]
    OpenCl(OpenCl),
}

impl Searcher {
    /// Opens a device. `threads` is the number of threads of a search on the processor.
    ///
    /// An OpenCL device compiles the search kernel, and must find the same nonce as the processor.
    ///
    /// # Errors
    /// For OpenCL devices: [`PowError::Disabled`] without the cargo feature `opencl`; otherwise if
    /// there is no OpenCL library or no such device, or if the device fails.
    pub fn open(device: Device, threads: NonZeroUsize) -> Result<Self, PowError> {
        match device {
            Device::Cpu => Ok(Self(SearchBackend::Cpu(threads))),
            #[cfg(feature = "opencl")]
            Device::OpenCl(index) => {
                OpenCl::open(index).map(|device| Self(SearchBackend::OpenCl(device)))
            }
            #[cfg(not(feature = "opencl"))]
            Device::OpenCl(_) => Err(PowError::Disabled),
        }
    }

    /// Returns `cpu`, or the driver's name for the OpenCL device.
    pub fn name(&self) -> &str {
        match &self.0 {
            SearchBackend::Cpu(_) => "cpu",
            #[cfg(feature = "opencl")]
            SearchBackend::OpenCl(device) => device.name(),
        }
    }

    /// Searches nonces from `start` upwards, until one meets the difficulty or the deadline passes;
    /// `u64::MAX` is followed by 0. Adds the number of hashes to `hash_count` while it runs.
    ///
    /// An OpenCL device, and the processor with one thread, find the first such nonce; with several
    /// threads it can be a later one.
    ///
    /// # Errors
    /// If an OpenCL device fails, or returns a nonce that does not meet the difficulty.
    pub fn search(
        &mut self,
        work: &Work,
        start: u64,
        deadline: Instant,
        hash_count: &AtomicU64,
    ) -> Result<Option<Solution>, PowError> {
        match &mut self.0 {
            SearchBackend::Cpu(threads) => Ok(work.search(start, *threads, deadline, hash_count)),
            #[cfg(feature = "opencl")]
            SearchBackend::OpenCl(device) => device.search(work, start, deadline, hash_count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_round_trip() {
        for (text, expected) in [
            ("cpu", Ok(Device::Cpu)),
            ("opencl", Ok(Device::OpenCl(0))),
            ("opencl:0", Ok(Device::OpenCl(0))),
            ("opencl:12", Ok(Device::OpenCl(12))),
            ("opencl:", Err(UnknownDevice)),
            ("opencl:-1", Err(UnknownDevice)),
            ("opencl:1:2", Err(UnknownDevice)),
            ("cuda", Err(UnknownDevice)),
            ("CPU", Err(UnknownDevice)),
            ("", Err(UnknownDevice)),
        ] {
            assert_eq!(text.parse(), expected, "{text:?}");
        }
        for device in [Device::Cpu, Device::OpenCl(0), Device::OpenCl(3)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
    }

    /// The searches and their errors move between threads.
    #[test]
    fn searches_can_run_on_other_threads() {
        fn assert_send_and_sync<T: Send + Sync + 'static>() {}
        fn assert_send<T: Send + 'static>() {}
        assert_send_and_sync::<PowError>();
        assert_send_and_sync::<UnknownDevice>();
        assert_send::<Searcher>();
    }

    #[cfg(not(feature = "opencl"))]
    #[test]
    fn opencl_needs_the_feature() {
        let error = Searcher::open(Device::OpenCl(0), NonZeroUsize::MIN).unwrap_err();
        assert!(error.to_string().contains("the cargo feature `opencl`"), "{error}");
    }
}
