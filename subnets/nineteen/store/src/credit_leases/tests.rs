use super::*;

impl CreditLeases {
    /// Charges a request, but ends as if the response to the commit had been lost.
    pub(crate) async fn charge_without_response(
        self: &Arc<Self>,
        database: &Database,
        request: &str,
        usage: &Usage,
        now_ms: i64,
    ) {
        let hold = {
            let state = self.state();
            let Hold { key, amount, transfer_id, .. } = &state.holds[request];
            Hold {
                key: key.clone(),
                amount: *amount,
                created_ms: now_ms,
                transfer_id: *transfer_id,
                is_retried: true,
            }
        };
        self.charge(database, request, usage, now_ms).await.unwrap().unwrap();
        let mut state = self.state();
        let lease = state.leases.entry(hold.key.clone()).or_insert_with(|| Lease::new(now_ms));
        lease.hold(hold.amount);
        lease.is_confirmed = false;
        state.holds.insert(request.to_owned(), hold);
    }

    /// Returns the time of the last transaction on a key.
    pub(crate) fn written_at(&self, key: &str) -> Instant {
        self.state().leases[key].written_at
    }
}

#[test]
fn transfers_of_a_process_have_successive_nonnegative_ids() {
    let leases = CreditLeases { next_transfer: AtomicI64::new(i64::MAX), ..CreditLeases::new() };
    let ids = [(); 3].map(|()| leases.next_transfer_id());
    assert_eq!(ids, [i64::MAX, 0, 1]);
    assert_ne!(CreditLeases::new().next_transfer_id(), CreditLeases::new().next_transfer_id());
}

#[test]
fn failed_charge_is_retried_with_the_same_transfer_id() {
    let (mut state, mut lease) = (State::default(), Lease::new(0));
    (lease.amount, lease.held) = (10, 10);
    state.leases.insert("k".to_owned(), lease);
    state.pending_charges = [7_i64, 8]
        .map(|transfer_id| PendingCharge {
            request: transfer_id.to_string(),
            hold: Hold {
                key: "k".to_owned(),
                amount: 5,
                created_ms: 0,
                transfer_id,
                is_retried: false,
            },
            usage: Usage {
                model: "a".to_owned(),
                day: "2026-11-21".to_owned(),
                input_tokens: 1,
                output_tokens: 1,
                charge: 2,
            },
            now_ms: 1,
            reply: oneshot::channel().0,
        })
        .into();
    let plans = state.take_plans();
    state.fail_plans(plans, &Arc::new(StoreError::Stopping));
    for transfer_id in [7_i64, 8] {
        let hold = &state.holds[&transfer_id.to_string()];
        assert_eq!((hold.transfer_id, hold.is_retried), (transfer_id, true));
    }
    assert_eq!(state.leases["k"].held, 10);
}

#[test]
fn pending_holds_of_each_day_are_planned_separately() {
    let mut state = State::default();
    let pending_hold = |day: &str| {
        let hold = Hold {
            key: "k".to_owned(),
            amount: 1,
            created_ms: 0,
            transfer_id: 0,
            is_retried: false,
        };
        PendingHold {
            request: day.to_owned(),
            hold,
            day: day.to_owned(),
            reply: oneshot::channel().0,
        }
    };
    state.pending_holds = ["2026-12-01", "2026-11-30", "2026-12-01"].map(pending_hold).into();
    state.keys_to_refill.insert("k".to_owned(), "2026-12-01".to_owned());
    let mut take_plans = || {
        let plans = state.take_plans();
        plans.get("k").map(|plan| (plan.day().map(str::to_owned), plan.pending_holds.len()))
    };
    assert_eq!(take_plans(), Some((Some("2026-11-30".to_owned()), 1)));
    assert_eq!(take_plans(), Some((Some("2026-12-01".to_owned()), 2)));
    assert_eq!(take_plans(), None);
}

#[test]
fn lease_grants_holds_only_within_fresh_budgets() {
    let lease = |is_over_budget, written| Lease {
        amount: 10,
        is_over_budget,
        written_at: written,
        ..Lease::new(0)
    };
    let (now, before) = (Instant::now(), Instant::now().checked_sub(BUDGET_MAX_AGE).unwrap());
    for (lease, is_granted) in
        [(lease(false, now), true), (lease(true, now), false), (lease(false, before), false)]
    {
        let description = format!("{lease:?}");
        let mut state = State::default();
        state.leases.insert("k".to_owned(), lease);
        let hold = Hold {
            key: "k".to_owned(),
            amount: 4,
            created_ms: 0,
            transfer_id: 0,
            is_retried: false,
        };
        assert_eq!(
            state.hold_from_lease("r", hold, "2026-11-21").is_ok(),
            is_granted,
            "{description}"
        );
    }
}
