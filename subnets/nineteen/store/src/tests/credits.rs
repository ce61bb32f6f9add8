//! Tests of API keys, credits and idempotency keys.

use taonet_database::statement;

use super::*;
use crate::{
    BudgetPeriod, BudgetScope, BudgetUse, Claim, HoldRefusal, KeySpend, KeyTerms, StoredResponse,
    Usage,
};

pub(super) fn terms(budget: Option<i64>) -> KeyTerms {
    KeyTerms { models: Some(vec![task("a")]), monthly_budget: budget, ..KeyTerms::new("shop", 60) }
}

pub(super) fn usage(day: &str, charge: i64) -> Usage {
    Usage { model: "a".to_owned(), day: day.to_owned(), input_tokens: 3, output_tokens: 5, charge }
}

pub(super) async fn keys_are_looked_up_by_their_secret_only(location: DatabaseLocation) {
    let store = location.open().await;
    let created = store.create_key(&terms(None), &[9; 40], 7).await.unwrap();
    let stored = store.key_by_secret(&created.secret).await.unwrap().unwrap();
    assert_eq!(
        (&stored.id, &stored.terms, stored.balance, stored.created_ms),
        (&created.id, &terms(None), 0, 7)
    );
    for wrong in [
        "",
        &created.id,
        &created.secret[..created.secret.len() - 1],
        &format!("{}0", *created.secret),
    ] {
        assert_eq!(store.key_by_secret(wrong).await.unwrap(), None, "{wrong}");
    }
    assert!(
        store.revoke_key(&created.id, 8).await.unwrap()
            && !store.revoke_key(&created.id, 9).await.unwrap()
    );
    assert_eq!(store.key(&created.id).await.unwrap().unwrap().revoked_ms, Some(8));
    assert!(!store.update_key("none", &terms(None)).await.unwrap());
}

pub(super) async fn key_weight_is_stored_and_keys_of_earlier_releases_have_weight_1(
    location: DatabaseLocation,
) {
    let old = location.open_old(7).await;
    let insert = "INSERT INTO api_key (id, hash, name, rate_per_minute, created_ms) VALUES ('old', 'x', 'old', 60, 0)";
    statement(insert).execute(&old).await.unwrap();
    old.close().await;
    let store = location.open().await;
    let terms = |weight: u32| KeyTerms { weight: weight.try_into().unwrap(), ..terms(None) };
    let new = store.create_key(&terms(100), &[9; 40], 7).await.unwrap().id;
    let weights = async || {
        let (old, new) =
            (store.key("old").await.unwrap().unwrap(), store.key(&new).await.unwrap().unwrap());
        (old.terms.weight.get(), new.terms.weight.get())
    };
    assert_eq!(weights().await, (1, 100));
    assert!(!store.key("old").await.unwrap().unwrap().terms.log_requests);
    let logged = KeyTerms { log_requests: true, ..terms(3) };
    assert!(store.update_key("old", &logged).await.unwrap());
    assert_eq!(weights().await, (3, 100));
    assert_eq!(store.key("old").await.unwrap().unwrap().terms, logged);
    statement("UPDATE api_key SET weight = 0").execute(&store.database).await.unwrap();
    assert!(matches!(store.key("old").await, Err(StoreError::Value { column: "weight", .. })));
}

pub(super) async fn concurrent_holds_never_overdraw_credits(location: DatabaseLocation) {
    let store = location.open().await;
    let key = store.create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    assert_eq!(store.grant(&key, 105, "test", 0).await.unwrap(), Some(105));
    assert_eq!(store.grant(&key, -106, "test", 0).await.unwrap(), None);
    assert_eq!(store.grant("none", 1, "test", 0).await.unwrap(), None);
    // Twenty concurrent requests with a maximum price of 10 each.
    let holds = (0..20).map(|index| {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move {
            store.hold(&key, &index.to_string(), 10, "2026-11-21", 0).await.unwrap()
        })
    });
    let mut held = Vec::new();
    for (index, hold) in holds.collect::<Vec<_>>().into_iter().enumerate() {
        match hold.await.unwrap() {
            Ok(()) => held.push(index.to_string()),
            Err(refusal) => assert_eq!(refusal, HoldRefusal::Credits { balance: 5 }),
        }
    }
    assert_eq!(held.len(), 10);
    assert!(store.is_balanced().await.unwrap());
    // Each request is charged once, up to the amount of its hold.
    for (index, request) in held.iter().enumerate() {
        let charge = [0, 4, 10, 25][index % 4];
        let charged = store.charge(request, &usage("2026-11-21", charge), 1).await.unwrap();
        assert_eq!(charged, Some(charge.min(10)));
        assert_eq!(store.charge(request, &usage("2026-11-21", charge), 1).await.unwrap(), None);
    }
    // The charges are 0, 4, 10, 10, 0, 4, 10, 10, 0 and 4.
    assert_eq!(store.key(&key).await.unwrap().unwrap().balance, 105 - 52);
    let used = store.usage(Some(&key)).await.unwrap();
    assert_eq!(
        (used.len(), used[0].requests, used[0].charged, used[0].output_tokens),
        (1, 10, 52, 50)
    );
    assert!(store.is_balanced().await.unwrap());
}

