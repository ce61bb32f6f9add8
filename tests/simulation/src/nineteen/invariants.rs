//! Invariants at the end of every simulation of Nineteen, whatever its faults were.

use std::collections::BTreeMap;
use std::time::Duration;

use taonet_nineteen_control::market_report;
use taonet_nineteen_store::{Charge, PeriodId, Store};
use taonet_primitives::Hotkey;

use super::market_records::{Outcome, Purchase, Span};
use super::miners::Behaviour;
use super::{CONTROL, GATEWAYS, MINERS, PERIOD, behaviours, config, database, miner_key};
use crate::invariants::{check_weight_ledger, epoch_at, fail_all};
use crate::process::EPOCH;
use crate::record::fail;
use crate::schedule::{EPOCH_TIME, Fault, FaultKind};
use crate::simulation::{Simulation, Subnet};

/// Upper bound of the price of an answer, in credits.
const MAX_PRICE: i64 = 100;
/// Clocks that differ by more make a gateway release the credits of running requests of another
/// one: it takes them for those of a killed process.
const ABANDONED_AFTER_SECONDS: u64 = 30 * 60;
/// Maximum time until a lease has the time of a clock that was set right.
const MAX_RENEWAL_TIME: Duration = Duration::from_mins(2);
/// Time by which a charge can precede the end of its answer, or follow it.
const CHARGE_TOLERANCE: Duration = Duration::from_secs(10);
/// Maximum time from the end of a period to the next one: miners that do not respond delay it.
const MAX_PERIOD_GAP: Duration = Duration::from_mins(1);
/// Tolerance of qualities and weights.
const TOLERANCE: f64 = 1e-9;

/// Checks the sales, the weight ledger and the database after a simulation's last tick. There were
/// no faults since `quiet_from`.
pub(crate) async fn check(
    simulation: &Simulation,
    faults: &[Fault],
    quiet_from: Duration,
) -> anyhow::Result<()> {
    let purchases = simulation.market_records.purchases();
    let recovered = epoch_at(quiet_from + EPOCH_TIME) + 1..epoch_at(simulation.now);
    fail_all(missing_sales(&purchases, recovered));
    if let Some(control) = simulation.processes.get(CONTROL) {
        check_weight_ledger(simulation, &control.directory().join("weights")).await?;
    }
    let store = Store::open_shared(&database(&simulation.root)).await?;
    check_periods(simulation, &store).await?;
    check_miners(simulation, &store).await?;
    let uncertain =
        uncertain_intervals(faults, &simulation.market_records.rewinds(), &ends(simulation));
    check_credits(&store, &purchases, &uncertain).await
}

/// In each of these epochs, each gateway has sold an answer.
fn missing_sales(purchases: &[Purchase], epochs: impl IntoIterator<Item = u64>) -> Vec<String> {
    let mut violations = Vec::new();
    for epoch in epochs {
        for gateway in GATEWAYS {
            let is_sold = purchases.iter().any(|purchase| {
                let is_complete = matches!(purchase.receipt.outcome, Outcome::Complete { .. });
                purchase.gateway == gateway && epoch_at(purchase.start) == epoch && is_complete
            });
            if !is_sold {
                let name = Subnet::Nineteen.name(gateway);
                violations.push(format!("{name} has sold nothing in epoch {epoch}"));
            }
        }
    }
    violations
}

/// Each period was closed once, the next one is open, and all miners have offers in it.
async fn check_periods(simulation: &Simulation, store: &Store) -> anyhow::Result<()> {
    fail_all(simulation.market_records.observe(&store.history_since(0).await?));
    let Some(newest) = store.newest_period().await? else {
        fail("there was no period");
        return Ok(());
    };
    for number in 1..newest.id.0 {
        let period = store.period(PeriodId(number)).await?;
        if period.is_none_or(|period| period.closed_ms.is_none()) {
            fail(&format!("period {number} was not closed"));
        }
    }
    let now_ms = i64::try_from((EPOCH + simulation.now).as_millis())?;
    let latest = Duration::from_secs(PERIOD) + MAX_PERIOD_GAP;
    if now_ms - newest.started_ms > i64::try_from(latest.as_millis())? {
        fail(&format!(
            "the newest period has begun at {} ms, and it is {now_ms}",
            newest.started_ms
        ));
    }
    let offers = store.contenders(newest.id).await?.len();
    if offers != MINERS.len() {
        fail(&format!("{offers} miners have offers in the newest period"));
    }
    Ok(())
}

