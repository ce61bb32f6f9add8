//! Tests of teams of API keys and their budgets.

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::credits::{terms, usage};
use super::*;
use crate::{BudgetChange, BudgetPeriod, BudgetScope, BudgetUse, HoldRefusal, KeyTerms};

const DAY: &str = "2026-11-21";

/// Creates a key of a team, with credits.
async fn key_in(store: &Store, team: &str, random: u8) -> String {
    let terms = KeyTerms { team: Some(team.to_owned()), ..terms(None) };
    let key = store.create_key(&terms, &[random; 40], 0).await.unwrap().id;
    store.grant(&key, 100_000, "test", 0).await.unwrap();
    key
}

async fn spend(
    store: &Store,
    key: &str,
    request: &str,
    amount: i64,
    day: &str,
) -> Result<(), HoldRefusal> {
    let hold = store.hold(key, request, amount, day, 0).await.unwrap();
    if hold.is_ok() {
        assert_eq!(store.charge(request, &usage(day, amount), 0).await.unwrap(), Some(amount));
    }
    hold
}

pub(super) async fn keys_of_a_team_share_its_budgets(location: DatabaseLocation) {
    let store = location.open().await;
    store.create_team("shops", Some(25), Some(10)).await.unwrap();
    let (one, other) = (key_in(&store, "shops", 1).await, key_in(&store, "shops", 2).await);
    let refused = |remaining, period, scope| Err(HoldRefusal::Budget { remaining, period, scope });
    let (day, month) = (BudgetPeriod::Day, BudgetPeriod::Month);
    assert_eq!(store.hold(&one, "1", 6, DAY, 0).await.unwrap(), Ok(()));
    assert_eq!(
        spend(&store, &other, "2", 5, DAY).await,
        refused(4, day, BudgetScope::Team),
        "holds count"
    );
    assert_eq!(store.charge("1", &usage(DAY, 8), 0).await.unwrap(), Some(6));
    assert_eq!(spend(&store, &other, "2", 5, DAY).await, refused(4, day, BudgetScope::Team));
    assert_eq!(spend(&store, &other, "2", 4, DAY).await, Ok(()));
    assert_eq!(spend(&store, &one, "3", 10, "2026-11-22").await, Ok(()));
    assert_eq!(
        spend(&store, &one, "4", 6, "2026-11-23").await,
        refused(5, month, BudgetScope::Team)
    );
    // A key's own budget applies as well.
    let own = KeyTerms { daily_budget: Some(3), ..store.key(&one).await.unwrap().unwrap().terms };
    assert!(store.update_key(&one, &own).await.unwrap());
    assert_eq!(spend(&store, &one, "5", 4, "2026-11-23").await, refused(3, day, BudgetScope::Key));
    assert_eq!(spend(&store, &other, "6", 4, "2026-11-23").await, Ok(()));
    let team_use = |period, budget, spent| BudgetUse {
        scope: BudgetScope::Team,
        owner: "shops".to_owned(),
        period,
        budget,
        spent,
    };
    let uses = [team_use(month, 25, 24), team_use(day, 10, 10)];
    assert_eq!(store.budget_uses(Some(&other), DAY).await.unwrap(), uses);
    let all_uses = store.budget_uses(None, DAY).await.unwrap();
    assert_eq!(
        (all_uses[0].scope, all_uses[0].owner.as_str(), &all_uses[1..]),
        (BudgetScope::Key, one.as_str(), &uses[..])
    );
    assert!(store.is_balanced().await.unwrap());
}

/// Spending counts for the team to which the key belonged at the time.
pub(super) async fn spending_stays_with_the_former_team_of_a_key(location: DatabaseLocation) {
    let store = location.open().await;
    let unknown = KeyTerms { team: Some("nosuch".to_owned()), ..terms(None) };
    assert!(store.create_key(&unknown, &[9; 40], 0).await.is_err());
    for team in ["b", "a"] {
        store.create_team(team, Some(10), None).await.unwrap();
    }
    let (moved_key, remaining_key) = (key_in(&store, "a", 1).await, key_in(&store, "a", 2).await);
    assert_eq!(spend(&store, &moved_key, "1", 7, DAY).await, Ok(()));
    let in_team = |team: Option<&str>| KeyTerms { team: team.map(str::to_owned), ..terms(None) };
    assert!(store.update_key(&moved_key, &in_team(Some("b"))).await.unwrap());
    assert_eq!(spend(&store, &moved_key, "2", 10, DAY).await, Ok(()));
    let refused = |remaining| {
        Err(HoldRefusal::Budget {
            remaining,
            period: BudgetPeriod::Month,
            scope: BudgetScope::Team,
        })
    };
    assert_eq!(spend(&store, &remaining_key, "3", 4, DAY).await, refused(3));
    assert!(store.update_key(&moved_key, &in_team(None)).await.unwrap());
    assert_eq!(spend(&store, &moved_key, "4", 1_000, DAY).await, Ok(()));
    assert!(store.update_key(&moved_key, &unknown).await.is_err());
    let teams = async || store.teams("2026-11-22").await.unwrap();
    let actual: Vec<_> =
        teams().await.into_iter().map(|team| (team.name, team.keys, team.spent_in_month)).collect();
    assert_eq!(actual, [("a".to_owned(), 1, 7), ("b".to_owned(), 0, 10)]);
    // New budgets replace the earlier ones.
    store.update_team("a", BudgetChange::Set(None), BudgetChange::Set(Some(9))).await.unwrap();
    let [team, _] = teams().await.try_into().unwrap();
    assert_eq!((team.monthly_budget, team.daily_budget, team.spent_in_day), (None, Some(9), 0));
    assert!(store.revoke_key(&remaining_key, 1).await.unwrap());
    assert_eq!(teams().await[0].keys, 0);
    assert!(store.is_balanced().await.unwrap());
}