pub(super) async fn spend_is_summed_by_key_and_day(location: DatabaseLocation) {
    let store = location.open().await;
    assert!(store.spend_between("", "9999", 9).await.unwrap().is_empty());
    let mut requests = 0;
    for (name, seed, charges) in [
        ("shop", 1, &[("2026-11-20", "a", 3), ("2026-11-21", "a", 2), ("2026-11-21", "b", 4)][..]),
        // Another key with the same name has its own rows.
        ("shop", 2, &[("2026-11-21", "a", 7)]),
        ("unused", 3, &[]),
    ] {
        let key = store.create_key(&KeyTerms::new(name, 60), &[seed; 40], 0).await.unwrap().id;
        store.grant(&key, 100, "test", 0).await.unwrap();
        for (day, model, charge) in charges {
            requests += 1;
            let request = requests.to_string();
            store.hold(&key, &request, 10, day, 0).await.unwrap().unwrap();
            let usage = Usage { model: (*model).to_owned(), ..usage(day, *charge) };
            assert_eq!(store.charge(&request, &usage, 0).await.unwrap(), Some(*charge));
        }
    }
    let spend = |day: &str, requests, charged| KeySpend {
        name: "shop".into(),
        day: day.into(),
        requests,
        charged,
    };
    let all = [spend("2026-11-21", 1, 7), spend("2026-11-21", 2, 6), spend("2026-11-20", 1, 3)];
    for (first, end, limit, expected) in [
        ("2026-11-20", "2026-11-22", 9, &all[..]),
        ("2026-11-21", "2026-11-22", 9, &all[..2]),
        ("2026-11-20", "2026-11-22", 1, &all[..1]),
        ("2026-11-20", "2026-11-21", 9, &all[2..]),
        ("2026-11-20", "2026-11-20", 9, &[]),
    ] {
        let spent = store.spend_between(first, end, limit).await.unwrap();
        assert_eq!(spent, expected, "{first} to {end}");
    }
}

pub(super) async fn monthly_budget_is_renewed_each_month(location: DatabaseLocation) {
    let store = location.open().await;
    let key = store.create_key(&terms(Some(10)), &[2; 40], 0).await.unwrap().id;
    store.grant(&key, 100, "test", 0).await.unwrap();
    let hold = async |request: &str, amount, day: &str| {
        store.hold(&key, request, amount, day, 0).await.unwrap()
    };
    let (period, scope) = (BudgetPeriod::Month, BudgetScope::Key);
    let refused = |remaining| Err(HoldRefusal::Budget { remaining, period, scope });
    assert_eq!(hold("1", 11, "2026-11-30").await, refused(10));
    assert_eq!(hold("1", 6, "2026-11-01").await, Ok(()));
    assert_eq!(hold("2", 5, "2026-11-30").await, refused(4), "holds count");
    store.charge("1", &usage("2026-11-30", 6), 0).await.unwrap();
    assert_eq!(hold("2", 5, "2026-11-30").await, refused(4));
    assert_eq!(hold("2", 5, "2026-12-01").await, Ok(()));
    assert_eq!(store.release_holds(1, 1).await.unwrap(), 1);
    assert_eq!(store.key(&key).await.unwrap().unwrap().balance, 94);
    assert!(store.is_balanced().await.unwrap());
}

