//! Tests of the metrics' values.

use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;

#[tokio::test]
async fn metrics_describe_the_last_epoch() {
    let fixture = Fixture::new().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let (recorded_metrics, _guard) =
        (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    let assert_metric = |line: &str| {
        let text = recorded_metrics.render();
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    };
    let mut validator = fixture.validator();
    fixture.serve_rows(&[row(1, 0.5)], &[row(2, 0.5)]).await;
    validator.run_once().await.unwrap();
    assert_metric("scores_by_uid{uid=\"2\"} 0.45");
    assert_metric("current_winner_uid 1");
    // The next challenge has scores of a different miner, and the challenge after it has no scores.
    fixture.serve_challenge("next").await;
    fixture.serve_rows(&[row(3, 0.5)], &[row(2, 0.1)]).await;
    validator.run_once().await.unwrap();
    assert_metric("scores_by_uid{uid=\"1\"} 0");
    assert_metric("current_winner_uid 3");
    fixture.serve_rows(&[], &[]).await;
    validator.run_once().await.unwrap();
    for uid in 1..=3 {
        assert_metric(&format!("scores_by_uid{{uid=\"{uid}\"}} 0"));
    }
    assert_metric("current_winner_uid NaN");
}

/// Weights are neither set nor counted as set if other weights were submitted in the same epoch of
/// the chain.
#[tokio::test]
async fn unchanged_weights_do_not_count_as_set() {
    let fixture = Fixture::new().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let (recorded_metrics, _guard) =
        (recorder.handle(), metrics::set_default_local_recorder(&recorder));
    fixture.serve_rows(&[row(1, 0.5)], &[row(2, 0.5)]).await;
    let mut validator = fixture.validator();
    assert!(validator.run_once().await.unwrap().outcome.is_success());
    let state = || std::fs::read_to_string(fixture.directory.path().join("state.json")).unwrap();
    let set = state();

    fixture.signer.reset().await;
    let unchanged = json!({ "success": true, "details": { "unchanged": true } });
    mount(&fixture.signer, "POST", "/set_weights", ok(unchanged)).await;
    fixture.serve_rows(&[row(3, 0.5)], &[row(3, 0.5)]).await;
    let report = validator.run_once().await.unwrap();
    assert_eq!(
        (report.outcome.is_success(), report.decision, pairs(&report)),
        (true, "scored", vec![(3, 1.0)])
    );
    assert_eq!(state(), set, "the last weights and their time are unchanged");
    let recorded_metrics = recorded_metrics.render();
    for line in [
        "taonet_validator_submissions_total{result=\"set\"} 1",
        "taonet_validator_submissions_total{result=\"kept\"} 1",
    ] {
        assert!(recorded_metrics.lines().any(|other| other == line), "{line}: {recorded_metrics}");
    }
}