/// Concurrent requests of three keys on two processes, many of them in one transaction.
pub(super) async fn team_budgets_apply_across_processes(location: DatabaseLocation) {
    let stores = [location.open().await, location.open().await];
    stores[0].create_team("shops", Some(100), None).await.unwrap();
    let mut keys = Vec::new();
    for random in 1..=3 {
        keys.push(key_in(&stores[0], "shops", random).await);
    }
    let requests: Vec<_> = (0..90)
        .map(|index| {
            let (store, key) = (stores[index % 2].clone(), keys[index % 3].clone());
            tokio::spawn(async move { spend(&store, &key, &index.to_string(), 10, DAY).await })
        })
        .collect();
    let mut granted = 0;
    for request in requests {
        match request.await.unwrap() {
            Ok(()) => granted += 1,
            Err(refusal) => assert_eq!(
                refusal,
                HoldRefusal::Budget {
                    remaining: 0,
                    period: BudgetPeriod::Month,
                    scope: BudgetScope::Team
                }
            ),
        }
    }
    assert_eq!((granted, stores[0].teams(DAY).await.unwrap()[0].spent_in_month), (10, 100));
    assert!(stores[0].is_balanced().await.unwrap());
}

/// Random operations of two processes on three keys of a team, also with reserves.
pub(super) async fn random_operations_never_exceed_a_team_budget(location: DatabaseLocation) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let stores = [location.open().await, location.open().await];
    for case in 0..4_u8 {
        let (team, budget) = (format!("team {case}"), random.random_range(0..40_000));
        stores[0].create_team(&team, Some(budget), None).await.unwrap();
        let mut keys = Vec::new();
        for number in 0..3 {
            keys.push(key_in(&stores[0], &team, 3 * case + number).await);
        }
        // Running requests, each with its process and its maximum price.
        let (mut spent, mut running) = (0, Vec::new());
        for step in 0..100 {
            let (store_index, key) = (random.random_range(0..2), random.random_range(0..3));
            let held_credits: i64 = running.iter().map(|(_, _, amount)| amount).sum();
            if random.random_range(0..3) > 0 {
                let (request, amount) = (format!("{case}-{step}"), random.random_range(0..1_000));
                let hold = async || {
                    stores[store_index].hold(&keys[key], &request, amount, DAY, 1).await.unwrap()
                };
                let mut result = hold().await;
                if result.is_err() {
                    // Once no process has a reserve, a refusal is exact.
                    for store in &stores {
                        store.leases.return_reserves(&store.database).await;
                    }
                    result = hold().await;
                    let (remaining, period, scope) =
                        (budget - spent - held_credits, BudgetPeriod::Month, BudgetScope::Team);
                    let expected = if remaining < amount {
                        Err(HoldRefusal::Budget { remaining, period, scope })
                    } else {
                        Ok(())
                    };
                    assert_eq!(result, expected);
                }
                if result.is_ok() {
                    assert!(
                        spent + held_credits + amount <= budget,
                        "{spent} + {held_credits} + {amount} of {budget}"
                    );
                    running.push((store_index, request, amount));
                }
            } else if !running.is_empty() {
                let (store_index, request, amount) =
                    running.swap_remove(random.random_range(0..running.len()));
                let charge = random.random_range(0..=amount);
                assert_eq!(
                    stores[store_index].charge(&request, &usage(DAY, charge), 1).await.unwrap(),
                    Some(charge)
                );
                spent += charge;
            }
        }
        let teams = stores[0].teams(DAY).await.unwrap();
        assert_eq!(teams.iter().find(|actual| actual.name == team).unwrap().spent_in_day, spent);
        assert!(stores[0].is_balanced().await.unwrap());
    }
}