pub(super) async fn budgets_of_a_day_and_a_month_apply_together(location: DatabaseLocation) {
    let store = location.open().await;
    let limits = KeyTerms { daily_budget: Some(10), expires_ms: Some(7), ..terms(Some(25)) };
    let key = store.create_key(&limits, &[2; 40], 0).await.unwrap().id;
    let stored = store.key(&key).await.unwrap().unwrap();
    assert_eq!((&stored.terms, stored.is_expired(6), stored.is_expired(7)), (&limits, false, true));
    store.grant(&key, 100, "test", 0).await.unwrap();
    let spend = async |request: &str, amount, day: &str| {
        let hold = store.hold(&key, request, amount, day, 0).await.unwrap();
        if hold.is_ok() {
            assert_eq!(store.charge(request, &usage(day, amount), 0).await.unwrap(), Some(amount));
        }
        hold
    };
    let scope = BudgetScope::Key;
    let refused = |remaining, period| Err(HoldRefusal::Budget { remaining, period, scope });
    assert_eq!(spend("1", 8, "2026-11-21").await, Ok(()));
    assert_eq!(spend("2", 3, "2026-11-21").await, refused(2, BudgetPeriod::Day));
    assert_eq!(spend("2", 10, "2026-11-22").await, Ok(()));
    assert_eq!(spend("3", 8, "2026-11-23").await, refused(7, BudgetPeriod::Month));
    assert_eq!(spend("3", 7, "2026-11-23").await, Ok(()));
    assert_eq!(spend("4", 10, "2026-12-01").await, Ok(()));
    let used =
        |period, budget, spent| BudgetUse { scope, owner: key.clone(), period, budget, spent };
    let november = [used(BudgetPeriod::Month, 25, 25), used(BudgetPeriod::Day, 10, 8)];
    assert_eq!(store.budget_uses(None, "2026-11-21").await.unwrap(), november);
    assert_eq!(store.budget_uses(Some(&key), "2026-11-21").await.unwrap(), november);
    assert_eq!(store.budget_uses(Some("none"), "2026-11-21").await.unwrap(), []);
    // Without limits, neither applies.
    assert!(store.update_key(&key, &terms(None)).await.unwrap());
    assert_eq!(store.budget_uses(None, "2026-11-21").await.unwrap(), []);
    assert_eq!(spend("5", 20, "2026-11-21").await, Ok(()));
    assert!(!store.key(&key).await.unwrap().unwrap().is_expired(i64::MAX));
    assert!(store.is_balanced().await.unwrap());
}

pub(super) async fn operators_grant_and_revoke_while_requests_run(location: DatabaseLocation) {
    let (store, operator) = (location.open().await, location.open().await);
    let key = store.create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    store.grant(&key, 10, "test", 0).await.unwrap();
    store.hold(&key, "1", 10, "2026-11-21", 0).await.unwrap().unwrap();
    assert_eq!(
        store.grant(&key, -1, "test", 0).await.unwrap(),
        None,
        "held credits are not revoked"
    );
    let refused = store.hold(&key, "2", 10, "2026-11-21", 0).await.unwrap();
    assert_eq!(refused, Err(HoldRefusal::Credits { balance: 0 }));
    operator.grant(&key, 15, "test", 0).await.unwrap().unwrap();
    assert_eq!(
        store.hold(&key, "2", 10, "2026-11-21", 0).await.unwrap(),
        Ok(()),
        "a grant has effect at once"
    );
    assert_eq!(store.grant(&key, -5, "test", 0).await.unwrap(), Some(0));
    for request in ["1", "2"] {
        assert_eq!(store.charge(request, &usage("2026-11-21", 9), 1).await.unwrap(), Some(9));
    }
    assert_eq!(store.key(&key).await.unwrap().unwrap().balance, 2);
    assert!(store.is_balanced().await.unwrap());
}

pub(super) async fn manipulated_accounts_do_not_balance(location: DatabaseLocation) {
    let store = location.open().await;
    let key = store.create_key(&terms(None), &[3; 40], 0).await.unwrap().id;
    store.grant(&key, 10, "test", 0).await.unwrap();
    store.hold(&key, "1", 3, "2026-11-21", 0).await.unwrap().unwrap();
    let run = async |sql: &'static str| statement(sql).execute(&store.database).await.unwrap();
    for (tamper, undo) in [
        (
            "UPDATE account SET balance = balance + 1 WHERE name LIKE 'key:%'",
            "UPDATE account SET balance = balance - 1 WHERE name LIKE 'key:%'",
        ),
        (
            "UPDATE posting SET amount = amount + 1 WHERE account = 'issued'",
            "UPDATE posting SET amount = amount - 1 WHERE account = 'issued'",
        ),
        ("UPDATE hold SET amount = amount + 1", "UPDATE hold SET amount = amount - 1"),
        ("DELETE FROM hold", "SELECT 1"),
    ] {
        assert!(store.is_balanced().await.unwrap());
        run(tamper).await;
        assert!(!store.is_balanced().await.unwrap(), "{tamper}");
        run(undo).await;
    }
}

