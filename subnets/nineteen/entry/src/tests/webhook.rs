//! Warnings about budgets, from the charge to the webhook.

use axum::Router;
use axum::routing::post;
use serde_json::Value;
use taonet_http::testing::listen;
use taonet_nineteen_core::task::Price;
use taonet_nineteen_store::{KeyTerms, Store};
use taonet_service::{Shutdown, system_clock};

use super::gateway_on;
use crate::Webhook;
use crate::bill::{Bill, Tariff, now_ms, utc_day};

#[tokio::test]
async fn each_threshold_of_a_budget_is_posted_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.create_team("shops", Some(100), None).await.unwrap();
    let team = Some("shops".to_owned());
    let terms = KeyTerms { monthly_budget: Some(100), team, ..KeyTerms::new("test", 5) };
    let key = store.create_key(&terms, &[7; 40], 0).await.unwrap().id;
    store.grant(&key, 200, "test", 0).await.unwrap();
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let receive = move |body: String| {
        sender.send(body).unwrap();
        async { "ok" }
    };
    let url = format!("http://{}/", listen(Router::new().route("/", post(receive))).await);
    let webhook = Webhook::new(url.parse().unwrap(), None).unwrap();
    let gateway = gateway_on(&store).with_budget_webhook(Some(webhook));
    let clock = system_clock();
    let tariff = Tariff::Text(Price { input: 1_000, output: 1_000, step: 0 });
    let spend = async |steps: u64| {
        let mut bill = Bill::open(&store, &clock, &key, ("chat-a".to_owned(), tariff), (1, steps))
            .await
            .unwrap();
        bill.record_image_delivery(steps);
        bill.settle().await;
        gateway.warn_of_budgets().await.unwrap();
    };
    // 71, 82, 86 and 100 % of the budget.
    for steps in [70, 10, 3, 13] {
        spend(steps).await;
    }
    let shutdown = Shutdown::new();
    let (maintenance, stop) = (gateway.clone(), shutdown.clone());
    let maintenance = tokio::spawn(async move { maintenance.run_maintenance(&stop).await });
    let (key_field, team_field) = (("key_id", key.as_str()), ("team", "shops"));
    for (event_type, percent, (field, owner)) in [
        ("budget.warning", 82, key_field),
        ("budget.warning", 82, team_field),
        ("budget.exhausted", 100, key_field),
        ("budget.exhausted", 100, team_field),
    ] {
        let event: Value = serde_json::from_str(&received.recv().await.unwrap()).unwrap();
        let data = &event["data"];
        assert_eq!((event["type"].as_str(), data[field].as_str()), (Some(event_type), Some(owner)));
        assert_eq!(
            (data["spent"].as_i64(), data["budget"].as_i64(), data["percent"].as_i64()),
            (Some(percent), Some(100), Some(percent))
        );
        assert_eq!(data["date"].as_str(), utc_day(now_ms(&clock)).get(..7));
    }
    shutdown.request();
    maintenance.await.unwrap();
}