/// A change of another process that makes a budget smaller than the reserve of a key in the team
/// "wide".
#[derive(Debug, Clone, Copy)]
enum BudgetReduction {
    KeyBudget,
    TeamBudget,
    OtherTeam,
}

/// Once a request of the key ends, the next one needs a budget, and the reserve is returned.
pub(super) async fn reserve_is_returned_once_it_exceeds_a_changed_budget(
    location: DatabaseLocation,
) {
    let (store, operator) = (location.open().await, location.open().await);
    store.create_team("wide", None, None).await.unwrap();
    store.create_team("narrow", None, Some(15)).await.unwrap();
    for (number, reduction) in
        [BudgetReduction::KeyBudget, BudgetReduction::TeamBudget, BudgetReduction::OtherTeam]
            .iter()
            .enumerate()
    {
        let key = key_in(&store, "wide", u8::try_from(number).unwrap()).await;
        let request = |index: usize| format!("{number}-{index}");
        for index in 0..2 {
            assert_eq!(store.hold(&key, &request(index), 10, DAY, 0).await.unwrap(), Ok(()));
        }
        assert!(store.leases.free(&key) > 1_000, "the key has a reserve");
        let terms = operator.key(&key).await.unwrap().unwrap().terms;
        let spent = operator
            .teams(DAY)
            .await
            .unwrap()
            .into_iter()
            .find(|team| team.name == "wide")
            .unwrap()
            .spent_in_day;
        let scope = match reduction {
            BudgetReduction::KeyBudget => {
                let terms = KeyTerms { daily_budget: Some(15), ..terms };
                assert!(operator.update_key(&key, &terms).await.unwrap());
                BudgetScope::Key
            }
            BudgetReduction::TeamBudget => {
                let budget = BudgetChange::Set(Some(spent + 15));
                operator.update_team("wide", BudgetChange::Keep, budget).await.unwrap();
                BudgetScope::Team
            }
            BudgetReduction::OtherTeam => {
                let terms = KeyTerms { team: Some("narrow".to_owned()), ..terms };
                assert!(operator.update_key(&key, &terms).await.unwrap());
                BudgetScope::Team
            }
        };
        // The running requests hold 20 credits, of which the first one costs 4.
        assert_eq!(store.charge(&request(0), &usage(DAY, 4), 0).await.unwrap(), Some(4));
        let refused = Err(HoldRefusal::Budget { remaining: 1, period: BudgetPeriod::Day, scope });
        assert_eq!(
            store.hold(&key, &request(2), 2, DAY, 0).await.unwrap(),
            refused,
            "{reduction:?}"
        );
        assert_eq!(store.leases.free(&key), 0, "{reduction:?}");
        assert_eq!(store.hold(&key, &request(3), 1, DAY, 0).await.unwrap(), Ok(()));
        for index in [1, 3] {
            assert_eq!(store.charge(&request(index), &usage(DAY, 0), 0).await.unwrap(), Some(0));
        }
        operator.update_team("wide", BudgetChange::Keep, BudgetChange::Set(None)).await.unwrap();
    }
    assert!(store.is_balanced().await.unwrap());
}

/// Random operations of two processes on three keys, while budgets change and keys change their
/// team.
///
/// A reserve from before a change may still be used until a request of its key and process ends.
/// All other holds fit into the team's budget.
pub(super) async fn changed_budgets_do_not_limit_earlier_reserves(location: DatabaseLocation) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let stores = [location.open().await, location.open().await];
    let teams = ["a", "b"];
    let (mut budgets, mut spent, mut team_of) = ([20_000_i64, 20_000], [0_i64; 2], [0_usize, 0, 1]);
    let mut keys = Vec::new();
    for (team, budget) in teams.iter().zip(budgets) {
        stores[0].create_team(team, Some(budget), None).await.unwrap();
    }
    for (number, team) in team_of.iter().enumerate() {
        keys.push(key_in(&stores[0], teams[*team], u8::try_from(number).unwrap()).await);
    }
    // Running requests, each with its process, its key and its maximum price.
    let mut running: Vec<(usize, usize, String, i64)> = Vec::new();
    // Processes and keys of which no request has ended since the last change.
    let mut unchecked: HashSet<(usize, usize)> = HashSet::new();
    let all_pairs: Vec<(usize, usize)> =
        (0..2).flat_map(|store_index| (0..3).map(move |key| (store_index, key))).collect();
    for step in 0..400 {
        let (store_index, key) = (random.random_range(0..2), random.random_range(0..3));
        match random.random_range(0..20) {
            0 => {
                let team = random.random_range(0..2);
                budgets[team] = spent[team] + random.random_range(0..20_000);
                let budget = BudgetChange::Set(Some(budgets[team]));
                stores[store_index]
                    .update_team(teams[team], budget, BudgetChange::Keep)
                    .await
                    .unwrap();
                unchecked.extend(&all_pairs);
            }
            1 => {
                team_of[key] = random.random_range(0..2);
                let terms = KeyTerms { team: Some(teams[team_of[key]].to_owned()), ..terms(None) };
                assert!(stores[store_index].update_key(&keys[key], &terms).await.unwrap());
                unchecked.extend(&all_pairs);
            }
            2..13 => {
                let (request, amount) = (step.to_string(), random.random_range(1..300));
                let free = stores[store_index].leases.free(&keys[key]);
                let granted =
                    stores[store_index].hold(&keys[key], &request, amount, DAY, 1).await.unwrap();
                let team = team_of[key];
                let in_team = running.iter().filter(|(_, key, ..)| team_of[*key] == team);
                let held_credits: i64 = in_team.map(|(.., amount)| amount).sum();
                if granted.is_ok() {
                    let fits = spent[team] + held_credits + amount <= budgets[team];
                    let is_earlier = unchecked.contains(&(store_index, key)) && amount <= free;
                    assert!(fits || is_earlier, "step {step}: {amount} of {free}");
                    running.push((store_index, key, request, amount));
                }
            }
            _ if !running.is_empty() => {
                let (store_index, key, request, amount) =
                    running.swap_remove(random.random_range(0..running.len()));
                let charge = random.random_range(0..=amount);
                assert_eq!(
                    stores[store_index].charge(&request, &usage(DAY, charge), 1).await.unwrap(),
                    Some(charge)
                );
                spent[team_of[key]] += charge;
                unchecked.remove(&(store_index, key));
            }
            _ => {}
        }
    }
    for team in stores[0].teams(DAY).await.unwrap() {
        let index = teams.iter().position(|name| *name == team.name).unwrap();
        assert_eq!(team.spent_in_day, spent[index]);
    }
    assert!(stores[0].is_balanced().await.unwrap());
}