pub(super) async fn repeated_requests_run_once(location: DatabaseLocation) {
    let store = location.open().await;
    let key = store.create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    let other = store.create_key(&terms(None), &[2; 40], 0).await.unwrap().id;
    let claim = async |key: &str, fingerprint: &str, now| {
        store.claim(key, "x", fingerprint, now).await.unwrap()
    };
    // Exactly one of ten concurrent claims is new.
    let claims: Vec<_> = (0..10)
        .map(|_| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.claim(&key, "x", "a", 0).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for claim in claims {
        match claim.await.unwrap() {
            Claim::New => new += 1,
            other => assert_eq!(other, Claim::Running),
        }
    }
    assert_eq!(new, 1);
    assert_eq!(claim(&key, "b", 1).await, Claim::DifferentRequest);
    assert_eq!(claim(&other, "b", 1).await, Claim::New, "API keys have separate claims");
    // A failed request can be retried.
    store.release_claim(&key, "x").await.unwrap();
    assert_eq!(claim(&key, "a", 2).await, Claim::New);
    let answer =
        StoredResponse { content_type: "application/json".to_owned(), body: "{}".to_owned() };
    store.store_response(&key, "x", &answer).await.unwrap();
    // Neither dropping the claim nor a restart deletes a stored answer.
    store.release_claim(&key, "x").await.unwrap();
    store.release_holds(3, 3).await.unwrap();
    assert_eq!(claim(&key, "a", 86_400_001).await, Claim::Answered(answer));
    assert_eq!(claim(&other, "c", 3).await, Claim::New, "an unfinished request can be retried");
    assert_eq!(claim(&key, "a", 86_400_002).await, Claim::New, "the claim expires after a day");
}

pub(super) async fn invoice_covers_one_key_and_month(location: DatabaseLocation) {
    let store = location.open().await;
    let key = store
        .create_key_with_credits(&terms(None), 100, &[1; 40], 1_793_491_199_999)
        .await
        .unwrap()
        .id;
    let other = store.create_key_with_credits(&terms(None), 100, &[2; 40], 0).await.unwrap().id;
    store.grant(&key, 50, "invoice 17", 1_793_491_200_000).await.unwrap();
    store.grant(&key, -5, "refund", 1_796_083_199_999).await.unwrap();
    for (request, key, day) in [
        ("1", &key, "2026-11-01"),
        ("2", &key, "2026-11-30"),
        ("3", &key, "2026-12-01"),
        ("4", &other, "2026-11-01"),
    ] {
        store.hold(key, request, 9, day, 0).await.unwrap().unwrap();
        store.charge(request, &usage(day, 9), 0).await.unwrap().unwrap();
    }
    let invoice = store.invoice(&key, "2026-11".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((invoice.lines.len(), invoice.charged, invoice.name.as_str()), (1, 18, "shop"));
    assert_eq!((invoice.lines[0].requests, invoice.lines[0].output_tokens), (2, 10));
    let grants: Vec<_> =
        invoice.grants.iter().map(|grant| (grant.reason.as_str(), grant.credits)).collect();
    assert_eq!(grants, [("invoice 17", 50), ("refund", -5)]);
    let csv = invoice.to_csv();
    assert_eq!(csv.lines().nth(1).unwrap(), format!("2026-11,{key},shop,usage,a,2,6,10,,,18"));
    let october = store.invoice(&key, "2026-10".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((october.lines.len(), october.charged, october.grants.len()), (0, 0, 1));
    assert_eq!(store.invoice("none", "2026-11".parse().unwrap()).await.unwrap(), None);
    let rows = usage_csv(&store.usage(Some(&key)).await.unwrap());
    assert_eq!(rows.lines().nth(1).unwrap(), format!("2026-11-01,{key},a,1,3,5,9"));
}
