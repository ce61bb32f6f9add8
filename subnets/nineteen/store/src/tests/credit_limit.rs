//! Tests of the limits of credits.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_database::statement;

use super::credits::{terms, usage};
use super::*;
use crate::{HoldRefusal, MAX_CREDITS, Usage};

const DAY: &str = "2026-11-21";

#[track_caller]
fn refusal_amounts<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (i64, i64) {
    match result {
        Err(StoreError::TooManyCredits { amount, remaining }) => (amount, remaining),
        other => panic!("not refused: {other:?}"),
    }
}

async fn balance(store: &Store, key: &str) -> i64 {
    store.key(key).await.unwrap().unwrap().balance
}

pub(super) async fn grants_above_the_limit_are_refused(location: DatabaseLocation) {
    let store = location.open().await;
    let key = store.create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    assert_eq!(
        refusal_amounts(store.grant(&key, i64::MAX, "test", 0).await),
        (i64::MAX, MAX_CREDITS)
    );
    assert_eq!(store.grant(&key, i64::MIN, "test", 0).await.unwrap(), None);
    assert_eq!(store.grant(&key, MAX_CREDITS - 5, "test", 0).await.unwrap(), Some(MAX_CREDITS - 5));
    // The limit is that of all keys together. A key whose credits cannot be granted is not created.
    let create = async |byte, credits| {
        store.create_key_with_credits(&terms(None), credits, &[byte; 40], 0).await
    };
    assert_eq!(refusal_amounts(create(2, 6).await.map(|key| key.id)), (6, 5));
    assert_eq!(refusal_amounts(create(2, u64::MAX).await.map(|key| key.id)), (i64::MAX, 5));
    assert_eq!(store.keys().await.unwrap().len(), 1);
    let other = create(2, 5).await.unwrap().id;
    assert_eq!(balance(&store, &other).await, 5);
    assert_eq!(refusal_amounts(store.grant(&key, 1, "test", 0).await), (1, 0));
    // Withdrawn credits can be granted again.
    assert_eq!(store.grant(&other, -2, "test", 0).await.unwrap(), Some(3));
    assert_eq!(store.grant(&key, 2, "test", 0).await.unwrap(), Some(MAX_CREDITS - 3));
    assert!(store.is_balanced().await.unwrap());
}

