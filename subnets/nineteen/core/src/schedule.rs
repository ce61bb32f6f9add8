//! Schedule of synthetic requests.
//!
//! A task's requests are spread evenly over the period: each has its own slot, and is sent at a
//! random time in it. (The reference draws one random time for the first request and keeps a fixed
//! interval, so that miners can recognise synthetic requests by their timing.) Organic requests
//! replace synthetic ones: each lowers the budget by one and skips one slot.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use taonet_primitives::Seconds;

/// Returns a task's number of synthetic requests in one period: `⌊Σ capacity_to_score · multiplier
/// / volume⌋`.
///
/// `capacities_to_score` is the sum over the task's contenders, `period_multiplier` the ratio of
/// the period's length to the reference's 1 800 s, `volume_per_request` the assumed volume of a
/// request.
pub fn synthetic_request_count(
    capacities_to_score: f64,
    period_multiplier: f64,
    volume_per_request: f64,
) -> u64 {
    let requests = (capacities_to_score * period_multiplier / volume_per_request).floor();
    if requests.is_finite() && requests > 0.0 { requests as u64 } else { 0 }
}

/// Action for a due slot of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotAction {
    /// Send one synthetic request, and lower the budget by one.
    Send,
    /// Send nothing: organic requests replaced this many synthetic ones.
    Skip(u64),
    /// The budget is exhausted: no more requests until the period's end.
    Done,
}

/// One task's synthetic requests in one period.
#[derive(Debug, Clone, PartialEq)]
struct TaskSlots<T> {
    task: T,
    slot_length: Seconds,
    total: u64,
    remaining: u64,
    /// Time of the next request.
    next_time: Seconds,
}

/// Synthetic requests of all tasks in one period, ordered by time. Times are relative to the start
/// of the period.
#[derive(Debug, Clone)]
pub struct Schedule<T> {
    queue: BinaryHeap<QueuedTask<T>>,
}

/// A task in the queue, ordered so that the earliest `next_time` comes first.
#[derive(Debug, Clone)]
struct QueuedTask<T>(TaskSlots<T>);

impl<T> QueuedTask<T> {
    fn order(&self, other: &Self) -> Ordering {
        other.0.next_time.get().total_cmp(&self.0.next_time.get())
    }
}

impl<T> PartialEq for QueuedTask<T> {
    fn eq(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }
}

impl<T> Eq for QueuedTask<T> {}

impl<T> PartialOrd for QueuedTask<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for QueuedTask<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

impl<T> TaskSlots<T> {
    /// Consumes `used` slots, then sets `next_time` to a random time in the next slot.
    fn advance(&mut self, used: u64, jitter: f64) {
        self.remaining = self.remaining.saturating_sub(used);
        let index = (self.total - self.remaining) as f64;
        self.next_time = request_time(self.slot_length, index, jitter).unwrap_or(self.next_time);
    }
}

fn request_time(slot_length: Seconds, index: f64, jitter: f64) -> Option<Seconds> {
    Seconds::new(slot_length.get() * (index + jitter.clamp(0.0, 1.0))).ok()
}

impl<T: Clone> Schedule<T> {
    /// Creates the schedule of a period from tasks and their numbers of requests. `jitter` returns
    /// random numbers in `0..1`, one for each task.
    ///
    /// Omits tasks without requests.
    pub fn new(
        period: Seconds,
        tasks: impl IntoIterator<Item = (T, u64)>,
        mut jitter: impl FnMut() -> f64,
    ) -> Self {
        let first_slot = |(task, total): (T, u64)| {
            let slot_length =
                Seconds::new(period.get() / total as f64).ok().filter(|_| total > 0)?;
            let next_time = request_time(slot_length, 0.0, jitter())?;
            Some(QueuedTask(TaskSlots { task, slot_length, total, remaining: total, next_time }))
        };
        Self { queue: tasks.into_iter().filter_map(first_slot).collect() }
    }

    /// Returns the next slot's time and task; `None` if no requests remain.
    pub fn next(&self) -> Option<(Seconds, &T)> {
        self.queue.peek().map(|entry| (entry.0.next_time, &entry.0.task))
    }

