//! The `delivered-work` profile: weights by proven work.
//!
//! Each kind of work (a circuit and slice) has a unit price: the 10th percentile of all miners'
//! latencies, in seconds, that is, the cost for a fast miner. A verified response credits one
//! price, a failed response debits two. Balances have a half-life of two hours. A miner's raw
//! weight is its work to the power of 1.3, once it has 100 responses.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use taonet_primitives::Hotkey;

use super::shares;

/// Debit for a failed response, as a multiple of the price.
const FAILURE_DEBIT: f64 = 2.0;
/// Half-life of balances, in seconds.
const HALF_LIFE_SECONDS: f64 = 7200.0;
/// Duration of a bucket, in seconds.
const BUCKET_SECONDS: u64 = 3600;
/// Maximum number of buckets: 24 half-lives, after which balances are negligible.
const MAX_BUCKETS: u64 = 48;
/// Maximum number of latencies from which a price is computed.
const MAX_PRICE_SAMPLES: usize = 256;
/// Number of new latencies after which a price is recomputed.
const PRICE_REFRESH_SAMPLES: usize = 64;
/// Number of latencies below which there is no price.
const MIN_PRICE_SAMPLES: usize = 8;
/// Percentile of the latencies used as price.
const PRICE_PERCENTILE: f64 = 0.1;

/// A kind of work: `circuit:slice`.
pub type WorkKind = String;

/// Parameters of the `delivered-work` profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkRules {
    /// Number of responses below which a miner's weight is 0.
    pub minimum_answers: u64,
    /// Exponent that turns a miner's work into its raw weight.
    pub power: f64,
}

impl Default for WorkRules {
    fn default() -> Self {
        Self { minimum_answers: 100, power: 1.3 }
    }
}

/// Work balances of all miners and prices of all kinds of work. Serialised as part of the
/// validator's state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkAccounts {
    miners: BTreeMap<Hotkey, Account>,
    prices: BTreeMap<WorkKind, Price>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    answers: u64,
    /// Credits minus debits, by bucket number.
    buckets: BTreeMap<u64, f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    /// Latencies in seconds.
    latencies: VecDeque<f64>,
    /// Number of latencies since the price was computed.
    fresh: usize,
    current: Option<f64>,
}

impl WorkAccounts {
    /// Credits a verified response. `now` is the time since the Unix epoch.
    pub fn credit(&mut self, miner: Hotkey, kind: &str, latency: Duration, now: Duration) {
        let price = self.prices.entry(kind.to_owned()).or_default();
        price.add(latency.as_secs_f64());
        let credit = price.current.unwrap_or_default();
        self.miners.entry(miner).or_default().record(credit, now);
    }

    /// Debits a failed response. `now` is the time since the Unix epoch.
    pub fn debit(&mut self, miner: Hotkey, kind: &str, now: Duration) {
        let price = self.price(kind).unwrap_or_default();
        self.miners.entry(miner).or_default().record(-FAILURE_DEBIT * price, now);
    }

    /// Returns the unit price of a kind of work, in seconds; `None` until there are enough
    /// responses.
    pub fn price(&self, kind: &str) -> Option<f64> {
        self.prices.get(kind).and_then(|price| price.current)
    }

    /// Returns all kinds of work with their unit prices, ordered by kind.
    pub fn prices(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.prices.iter().map(|(kind, price)| (kind.as_str(), price.current))
    }

    /// Returns a miner's work, in seconds at unit prices.
    pub fn work(&self, miner: &Hotkey, now: Duration) -> f64 {
        self.miners.get(miner).map_or(0.0, |account| account.work(now))
    }

    /// Returns each miner's share of the weight, in the order of `miners`. The sum is 1, or 0 if no
    /// miner has work and at least [`WorkRules::minimum_answers`] responses.
    pub fn weights(&self, miners: &[Hotkey], rules: &WorkRules, now: Duration) -> Vec<f64> {
        let raw_weights = miners.iter().map(|miner| match self.miners.get(miner) {
            Some(account) if account.answers >= rules.minimum_answers => {
                account.work(now).powf(rules.power)
            }
            _ => 0.0,
        });
        shares(&raw_weights.collect::<Vec<_>>())
    }
}

impl Account {
    fn record(&mut self, amount: f64, now: Duration) {
        let bucket = bucket_number(now);
        self.answers += 1;
        *self.buckets.entry(bucket).or_default() += amount;
        self.buckets.retain(|&start, _| start + MAX_BUCKETS >= bucket);
    }

    fn work(&self, now: Duration) -> f64 {
        let current = bucket_number(now);
        let buckets = self.buckets.iter().map(|(&start, amount)| {
            let age = current.saturating_sub(start) * BUCKET_SECONDS;
            amount * 0.5_f64.powf(age as f64 / HALF_LIFE_SECONDS)
        });
        buckets.sum::<f64>().max(0.0)
    }
}

