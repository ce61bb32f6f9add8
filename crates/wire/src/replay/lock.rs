//! The lock file of a replay log. It also holds a bound on the accepted nonces, which outlives a
//! lost log.
//!
//! After a start with an incomplete log, the guard must refuse every nonce that an earlier process
//! may have accepted, and should refuse no other. An earlier process accepted requests before the
//! start, but a sender's clock may be ahead of the server's: the request's nonce is then later than
//! its arrival, by up to the window's `future` (two minutes in fiber). Refusing all nonces up to
//! the start plus `future` is safe, but it refuses every sender for that long.
//!
//! The lock file therefore records how far ahead accepted nonces have actually been. The invariant,
//! at any time:
//!
//! > every accepted nonce ≤ max(`ceiling`, time of its acceptance + `lead`)
//!
//! A request whose lead exceeds `lead` is accepted only after the larger value is on the disk
//! ([`Lock::raise_lead`]), even if the machine crashes at once; the lead is rounded up to a power of
//! two, so this happens a few times in the life of a server. A request that is not ahead of the
//! server's clock costs nothing. At a start at time T, all acceptances were before T, so every
//! earlier nonce is ≤ max(`ceiling`, T + `lead`): this is the new ceiling, and the lead is 0 again.
//! If the log is incomplete, the guard refuses nonces up to the ceiling.
//!
//! - First start: there is neither a lock file nor a log, so no earlier process accepted a nonce
//!   ahead of the clock (it would have written the lock file). The ceiling is T. Nothing was
//!   accepted at all, unless somebody deleted the folder or runs the server in a container without
//!   a volume; requests signed before the start are refused for these cases. Only senders whose
//!   clock is behind notice, for as long as it is behind.
//! - Lost log: the ceiling is T plus the largest lead that any sender had, a fraction of a second
//!   with synchronised clocks.
//! - Torn lock file, or one of an earlier version without a bound: T + `future`, which is always
//!   safe.
//!
//! What no file can prevent: if the folder is deleted and the server restarts, a request of a
//! sender whose clock was ahead, captured less than that lead before the start, is accepted a
//! second time. And after the server's own clock was set back, T is too low; the floor in the log
//! prevents that, unless the log is lost too.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::ReplayLogError;
use super::log::sibling_path;

const TITLE: &str = "taonet replay bound 1";
/// The smallest recorded lead: 2^28 ns, about a quarter of a second. Differences of synchronised
/// clocks stay below it, so that one write covers them.
const MIN_LEAD: u64 = 1 << 28;

/// A bound on the nonces that were accepted; see above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    /// The highest nonce that earlier processes may have accepted.
    ceiling: u64,
    /// How far nonces accepted by this process were ahead of the clock, at most, in nanoseconds.
    lead: u64,
}

/// The locked file.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
    /// Whether the file was there before.
    had_file: bool,
    bound: Option<Bound>,
}

impl Lock {
    /// Locks the log at `log` and reads the bound.
    pub(super) fn open(log: &Path) -> Result<Self, ReplayLogError> {
        let path = sibling_path(log, ".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let (mut file, had_file) = match options.clone().create_new(true).open(&path) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (options.open(&path).map_err(|source| ReplayLogError::io(&path, source))?, true)
            }
            Err(error) => return Err(ReplayLogError::io(&path, error)),
        };
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ReplayLogError::InUse(log.to_owned()),
            TryLockError::Error(source) => ReplayLogError::io(&path, source),
        })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|source| ReplayLogError::io(&path, source))?;
        let bound = std::str::from_utf8(&text).ok().and_then(Bound::parse);
        Ok(Self { path, file, had_file, bound })
    }

    /// Begins a process at `now_ns` and returns the highest nonce that earlier ones may have
    /// accepted. `max_nonce` is the highest nonce that the clock accepts now, and `log_existed`
    /// whether there was a log.
    pub(super) fn start(
        &mut self,
        now_ns: u64,
        max_nonce: u64,
        log_existed: bool,
    ) -> Result<u64, ReplayLogError> {
        let ceiling = match self.bound {
            Some(Bound { ceiling, lead }) => ceiling.max(now_ns.saturating_add(lead)),
            None if self.had_file || log_existed => max_nonce,
            None => now_ns,
        };
        // A ceiling above `max_nonce` is that of a clock that was far ahead; its remedy must not be
        // to wait for that time.
        let ceiling = ceiling.min(max_nonce);
        self.write(Bound { ceiling, lead: 0 })
            .map_err(|source| ReplayLogError::io(&self.path, source))?;
        Ok(ceiling)
    }

    /// Records, durably, that a nonce may be ahead of the clock by `lead` nanoseconds.
    pub(super) fn raise_lead(&mut self, lead: u64) -> io::Result<()> {
        let bound = self.bound.unwrap_or(Bound { ceiling: u64::MAX, lead: 0 });
        if lead <= bound.lead {
            return Ok(());
        }
        let lead = lead.max(MIN_LEAD).checked_next_power_of_two().unwrap_or(u64::MAX);
        self.write(Bound { lead, ..bound })
    }

    /// Writes the bound in place, since the lock belongs to this file. A write that a crash tears
    /// has a wrong checksum, which is safe.
    fn write(&mut self, bound: Bound) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(bound.to_text().as_bytes())?;
        self.file.sync_all()?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        self.bound = Some(bound);
        Ok(())
    }
}

