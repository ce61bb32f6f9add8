//! Requests in flight at a miner, over all its tasks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taonet_nineteen_core::routing::{InFlightLimit, Position};

use crate::Divisions;

/// Requests in flight at a miner, over all its tasks, and their limit.
#[derive(Debug)]
pub(crate) struct MinerLoad(Mutex<State>);

#[derive(Debug)]
struct State {
    running: usize,
    announced: Option<usize>,
    divisions: Divisions,
    limit: InFlightLimit,
    /// Whether all processes together send no more requests than the miner must accept.
    counts_rejections: bool,
    /// Number of synthetic requests that wait for a slot.
    pending_synthetic: usize,
    /// Number of repeated synthetic requests that wait for a slot, or have one and wait for the
    /// miner's answer.
    repeated_synthetic: usize,
}

/// A reservation of the next free slot for a synthetic request. Dropping it ends the reservation.
#[derive(Debug)]
pub(crate) struct Reservation {
    load: Arc<MinerLoad>,
    /// Whether the synthetic request is repeated.
    is_repeated: bool,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *self.load.state().reservations(self.is_repeated) -= 1;
    }
}

/// Evidence of a miner's capacity from a finished request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapacitySignal {
    /// The miner answered.
    Answered,
    /// The miner rejected the request with status 429, or left a probe without an answer.
    Overloaded,
    /// The request was cancelled, or failed for another reason.
    None,
}

impl MinerLoad {
    /// Creates the load of a miner that announces a number of concurrent requests; `None` if it
    /// announces none.
    pub(crate) fn new(announced: Option<usize>) -> Self {
        let divisions = Divisions::default();
        let limit = initial_limit(announced, &divisions);
        Self(Mutex::new(State {
            running: 0,
            announced,
            divisions,
            limit,
            counts_rejections: true,
            pending_synthetic: 0,
            repeated_synthetic: 0,
        }))
    }

    /// Takes a slot for a buyer's request; returns `None` if the limit, or `max_running`, is
    /// reached, or a synthetic request waits for the slot.
    pub(crate) fn acquire(&self, max_running: usize) -> Option<Position> {
        let mut state = self.state();
        let slots = if state.repeated_synthetic > 0 {
            state.promised_slots(max_running) - 1
        } else if state.pending_synthetic > 0 {
            state.synthetic_slots(max_running) - 1
        } else {
            state.limit.get().min(max_running)
        };
        state.acquire_below(slots)
    }

    /// Takes a slot for a synthetic request; returns `None` if the limit, or `max_running`, is
    /// reached, or if the synthetic request would be one request more than the miner has promised
    /// or answered.
    pub(crate) fn acquire_synthetic(&self, max_running: usize) -> Option<Position> {
        let mut state = self.state();
        let slots = if state.repeated_synthetic > 0 {
            state.promised_slots(max_running)
        } else {
            state.synthetic_slots(max_running)
        };
        state.acquire_below(slots)
    }

    /// Takes a slot for a synthetic request that the miner has rejected; returns `None` if the
    /// miner might do so again, because the synthetic request would be more than it must accept.
    pub(crate) fn acquire_repeated_synthetic(&self, max_running: usize) -> Option<Position> {
        let mut state = self.state();
        let slots = state.promised_slots(max_running);
        state.acquire_below(slots)
    }

    /// Reserves the next free slot for a synthetic request. Otherwise, queued requests would take
    /// each slot as soon as it is free. The reservation of a synthetic request that `is_repeated`
    /// limits buyers' requests to those that the miner must accept: hold it until the miner
    /// answers, because probes might overtake the synthetic request.
    pub(crate) fn reserve(self: &Arc<Self>, is_repeated: bool) -> Reservation {
        *self.state().reservations(is_repeated) += 1;
        Reservation { load: Arc::clone(self), is_repeated }
    }

    /// Releases a slot.
    pub(crate) fn release(&self, position: Position, signal: CapacitySignal) {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        match signal {
            CapacitySignal::Answered => state.limit.record_answer(position),
            CapacitySignal::Overloaded => state.limit.record_rate_limit(position),
            CapacitySignal::None => {}
        }
    }

