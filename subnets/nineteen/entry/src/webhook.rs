//! Delivery of warnings about budgets to the operator's HTTP endpoint, signed by the Standard
//! Webhooks specification.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use taonet_http::Fault;
use taonet_http::client::{builder, fault};
use taonet_nineteen_store::{BudgetScope, BudgetUse};
use taonet_primitives::Backoff;
use taonet_service::Clock;
use tokio::sync::Notify;

use crate::bill::now_ms;
use crate::budget_warnings::EXHAUSTED_PERCENT;

/// Timeout of a delivery.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses after failed deliveries.
pub(crate) const BACKOFF: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_mins(5));
/// Age from which an event is no longer delivered, in milliseconds: a day, after which a daily
/// budget is renewed.
const MAX_AGE_MS: i64 = 24 * 60 * 60 * 1_000;
/// Maximum number of pending events.
const MAX_PENDING: usize = 1_000;
/// Sizes of a secret that the specification allows, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Prefix of a secret.
const SECRET_PREFIX: &str = "whsec_";
/// Name of the counter of deliveries.
const DELIVERIES: &str = "taonet_nineteen_budget_webhooks_total";

/// Registers the help text of the metric.
pub(crate) fn describe() {
    metrics::describe_counter!(
        DELIVERIES,
        "Deliveries of budget warnings to the webhook, by result"
    );
}

fn count_delivery(result: &'static str) {
    metrics::counter!(DELIVERIES, "result" => result).increment(1);
}

/// Why a webhook cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The URL has another scheme than http or https.
    #[error("the URL of a webhook must begin with http:// or https://")]
    Scheme,
    /// The secret is malformed.
    #[error(
        "the secret of a webhook must be `whsec_` and 24 to 64 bytes in base64\n\
         hint: echo whsec_$(openssl rand -base64 32)"
    )]
    Secret,
    /// TLS cannot be initialised.
    #[error("cannot set up the HTTP client of the webhook")]
    Setup(#[source] Fault),
}

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error("the webhook returned {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Transfer(#[from] Fault),
}

/// An event, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookEvent {
    /// ID by which receivers recognise repeated deliveries, also by another process or after a
    /// restart.
    id: String,
    created_ms: i64,
    body: String,
}

impl WebhookEvent {
    /// Creates the event for a budget that has reached `threshold` percent on the day `today`.
    pub(crate) fn for_budget(
        budget_use: &BudgetUse,
        threshold: u64,
        today: &str,
        now_ms: i64,
    ) -> Self {
        let BudgetUse { scope, owner, period, budget, spent } = budget_use;
        let date = period.date_prefix(today);
        let event_type =
            if threshold < EXHAUSTED_PERCENT { "budget.warning" } else { "budget.exhausted" };
        let timestamp = jiff::Timestamp::from_millisecond(now_ms)
            .map(|time| time.to_string())
            .unwrap_or_default();
        let (owner_field, prefix) = match scope {
            BudgetScope::Key => ("key_id", "budget"),
            BudgetScope::Team => ("team", "budget-team"),
        };
        let body = json!({
            "type": event_type,
            "timestamp": timestamp,
            "data": {
                owner_field: owner,
                "period": period.to_string(),
                "date": date,
                "budget": budget,
                "spent": spent,
                "percent": budget_use.percent(),
            },
        });
        // Names of teams can have characters that are invalid in a header.
        let owner = match scope {
            BudgetScope::Key => owner.clone(),
            BudgetScope::Team => {
                hex::encode(Sha256::digest(owner).first_chunk::<8>().copied().unwrap_or_default())
            }
        };
        Self {
            id: format!("{prefix}-{owner}-{date}-{threshold}"),
            created_ms: now_ms,
            body: body.to_string(),
        }
    }
}

/// Webhook of an operator, to which the gateway posts warnings about the budgets of API keys.
///
/// Each event is posted until the endpoint returns a success status, for up to a day. With
/// a secret, events are signed as [Standard Webhooks](https://www.standardwebhooks.com) specifies.
/// Redirects are not followed.
pub struct Webhook {
    client: reqwest::Client,
    url: Url,
    /// Signer of the events, with the secret.
    signer: Option<Hmac<Sha256>>,
    pending: Mutex<VecDeque<WebhookEvent>>,
    /// Notified of each new event.
    event_added: Notify,
}

