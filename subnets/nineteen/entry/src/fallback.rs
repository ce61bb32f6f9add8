//! Model aliases: lists of tasks, each the fallback of the task before it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_core::{MarketConfig, Task, TaskName};
use taonet_nineteen_query::EarlierTasks;
use taonet_nineteen_store::ApiKey;
use tokio::time::Instant;

use crate::request::TextRequest;
use crate::sale::{Protocol, QueryLimits, find_task};
use crate::usage::PromptTokens;
use crate::vision::image_tokens;
use crate::{Gateway, GatewayError};

/// Header of a request with the preference among the tasks of an alias.
const ROUTE_HEADER: &str = "x-taonet-route";
/// Minimum weight of the newest answer in the moving average of a task's time to the first token.
/// The weight grows with the time since the previous answer.
const MIN_NEWEST_SHARE: f64 = 0.2;
/// Age after which the average of a task is ignored.
const MAX_LATENCY_AGE: Duration = Duration::from_mins(10);
/// One of this many requests that prefer speed first asks a task without a recent latency.
const EXPLORATION_INTERVAL: usize = 16;
/// Maximum time that a request waits in the queue of a task that is not the last one of its alias.
const MAX_FALLBACK_WAIT: Duration = Duration::from_secs(1);

/// Preference of a buyer among the tasks of an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoutePreference {
    /// The lowest price first.
    Price,
    /// The shortest time to the first token first.
    Speed,
    /// The operator's order, which begins with the best model.
    Quality,
}

impl RoutePreference {
    /// Reads the preference of a request; without the header, it is the operator's order.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, GatewayError> {
        let Some(value) = headers.get(ROUTE_HEADER) else { return Ok(Self::Quality) };
        match value.as_bytes() {
            b"price" => Ok(Self::Price),
            b"speed" => Ok(Self::Speed),
            b"quality" => Ok(Self::Quality),
            _ => Err(GatewayError::field(
                ROUTE_HEADER,
                format!("{ROUTE_HEADER} must be price, speed or quality"),
            )),
        }
    }
}

/// Moving average of a task's times to the first token.
#[derive(Debug, Clone, Copy)]
struct LatencyAverage {
    seconds: f64,
    /// Time of the newest answer.
    measured_at: Instant,
}

impl LatencyAverage {
    /// Counts the time to the first token of a further stream.
    fn add(&mut self, seconds: f64, now: Instant) {
        let age = now.saturating_duration_since(self.measured_at).as_secs_f64()
            / MAX_LATENCY_AGE.as_secs_f64();
        self.seconds += age.clamp(MIN_NEWEST_SHARE, 1.0) * (seconds - self.seconds);
        self.measured_at = now;
    }

    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.measured_at) < MAX_LATENCY_AGE
    }
}

/// Times to the first token of streams, with the time in the queue, by task.
#[derive(Debug, Default)]
pub(crate) struct TaskLatencies {
    tasks: Mutex<HashMap<TaskName, LatencyAverage>>,
    /// Number of requests that have been ordered by speed.
    requests: AtomicUsize,
}

impl TaskLatencies {
    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskName, LatencyAverage>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the time to the first token of a stream.
    pub(crate) fn record(&self, task: &TaskName, time_to_first_token: Duration, now: Instant) {
        let seconds = time_to_first_token.as_secs_f64();
        let mut tasks = self.tasks();
        match tasks.get_mut(task) {
            Some(latency) => latency.add(seconds, now),
            None => _ = tasks.insert(task.clone(), LatencyAverage { seconds, measured_at: now }),
        }
    }

    /// Orders tasks by a preference. Equal ones keep their order.
    fn order(&self, tasks: &mut [&Task], preference: RoutePreference, now: Instant) {
        match preference {
            RoutePreference::Price => {
                tasks
                    .sort_by_key(|task| u64::from(task.price.input) + u64::from(task.price.output));
            }
            RoutePreference::Speed => self.order_by_latency(tasks, now),
            RoutePreference::Quality => {}
        }
    }

    /// Orders tasks by latency. Those without a recent stream come last, except that one of them
    /// occasionally comes first, so that its latency is measured.
    fn order_by_latency(&self, tasks: &mut [&Task], now: Instant) {
        let latencies = self.tasks();
        let seconds = |task: &Task| {
            let recent = latencies.get(&task.task).filter(|latency| latency.is_recent(now));
            recent.map_or(f64::INFINITY, |latency| latency.seconds)
        };
        tasks.sort_by(|one, other| seconds(one).total_cmp(&seconds(other)));
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        if request % EXPLORATION_INTERVAL == EXPLORATION_INTERVAL - 1
            && let Some(unmeasured_index) =
                tasks.iter().position(|task| seconds(task).is_infinite())
            && let Some(leading_tasks) = tasks.get_mut(..=unmeasured_index)
        {
            leading_tasks.rotate_right(1);
        }
    }
}

