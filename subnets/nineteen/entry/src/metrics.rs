//! Metrics of sold answers, by model and weight of the API key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Histogram};
use taonet_nineteen_core::{KeyWeight, TaskName};
use taonet_nineteen_store::Usage;

const SALES: &str = "taonet_nineteen_gateway_sales_total";
const TOKENS: &str = "taonet_nineteen_gateway_tokens_total";
const CREDITS: &str = "taonet_nineteen_gateway_credits_total";
const FIRST_TOKEN: &str = "taonet_nineteen_gateway_first_token_seconds";

/// Registers the help texts of the metrics.
pub(crate) fn describe() {
    metrics::describe_counter!(
        SALES,
        "Requests that reserved credits and have ended, by model, weight and result"
    );
    metrics::describe_counter!(
        TOKENS,
        "Charged tokens, or steps of images, by model, weight and kind"
    );
    metrics::describe_counter!(CREDITS, "Charged credits, by model and weight");
    metrics::describe_histogram!(
        FIRST_TOKEN,
        "Time to the first token of a stream, with the time in the queue"
    );
}

/// Metrics of all models and weights. An entry is created with the first request, so that further
/// ones allocate no labels.
#[derive(Default)]
pub(crate) struct SaleMetricsByTask(Mutex<HashMap<TaskName, HashMap<u32, Arc<SaleMetrics>>>>);

impl SaleMetricsByTask {
    /// Returns the metrics of a model and a weight.
    pub(crate) fn get(&self, task: &TaskName, weight: KeyWeight) -> Arc<SaleMetrics> {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let create = || Arc::new(SaleMetrics::new(task, weight));
        match tasks.get_mut(task) {
            Some(weights) => Arc::clone(weights.entry(weight.get()).or_insert_with(create)),
            None => Arc::clone(
                tasks.entry(task.clone()).or_default().entry(weight.get()).or_insert_with(create),
            ),
        }
    }
}

/// Metrics of a model and a weight.
pub(crate) struct SaleMetrics {
    delivered: Counter,
    undelivered: Counter,
    input: Counter,
    output: Counter,
    credits: Counter,
    first_token: Histogram,
}

impl SaleMetrics {
    fn new(task: &TaskName, weight: KeyWeight) -> Self {
        let (model, weight) = (task.to_string(), weight.to_string());
        let labelled_counter = |name: &'static str, label: &'static str, value: &'static str| {
            let (model, weight) = (model.clone(), weight.clone());
            metrics::counter!(name, "model" => model, "weight" => weight, label => value)
        };
        Self {
            delivered: labelled_counter(SALES, "result", "delivered"),
            undelivered: labelled_counter(SALES, "result", "undelivered"),
            input: labelled_counter(TOKENS, "kind", "input"),
            output: labelled_counter(TOKENS, "kind", "output"),
            credits: metrics::counter!(CREDITS, "model" => model.clone(), "weight" => weight.clone()),
            first_token: metrics::histogram!(FIRST_TOKEN, "model" => model.clone(), "weight" => weight.clone()),
        }
    }

    /// Counts a request that has ended.
    pub(crate) fn record(&self, usage: &Usage, is_delivered: bool) {
        if !is_delivered {
            self.undelivered.increment(1);
            return;
        }
        self.delivered.increment(1);
        self.input.increment(usage.input_tokens);
        self.output.increment(usage.output_tokens);
        self.credits.increment(usage.charge.max(0).unsigned_abs());
    }

    /// Counts a stream that has begun.
    pub(crate) fn record_first_token(&self, first: Duration) {
        self.first_token.record(first.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_core::task::Price;
    use taonet_nineteen_store::{KeyTerms, Store};
    use taonet_service::system_clock;
    use taonet_telemetry::Metrics;

    use super::*;
    use crate::bill::{Bill, Tariff};

    /// Returns the value of the metric with these labels on a page of metrics; `None` if the page
    /// does not have it.
    fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let line = page.lines().find(|line| {
            let is_labelled =
                |(label, value): &(&str, &str)| line.contains(&format!("{label}=\"{value}\""));
            line.split('{').next() == Some(name) && labels.iter().all(is_labelled)
        });
        line?.rsplit(' ').next()?.parse().ok()
    }

    #[tokio::test]
    async fn sales_are_counted_by_model_and_weight() {
        let metrics = Metrics::install().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let key = store.create_key(&KeyTerms::new("test", 5), &[7; 40], 0).await.unwrap().id;
        store.grant(&key, 1_000, "test", 0).await.unwrap();
        let (clock, sale_metrics) = (system_clock(), SaleMetricsByTask::default());
        let tariff = Tariff::Text(Price { input: 1_000, output: 2_000, step: 0 });
        // Other tests of the process do not use these weights.
        let sales = [
            ("chat-a", 93_u32, 5_u64),
            ("chat-a", 97, 6),
            ("chat-a", 97, 0),
            ("chat-b", 97, 7),
            ("chat-a", 97, 8),
        ];
        for (model, weight, steps) in sales {
            let bill = Bill::open(&store, &clock, &key, (model.to_owned(), tariff), (10, 50))
                .await
                .unwrap();
            let mut bill = bill.with_metrics(
                sale_metrics.get(&model.parse().unwrap(), KeyWeight::try_from(weight).unwrap()),
            );
            if steps > 0 {
                bill.record_first_token(Duration::from_secs(1));
                bill.record_image_delivery(steps);
            }
            bill.settle().await;
        }
        let page = metrics.render();
        let values = |name: &str, label: (&str, &str)| {
            ["chat-a", "chat-b"]
                .map(|model| value(&page, name, &[("model", model), ("weight", "97"), label]))
        };
        assert_eq!(values(SALES, ("result", "delivered")), [Some(2.0), Some(1.0)]);
        assert_eq!(values(SALES, ("result", "undelivered")), [Some(1.0), Some(0.0)]);
        assert_eq!(values(TOKENS, ("kind", "input")), [Some(20.0), Some(10.0)]);
        assert_eq!(values(TOKENS, ("kind", "output")), [Some(14.0), Some(7.0)]);
        // 10 tokens at 1 credit each, and those of the answer at 2.
        assert_eq!(values(CREDITS, ("weight", "97")), [Some(48.0), Some(24.0)]);
        assert_eq!(
            values(&format!("{FIRST_TOKEN}_count"), ("weight", "97")),
            [Some(2.0), Some(1.0)]
        );
        assert_eq!(value(&page, CREDITS, &[("model", "chat-a"), ("weight", "93")]), Some(20.0));
    }
}