pub(super) async fn concurrent_changes_of_both_budgets_are_kept(location: DatabaseLocation) {
    let stores = [location.open().await, location.open().await];
    assert!(stores[0].create_team("shops", None, None).await.unwrap());
    assert!(!stores[1].create_team("shops", Some(1), Some(1)).await.unwrap(), "the team exists");
    for budget in 1..20 {
        let change = BudgetChange::Set(Some(budget));
        let (month, day) = tokio::join!(
            stores[0].update_team("shops", change, BudgetChange::Keep),
            stores[1].update_team("shops", BudgetChange::Keep, change)
        );
        month.unwrap();
        day.unwrap();
        let team = stores[0].teams(DAY).await.unwrap().remove(0);
        assert_eq!((team.monthly_budget, team.daily_budget), (Some(budget), Some(budget)));
    }
}

pub(super) async fn deleted_team_has_no_keys_and_keeps_its_charges(location: DatabaseLocation) {
    let store = location.open().await;
    store.create_team("shops", Some(100), None).await.unwrap();
    let (one, other) = (key_in(&store, "shops", 1).await, key_in(&store, "shops", 2).await);
    assert_eq!(spend(&store, &one, "1", 7, DAY).await, Ok(()));
    let error = store.delete_team("shops", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::TeamHasKeys { keys: 2, .. }), "{error}");
    assert!(store.update_key(&one, &terms(None)).await.unwrap());
    // A request of a revoked key is still charged.
    assert_eq!(store.hold(&other, "2", 5, DAY, 0).await.unwrap(), Ok(()));
    assert!(store.revoke_key(&other, 1).await.unwrap());
    store.delete_team("shops", 1).await.unwrap();
    assert_eq!(store.charge("2", &usage(DAY, 5), 0).await.unwrap(), Some(5));
    assert_eq!(
        (store.teams(DAY).await.unwrap(), store.budget_uses(None, DAY).await.unwrap()),
        (vec![], vec![])
    );
    let in_team = KeyTerms { team: Some("shops".to_owned()), ..terms(None) };
    assert!(
        store
            .update_key(&other, &KeyTerms { name: "revoked".to_owned(), ..in_team.clone() })
            .await
            .unwrap()
    );
    let keep = BudgetChange::Keep;
    for result in [
        store.delete_team("shops", 2).await,
        store.delete_team("nosuch", 2).await,
        store.update_team("shops", keep, keep).await,
        store.update_key(&one, &in_team).await.map(drop),
        store.create_key(&in_team, &[3; 40], 0).await.map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::UnknownTeam(_)), "{error}");
    }
    assert_eq!(store.keys().await.unwrap().len(), 2);
    // A new team with the name has the charges.
    assert!(store.create_team("shops", None, Some(20)).await.unwrap());
    let team = store.teams(DAY).await.unwrap().remove(0);
    assert_eq!(
        (team.monthly_budget, team.daily_budget, team.keys, team.spent_in_month),
        (None, Some(20), 0, 12)
    );
    assert!(store.is_balanced().await.unwrap());
}
