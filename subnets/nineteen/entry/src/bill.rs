//! Billing: reserves credits before a request, and charges the delivered work afterwards.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::Offset;
use taonet_nineteen_core::task::Price;
use taonet_nineteen_query::Chunk;
use taonet_nineteen_store::{ApiKey, HoldRefusal, Store, Usage};
use taonet_primitives::Backoff;
use taonet_service::{Clock, unix_millis};
use tokio::time::Instant;

use crate::GatewayError;
use crate::meter::TokenMeter;
use crate::metrics::SaleMetrics;
use crate::rates::TokenReservation;

/// Maximum time that the end of an answer waits for its charge. A slower charge continues in the
/// background.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for the retries of a failed charge. Afterwards, the hold is released as abandoned.
const CHARGE_TIMEOUT: Duration = Duration::from_mins(10);
/// Pauses between the attempts to charge a request.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(30));

/// Price of a task, by unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tariff {
    /// Tokens of request and answer.
    Text(Price),
    /// Tokens of the request.
    Embedding(Price),
    /// Denoising steps, counted as output.
    Image(Price),
}

impl Tariff {
    /// Returns the cost in credits of `input` tokens and `output` tokens or steps.
    pub(crate) fn cost(self, input: u64, output: u64) -> i64 {
        match self {
            Self::Text(price) => price.text(input, output),
            Self::Embedding(price) => price.text(input, 0),
            Self::Image(price) => price.image(output),
        }
    }
}

/// Credits reserved for a request. Dropping the bill charges the delivered work.
pub(crate) struct Bill {
    store: Store,
    clock: Clock,
    tariff: Tariff,
    is_delivered: bool,
    /// Counts of the tokens of the texts, one per choice.
    meters: Vec<TokenMeter>,
    request_id: String,
    usage: Option<Usage>,
    token_reservation: Option<TokenReservation>,
    sale_metrics: Option<Arc<SaleMetrics>>,
    /// ID of the API key, if its requests are logged.
    logged_key: Option<String>,
    started: Instant,
}

impl Bill {
    /// Reserves the maximum cost of a request.
    pub(crate) async fn open(
        store: &Store,
        clock: &Clock,
        key: &str,
        (model, tariff): (String, Tariff),
        (input_tokens, max_output): (u64, u64),
    ) -> Result<Self, GatewayError> {
        let request_id = random_id();
        let required = tariff.cost(input_tokens, max_output);
        let now_ms = now_ms(clock);
        let day = utc_day(now_ms);
        match store.hold(key, &request_id, required, &day, now_ms).await? {
            Ok(()) => {}
            Err(HoldRefusal::Credits { balance }) => {
                return Err(GatewayError::InsufficientCredits { required, available: balance });
            }
            Err(HoldRefusal::Budget { remaining, period, scope }) => {
                return Err(GatewayError::BudgetExceeded { required, remaining, period, scope });
            }
        }
        let usage = Usage { model, day, input_tokens, output_tokens: 0, charge: 0 };
        let (store, clock) = (store.clone(), clock.clone());
        Ok(Self {
            store,
            clock,
            tariff,
            is_delivered: false,
            meters: Vec::new(),
            request_id,
            usage: Some(usage),
            token_reservation: None,
            sale_metrics: None,
            logged_key: None,
            started: Instant::now(),
        })
    }

    /// Sets the counters of an answer's tokens, one per choice.
    pub(crate) fn with_meters(mut self, meters: Vec<TokenMeter>) -> Self {
        self.meters = meters;
        self
    }

    /// Sets the tokens that the request has reserved, of which the unused ones are returned with
    /// the charge.
    pub(crate) fn with_token_reservation(
        mut self,
        token_reservation: Option<TokenReservation>,
    ) -> Self {
        self.token_reservation = token_reservation;
        self
    }

    /// Sets the metrics that count the request when it has ended.
    pub(crate) fn with_metrics(mut self, sale_metrics: Arc<SaleMetrics>) -> Self {
        self.sale_metrics = Some(sale_metrics);
        self
    }

    /// Sets that the charge is logged, if the requests of the key are.
    pub(crate) fn with_log(mut self, key: &ApiKey) -> Self {
        self.logged_key = key.terms.log_requests.then(|| key.id.clone());
        self
    }

    /// Counts the time to the first token of a stream.
    pub(crate) fn record_first_token(&self, latency: Duration) {
        if let Some(sale_metrics) = &self.sale_metrics {
            sale_metrics.record_first_token(latency);
        }
    }

    /// Returns the ID of the request.
    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Returns the token count of the request: that of its payload for each choice.
    pub(crate) fn input_tokens(&self) -> u64 {
        self.usage.as_ref().map_or(0, |usage| usage.input_tokens)
    }

    /// Returns the token count of a choice so far.
    pub(crate) fn output_tokens(&self, choice: usize) -> u64 {
        self.meters.get(choice).map_or(0, TokenMeter::tokens)
    }

    /// Records the delivery of a chunk of a choice's text.
    pub(crate) fn record_chunk_delivery(&mut self, choice: usize, chunk: &Chunk) {
        self.is_delivered = true;
        self.count_chunk(choice, chunk);
    }

