//! Faults of signer and gateway.

use super::*;
use taonet_validator::testing::unused_address;

/// Columns: the signer's response · whether the gateway is called too
#[tokio::test]
async fn gateway_submits_if_the_signer_fails() {
    for (answer, is_called) in [
        (ok(json!({ "success": true, "details": {} })), false),
        (ok(json!({ "success": false })), true),
        (
            ResponseTemplate::new(500).set_body_json(
                json!({ "success": false, "error": "confirmation failed", "details": {} }),
            ),
            true,
        ),
        (ResponseTemplate::new(500).set_body_string("Internal Server Error"), true),
        (
            ResponseTemplate::new(400)
                .set_body_json(json!({ "success": false, "error": "mismatch" })),
            true,
        ),
        (ResponseTemplate::new(200).set_body_string("garbage"), true),
    ] {
        let fixture = Fixture::new().await;
        fixture.signer.reset().await;
        let debug_text = format!("{answer:?}");
        mount(&fixture.signer, "POST", "/set_weights", answer).await;
        let confirmed = ok(json!({ "success": true, "details": { "attempt": 1 } }));
        mount(&fixture.gateway, "POST", "/v1/weights/set_and_confirm", confirmed).await;
        fixture.serve_rows(&[row(1, 0.5)], &[]).await;
        assert!(fixture.validator().run_once().await.unwrap().outcome.is_success(), "{debug_text}");
        let bodies = request_bodies(&fixture.gateway, "/v1/weights/set_and_confirm").await;
        assert_eq!(bodies.len(), usize::from(is_called), "{debug_text}");
        if let Some(body) = bodies.first() {
            assert_eq!((&body["retries"], &body["delay_s"]), (&json!(7), &json!(1.5)));
        }
    }
}

#[tokio::test]
async fn submission_is_retried_for_limited_time_if_signer_and_gateway_fail() {
    let fixture = Fixture::new().await;
    fixture.serve_rows(&[row(1, 0.5)], &[]).await;
    let gateway: Url = fixture.gateway.uri().parse().unwrap();
    let report = fixture.validator_of(&unused_address(), &gateway).run_once().await.unwrap();
    assert!(!report.outcome.is_success());
    assert!(report.outcome.error().unwrap().contains("status=404"));
    assert_eq!(fixture.take_waits(), [2, 5, 15, 30, 60]);
    // Weights that were not set are not submitted again.
    fixture.serve_rows(&[], &[]).await;
    assert_eq!(fixture.validator().run_once().await.unwrap().decision, "wait");
}

#[tokio::test]
async fn unconfirmed_weights_are_left_to_the_gateway() {
    let fixture = Fixture::new().await;
    fixture.signer.reset().await;
    let failed =
        json!({ "success": false, "error": "confirmation failed", "details": { "attempt": 7 } });
    mount(
        &fixture.gateway,
        "POST",
        "/v1/weights/set_and_confirm",
        ResponseTemplate::new(500).set_body_json(failed),
    )
    .await;
    fixture.serve_rows(&[row(1, 0.5)], &[]).await;
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!(
        (report.outcome.is_success(), report.outcome.error()),
        (false, Some("confirmation failed"))
    );
    assert_eq!(report.outcome.details()["attempt"], 7);
    assert_eq!(request_bodies(&fixture.gateway, "/v1/weights/set_and_confirm").await.len(), 1);
}