/// Answers of the right model have full quality, others none; and so have the weights.
async fn check_miners(simulation: &Simulation, store: &Store) -> anyhow::Result<()> {
    let miners = (1..).zip(behaviours(simulation.seed));
    let miners: BTreeMap<Hotkey, Behaviour> =
        miners.map(|(uid, behaviour)| (miner_key(uid).hotkey(), behaviour)).collect();
    let rewards = store.rewards_since(0).await?;
    let qualities = rewards.iter().map(|row| (row.hotkey, row.reward.quality));
    fail_all(wrong_qualities(&miners, qualities));
    let now_ms = i64::try_from((EPOCH + simulation.now).as_millis())?;
    let report = market_report(store, &config()?, now_ms).await?;
    let weights: Vec<_> = report.miners.iter().map(|miner| (miner.hotkey, miner.weight)).collect();
    fail_all(wrong_weights(&miners, &weights));
    Ok(())
}

/// An answer has full quality if its miner serves the right model, and otherwise none.
fn wrong_qualities(
    miners: &BTreeMap<Hotkey, Behaviour>,
    qualities: impl IntoIterator<Item = (Hotkey, Option<f64>)>,
) -> Vec<String> {
    let mut violations = Vec::new();
    for (hotkey, quality) in qualities {
        let behaviour = miners.get(&hotkey);
        let expected = if behaviour == Some(&Behaviour::Lying) { 0.0 } else { 1.0 };
        if quality.is_none_or(|quality| (quality - expected).abs() > TOLERANCE) {
            violations.push(format!("an answer of {behaviour:?} has the quality {quality:?}"));
        }
    }
    violations
}

/// Honest miners have weights, lying ones none.
fn wrong_weights(miners: &BTreeMap<Hotkey, Behaviour>, weights: &[(Hotkey, f64)]) -> Vec<String> {
    let mut violations = Vec::new();
    for (hotkey, behaviour) in miners {
        let weight = weights.iter().find(|(other, _)| other == hotkey);
        let weight = weight.map_or(0.0, |(_, weight)| *weight);
        let is_right = match behaviour {
            Behaviour::Honest => weight > 0.0,
            Behaviour::Lying => weight.abs() <= TOLERANCE,
            Behaviour::Slow | Behaviour::Interrupting => true,
        };
        if !is_right {
            violations.push(format!("the weight of {behaviour:?} is {weight}"));
        }
    }
    violations
}

/// A time in which the charge for a complete answer may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UncertainInterval {
    /// The gateway whose charges may be lost; `None` for all.
    gateway: Option<usize>,
    span: Span,
}

impl UncertainInterval {
    fn covers(&self, purchase: &Purchase) -> bool {
        let ended = purchase.end.unwrap_or(Duration::MAX);
        let overlaps = purchase.start <= self.span.until && ended >= self.span.from;
        overlaps && self.gateway.is_none_or(|gateway| gateway == purchase.gateway)
    }
}

/// Returns each end of a process: its index and the time.
fn ends(simulation: &Simulation) -> Vec<(usize, Duration)> {
    let processes = simulation.processes.iter().enumerate();
    processes.flat_map(|(index, process)| process.ends.iter().map(move |at| (index, *at))).collect()
}

/// Returns when charges may be lost: those since the backup with which the database was replaced;
/// those of a gateway whose disk fails and that ends later, because answers do not wait for their
/// charges for more than five seconds, and only this gateway repeats them; and those of all
/// gateways while the clocks of two differ by so much that one takes the other for dead.
fn uncertain_intervals(
    faults: &[Fault],
    rewinds: &[Span],
    ends: &[(usize, Duration)],
) -> Vec<UncertainInterval> {
    let mut intervals: Vec<UncertainInterval> =
        rewinds.iter().map(|span| UncertainInterval { gateway: None, span: *span }).collect();
    for fault in faults {
        let (from, until) = (fault.at.saturating_sub(CHARGE_TOLERANCE), fault.at + fault.duration);
        match fault.kind {
            FaultKind::Disk(process, _)
                if ends.iter().any(|(ended, at)| *ended == process && *at >= from) =>
            {
                let span = Span { from, until: until + CHARGE_TOLERANCE };
                intervals.push(UncertainInterval { gateway: Some(process), span });
            }
            FaultKind::Clock(process, seconds)
                if GATEWAYS.contains(&process)
                    && seconds.unsigned_abs() >= ABANDONED_AFTER_SECONDS =>
            {
                intervals.push(UncertainInterval {
                    gateway: None,
                    span: Span { from, until: until + MAX_RENEWAL_TIME },
                });
            }
            _ => {}
        }
    }
    intervals
}