/// Returns the tasks of an alias on a route that the key may use, in the operator's order; `None`
/// if `model` is not an alias.
pub(crate) fn tasks_of_alias<'a>(
    config: &'a MarketConfig,
    key: &ApiKey,
    model: &str,
    endpoint: Endpoint,
) -> Option<Result<Vec<&'a Task>, GatewayError>> {
    let route_tasks: Vec<&Task> =
        config.alias(model)?.filter(|task| task.endpoint == endpoint).collect();
    if route_tasks.is_empty() {
        return Some(Err(GatewayError::UnknownModel(model.to_owned())));
    }
    let allowed: Vec<&Task> = route_tasks.into_iter().filter(|task| may_use(key, task)).collect();
    Some(if allowed.is_empty() {
        Err(GatewayError::Forbidden(model.to_owned()))
    } else {
        Ok(allowed)
    })
}

/// Returns whether a key may use a task.
pub(crate) fn may_use(key: &ApiKey, task: &Task) -> bool {
    key.terms.models.as_ref().is_none_or(|models| models.contains(&task.task))
}

impl GatewayError {
    /// Returns whether another task of an alias may answer the request.
    pub(crate) const fn depends_on_model(&self) -> bool {
        self.is_miners_failure()
            || matches!(
                self,
                Self::NoCapacity(_)
                    | Self::Busy { .. }
                    | Self::InsufficientCredits { .. }
                    | Self::BudgetExceeded { .. }
                    | Self::TokenRate { .. }
                    | Self::TokenLimit { .. }
            )
    }

    /// Returns whether miners of the task have failed at the request, or refused it. If those of
    /// another task do so as well, the request may be the cause.
    pub(crate) const fn is_miners_failure(&self) -> bool {
        matches!(
            self,
            Self::NoAnswer
                | Self::MinersFailed
                | Self::RejectedByMiners(_)
                | Self::ContextExceeded { .. }
                | Self::Interrupted
        )
    }
}

impl Gateway {
    /// Answers a text request in the format of a protocol. If the model is an alias, asks its tasks
    /// one after the other, until one answers. All tasks share the deadline of one request.
    pub(crate) async fn answer_text(
        &self,
        key: &ApiKey,
        request: TextRequest,
        endpoint: Endpoint,
        protocol: Protocol,
        preference: RoutePreference,
    ) -> Result<Response, GatewayError> {
        let config = self.0.market.current();
        let mut candidates = self.candidates(&config, key, &request, endpoint, preference)?;
        let last_candidate = candidates.pop().ok_or(GatewayError::NoAnswer)?;
        let start = Instant::now();
        let mut failure: Option<GatewayError> = None;
        let earlier_tasks = |have_failed| EarlierTasks { elapsed: start.elapsed(), have_failed };
        for task in candidates {
            let limits = QueryLimits {
                max_wait: Some(MAX_FALLBACK_WAIT),
                earlier: earlier_tasks(failure.is_some()),
            };
            let (request, protocol) = (request.clone(), protocol.clone());
            match self.answer_with_task(key, task, request, endpoint, protocol, limits).await {
                Err(error) if error.depends_on_model() => {
                    tracing::debug!(task = %task.task, %error, "asking the next model of the alias");
                    failure = Some(error).filter(GatewayError::is_miners_failure).or(failure);
                }
                result => return result,
            }
        }
        // The last task gets the request itself, which may have several MiB.
        let limits = QueryLimits { max_wait: None, earlier: earlier_tasks(failure.is_some()) };
        let result =
            self.answer_with_task(key, last_candidate, request, endpoint, protocol, limits).await;
        match (result, failure) {
            // Failures of earlier tasks are more informative than the last task's lack of miners.
            (Err(GatewayError::NoCapacity(_)), Some(failure)) => Err(failure),
            (result, _) => result,
        }
    }

    /// Returns the tasks to ask for a text, in this order: the task of a model, or those of an
    /// alias by preference, with those that no miner serves now at the end. Tasks of an alias whose
    /// model reads no images, whose context is too short for the request, or whose answers lack the
    /// log-probabilities that it needs, are left out if others remain.
    fn candidates<'a>(
        &self,
        config: &'a MarketConfig,
        key: &ApiKey,
        request: &TextRequest,
        endpoint: Endpoint,
        preference: RoutePreference,
    ) -> Result<Vec<&'a Task>, GatewayError> {
        let Some(tasks) = tasks_of_alias(config, key, &request.model, endpoint) else {
            return Ok(vec![find_task(config, key, Some(&request.model), endpoint)?]);
        };
        let mut tasks = tasks?;
        retain_if_any(&mut tasks, |task| image_tokens(task, &request.image_fields).is_ok());
        let max_output = request.max_tokens.unwrap_or(request.min_tokens.max(1));
        let tokens = PromptTokens::estimate(request).longest.saturating_add(max_output);
        retain_if_any(&mut tasks, |task| {
            let images = image_tokens(task, &request.image_fields).unwrap_or(0);
            task.context_length().is_none_or(|context| tokens.saturating_add(images) <= context)
        });
        if request.answers_per_prompt > request.choices_per_prompt {
            let now = Instant::now();
            retain_if_any(&mut tasks, |task| {
                !self.0.missing_logprobs.contains(task.task.as_str(), now)
            });
        }
        self.0.latencies.order(&mut tasks, preference, Instant::now());
        tasks.sort_by_key(|task| !self.0.queries.is_served(task.task.as_str()));
        Ok(tasks)
    }
}

