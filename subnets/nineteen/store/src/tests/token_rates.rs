//! Tests of the limits of tokens.

use super::credits::terms;
use super::*;

pub(super) async fn tokens_are_reserved_and_returned(location: DatabaseLocation) {
    let store = location.open().await;
    let limits = KeyTerms { tokens_per_minute: Some(100), ..terms(None) };
    let key = store.create_key(&limits, &[1; 40], 0).await.unwrap().id;
    let other = store.create_key(&limits, &[2; 40], 0).await.unwrap().id;
    assert_eq!(store.key(&key).await.unwrap().unwrap().terms, limits);
    let reserve = async |key: &str, tokens, now_ms| {
        let usage = store.reserve_tokens(key, 100, tokens, now_ms).await.unwrap();
        (usage.is_admitted, usage.remaining, usage.retry_after.as_millis())
    };
    assert_eq!(reserve(&key, 80, 5_000).await, (true, 20, 0));
    assert_eq!(reserve(&key, 21, 6_000).await, (false, 20, 60_000));
    assert_eq!(reserve(&other, 100, 6_000).await, (true, 0, 0), "keys do not disturb each other");
    store.return_tokens(&key, 5, 70).await.unwrap();
    // Tokens of a second without requests, and of an unknown key.
    store.return_tokens(&key, 4, 70).await.unwrap();
    store.return_tokens("none", 5, 70).await.unwrap();
    assert_eq!(reserve(&key, 21, 6_000).await, (true, 69, 0));
    assert_eq!(
        reserve(&key, 100, 65_999).await,
        (false, 69, 1_001),
        "until the later request has left"
    );
    assert_eq!(reserve(&key, 79, 66_000).await, (true, 0, 0));
    assert_eq!(reserve(&key, 0, 200_000).await, (true, 100, 0));
}

pub(super) async fn token_limits_hold_across_processes(location: DatabaseLocation) {
    let stores = [location.open().await, location.open().await];
    let key = stores[0].create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    let requests: Vec<_> = (0..40)
        .map(|index| {
            let (store, key) = (stores[index % 2].clone(), key.clone());
            tokio::spawn(async move {
                let usage = store.reserve_tokens(&key, 1_000, 60, 5_000).await.unwrap();
                if usage.is_admitted {
                    store.return_tokens(&key, usage.second, 10).await.unwrap();
                }
                usage.is_admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for request in requests {
        admitted += u64::from(request.await.unwrap());
    }
    // Each one uses 50 tokens, and 60 while it runs.
    assert!((16..=19).contains(&admitted), "{admitted} requests are admitted");
    for store in &stores {
        let usage = store.reserve_tokens(&key, 1_000, 0, 5_000).await.unwrap();
        assert_eq!(usage.remaining, 1_000 - admitted * 50);
    }
}