/// Random operations with amounts at the limits of integers and credits, compared with exact
/// arithmetic.
pub(super) async fn amounts_at_the_limits_never_overflow(location: DatabaseLocation) {
    let seed = std::env::var("TAONET_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("TAONET_TEST_SEED={seed} repeats these operations");
    let mut random = StdRng::seed_from_u64(seed);
    let store = location.open().await;
    let mut keys = Vec::new();
    for byte in 1..=3 {
        let id = store.create_key(&terms(Some(i64::MAX)), &[byte; 40], 0).await.unwrap().id;
        keys.push((id, 0_i128));
    }
    let (mut revenue, max) = (0_i128, i128::from(MAX_CREDITS));
    for step in 0..120 {
        let amount = match random.random_range(0..8) {
            0 => i64::MAX,
            1 => i64::MIN,
            2 => MAX_CREDITS,
            3 => -MAX_CREDITS,
            4 => random.random_range(0..=MAX_CREDITS),
            5 => random.random_range(-MAX_CREDITS..=0),
            6 => random.random_range(-9..=9),
            _ => random.random(),
        };
        let key_index = random.random_range(0..keys.len());
        let (issued, own) =
            (revenue + keys.iter().map(|(_, own)| own).sum::<i128>(), keys[key_index].1);
        let key = keys[key_index].0.clone();
        if random.random() {
            let after = own + i128::from(amount);
            let result = store.grant(&key, amount, "test", 1).await;
            if amount > 0 && issued + i128::from(amount) > max {
                assert_eq!(refusal_amounts(result), (amount, i64::try_from(max - issued).unwrap()));
            } else if after < 0 {
                assert_eq!(result.unwrap(), None);
            } else {
                assert_eq!(result.unwrap().map(i128::from), Some(after));
                keys[key_index].1 = after;
            }
        } else {
            let (request, price) = (step.to_string(), amount.max(0));
            // A reserve of another request is part of the key's balance.
            let hold = store.hold(&key, &request, amount, DAY, 1).await.unwrap();
            if i128::from(price) > own {
                assert_eq!(
                    hold,
                    Err(HoldRefusal::Credits { balance: i64::try_from(own).unwrap() })
                );
                continue;
            }
            hold.unwrap();
            let charge = random.random();
            let used = Usage {
                input_tokens: u64::MAX,
                output_tokens: random.random(),
                ..usage(DAY, charge)
            };
            let charged = store.charge(&request, &used, 1).await.unwrap().unwrap();
            assert_eq!(charged, charge.clamp(0, price));
            keys[key_index].1 -= i128::from(charged);
            revenue += i128::from(charged);
        }
        assert_eq!(i128::from(balance(&store, &key).await), keys[key_index].1);
        assert!(store.is_balanced().await.unwrap(), "step {step}");
    }
    let used = store.usage(None).await.unwrap();
    assert_eq!(used.iter().map(|row| i128::from(row.charged)).sum::<i128>(), revenue);
}

/// An integer that overflows is an error, and not stored as a floating-point number.
pub(super) async fn integer_columns_stay_integers(location: DatabaseLocation) {
    let store = location.open().await;
    store.create_team("shops", Some(9), Some(9)).await.unwrap();
    let team = Some("shops".to_owned());
    let limits =
        KeyTerms { daily_budget: Some(9), tokens_per_minute: Some(9), team, ..terms(Some(9)) };
    let limits = KeyTerms { log_requests: true, ..limits };
    let key = store.create_key_with_credits(&limits, 9, &[1; 40], 1).await.unwrap().id;
    store.hold(&key, "1", 5, DAY, 1).await.unwrap().unwrap();
    store.charge("1", &usage(DAY, 5), 1).await.unwrap();
    store.hold(&key, "2", 1, DAY, 1).await.unwrap().unwrap();
    for column in [
        "account.balance",
        "posting.amount",
        "transfer.created_ms",
        "hold.amount",
        "usage_day.requests",
        "usage_day.input_tokens",
        "usage_day.output_tokens",
        "usage_day.charged",
        "api_key.monthly_budget",
        "api_key.daily_budget",
        "api_key.tokens_per_minute",
        "api_key.rate_per_minute",
        "api_key.weight",
        "api_key.log_requests",
        "team.monthly_budget",
        "team.daily_budget",
        "team_day.charged",
    ] {
        let (table, name) = column.split_once('.').unwrap();
        let sql =
            format!("UPDATE {table} SET {name} = 9223372036854775807 + {name} WHERE {name} > 0");
        assert!(statement(&*sql.leak()).execute(&store.database).await.is_err(), "{column}");
    }
    if !store.is_shared() {
        let non_strict_tables =
            "SELECT COUNT(*) FROM pragma_table_list WHERE type = 'table' AND strict = 0
                       AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%sqlx%'";
        assert_eq!(
            statement(non_strict_tables).number(&store.database).await.unwrap(),
            0,
            "tables that are not STRICT"
        );
    }
    assert!(store.is_balanced().await.unwrap());
}

/// Earlier releases had no limit, and SQLite stored overflowed balances as floating-point numbers.
pub(super) async fn overflowed_balances_are_repaired(location: DatabaseLocation) {
    let old = location.open_old(6).await;
    let grants: &[(&str, i64)] = if old.is_shared() {
        &[("a", i64::MAX), ("b", 1)]
    } else {
        &[("a", i64::MAX), ("b", 7), ("b", i64::MAX - 7)]
    };
    for key in ["a", "b"] {
        let insert = "INSERT INTO api_key (id, hash, name, rate_per_minute, created_ms) VALUES ($1, $1, $1, 60, 0)";
        statement(insert).bind(key).execute(&old).await.unwrap();
    }
    for (index, (key, amount)) in (0_i64..).zip(grants) {
        let insert = "INSERT INTO transfer (id, kind, reference, created_ms) VALUES ($1, 'grant', 'test', 0)";
        statement(insert).bind(index).execute(&old).await.unwrap();
        for (account, amount) in [(format!("key:{key}"), *amount), ("issued".to_owned(), -amount)] {
            let add = "INSERT INTO account (name, balance) VALUES ($1, $2)
                       ON CONFLICT (name) DO UPDATE SET balance = account.balance + excluded.balance";
            statement(add).bind(&account).bind(amount).execute(&old).await.unwrap();
            let insert = "INSERT INTO posting (transfer_id, account, amount) VALUES ($1, $2, $3)";
            statement(insert).bind(index).bind(&account).bind(amount).execute(&old).await.unwrap();
        }
    }
    old.close().await;
    let store = location.open().await;
    assert_eq!(balance(&store, "a").await, MAX_CREDITS);
    assert_eq!(balance(&store, "b").await, if store.is_shared() { 1 } else { MAX_CREDITS });
    assert!(store.is_balanced().await.unwrap(), "{:?}", store.balances().await);
    // The gateway can sell, and the operator can withdraw.
    store.hold("a", "1", 10, DAY, 1).await.unwrap().unwrap();
    assert_eq!(store.charge("1", &usage(DAY, 4), 1).await.unwrap(), Some(4));
    store.close_leases().await;
    assert_eq!(store.grant("a", 4 - MAX_CREDITS, "test", 1).await.unwrap(), Some(0));
    assert!(store.is_balanced().await.unwrap());
}
