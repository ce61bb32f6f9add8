//! The search on an OpenCL device.
//!
//! Drivers compile the kernel, and some do so wrongly: a device must find a known nonce before it
//! searches, and each of its nonces is verified on the processor. Otherwise, the chain would reject
//! a wrong nonce, and a search that misses the right ones would never end.

#[allow(unsafe_code, reason = "calls of a C library")]
mod library;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use taonet_primitives::{BlockHash, Coldkey, Hotkey, NetUid};

use self::library::{DeviceHandle, Session, devices};
use crate::error::PowError;
use crate::work::{Solution, Work};

const KERNEL_SOURCE: &str = include_str!("opencl/search.cl");
/// Number of words of the kernels' input: a hash state, and the prefix of the work.
const INPUT_WORDS: usize = 8 + 31;
/// Number of nonces of the first batch, and the minimum of the others.
const MIN_BATCH: u32 = 1 << 14;
const MAX_BATCH: u32 = 1 << 28;
/// Intended duration of a batch: short for the display and the deadline, long compared with a call
/// of the driver.
const BATCH_DURATION: Duration = Duration::from_millis(100);
/// Nonce at which the self-test begins: all of its bytes differ.
const TEST_START: u64 = 0xFEDC_BA98_7654_3210;

/// An OpenCL device with the compiled search.
#[derive(Debug)]
pub(crate) struct OpenCl {
    name: String,
    session: Session,
}

impl OpenCl {
    /// Opens the device with an index: graphics cards are listed before other devices.
    pub(crate) fn open(index: usize) -> Result<Self, PowError> {
        Self::with_source(index, KERNEL_SOURCE)
    }

    fn with_source(index: usize, source: &str) -> Result<Self, PowError> {
        let devices = sort_devices(devices()?);
        let Some(device) = devices.get(index) else {
            let devices: Vec<String> = devices.into_iter().map(|device| device.name).collect();
            return Err(if devices.is_empty() {
                PowError::NoDevices
            } else {
                PowError::NoDevice { index, devices }
            });
        };
        let mut opened_device = Self {
            name: device.name.clone(),
            session: Session::open(device, source, INPUT_WORDS)?,
        };
        opened_device.self_test()?;
        Ok(opened_device)
    }

    /// Returns the driver's name for the device.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Searches in batches of consecutive nonces; see [`crate::Searcher::search`].
    pub(crate) fn search(
        &mut self,
        work: &Work,
        start: u64,
        deadline: Instant,
        hash_count: &AtomicU64,
    ) -> Result<Option<Solution>, PowError> {
        let mut padded = [0; 124];
        for (padded_byte, byte) in padded.iter_mut().zip(work.prefix()) {
            *padded_byte = byte;
        }
        let words: Vec<u32> =
            padded.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
        self.session.prepare(&words)?;
        let (mut nonce, mut batch) = (start, MIN_BATCH);
        while Instant::now() < deadline {
            let started = Instant::now();
            let offset = self.session.search(nonce, work.difficulty, batch)?;
            hash_count.fetch_add(batch.into(), Ordering::Relaxed);
            if offset < batch {
                let solution = work.verify(nonce.wrapping_add(offset.into()));
                return solution.map(Some).ok_or_else(|| self.wrong_hashes());
            }
            nonce = nonce.wrapping_add(batch.into());
            batch = next_batch_size(batch, started.elapsed());
        }
        Ok(None)
    }

    /// Checks that the device finds the same solution as the processor; see the module
    /// documentation.
    fn self_test(&mut self) -> Result<(), PowError> {
        let work = Work {
            netuid: NetUid(0x1234),
            block: BlockHash::from_bytes([0x56; 32]),
            hotkey: Hotkey::from_bytes([0x78; 32]),
            coldkey: Coldkey::from_bytes([0x9A; 32]),
            difficulty: 1_000,
        };
        // Far away: the first batch includes the driver's compilation.
        let (deadline, hash_count) = (Instant::now() + Duration::from_hours(1), AtomicU64::new(0));
        let solution = self.search(&work, TEST_START, deadline, &hash_count)?;
        let expected = work.search(TEST_START, NonZeroUsize::MIN, deadline, &hash_count);
        if solution == expected { Ok(()) } else { Err(self.wrong_hashes()) }
    }

    fn wrong_hashes(&self) -> PowError {
        PowError::WrongHashes { device: self.name.clone() }
    }
}

/// Sorts graphics cards before other devices.
fn sort_devices(mut devices: Vec<DeviceHandle>) -> Vec<DeviceHandle> {
    devices.sort_by_key(|device| !device.is_gpu);
    devices
}

/// Returns the size of the next batch.
fn next_batch_size(batch: u32, elapsed: Duration) -> u32 {
    if elapsed < BATCH_DURATION / 2 {
        (batch * 2).min(MAX_BATCH)
    } else if elapsed > BATCH_DURATION * 2 {
        (batch / 2).max(MIN_BATCH)
    } else {
        batch
    }
}

#[cfg(test)]
mod tests;