/// The books balance, and each complete answer was charged once, also after all credits that are
/// held have been released.
async fn check_credits(
    store: &Store,
    purchases: &[Purchase],
    uncertain: &[UncertainInterval],
) -> anyhow::Result<()> {
    let charges = store.charges().await?;
    fail_all(wrong_charges(purchases, &charges, uncertain));
    let used: i64 = store.usage(None).await?.iter().map(|row| row.charged).sum();
    fail_all(wrong_balances(&store.balances().await?, &charges, used));
    store.release_holds(i64::MAX, 0).await?;
    let balances = store.balances().await?;
    fail_all(wrong_balances(&balances, &charges, used));
    if balances.iter().any(|(account, balance)| account.starts_with("held:") && *balance != 0) {
        fail(&format!("credits are held for no request: {balances:?}"));
    }
    if !store.is_balanced().await? {
        fail("the credits do not balance");
    }
    Ok(())
}

/// All issued credits are in the keys, held for requests, or revenue; and the revenue is that of
/// all charges.
fn wrong_balances(balances: &[(String, i64)], charges: &[Charge], used: i64) -> Vec<String> {
    let sum = |prefix: &str| -> i64 {
        let accounts = balances.iter().filter(|(account, _)| account.starts_with(prefix));
        accounts.map(|(_, balance)| balance).sum()
    };
    let (issued, keys, held) = (-sum("issued"), sum("key:"), sum("held:"));
    let revenue = sum("revenue");
    let charged: i64 = charges.iter().map(|charge| charge.credits).sum();
    let mut violations = Vec::new();
    if issued != keys + held + revenue {
        violations.push(format!(
            "{issued} credits were issued; keys have {keys}, {held} are held, {revenue} are charged"
        ));
    }
    if revenue != charged || charged != used {
        violations.push(format!(
            "the revenue is {revenue}, the sum of charges {charged}, and that of usages {used}"
        ));
    }
    violations
}

