//! Division of the market's limits among the processes that send requests.
//!
//! The miners' slots and the queue's capacity are limits of the whole market. Each process gets a
//! fixed share of them, computed from the list of processes: unlike a count of all requests in
//! flight, which each request would have to read and change, the shares need no database on the
//! path of a request, and hold while the database is down. Jobs are spread evenly among workers,
//! and so are the shares. A process that does not know the others has one slot at each miner, and
//! may queue as many requests as the whole market, because a queue that is too long does no harm.

use std::sync::Arc;

/// A process's position among the processes that send requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Number of processes, including this one.
    processes: usize,
    /// Number of processes that serve buyers.
    serving: usize,
    /// Index of this process among those that serve buyers; `None` if it does not.
    index: Option<usize>,
}

impl Division {
    /// The only process.
    pub const ONLY_PROCESS: Self = Self { processes: 1, serving: 1, index: Some(0) };
    /// A process that does not know the others yet.
    pub const UNKNOWN: Self = Self { processes: usize::MAX, serving: 0, index: None };

    /// Returns the position of a process among `processes`, of which `serving` serve buyers.
    /// `index` is that of this process among the latter.
    pub const fn new(processes: usize, serving: usize, index: Option<usize>) -> Self {
        Self { processes, serving, index }
    }

    /// Returns this process's share of a limit, at least 1: a process that does not serve buyers,
    /// such as a validator beside query workers, gets one slot for synthetic requests, and the
    /// others divide the rest.
    pub fn share(&self, total: usize) -> usize {
        let remaining = total.saturating_sub(self.processes);
        let (Some(index), Some(equal_share)) = (self.index, remaining.checked_div(self.serving))
        else {
            return 1;
        };
        1 + equal_share + usize::from(index < remaining % self.serving)
    }

    /// Returns this process's share of the queue's capacity, at least 1. Only processes that serve
    /// buyers divide them; one that does not know the others has all.
    fn queue_share(&self, total: usize) -> usize {
        let Some(equal_share) = total.checked_div(self.serving) else { return total };
        let gets_remainder = self.index.is_some_and(|index| index < total % self.serving);
        (equal_share + usize::from(gets_remainder)).max(1)
    }

    /// Returns whether the shares of all processes add up to the limit, and not to more.
    pub const fn keeps_limit(&self, total: usize) -> bool {
        total >= self.processes
    }
}

/// The latest divisions. Each share is the smallest one of all of them: a process uses a larger
/// share only once the others have had the time to reduce theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divisions {
    latest: Arc<[Division]>,
    /// Whether the processes have been the same for so long that no request from before a change is
    /// in flight.
    is_settled: bool,
}

impl Default for Divisions {
    fn default() -> Self {
        Self { latest: [Division::ONLY_PROCESS].into(), is_settled: true }
    }
}

impl Divisions {
    /// Creates divisions from the latest ones, at least one.
    pub fn new(latest: impl IntoIterator<Item = Division>, is_settled: bool) -> Self {
        Self { latest: latest.into_iter().collect(), is_settled }
    }

    /// Returns whether this process is the only one.
    pub fn is_only_process(&self) -> bool {
        self.latest.iter().all(|division| *division == Division::ONLY_PROCESS)
    }

    /// Returns this process's share of a limit; 0 of 0.
    pub fn share(&self, total: usize) -> usize {
        let shares = self.latest.iter().map(|division| division.share(total));
        shares.min().unwrap_or(total).min(total)
    }

    /// Returns this process's share of the queue's capacity; 0 of 0.
    pub fn queue_share(&self, total: usize) -> usize {
        let shares = self.latest.iter().map(|division| division.queue_share(total));
        shares.min().unwrap_or(total).min(total)
    }

    /// Returns whether the other processes are known.
    pub fn is_known(&self) -> bool {
        !self.latest.contains(&Division::UNKNOWN)
    }

    /// Returns the same divisions, of which it is unknown whether the other processes respect them.
    #[must_use]
    pub fn unsettled(&self) -> Self {
        Self { is_settled: false, ..self.clone() }
    }