impl Bound {
    /// Returns a line whose length is always the same, so that a new one covers the old one.
    fn to_text(self) -> String {
        let content = format!("{TITLE} {:020} {:020}", self.ceiling, self.lead);
        format!("{content} {:08x}\n", crc32fast::hash(content.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let (content, crc) = text.strip_suffix('\n')?.rsplit_once(' ')?;
        let is_intact = u32::from_str_radix(crc, 16) == Ok(crc32fast::hash(content.as_bytes()));
        let (ceiling, lead) = content.strip_prefix(TITLE)?.trim_start().split_once(' ')?;
        Some(Self { ceiling: ceiling.parse().ok()?, lead: lead.parse().ok()? })
            .filter(|_| is_intact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000_000_000;
    const FUTURE: u64 = 120_000_000_000;

    #[test]
    fn replay_ceiling_includes_clock_leads_of_earlier_processes() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("replay");
        let start = |now: u64| {
            let mut lock = Lock::open(&log).unwrap();
            let ceiling = lock.start(now, now + FUTURE, false).unwrap();
            (lock, ceiling)
        };
        let (mut lock, ceiling) = start(NOW);
        assert_eq!(ceiling, NOW, "first start");
        lock.raise_lead(0).unwrap();
        drop(lock);
        let (mut lock, ceiling) = start(NOW + 1);
        assert_eq!(ceiling, NOW + 1, "no sender was ahead");
        lock.raise_lead(1).unwrap();
        lock.raise_lead(5_000_000_000).unwrap();
        drop(lock);
        let (lock, ceiling) = start(NOW + 2);
        assert_eq!(ceiling, NOW + 2 + (1 << 33), "5 s, rounded up");
        drop(lock);
        // The ceiling stays, and the lead of the new process begins at 0.
        let (lock, ceiling) = start(NOW + 3);
        assert_eq!(ceiling, NOW + 2 + (1 << 33));
        drop(lock);
        let (lock, ceiling) = start(NOW + FUTURE);
        assert_eq!(ceiling, NOW + FUTURE);
        drop(lock);
        for text in ["", "torn", &Bound { ceiling: 1, lead: 1 }.to_text().replace("1 ", "2 ")] {
            std::fs::write(sibling_path(&log, ".lock"), text).unwrap();
            assert_eq!(start(NOW).1, NOW + FUTURE, "{text:?}");
        }
        std::fs::remove_file(sibling_path(&log, ".lock")).unwrap();
        let mut lock = Lock::open(&log).unwrap();
        assert_eq!(
            lock.start(NOW, NOW + FUTURE, true).unwrap(),
            NOW + FUTURE,
            "only the log is left"
        );
    }

    #[test]
    fn replay_bounds_round_trip() {
        for bound in [Bound { ceiling: 0, lead: 0 }, Bound { ceiling: u64::MAX, lead: u64::MAX }] {
            let text = bound.to_text();
            assert_eq!(Bound::parse(&text), Some(bound));
            assert_eq!(text.len(), Bound { ceiling: 7, lead: 7 }.to_text().len());
            for byte in 0..text.len() {
                let mut damaged = text.clone().into_bytes();
                damaged[byte] ^= 1;
                let damaged = String::from_utf8(damaged).unwrap();
                assert_eq!(Bound::parse(&damaged), None, "{damaged}");
            }
        }
    }
}