/// No charge is lost or doubled once the buyer knows the outcome of the request.
fn wrong_charges(
    purchases: &[Purchase],
    charges: &[Charge],
    uncertain: &[UncertainInterval],
) -> Vec<String> {
    let mut violations = Vec::new();
    let mut by_request: BTreeMap<&str, i64> = BTreeMap::new();
    for Charge { request, credits, .. } in charges {
        if by_request.insert(request, *credits).is_some() {
            violations.push(format!("request {request} was charged twice"));
        }
        if !(0..=MAX_PRICE).contains(credits) {
            violations.push(format!("request {request} was charged {credits} credits"));
        }
    }
    for (number, purchase) in purchases.iter().enumerate() {
        let Some(request) = &purchase.receipt.request else { continue };
        let charged = by_request.remove(request.as_str());
        let is_right = match (purchase.receipt.outcome, charged) {
            (Outcome::Complete { credits }, Some(charged)) => charged == credits,
            (Outcome::Complete { .. }, None) => {
                uncertain.iter().any(|interval| interval.covers(purchase))
            }
            (Outcome::Refused, charged) => charged.unwrap_or(0) == 0,
            // The buyer pays for what was delivered.
            (Outcome::Interrupted | Outcome::Unknown, _) => true,
        };
        if !is_right {
            let outcome = purchase.receipt.outcome;
            violations.push(format!("purchase {number}, {outcome:?}, was charged {charged:?}"));
        }
    }
    // Requests whose IDs no buyer knows.
    let charged = by_request.values().filter(|credits| **credits > 0).count();
    let is_unknown = |purchase: &&Purchase| {
        purchase.receipt.request.is_none() && purchase.receipt.outcome == Outcome::Unknown
    };
    let unknown = purchases.iter().filter(is_unknown).count();
    if charged > unknown {
        violations
            .push(format!("{charged} requests were charged, of {unknown} without an outcome"));
    }
    violations
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_store::{KeyTerms, Usage};

    use super::super::market_records::Receipt;
    use super::super::{QUERY_A, QUERY_B};
    use super::*;
    use crate::disk::DiskFault;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn purchase(request: Option<&str>, outcome: Outcome) -> Purchase {
        Purchase {
            gateway: QUERY_A,
            start: seconds(100),
            end: Some(seconds(120)),
            receipt: Receipt { request: request.map(str::to_owned), outcome },
        }
    }

    fn complete(request: &str, credits: i64) -> Purchase {
        purchase(Some(request), Outcome::Complete { credits })
    }

    fn charge(request: &str, credits: i64) -> Charge {
        Charge { request: request.to_owned(), key: "k".to_owned(), credits }
    }

    #[test]
    fn lost_or_doubled_charge_is_a_violation() {
        let unknown = || purchase(None, Outcome::Unknown);
        let refused = || purchase(None, Outcome::Refused);
        for (name, purchases, charges, violations) in [
            ("charged", vec![complete("a", 7)], vec![charge("a", 7)], 0),
            ("lost", vec![complete("a", 7)], vec![], 1),
            ("too little", vec![complete("a", 7)], vec![charge("a", 0)], 1),
            ("too much", vec![complete("a", 7)], vec![charge("a", 8)], 1),
            ("doubled", vec![complete("a", 7)], vec![charge("a", 7), charge("a", 7)], 1),
            ("of another", vec![complete("a", 7)], vec![charge("a", 7), charge("b", 7)], 1),
            ("of an unknown one", vec![unknown()], vec![charge("b", 7)], 0),
            ("of one unknown", vec![unknown()], vec![charge("b", 7), charge("c", 7)], 1),
            ("of a refused one", vec![refused()], vec![charge("b", 7)], 1),
            ("refused", vec![refused()], vec![charge("b", 0)], 0),
            (
                "interrupted",
                vec![purchase(Some("a"), Outcome::Interrupted)],
                vec![charge("a", 3)],
                0,
            ),
            ("absurd", vec![unknown()], vec![charge("b", 1_000)], 1),
        ] {
            let actual = wrong_charges(&purchases, &charges, &[]);
            assert_eq!(actual.len(), violations, "{name}: {actual:?}");
        }
    }

    #[test]
    fn lost_charge_must_be_explained_by_a_fault() {
        let fault = |at, kind| Fault { at: seconds(at), duration: seconds(10), kind };
        let full = |at, process| fault(at, FaultKind::Disk(process, DiskFault::Full));
        let wrong = |at, process, shift| fault(at, FaultKind::Clock(process, shift));
        let rewind_from = |from| vec![Span { from: seconds(from), until: seconds(300) }];
        let clock = 86_400;
        let killed = |process, at| vec![(process, seconds(at))];
        for (name, faults, ends, rewinds, may_be_lost) in [
            ("no fault", vec![], vec![], vec![], false),
            ("full disk", vec![full(110, QUERY_A)], killed(QUERY_A, 130), vec![], true),
            ("not killed", vec![full(110, QUERY_A)], vec![], vec![], false),
            ("killed before", vec![full(110, QUERY_A)], killed(QUERY_A, 90), vec![], false),
            ("earlier", vec![full(70, QUERY_A)], killed(QUERY_A, 130), vec![], false),
            ("of the other one", vec![full(110, QUERY_B)], killed(QUERY_B, 130), vec![], false),
            ("wrong clock", vec![wrong(110, QUERY_B, clock)], vec![], vec![], true),
            ("wrong clock before", vec![wrong(20, QUERY_B, -clock)], vec![], vec![], true),
            ("slightly wrong clock", vec![wrong(110, QUERY_A, 60)], vec![], vec![], false),
            ("clock of the control", vec![wrong(110, CONTROL, clock)], vec![], vec![], false),
            (
                "killed",
                vec![fault(110, FaultKind::Kill(QUERY_A, 3))],
                killed(QUERY_A, 112),
                vec![],
                false,
            ),
            ("restored", vec![], vec![], rewind_from(90), true),
            ("backed up", vec![], vec![], rewind_from(180), false),
        ] {
            let actual = wrong_charges(
                &[complete("a", 7)],
                &[],
                &uncertain_intervals(&faults, &rewinds, &ends),
            );
            assert_eq!(actual.is_empty(), may_be_lost, "{name}: {actual:?}");
        }
    }

    /// A buyer has two answers, of which the database has charged one.
    #[tokio::test]
    async fn uncharged_answer_is_a_violation() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_shared(folder.path()).await.unwrap();
        let key = store.create_key(&KeyTerms::new("buyer", 5), &[1; 40], 0).await.unwrap().id;
        store.grant(&key, 100, "test", 0).await.unwrap();
        let day = "2026-12-01";
        let usage = Usage {
            model: "chat-a".to_owned(),
            day: day.to_owned(),
            input_tokens: 3,
            output_tokens: 2,
            charge: 7,
        };
        for request in ["a", "b"] {
            store.hold(&key, request, 20, day, 0).await.unwrap().unwrap();
        }
        assert_eq!(store.charge("a", &usage, 1).await.unwrap(), Some(7));
        let (charges, balances) = (store.charges().await.unwrap(), store.balances().await.unwrap());
        assert_eq!(charges, [Charge { key, ..charge("a", 7) }]);
        let [one, two] = [complete("a", 7), complete("b", 7)];
        assert_eq!(wrong_charges(std::slice::from_ref(&one), &charges, &[]), [""; 0]);
        assert_eq!(wrong_charges(&[one, two], &charges, &[]).len(), 1);
        assert_eq!(wrong_balances(&balances, &charges, 7), [""; 0]);
    }

    #[test]
    fn credits_without_a_charge_or_topup_are_a_violation() {
        let balances = |issued, key, held, revenue| {
            [("issued", issued), ("key:a", key), ("held:a", held), ("revenue", revenue)]
                .map(|(account, balance): (&str, i64)| (account.to_owned(), balance))
        };
        let charges = [charge("a", 4), charge("b", 3)];
        for (name, balances, used, violations) in [
            ("balanced", balances(-100, 80, 13, 7), 7, 0),
            ("lost", balances(-100, 79, 13, 7), 7, 1),
            ("not issued", balances(-100, 81, 13, 7), 7, 1),
            ("revenue of no request", balances(-100, 79, 13, 8), 7, 1),
            ("usage without a charge", balances(-100, 80, 13, 7), 9, 1),
        ] {
            let actual = wrong_balances(&balances, &charges, used);
            assert_eq!(actual.len(), violations, "{name}: {actual:?}");
        }
    }

    #[test]
    fn gateway_without_sale_in_epoch_is_a_violation() {
        let sale = |gateway, began, outcome| Purchase {
            gateway,
            start: seconds(began),
            ..purchase(Some("a"), outcome)
        };
        let complete = Outcome::Complete { credits: 7 };
        let mut purchases = vec![sale(QUERY_A, 730, complete), sale(QUERY_B, 900, complete)];
        assert_eq!(missing_sales(&purchases, 2..3), [""; 0]);
        purchases[1].receipt.outcome = Outcome::Refused;
        assert_eq!(missing_sales(&purchases, 2..3).len(), 1);
        assert_eq!(missing_sales(&purchases, 2..4).len(), 3);
    }

    #[test]
    fn wrong_quality_and_weight_are_violations() {
        let [honest, lying] = [1, 2].map(|uid| miner_key(uid).hotkey());
        let miners = BTreeMap::from([(honest, Behaviour::Honest), (lying, Behaviour::Lying)]);
        let right = [(honest, Some(1.0)), (lying, Some(0.0))];
        assert_eq!(wrong_qualities(&miners, right), [""; 0]);
        let wrong = [(honest, Some(0.5)), (honest, None), (lying, Some(1.0))];
        assert_eq!(wrong_qualities(&miners, wrong).len(), 3);
        assert_eq!(wrong_weights(&miners, &[(honest, 1.0)]), [""; 0]);
        assert_eq!(wrong_weights(&miners, &[(honest, 0.9), (lying, 0.1)]).len(), 1);
        assert_eq!(wrong_weights(&miners, &[(lying, 1.0)]).len(), 2);
    }
}