/// Leaves out the tasks that do not meet a condition, unless none meets it.
fn retain_if_any(tasks: &mut Vec<&Task>, condition: impl Fn(&Task) -> bool) {
    if tasks.iter().any(|task| condition(task)) {
        tasks.retain(|task| condition(task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Vec<Task> {
        let config = MarketConfig::default();
        let mut tasks: Vec<Task> = ["chat-llama-3-1-70b", "chat-llama-3-1-8b", "chat-llama-3-2-3b"]
            .iter()
            .map(|name| config.task(name).unwrap().clone())
            .collect();
        for (task, price) in tasks.iter_mut().zip([300, 100, 200]) {
            (task.price.input, task.price.output) = (price, price);
        }
        tasks
    }

    fn order_at(latencies: &TaskLatencies, preference: RoutePreference, now: Instant) -> Vec<u32> {
        let tasks = tasks();
        let mut tasks: Vec<&Task> = tasks.iter().collect();
        latencies.order(&mut tasks, preference, now);
        tasks.iter().map(|task| task.price.input).collect()
    }

    #[test]
    fn tasks_are_ordered_by_preference() {
        let (latencies, now) = (TaskLatencies::default(), Instant::now());
        let order = |preference| order_at(&latencies, preference, now);
        let record =
            |task: &Task, seconds| latencies.record(&task.task, Duration::from_secs(seconds), now);
        assert_eq!(order(RoutePreference::Quality), [300, 100, 200]);
        assert_eq!(order(RoutePreference::Price), [100, 200, 300]);
        assert_eq!(order(RoutePreference::Speed), [300, 100, 200], "no stream yet");
        let tasks = tasks();
        record(&tasks[2], 2);
        assert_eq!(order(RoutePreference::Speed), [200, 300, 100]);
        record(&tasks[1], 1);
        assert_eq!(order(RoutePreference::Speed), [100, 200, 300]);
        for _ in 0..20 {
            record(&tasks[1], 3);
        }
        assert_eq!(order(RoutePreference::Speed), [200, 100, 300], "newer answers count more");
    }

    #[test]
    fn old_speed_measurements_expire() {
        let (latencies, start) = (TaskLatencies::default(), Instant::now());
        let (tasks, later) = (tasks(), start + MAX_LATENCY_AGE / 2);
        latencies.record(&tasks[1].task, Duration::from_secs(9), start);
        latencies.record(&tasks[2].task, Duration::from_secs(8), later);
        assert_eq!(order_at(&latencies, RoutePreference::Speed, later), [200, 100, 300]);
        assert_eq!(
            order_at(&latencies, RoutePreference::Speed, start + MAX_LATENCY_AGE),
            [200, 300, 100]
        );
        // After five minutes, the newest answer counts half.
        latencies.record(&tasks[1].task, Duration::from_secs(5), later);
        assert_eq!(
            order_at(&latencies, RoutePreference::Speed, later),
            [100, 200, 300],
            "7 s and 8 s"
        );
    }

    #[test]
    fn task_of_unknown_speed_is_sometimes_tried_first() {
        let (latencies, now) = (TaskLatencies::default(), Instant::now());
        let tasks = tasks();
        for task in &tasks[1..] {
            latencies.record(&task.task, Duration::from_secs(1), now);
        }
        let first_choices: Vec<_> =
            (0..32).map(|_| order_at(&latencies, RoutePreference::Speed, now)[0]).collect();
        assert_eq!(
            first_choices.iter().filter(|first| **first == 300).count(),
            2,
            "{first_choices:?}"
        );
        latencies.record(&tasks[0].task, Duration::from_secs(9), now);
        assert!(
            (0..32).all(|_| order_at(&latencies, RoutePreference::Speed, now) == [100, 200, 300])
        );
    }

    #[test]
    fn unknown_preference_is_rejected() {
        let parsed = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ROUTE_HEADER, value.parse().unwrap());
            RoutePreference::from_headers(&headers)
        };
        assert_eq!(parsed("price"), Ok(RoutePreference::Price));
        assert_eq!(parsed("speed"), Ok(RoutePreference::Speed));
        assert_eq!(RoutePreference::from_headers(&HeaderMap::new()), Ok(RoutePreference::Quality));
        assert!(
            matches!(parsed("cheap"), Err(GatewayError::InvalidField { param, .. }) if param == ROUTE_HEADER)
        );
    }
}