    /// Sets the number of concurrent requests that the miner announces for a period. The learned
    /// limit remains if the number does.
    pub(crate) fn announce(&self, concurrency: Option<usize>) {
        let mut state = self.state();
        if state.announced == concurrency {
            state.limit.renew();
        } else {
            state.announced = concurrency;
            state.limit =
                initial_limit(concurrency, &state.divisions).with_predecessor(&state.limit);
            state.update_divisions();
        }
    }

    /// Sets this process's share of the limit. The learned limit remains if the share does.
    pub(crate) fn divide(&self, divisions: &Divisions) {
        let mut state = self.state();
        if state.divisions != *divisions {
            state.divisions = divisions.clone();
            state.update_divisions();
        }
    }

    /// Returns whether a rate limit (429) of a request counts against the miner: it must accept the
    /// request, and the other processes do not exceed their shares of the announced number.
    pub(crate) fn must_accept(&self, position: Position) -> bool {
        let state = self.state();
        state.counts_rejections && state.limit.must_accept(position)
    }

    /// Returns the announced number of concurrent requests.
    pub(crate) fn announced(&self) -> Option<usize> {
        self.state().announced
    }

    /// Returns the current limit.
    pub(crate) fn limit(&self) -> usize {
        self.state().limit.get()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the number of slots for synthetic requests, at least 1.
    fn synthetic_slots(&self, max_running: usize) -> usize {
        self.limit.get().min(self.limit.proven()).min(max_running).max(1)
    }

    /// Returns the number of slots for requests that the miner must accept, at least 1.
    fn promised_slots(&self, max_running: usize) -> usize {
        self.limit.get().min(self.limit.required()).min(max_running).max(1)
    }

    const fn reservations(&mut self, is_repeated: bool) -> &mut usize {
        if is_repeated { &mut self.repeated_synthetic } else { &mut self.pending_synthetic }
    }

    fn acquire_below(&mut self, slots: usize) -> Option<Position> {
        if self.running >= slots {
            return None;
        }
        self.running += 1;
        Some(self.limit.send(self.running))
    }

    fn update_divisions(&mut self) {
        self.counts_rejections = match self.announced {
            Some(announced) => self.divisions.keeps_limit(announced),
            // Each process raises its share of a miner that announces none, and does not see how
            // far the others have.
            None => self.divisions.is_only_process() && self.divisions.keeps_limit(1),
        };
        let shared_limit = initial_limit(self.announced, &self.divisions);
        if shared_limit.bounds() != self.limit.bounds() {
            self.limit = shared_limit.with_predecessor(&self.limit);
        }
    }
}

/// Returns the initial limit of a miner that announces a number of concurrent requests; `None` if
/// it announces none.
fn initial_limit(announced: Option<usize>, divisions: &Divisions) -> InFlightLimit {
    match announced {
        _ if !divisions.is_only_process() => {
            InFlightLimit::divided(announced, |total| divisions.share(total))
        }
        Some(concurrency) => InFlightLimit::announced(concurrency),
        None => InFlightLimit::unannounced(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Division;

    impl MinerLoad {
        pub(crate) fn has_waiting_synthetic(&self) -> bool {
            self.state().pending_synthetic > 0
        }

        pub(crate) fn has_repeated_synthetic(&self) -> bool {
            self.state().repeated_synthetic > 0
        }
    }

    #[test]
    fn slots_are_limited_by_announcement_and_ceiling() {
        let load = MinerLoad::new(Some(2));
        let first = load.acquire(8).unwrap();
        assert_eq!((first.nth, first.is_probe), (1, false));
        assert!(load.acquire(1).is_none(), "the ceiling applies to announced limits too");
        assert!(load.acquire(8).is_some() && load.acquire(8).is_none());
        load.release(first, CapacitySignal::Answered);
        assert_eq!(load.acquire(8).unwrap().nth, 2);
    }

    #[test]
    fn overload_lowers_synthetic_slots_but_not_the_promise() {
        let load = MinerLoad::new(Some(4));
        let entered: Vec<_> = (0..4).map(|_| load.acquire_synthetic(8).unwrap()).collect();
        assert!(load.acquire_synthetic(8).is_none());
        // The miner accepts fewer requests than it announces.
        for position in entered {
            load.release(
                position,
                if position.nth > 2 { CapacitySignal::Overloaded } else { CapacitySignal::None },
            );
        }
        assert!(load.acquire_synthetic(1).is_some() && load.acquire_synthetic(1).is_none());
        assert!(load.acquire_synthetic(8).is_some() && load.acquire_synthetic(8).is_none());
        let probe = load.acquire(8).unwrap();
        assert_eq!(
            (probe.is_probe, probe.exceeds_promise),
            (true, false),
            "the miner has announced 4"
        );
    }

    /// A synthetic request at a miner that accepts more requests than it announces does not wait
    /// until most of them have ended.
    #[test]
    fn waiting_synthetic_request_takes_one_slot_of_a_grown_limit() {
        let load = Arc::new(MinerLoad::new(Some(1)));
        let enter_all = || std::iter::from_fn(|| load.acquire(8)).collect::<Vec<_>>();
        while load.limit() < 4 {
            for position in enter_all() {
                load.release(position, CapacitySignal::Answered);
            }
        }
        load.release(enter_all()[3], CapacitySignal::Answered);
        let reservation = load.reserve(false);
        assert!(load.acquire(8).is_none());
        let synthetic = load.acquire_synthetic(8).unwrap();
        assert!(!load.must_accept(synthetic), "the miner has announced one request");
        drop(reservation);
        assert!(load.acquire_synthetic(8).is_none());
    }

    /// A miner that has rejected a synthetic request beyond its announcement must accept it, once
    /// no other request is in the way.
    #[test]
    fn repeated_synthetic_request_waits_until_the_miner_must_accept_it() {
        let load = Arc::new(MinerLoad::new(Some(2)));
        let enter_all = || std::iter::from_fn(|| load.acquire(8)).collect::<Vec<_>>();
        while load.limit() < 4 {
            for position in enter_all() {
                load.release(position, CapacitySignal::Answered);
            }
        }
        let [first, _second] = [(); 2].map(|()| load.acquire(8).unwrap());
        let refused = load.acquire_synthetic(8).unwrap();
        load.release(refused, CapacitySignal::Overloaded);
        let reservation = load.reserve(true);
        assert!(load.acquire(8).is_none() && load.acquire_repeated_synthetic(8).is_none());
        load.release(first, CapacitySignal::None);
        assert!(load.acquire(8).is_none());
        let synthetic = load.acquire_repeated_synthetic(8).unwrap();
        assert!(load.acquire(8).is_none(), "a probe might overtake the synthetic request");
        assert!(load.must_accept(synthetic));
        drop(reservation);
        assert!(load.acquire(8).is_some());
    }

    #[test]
    fn waiting_synthetic_request_gets_the_next_free_slot() {
        let load = Arc::new(MinerLoad::new(Some(2)));
        let entered = [load.acquire(8).unwrap(), load.acquire(8).unwrap()];
        let reservations = [load.reserve(false), load.reserve(false)];
        load.release(entered[0], CapacitySignal::Answered);
        assert!(load.acquire(8).is_none());
        let synthetic = load.acquire_synthetic(8).unwrap();
        drop(reservations);
        assert!(load.acquire(8).is_none() && load.acquire_synthetic(8).is_none());
        load.release(synthetic, CapacitySignal::Answered);
        assert!(load.acquire(8).is_some());
    }

    #[test]
    fn processes_together_send_as_many_requests_as_announced() {
        for (announced, expected) in [(8, 8), (7, 7), (3, 3), (2, 3)] {
            let loads = [Some(0), Some(1), None].map(|index| {
                let load = MinerLoad::new(Some(announced));
                load.divide(&Divisions::new([Division::new(3, 2, index)], true));
                load
            });
            let entered: Vec<_> =
                loads.iter().flat_map(|load| std::iter::from_fn(|| load.acquire(99))).collect();
            assert_eq!(entered.len(), expected, "{announced}");
            assert!(entered.iter().all(|position| !position.is_probe), "{announced}: {entered:?}");
            assert!(loads.iter().all(|load| load.acquire_synthetic(99).is_none()));
            // If there are more processes than announced requests, the miner may reject any of
            // them.
            assert!(
                loads.iter().all(|load| load.state().counts_rejections == (announced >= 3)),
                "{announced}"
            );
        }
    }

    #[test]
    fn rejections_do_not_count_while_processes_change() {
        let load = MinerLoad::new(Some(8));
        let state = || (load.limit(), load.state().counts_rejections);
        let two_processes = Division::new(2, 2, Some(0));
        assert_eq!(state(), (8, true));
        load.divide(&Divisions::new([two_processes], false));
        assert_eq!(state(), (4, false));
        load.divide(&Divisions::new([two_processes], true));
        assert_eq!(state(), (4, true));
        load.divide(&Divisions::default());
        assert_eq!(state(), (8, true));
        load.divide(&Divisions::new([two_processes], true));
        load.announce(Some(3));
        assert_eq!(state(), (2, true));
        load.announce(Some(1));
        assert_eq!(state(), (1, false));
    }

    /// Several processes together may send a miner that announces none more requests than it has
    /// slots.
    #[test]
    fn rejections_of_an_unannounced_limit_count_only_for_one_process() {
        let load = MinerLoad::new(None);
        let counts = || load.state().counts_rejections;
        assert!(counts());
        let two_processes = Division::new(2, 2, Some(0));
        for is_settled in [false, true] {
            load.divide(&Divisions::new([two_processes], is_settled));
            assert!(!counts(), "{is_settled}");
        }
        load.divide(&Divisions::new([two_processes, Division::ONLY_PROCESS], true));
        assert!(!counts());
        load.divide(&Divisions::new([Division::ONLY_PROCESS], false));
        assert!(!counts(), "another process has just ended");
        load.divide(&Divisions::default());
        assert!(counts());
    }

    #[test]
    fn rejection_does_not_count_if_the_limit_has_been_replaced() {
        let load = MinerLoad::new(Some(8));
        let replace: [&dyn Fn(); 2] = [&|| load.announce(Some(4)), &|| {
            load.divide(&Divisions::new([Division::new(2, 2, Some(0))], true));
        }];
        for replace in replace {
            let request = load.acquire(8).unwrap();
            assert!(load.must_accept(request));
            replace();
            let limit = load.limit();
            assert!(!load.must_accept(request));
            load.release(request, CapacitySignal::Overloaded);
            assert_eq!(load.limit(), limit);
            let request = load.acquire(8).unwrap();
            assert!(load.must_accept(request));
            load.release(request, CapacitySignal::None);
        }
    }

    #[test]
    fn rejection_counts_unless_a_probe_or_other_processes_may_be_the_cause() {
        let load = MinerLoad::new(Some(1));
        let first = load.acquire(8).unwrap();
        assert!(load.must_accept(first));
        load.release(first, CapacitySignal::Answered);
        let [second, probe] = [(); 2].map(|()| load.acquire(8).unwrap());
        assert!(probe.is_probe && !load.must_accept(second) && !load.must_accept(probe));
        for position in [second, probe] {
            load.release(position, CapacitySignal::None);
        }
        let third = load.acquire(8).unwrap();
        assert!(load.must_accept(third));
        load.release(third, CapacitySignal::None);
        // The other process may have sent the only request that the miner has announced.
        load.divide(&Divisions::new([Division::new(2, 2, Some(0))], true));
        let fourth = load.acquire_synthetic(8).unwrap();
        assert!(!fourth.is_probe && !load.must_accept(fourth));
    }

    #[test]
    fn repeated_announcement_keeps_the_limit_and_renews_the_promise() {
        let load = MinerLoad::new(Some(4));
        let entered: Vec<_> = (0..4).map(|_| load.acquire(8).unwrap()).collect();
        for position in entered {
            load.release(
                position,
                if position.nth > 1 { CapacitySignal::Overloaded } else { CapacitySignal::None },
            );
        }
        let enter_all = || std::iter::from_fn(|| load.acquire(8)).collect::<Vec<_>>();
        let probes = |entered: &[Position]| {
            entered.iter().map(|position| position.is_probe).collect::<Vec<_>>()
        };
        let entered = enter_all();
        assert_eq!(probes(&entered), [false, true, true]);
        for position in entered {
            load.release(position, CapacitySignal::None);
        }
        load.announce(Some(4));
        let entered = enter_all();
        assert_eq!(probes(&entered), [false; 3]);
        for position in entered {
            load.release(position, CapacitySignal::None);
        }
        load.announce(Some(5));
        assert_eq!(enter_all().len(), 5);
    }
}