    /// Returns whether no more requests than a limit are in flight while each process respects its
    /// share.
    pub fn keeps_limit(&self, total: usize) -> bool {
        self.is_settled && self.latest.iter().all(|division| division.keeps_limit(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_processes_add_up_to_the_limit() {
        for (processes, serving) in [(1, 1), (2, 1), (2, 2), (3, 2), (5, 5), (9, 8)] {
            for total in [1, 2, 3, 7, 8, 9, 10, 100, 65_536] {
                let indices =
                    (0..serving).map(Some).chain(std::iter::repeat_n(None, processes - serving));
                let shares: Vec<_> = indices
                    .map(|index| Division::new(processes, serving, index).share(total))
                    .collect();
                assert_eq!(
                    shares.iter().sum::<usize>(),
                    total.max(processes),
                    "{processes}, {serving}: {shares:?}"
                );
                let (minimum, maximum) = (
                    shares[..serving].iter().min().unwrap(),
                    shares[..serving].iter().max().unwrap(),
                );
                assert!(*minimum >= 1 && maximum - minimum <= 1, "{shares:?}");
                assert!(shares[serving..].iter().all(|share| *share == 1), "{shares:?}");
                assert_eq!(
                    Division::new(processes, serving, None).keeps_limit(total),
                    total >= processes
                );
            }
        }
    }

    #[test]
    fn queue_capacity_is_divided_among_serving_processes() {
        for serving in 1..=9 {
            for total in [9, 10, 1_000] {
                let indices = (0..serving).map(Some);
                let shares: Vec<_> = indices
                    .map(|index| Division::new(12, serving, index).queue_share(total))
                    .collect();
                assert_eq!(shares.iter().sum::<usize>(), total, "{serving}: {shares:?}");
            }
        }
        let queue_share = |latest: &[Division], total| {
            Divisions::new(latest.iter().copied(), true).queue_share(total)
        };
        let two_processes = Division::new(3, 2, Some(0));
        assert_eq!(
            (
                queue_share(&[Division::UNKNOWN], 1_000),
                queue_share(&[Division::UNKNOWN, two_processes], 1_000)
            ),
            (1_000, 500)
        );
        assert_eq!(
            (
                queue_share(&[two_processes], 0),
                queue_share(&[two_processes], 1),
                queue_share(&[Division::new(3, 2, None)], 9)
            ),
            (0, 1, 4)
        );
    }

    #[test]
    fn divisions_are_unknown_if_any_division_is_unknown() {
        let two_processes = Division::new(2, 2, Some(0));
        assert!(
            !Divisions::new([Division::UNKNOWN, two_processes], true).is_known()
                && Divisions::new([two_processes], false).is_known()
        );
        let unsettled = Divisions::new([two_processes], true).unsettled();
        assert!(!unsettled.keeps_limit(64) && unsettled.share(64) == 32);
    }

    #[test]
    fn larger_share_is_used_once_all_latest_divisions_have_it() {
        let [two_processes, one] = [Division::new(2, 2, Some(0)), Division::ONLY_PROCESS];
        let divisions = |latest: &[Division]| Divisions::new(latest.iter().copied(), true);
        assert_eq!(
            [&[two_processes, one, one][..], &[one, one], &[one, two_processes]]
                .map(|latest| divisions(latest).share(64)),
            [32, 64, 32]
        );
        assert_eq!(divisions(&[Division::UNKNOWN, one]).share(64), 1);
        assert_eq!((divisions(&[two_processes]).share(0), Divisions::default().share(0)), (0, 0));
        assert!(
            divisions(&[two_processes, two_processes]).keeps_limit(2)
                && !divisions(&[two_processes, Division::UNKNOWN]).keeps_limit(64)
        );
        assert!(
            !Divisions::new([two_processes], false).keeps_limit(64)
                && !divisions(&[two_processes]).keeps_limit(1)
        );
        assert!(
            Divisions::default().is_only_process()
                && !divisions(&[one, two_processes]).is_only_process()
        );
    }
}
