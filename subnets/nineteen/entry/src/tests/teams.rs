//! Tests of the budgets of teams, through the gateway's routes.

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use serde_json::json;
use taonet_nineteen_store::{KeyTerms, Store};
use tower::ServiceExt as _;

use super::gateway_on;
use super::market::{TestGateway, document, respond_with, start_gateway, word};
use crate::bill::{now_ms, utc_day};

const WARNING: &str = "x-taonet-budget-warning";

async fn buy_with(gateway: &TestGateway, key: &str) -> Response {
    let body = json!({"model": super::market::TASK, "messages": [{"role": "user", "content": "a"}], "max_tokens": 10});
    let request =
        Request::post("/v1/chat/completions").header("authorization", format!("Bearer {key}"));
    gateway
        .router
        .clone()
        .oneshot(request.body(Body::from(body.to_string())).unwrap())
        .await
        .unwrap()
}

fn team_terms(team: &str) -> KeyTerms {
    KeyTerms { team: Some(team.to_owned()), ..KeyTerms::new("test", 100) }
}

/// Returns the credits that a team has spent today.
async fn spent(store: &Store) -> i64 {
    let day = utc_day(now_ms(&taonet_service::system_clock()));
    store.teams(&day).await.unwrap()[0].spent_in_day
}

#[tokio::test]
async fn keys_of_a_team_share_its_budget() {
    let gateway = start_gateway(respond_with(vec![word(), word()])).await;
    gateway.store.create_team("shops", Some(500), Some(7)).await.unwrap();
    gateway.store.update_key(&gateway.id, &team_terms("shops")).await.unwrap();
    let other = gateway
        .store
        .create_key_with_credits(&team_terms("shops"), 100, &[5; 40], 0)
        .await
        .unwrap();
    // Each answer costs two credits, of up to five that are reserved.
    for key in [gateway.key.as_str(), other.secret.as_str()] {
        let spent_before = spent(&gateway.store).await;
        let bought = buy_with(&gateway, key).await;
        assert_eq!(bought.status(), 200);
        document(bought).await;
        while spent(&gateway.store).await == spent_before {
            tokio::task::yield_now().await;
        }
    }
    let remaining = 7 - spent(&gateway.store).await;
    let refused = buy_with(&gateway, &gateway.key).await;
    assert_eq!(refused.status(), 429);
    let error = document(refused).await["error"].clone();
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("insufficient_quota"), &json!("budget_exceeded"))
    );
    let message = format!("only {remaining} remain in the team's budget for this day (UTC)");
    assert!(error["message"].as_str().unwrap().ends_with(&message), "{error}");
    // Another team, or none, is not affected.
    gateway.store.update_key(&gateway.id, &KeyTerms::new("test", 100)).await.unwrap();
    assert_eq!(buy_with(&gateway, &gateway.key).await.status(), 200);
    let request =
        Request::get("/v1/key").header("authorization", format!("Bearer {}", *other.secret));
    let request = request.body(Body::empty()).unwrap();
    let response = gateway.router.clone().oneshot(request).await.unwrap();
    let key_document = document(response).await;
    let day_budget = json!({"period": "day", "budget": 7, "spent": 7 - remaining});
    let month_budget = json!({"period": "month", "budget": 500, "spent": 7 - remaining});
    assert_eq!(
        (&key_document["team"], &key_document["budgets"]),
        (&json!({"name": "shops", "budgets": [month_budget, day_budget]}), &json!([]))
    );
}

#[tokio::test]
async fn responses_to_the_keys_of_a_team_have_its_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.create_team("shops", None, Some(0)).await.unwrap();
    let gateway = gateway_on(&store);
    gateway.warn_of_budgets().await.unwrap();
    for (number, terms, warning) in
        [(1, team_terms("shops"), Some("team day 100%")), (2, KeyTerms::new("test", 5), None)]
    {
        let key = store.create_key(&terms, &[number; 40], 0).await.unwrap();
        let request = Request::post("/v1/completions")
            .header("authorization", format!("Bearer {}", *key.secret));
        let response =
            gateway.router().oneshot(request.body(Body::from("null")).unwrap()).await.unwrap();
        let actual = response.headers().get(WARNING).map(|value| value.to_str().unwrap());
        assert_eq!(actual, warning);
    }
}