impl Webhook {
    /// Creates a webhook from its URL and its secret: `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// [`WebhookError`] when the scheme of the URL is not HTTP, the secret is malformed, or TLS
    /// cannot be initialised.
    pub fn new(url: Url, secret: Option<&str>) -> Result<Self, WebhookError> {
        if !["http", "https"].contains(&url.scheme()) {
            return Err(WebhookError::Scheme);
        }
        let client = builder()
            .timeout(DELIVERY_TIMEOUT)
            .build()
            .map_err(|error| WebhookError::Setup(fault(error)))?;
        let (pending, event_added) = (Mutex::default(), Notify::new());
        Ok(Self {
            client,
            url,
            signer: secret.map(signer_from_secret).transpose()?,
            pending,
            event_added,
        })
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<WebhookEvent>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event. Drops it if too many events are pending.
    pub(crate) fn push(&self, event: WebhookEvent) {
        let mut pending = self.pending();
        if pending.len() >= MAX_PENDING {
            drop(pending);
            count_delivery("dropped");
            tracing::error!(
                id = event.id,
                "budget warning not sent: too many wait for the webhook"
            );
            return;
        }
        pending.push_back(event);
        drop(pending);
        self.event_added.notify_one();
    }

    /// Delivers the queued events, and events that are queued later. Never returns. An event whose
    /// delivery fails moves to the end of the queue, so that it does not block others.
    pub(crate) async fn deliver(&self, clock: &Clock, backoff: Backoff) {
        let mut failures = 0_u32;
        loop {
            let next = self.pending().pop_front();
            let Some(event) = next else {
                self.event_added.notified().await;
                continue;
            };
            let now_ms = now_ms(clock);
            if now_ms.saturating_sub(event.created_ms) > MAX_AGE_MS {
                count_delivery("dropped");
                tracing::error!(
                    id = event.id,
                    "budget warning not sent: the webhook has failed for a day"
                );
                continue;
            }
            match self.post(&event, now_ms / 1_000).await {
                Ok(()) => {
                    failures = 0;
                    count_delivery("delivered");
                    continue;
                }
                Err(error) => {
                    count_delivery("failed");
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        id = event.id,
                        error,
                        "budget warning not delivered to the webhook; retrying"
                    );
                }
            }
            self.push(event);
            tokio::time::sleep(backoff.jittered(failures, rand::random())).await;
            failures = failures.saturating_add(1);
        }
    }

    async fn post(&self, event: &WebhookEvent, timestamp: i64) -> Result<(), DeliveryError> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(signer) = &self.signer {
            request =
                request.header("webhook-signature", signature(signer.clone(), event, timestamp));
        }
        let response = request.body(event.body.clone()).send().await.map_err(fault)?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(DeliveryError::Status(response.status()))
        }
    }
}

fn signer_from_secret(secret: &str) -> Result<Hmac<Sha256>, WebhookError> {
    let encoded = secret.trim().strip_prefix(SECRET_PREFIX).ok_or(WebhookError::Secret)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| WebhookError::Secret)?;
    if !SECRET_BYTES.contains(&bytes.len()) {
        return Err(WebhookError::Secret);
    }
    Hmac::new_from_slice(&bytes).map_err(|_| WebhookError::Secret)
}

