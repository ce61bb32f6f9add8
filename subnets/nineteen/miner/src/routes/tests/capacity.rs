//! Limits of concurrent requests, and announced capacities.

use taonet_primitives::Hotkey;
use taonet_wire::Registration;

use super::*;

#[tokio::test]
async fn full_miner_responds_with_429() {
    let miner = miner_with_backend(
        chats(|| async { endless_body(Bytes::from_static(CHUNK.as_bytes())) }),
        config(),
    )
    .await;
    let first = chat(&miner).await;
    assert_eq!(first.status(), StatusCode::OK);
    let second = chat(&miner).await;
    assert_eq!(
        (second.status(), second.headers()[RETRY_AFTER].as_bytes()),
        (StatusCode::TOO_MANY_REQUESTS, &b"1"[..])
    );
    drop(first);
    assert_eq!(chat(&miner).await.status(), StatusCode::OK);
}

/// A validator may send the next request before the miner has released the slot of the last one.
#[tokio::test]
async fn slot_released_within_the_wait_is_used() {
    let miner = miner_with_backend(
        chats(|| async { endless_body(Bytes::from_static(CHUNK.as_bytes())) }),
        config(),
    )
    .await;
    let first = chat(&miner).await;
    let (second, ()) = tokio::join!(chat(&miner), async { drop(first) });
    assert_eq!(second.status(), StatusCode::OK);
}

/// Requests beyond those that the miner has announced to their validator leave slots for the other
/// validators.
#[tokio::test]
async fn probes_leave_a_quarter_of_the_slots_free() {
    let backend = chats(|| async { endless_body(Bytes::from_static(CHUNK.as_bytes())) });
    let miner = miner_with_backend(backend, MinerConfig { concurrency: 8, ..config() }).await;
    let probe = async || {
        let payload = json!({"model": "chat-a", "stream": true}).to_string();
        let mut request = Request::post("/chat/completions").body(Body::from(payload)).unwrap();
        request.extensions_mut().insert(Caller {
            hotkey: key("//Alice").hotkey(),
            nonce: 0,
            uuid: None,
        });
        request.headers_mut().insert(PROBE, HeaderValue::from_static("1"));
        routes(miner.clone()).oneshot(request).await.unwrap()
    };
    let mut running = Vec::new();
    for _ in 0..6 {
        running.push(probe().await);
    }
    assert_eq!(probe().await.status(), StatusCode::TOO_MANY_REQUESTS);
    for _ in 0..2 {
        running.push(chat(&miner).await);
    }
    assert!(running.iter().all(|answer| answer.status() == StatusCode::OK));
    assert_eq!(chat(&miner).await.status(), StatusCode::TOO_MANY_REQUESTS);
    running.truncate(5);
    assert_eq!(probe().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn capacities_are_shared_by_stake() {
    let validators = Arc::<RegistrationTable>::default();
    let registration = |stake| Registration { stake, validator_permit: true };
    let (alice, dave): (Hotkey, Hotkey) = (key("//Alice").hotkey(), key("//Dave").hotkey());
    validators.replace([(alice, registration(1)), (dave, registration(3))].into());
    let backend = Backend::new(&Url::parse("http://127.0.0.1:9").unwrap(), None).unwrap();
    let miner = Miner::new(
        MinerConfig { concurrency: 10, ..config() },
        backend,
        Some(Arc::clone(&validators)),
    );
    let offered = json!({"task_configs": [{"task": "chat-a", "max_capacity": 1_000.0, "weight": 0.5}], "nonce": "1"});
    let response = post_payload(&miner, "/capacity", offered).await;
    assert_eq!(response.headers()[CONCURRENCY], "2", "a quarter of 10 requests at a time");
    let answer = text(response).await;
    assert_eq!(answer, r#"{"miner_type":"text","chat-a":250.0}"#);
    assert_eq!(post_payload(&miner, "/capacity", json!(1)).await.status(), 422);
    validators.replace([(alice, registration(1)), (dave, registration(99))].into());
    let response = post_payload(&miner, "/capacity", json!({"task_configs": []})).await;
    assert_eq!(
        response.headers()[CONCURRENCY],
        "1",
        "0 would mean that the miner announces nothing"
    );
}