    /// Counts a chunk of a choice's text, which is delivered later, with the complete answer.
    pub(crate) fn count_chunk(&mut self, choice: usize, chunk: &Chunk) {
        if let Some(meter) = self.meters.get_mut(choice) {
            meter.add(chunk);
        }
    }

    /// Records the delivery of an image, in steps.
    pub(crate) const fn record_image_delivery(&mut self, steps: u64) {
        self.is_delivered = true;
        if let Some(usage) = &mut self.usage {
            usage.output_tokens = steps;
        }
    }

    /// Records the delivery of a complete answer, which may have no output: embeddings, or a text
    /// without tokens.
    pub(crate) const fn record_complete_delivery(&mut self) {
        self.is_delivered = true;
    }

    /// Records that the buyer gets an error in place of what was delivered.
    pub(crate) fn cancel(&mut self) {
        self.is_delivered = false;
        self.meters.clear();
    }

    /// Charges the delivered work, or nothing without a delivery. If the database is unavailable,
    /// the charge is retried in the background.
    pub(crate) async fn settle(mut self) {
        if let Some(usage) = self.take_usage() {
            let used_tokens = self.take_reservation(&usage);
            // After a timeout, the dropped charge continues in a separate task.
            let _timeout_result =
                tokio::time::timeout(SETTLE_TIMEOUT, self.charge(usage, used_tokens)).await;
        }
    }

    /// Takes the usage out of the bill, with the computed charge, and counts and logs it; `None` if
    /// it was already taken.
    fn take_usage(&mut self) -> Option<Usage> {
        let mut usage = self.usage.take()?;
        if self.is_delivered {
            for meter in &self.meters {
                usage.output_tokens = usage.output_tokens.saturating_add(meter.tokens());
            }
            usage.charge = self.tariff.cost(usage.input_tokens, usage.output_tokens);
        }
        if let Some(sale_metrics) = &self.sale_metrics {
            sale_metrics.record(&usage, self.is_delivered);
        }
        self.log(&usage);
        Some(usage)
    }

    fn log(&self, usage: &Usage) {
        let Some(key) = &self.logged_key else { return };
        let Usage { model, input_tokens, output_tokens, charge, .. } = usage;
        let seconds = self.started.elapsed().as_secs_f64();
        tracing::info!(
            key,
            model,
            input_tokens,
            output_tokens,
            charge,
            seconds,
            "request of an API key charged"
        );
    }

    /// Returns unused tokens to the window of the key, then charges the usage.
    fn charge(&mut self, usage: Usage, used_tokens: Option<(TokenReservation, u64)>) -> Charge {
        let (store, clock, request_id) =
            (self.store.clone(), self.clock.clone(), std::mem::take(&mut self.request_id));
        Charge(Some(Box::pin(charge(store, clock, request_id, usage, used_tokens))))
    }

    /// Takes the reservation of tokens, with the tokens that were used.
    fn take_reservation(&mut self, usage: &Usage) -> Option<(TokenReservation, u64)> {
        let used = if self.is_delivered {
            usage.input_tokens.saturating_add(usage.output_tokens)
        } else {
            0
        };
        self.token_reservation.take().map(|reservation| (reservation, used))
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        let Some(usage) = self.take_usage() else { return };
        let used_tokens = self.take_reservation(&usage);
        drop(self.charge(usage, used_tokens));
    }
}

/// A charge in progress. If it is dropped before its end, a separate task completes it.
struct Charge(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Charge {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(charge) = &mut self.0 {
            ready!(charge.as_mut().poll(context));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Without a runtime, the next start releases the credits.
        if let Some(charge) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(charge);
        }
    }
}

/// Returns unused tokens to the window of the key, then charges the usage.
async fn charge(
    store: Store,
    clock: Clock,
    request_id: String,
    usage: Usage,
    used_tokens: Option<(TokenReservation, u64)>,
) {
    if let Some((reservation, used)) = used_tokens {
        reservation.settle(used).await;
    }
    let (start, mut retries) = (Instant::now(), 0_u32);
    // A retry is safe: the transaction that charges the request also deletes its hold.
    while let Err(error) = store.charge(&request_id, &usage, now_ms(&clock)).await {
        if start.elapsed() > CHARGE_TIMEOUT {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                request_id,
                "failed to charge a request"
            );
            return;
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            request_id,
            "charge failed; retrying"
        );
        tokio::time::sleep(BACKOFF.delay(retries)).await;
        retries = retries.saturating_add(1);
    }
}

/// Returns the Unix time in milliseconds.
pub(crate) fn now_ms(clock: &Clock) -> i64 {
    unix_millis(clock())
}

/// Returns the date in UTC, such as `2026-11-21`, of a Unix time in milliseconds.
pub(crate) fn utc_day(time_ms: i64) -> String {
    let day = Timestamp::from_millisecond(time_ms)
        .map(|time| Offset::UTC.to_datetime(time).date().to_string());
    day.unwrap_or_default()
}

/// Returns a random UUID as 32 hex digits. Unlike `Uuid::new_v4`, needs no system call.
pub(crate) fn random_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().simple().to_string()
}