    /// Takes the next slot from the queue; returns its task and the action, or `None` if the queue
    /// is empty.
    ///
    /// `budget` is the task's remaining budget after organic requests; `jitter`, in `0..1`, is the
    /// random position within the task's following slot.
    pub fn take(&mut self, budget: u64, jitter: f64) -> Option<(T, SlotAction)> {
        let QueuedTask(mut slots) = self.queue.pop()?;
        let task = slots.task.clone();
        if budget == 0 {
            return Some((task, SlotAction::Done));
        }
        let (action, used) = match slots.remaining.saturating_sub(budget) {
            0 => (SlotAction::Send, 1),
            skipped => (SlotAction::Skip(skipped), skipped),
        };
        slots.advance(used, jitter);
        if slots.remaining > 0 {
            self.queue.push(QueuedTask(slots));
        }
        Some((task, action))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const HOUR: f64 = 3_600.0;

    fn period() -> Seconds {
        Seconds::new(HOUR).unwrap()
    }

    #[test]
    fn synthetic_request_count_follows_capacity() {
        // Ten miners with 120 000 tokens each, of which 4 % are tested, at 300 tokens per request.
        assert_eq!(synthetic_request_count(10.0 * 120_000.0 * 0.04, 1.0, 300.0), 160);
        assert_eq!(synthetic_request_count(10.0 * 120_000.0 * 0.04, 2.0, 300.0), 320);
        assert_eq!(synthetic_request_count(299.0, 1.0, 300.0), 0);
        assert_eq!(synthetic_request_count(299.0, 1.0, 0.0), 0);
        assert_eq!(synthetic_request_count(f64::NAN, 1.0, 300.0), 0);
    }

    #[test]
    fn organic_requests_replace_synthetic_ones() {
        let mut schedule = Schedule::new(period(), [("chat", 10)], || 0.5);
        assert_eq!(schedule.next().unwrap().0.get(), 180.0);
        assert_eq!(schedule.take(10, 0.5), Some(("chat", SlotAction::Send)));
        assert_eq!(schedule.next().unwrap().0.get(), 540.0);
        // Four organic requests since then: 9 slots remain, the budget is 5.
        assert_eq!(schedule.take(5, 0.0), Some(("chat", SlotAction::Skip(4))));
        assert_eq!(schedule.next().unwrap().0.get(), 5.0 * 360.0);
        assert_eq!(schedule.take(5, 0.25), Some(("chat", SlotAction::Send)));
        assert_eq!(schedule.next().unwrap().0.get(), 6.25 * 360.0);
        assert_eq!(schedule.take(0, 0.25), Some(("chat", SlotAction::Done)));
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn schedule_interleaves_tasks() {
        let mut schedule = Schedule::new(period(), [("a", 2), ("b", 3), ("none", 0)], || 0.5);
        let (mut budget, mut order) =
            (std::collections::HashMap::from([("a", 2), ("b", 3)]), Vec::new());
        while let Some((_, task)) = schedule.next() {
            let left = budget.get_mut(*task).unwrap();
            assert_eq!(schedule.take(*left, 0.5).unwrap().1, SlotAction::Send);
            *left -= 1;
            order.push(*left);
        }
        // Due times in seconds: b at 600, a at 900, b at 1800, a at 2700, b at 3000.
        assert_eq!(order, [2, 1, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn every_request_is_sent_once_within_the_period(total in 1_u64..500, seed: u64) {
            let mut random = StdRng::seed_from_u64(seed);
            let mut jitter = || rand::Rng::random::<f64>(&mut random);
            let mut schedule = Schedule::new(period(), [((), total)], &mut jitter);
            let (mut times, mut budget) = (Vec::new(), total);
            while let Some((time, ())) = schedule.next() {
                times.push(time.get());
                prop_assert_eq!(schedule.take(budget, jitter()), Some(((), SlotAction::Send)));
                budget -= 1;
            }
            prop_assert_eq!(times.len() as u64, total);
            prop_assert!(times.is_sorted());
            prop_assert!(times.iter().all(|time| (0.0..=HOUR).contains(time)));
        }
    }
}
