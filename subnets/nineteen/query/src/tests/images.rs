//! Tests of requests that not all miners can serve: with images, or too large.

use axum::http::StatusCode;

use super::*;

/// A miner that refuses all requests with a status, and counts them.
fn refusing_miner(
    status: StatusCode,
    request_count: &Arc<AtomicUsize>,
) -> axum::routing::MethodRouter {
    let request_count = Arc::clone(request_count);
    post(move || {
        request_count.fetch_add(1, Ordering::SeqCst);
        async move { status }
    })
}

fn refuses_images(contender: &TaskMiner) -> bool {
    contender.refuses_images.load(Ordering::Relaxed)
}

fn image_request() -> Request {
    Request { has_images: true, ..request(RequestKind::Organic) }
}

/// A model that reads no images is not a fault of the miner, which is not asked again for any.
#[tokio::test]
async fn miner_without_vision_gets_no_further_images() {
    for status in [400, 415, 422] {
        let request_count = Arc::new(AtomicUsize::new(0));
        let miner = refusing_miner(StatusCode::from_u16(status).unwrap(), &request_count);
        let test_market =
            test_market(vec![miner, respond_with(chunk("a"))], QueryDeadlines::default()).await;
        let buy =
            async |request| text(test_market.querier.query(request).await.unwrap()).await.unwrap();
        while request_count.load(Ordering::SeqCst) == 0 {
            assert_eq!(buy(image_request()).await, "a");
        }
        assert_eq!(test_market.contenders[0].counts().total_requests, 0.0);
        assert!(
            refuses_images(&test_market.contenders[0])
                && !refuses_images(&test_market.contenders[1])
        );
        for _ in 0..20 {
            buy(image_request()).await;
        }
        assert_eq!(request_count.load(Ordering::SeqCst), 1);
        // It still gets texts, which it must not refuse.
        while request_count.load(Ordering::SeqCst) == 1 {
            buy(request(RequestKind::Organic)).await;
        }
        assert_eq!(test_market.contenders[0].counts().requests_500, 1.0);
    }
}

/// Two miners that read no images do not show that the request is at fault.
#[tokio::test]
async fn image_request_is_retried_with_a_third_miner() {
    let request_count = Arc::new(AtomicUsize::new(0));
    let create_handler = || refusing_miner(StatusCode::BAD_REQUEST, &request_count);
    let test_market = test_market(
        vec![create_handler(), create_handler(), respond_with(chunk("a"))],
        QueryDeadlines::default(),
    )
    .await;
    // A miner without quality comes last.
    test_market.contenders[2].set_quality(0.0);
    assert_eq!(text(test_market.querier.query(image_request()).await.unwrap()).await.unwrap(), "a");
    assert_eq!(request_count.load(Ordering::SeqCst), 2);
    assert!(
        test_market.contenders[..2]
            .iter()
            .all(|contender| contender.counts().total_requests == 0.0)
    );
}

/// An image that no miner can read tells nothing of their models.
#[tokio::test]
async fn image_refused_by_all_miners_is_a_request_error() {
    let request_count = Arc::new(AtomicUsize::new(0));
    let create_handler = || refusing_miner(StatusCode::BAD_REQUEST, &request_count);
    let test_market =
        test_market(vec![create_handler(), create_handler()], QueryDeadlines::default()).await;
    let error = test_market.querier.query(image_request()).await.unwrap_err();
    assert!(matches!(error, QueryError::Failed { rejection_status: Some(400), .. }), "{error:?}");
    for contender in &test_market.contenders {
        assert_eq!((contender.counts().total_requests, refuses_images(contender)), (0.0, false));
    }
}

/// A miner need not accept requests of the size that others accept.
#[tokio::test]
async fn refusal_of_large_request_is_not_a_miner_failure() {
    let request_count = Arc::new(AtomicUsize::new(0));
    let miner = refusing_miner(StatusCode::PAYLOAD_TOO_LARGE, &request_count);
    let test_market =
        test_market(vec![miner, respond_with(chunk("a"))], QueryDeadlines::default()).await;
    while request_count.load(Ordering::SeqCst) == 0 {
        assert_eq!(
            text(test_market.querier.query(request(RequestKind::Organic)).await.unwrap())
                .await
                .unwrap(),
            "a"
        );
    }
    assert_eq!(test_market.contenders[0].counts().total_requests, 0.0);
}