/// Returns the value of the header `webhook-signature`.
fn signature(mut signer: Hmac<Sha256>, event: &WebhookEvent, timestamp: i64) -> String {
    signer.update(format!("{}.{timestamp}.{}", event.id, event.body).as_bytes());
    format!("v1,{}", STANDARD.encode(signer.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use serde_json::Value;
    use taonet_http::testing::listen;
    use taonet_nineteen_store::BudgetPeriod;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    /// 2026-11-21, 12:00 UTC.
    const NOW_MS: i64 = 1_795_262_400_000;

    fn budget_use(scope: BudgetScope, owner: &str) -> BudgetUse {
        BudgetUse {
            scope,
            owner: owner.to_owned(),
            period: BudgetPeriod::Month,
            budget: 1_000,
            spent: 831,
        }
    }

    fn event(key_id: &str, threshold: u64) -> WebhookEvent {
        WebhookEvent::for_budget(
            &budget_use(BudgetScope::Key, key_id),
            threshold,
            "2026-11-21",
            NOW_MS,
        )
    }

    fn clock_at(now_ms: i64) -> Clock {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms.try_into().unwrap());
        Arc::new(move || time)
    }

    /// The example of the specification's libraries.
    #[test]
    fn signature_follows_standard_webhooks() {
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned();
        let event = WebhookEvent { id, created_ms: 0, body: r#"{"test": 2432232314}"#.to_owned() };
        let signature = signature(signer_from_secret(SECRET).unwrap(), &event, 1_614_265_330);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// IDs are sent in a header.
    #[test]
    fn team_webhook_events_have_names_and_plain_ids() {
        let team_event = |name: &str| {
            let budget_use = budget_use(BudgetScope::Team, name);
            WebhookEvent::for_budget(&budget_use, 80, "2026-11-21", NOW_MS)
        };
        let event = team_event("caf\u{e9}s");
        let body: Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(
            (&body["data"]["team"], body["data"].get("key_id")),
            (&json!("caf\u{e9}s"), None)
        );
        assert!(
            event.id.starts_with("budget-team-")
                && event.id.ends_with("-2026-11-80")
                && event.id.is_ascii()
        );
        assert_eq!(
            (team_event("caf\u{e9}s").id, team_event("cafes").id == event.id),
            (event.id.clone(), false)
        );
    }

    #[test]
    fn malformed_urls_and_secrets_are_rejected() {
        let new = |url: &str, secret| Webhook::new(url.parse().unwrap(), secret).err();
        assert!(matches!(new("ftp://example.org/", None), Some(WebhookError::Scheme)));
        assert!(new("https://example.org/hook", Some(SECRET)).is_none());
        // Without a prefix, no base64, and too short.
        for secret in
            ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%", "whsec_MfKQ9r8GKYqrTwjUPD8ILA=="]
        {
            let error = new("https://example.org/hook", Some(secret));
            assert!(matches!(error, Some(WebhookError::Secret)), "{secret}");
        }
    }

    /// The endpoint fails at the first request, and accepts all others.
    #[tokio::test]
    async fn failed_event_is_delivered_again_after_the_others() {
        let calls = Arc::new(AtomicUsize::new(0));
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        let receive = move |headers: HeaderMap, body: String| {
            let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            sender.send((headers, body)).unwrap();
            async move {
                if is_first { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT }
            }
        };
        let url =
            format!("http://{}/hook", listen(Router::new().route("/hook", post(receive))).await);
        let webhook = Webhook::new(url.parse().unwrap(), Some(SECRET)).unwrap();
        let (first, second) = (event("a", 80), event("b", 100));
        webhook.push(first.clone());
        webhook.push(second.clone());
        let clock = clock_at(NOW_MS + 2_000);
        let delivery = webhook
            .deliver(&clock, Backoff::new(Duration::from_millis(1), Duration::from_millis(1)));
        let mut requests = Vec::new();
        let receipt = async {
            for _ in 0..3 {
                requests.push(received.recv().await.unwrap());
            }
        };
        tokio::select! {
            () = delivery => panic!("the delivery does not end"),
            () = receipt => {}
        }
        let ids: Vec<_> =
            requests.iter().map(|(headers, _)| headers["webhook-id"].to_str().unwrap()).collect();
        assert_eq!(ids, ["budget-a-2026-11-80", "budget-b-2026-11-100", "budget-a-2026-11-80"]);
        let (headers, body) = &requests[1];
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(*body, second.body);
        assert_eq!(headers["webhook-timestamp"], "1795262402");
        let expected = signature(signer_from_secret(SECRET).unwrap(), &second, 1_795_262_402);
        assert_eq!(headers["webhook-signature"].to_str().unwrap(), expected);
        let body: Value = serde_json::from_str(&requests[2].1).unwrap();
        let data = json!({"key_id": "a", "period": "month", "date": "2026-11", "budget": 1_000, "spent": 831, "percent": 83});
        assert_eq!(
            body,
            json!({"type": "budget.warning", "timestamp": "2026-11-21T12:00:00Z", "data": data})
        );
        assert_eq!(
            serde_json::from_str::<Value>(&second.body).unwrap()["type"],
            "budget.exhausted"
        );
    }

    #[tokio::test]
    async fn event_is_dropped_after_a_day() {
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        let receive = move |headers: HeaderMap| {
            sender.send(headers["webhook-id"].to_str().unwrap().to_owned()).unwrap();
            async { "ok" }
        };
        let url = format!("http://{}/", listen(Router::new().route("/", post(receive))).await);
        let webhook = Webhook::new(url.parse().unwrap(), None).unwrap();
        webhook.push(WebhookEvent { created_ms: NOW_MS - MAX_AGE_MS - 1, ..event("old", 80) });
        webhook.push(WebhookEvent { created_ms: NOW_MS - MAX_AGE_MS, ..event("new", 80) });
        let clock = clock_at(NOW_MS);
        tokio::select! {
            () = webhook.deliver(&clock, BACKOFF) => panic!("the delivery does not end"),
            id = received.recv() => assert_eq!(id.unwrap(), "budget-new-2026-11-80"),
        }
    }

    #[test]
    fn events_beyond_the_queue_limit_are_dropped() {
        let webhook = Webhook::new("https://example.org/".parse().unwrap(), None).unwrap();
        for number in 0..=MAX_PENDING {
            webhook.push(event(&number.to_string(), 80));
        }
        let pending = webhook.pending();
        assert_eq!(
            (pending.len(), pending[MAX_PENDING - 1].id.as_str()),
            (MAX_PENDING, "budget-999-2026-11-80")
        );
    }
}