impl Price {
    fn add(&mut self, latency: f64) {
        self.latencies.push_back(latency);
        if self.latencies.len() > MAX_PRICE_SAMPLES {
            self.latencies.pop_front();
        }
        self.fresh += 1;
        let needs_refresh = self.current.is_none() || self.fresh >= PRICE_REFRESH_SAMPLES;
        if needs_refresh && self.latencies.len() >= MIN_PRICE_SAMPLES {
            self.fresh = 0;
            let mut sorted: Vec<f64> = self.latencies.iter().copied().collect();
            sorted.sort_by(f64::total_cmp);
            let position = ((sorted.len() - 1) as f64 * PRICE_PERCENTILE).round() as usize;
            self.current = sorted.get(position).copied();
        }
    }
}

fn bucket_number(now: Duration) -> u64 {
    now.as_secs() / BUCKET_SECONDS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000 * BUCKET_SECONDS);

    fn hotkey(number: u8) -> Hotkey {
        Hotkey::from_bytes([number; 32])
    }

    fn account(amounts: &[(u64, f64)]) -> Account {
        let buckets = amounts
            .iter()
            .map(|&(age, amount)| (bucket_number(NOW) - age / BUCKET_SECONDS, amount))
            .collect();
        Account { answers: 100, buckets }
    }

    #[test]
    fn delivered_work_decays_as_specified() {
        // 1000 answers now and 200 two hours ago at 1.2 s, 10 failures now.
        let account = account(&[(0, 1000.0 * 1.2 - 10.0 * 2.4), (7200, 200.0 * 1.2)]);
        assert!((account.work(NOW) - 1296.0).abs() < 1e-9);
    }

    #[test]
    fn weights_follow_the_power_of_work() {
        let mut accounts = WorkAccounts::default();
        for (number, work) in [(1, 3600.0), (2, 1800.0), (3, 900.0)] {
            accounts.miners.insert(hotkey(number), account(&[(0, work)]));
        }
        let miners = [hotkey(1), hotkey(2), hotkey(3), hotkey(4)];
        let weights = accounts.weights(&miners, &WorkRules::default(), NOW);
        for (weight, expected) in weights.iter().zip([0.6365, 0.2585, 0.1050, 0.0]) {
            assert!((weight - expected).abs() < 5e-5, "{weights:?}");
        }
        let steep_weights =
            accounts.weights(&miners, &WorkRules { power: 5.0, ..WorkRules::default() }, NOW);
        for (weight, expected) in steep_weights.iter().zip([0.9688, 0.0303, 0.0009, 0.0]) {
            assert!((weight - expected).abs() < 5e-5, "{steep_weights:?}");
        }
    }

    #[test]
    fn miner_with_too_few_answers_has_no_weight() {
        let mut accounts = WorkAccounts::default();
        for _ in 0..99 {
            accounts.credit(hotkey(1), "a:0", Duration::from_secs(1), NOW);
        }
        assert_eq!(accounts.weights(&[hotkey(1)], &WorkRules::default(), NOW), [0.0]);
        accounts.credit(hotkey(1), "a:0", Duration::from_secs(1), NOW);
        assert_eq!(accounts.weights(&[hotkey(1)], &WorkRules::default(), NOW), [1.0]);
    }

    #[test]
    fn prices_need_answers_and_are_a_low_percentile() {
        let mut accounts = WorkAccounts::default();
        for seconds in 1..=7 {
            accounts.credit(hotkey(1), "a:0", Duration::from_secs(seconds), NOW);
        }
        assert_eq!(accounts.price("a:0"), None);
        accounts.credit(hotkey(1), "a:0", Duration::from_secs(8), NOW);
        assert_eq!(accounts.price("a:0"), Some(2.0));
    }

    proptest! {
        #[test]
        fn delivered_work_is_nonnegative_and_decays(
            events in prop::collection::vec((any::<bool>(), 1_u64..20, 0_u64..5), 1..200),
        ) {
            let mut accounts = WorkAccounts::default();
            for (is_verified, seconds, hours) in events {
                let time = NOW + Duration::from_secs(hours * BUCKET_SECONDS);
                if is_verified {
                    accounts.credit(hotkey(1), "a:0", Duration::from_secs(seconds), time);
                } else {
                    accounts.debit(hotkey(1), "a:0", time);
                }
            }
            let last = NOW + Duration::from_secs(5 * BUCKET_SECONDS);
            let work = accounts.work(&hotkey(1), last);
            prop_assert!(work >= 0.0);
            prop_assert!(accounts.work(&hotkey(1), last + Duration::from_secs(BUCKET_SECONDS)) <= work + 1e-9);
            let text = serde_json::to_string(&accounts).unwrap();
            prop_assert_eq!(serde_json::from_str::<WorkAccounts>(&text).unwrap(), accounts);
        }
    }
}
