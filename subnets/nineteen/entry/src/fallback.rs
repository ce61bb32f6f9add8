//! Aliases of models: lists of tasks, of which the next one is asked if one cannot answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_core::{MarketConfig, Task, TaskName};
use taonet_nineteen_store::ApiKey;

use crate::{Gateway, GatewayError};

/// Header of a request with the preference among the tasks of an alias.
const HEADER: &str = "x-taonet-route";
/// Share of the newest answer in the moving average of a task's time to the first token.
const NEWEST: f64 = 0.2;
/// Maximum time that a request waits in the queue of a task that is not the last one of its alias.
pub(crate) const FALLBACK_WAIT: Duration = Duration::from_secs(1);

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
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, GatewayError> {
        let Some(value) = headers.get(HEADER) else { return Ok(Self::Quality) };
        match value.as_bytes() {
            b"price" => Ok(Self::Price),
            b"speed" => Ok(Self::Speed),
            b"quality" => Ok(Self::Quality),
            _ => Err(GatewayError::field(HEADER, format!("{HEADER} must be price, speed or quality"))),
        }
    }
}

/// Times to the first token of streams, in seconds, as moving averages by task, with the time in the queue.
#[derive(Debug, Default)]
pub(crate) struct Speeds(Mutex<HashMap<TaskName, f64>>);

impl Speeds {
    fn averages(&self) -> MutexGuard<'_, HashMap<TaskName, f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the time to the first token of a stream.
    pub(crate) fn record(&self, task: &TaskName, first: Duration) {
        let seconds = first.as_secs_f64();
        let mut averages = self.averages();
        match averages.get_mut(task) {
            Some(average) => *average += NEWEST * (seconds - *average),
            None => {
                averages.insert(task.clone(), seconds);
            }
        }
    }

    /// Orders tasks by a preference. Equal ones keep their order; those without a stream yet are slowest.
    fn order(&self, tasks: &mut [Task], preference: RoutePreference) {
        match preference {
            RoutePreference::Price => {
                tasks.sort_by_key(|task| u64::from(task.price.input) + u64::from(task.price.output));
            }
            RoutePreference::Speed => {
                let averages = self.averages();
                let average = |task: &Task| averages.get(&task.task).copied().unwrap_or(f64::INFINITY);
                tasks.sort_by(|one, other| average(one).total_cmp(&average(other)));
            }
            RoutePreference::Quality => {}
        }
    }
}

/// Returns the tasks of an alias on a route that the key may use, in the operator's order; `None` if `model` is no alias.
pub(crate) fn tasks_of_alias(
    config: &MarketConfig,
    key: &ApiKey,
    model: &str,
    endpoint: Endpoint,
) -> Option<Result<Vec<Task>, GatewayError>> {
    let on_route: Vec<&Task> = config.alias(model)?.filter(|task| task.endpoint == endpoint).collect();
    if on_route.is_empty() {
        return Some(Err(GatewayError::Model(model.to_owned())));
    }
    let allowed: Vec<Task> = on_route.into_iter().filter(|task| may_use(key, task)).cloned().collect();
    Some(if allowed.is_empty() { Err(GatewayError::Forbidden(model.to_owned())) } else { Ok(allowed) })
}

/// Returns whether a key may use a task.
pub(crate) fn may_use(key: &ApiKey, task: &Task) -> bool {
    key.terms.models.as_ref().is_none_or(|models| models.contains(&task.task))
}

impl GatewayError {
    /// Returns whether another model may answer the request.
    pub(crate) const fn is_of_model(&self) -> bool {
        matches!(self, Self::NoCapacity(_) | Self::Busy { .. } | Self::NoAnswer)
    }
}

impl Gateway {
    /// Returns the tasks to ask for a text, in this order: the task of a model, or those of an alias by preference, with
    /// those that no miner serves now at the end.
    pub(crate) fn candidates(
        &self,
        key: &ApiKey,
        model: &str,
        endpoint: Endpoint,
        preference: RoutePreference,
    ) -> Result<Vec<Task>, GatewayError> {
        let Some(tasks) = tasks_of_alias(&self.0.market.current(), key, model, endpoint) else {
            return Ok(vec![self.task(key, Some(model), endpoint)?]);
        };
        let mut tasks = tasks?;
        self.0.speeds.order(&mut tasks, preference);
        tasks.sort_by_key(|task| !self.0.queries.is_served(task.task.as_str()));
        Ok(tasks)
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

    fn order(speeds: &Speeds, preference: RoutePreference) -> Vec<u32> {
        let mut tasks = tasks();
        speeds.order(&mut tasks, preference);
        tasks.iter().map(|task| task.price.input).collect()
    }

    #[test]
    fn tasks_are_ordered_by_preference() {
        let speeds = Speeds::default();
        assert_eq!(order(&speeds, RoutePreference::Quality), [300, 100, 200]);
        assert_eq!(order(&speeds, RoutePreference::Price), [100, 200, 300]);
        assert_eq!(order(&speeds, RoutePreference::Speed), [300, 100, 200], "no stream yet");
        let tasks = tasks();
        speeds.record(&tasks[2].task, Duration::from_secs(2));
        assert_eq!(order(&speeds, RoutePreference::Speed), [200, 300, 100]);
        speeds.record(&tasks[1].task, Duration::from_secs(1));
        assert_eq!(order(&speeds, RoutePreference::Speed), [100, 200, 300]);
        for _ in 0..20 {
            speeds.record(&tasks[1].task, Duration::from_secs(3));
        }
        assert_eq!(order(&speeds, RoutePreference::Speed), [200, 100, 300], "newer answers count more");
    }

    #[test]
    fn preference_is_one_of_three() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, value.parse().unwrap());
            RoutePreference::of(&headers)
        };
        assert_eq!(of("price"), Ok(RoutePreference::Price));
        assert_eq!(of("speed"), Ok(RoutePreference::Speed));
        assert_eq!(RoutePreference::of(&HeaderMap::new()), Ok(RoutePreference::Quality));
        assert!(matches!(of("cheap"), Err(GatewayError::Field { param, .. }) if param == HEADER));
    }
}
