//! Tasks whose answers lack the log-probabilities by which `best_of` selects answers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::GatewayError;

/// Time for which a task refuses `best_of` after answers without log-probabilities: such answers
/// are unpaid work for the miners. Other miners, or another version of the backend, may send them
/// later.
const RETENTION: Duration = Duration::from_mins(5);

/// Times of the newest answers without log-probabilities, by the name of the task.
#[derive(Debug, Default)]
pub(crate) struct MissingLogprobs {
    tasks: Mutex<HashMap<String, Instant>>,
}

impl MissingLogprobs {
    fn tasks(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that the answers of a task have no log-probabilities.
    pub(crate) fn remember(&self, task: &str, now: Instant) {
        self.tasks().insert(task.to_owned(), now);
    }

    /// Forgets a task, because an answer has log-probabilities.
    pub(crate) fn forget(&self, task: &str) {
        self.tasks().remove(task);
    }

    /// Returns whether recent answers of a task have no log-probabilities.
    pub(crate) fn contains(&self, task: &str, now: Instant) -> bool {
        self.tasks()
            .get(task)
            .is_some_and(|since| now.saturating_duration_since(*since) < RETENTION)
    }
}

/// Returns the error of a request for the best answers of a task whose answers have no
/// log-probabilities.
pub(crate) fn missing_logprobs_error() -> GatewayError {
    let message = "the model's answers have no log-probabilities, by which the best ones are selected; hint: omit best_of";
    GatewayError::field("best_of", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_log_probabilities_are_remembered_for_minutes() {
        let (missing, now) = (MissingLogprobs::default(), Instant::now());
        missing.remember("a", now);
        let before_end = now + RETENTION.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(missing.contains("a", before_end) && !missing.contains("b", now));
        assert!(!missing.contains("a", now + RETENTION));
        missing.remember("a", now + RETENTION);
        assert!(missing.contains("a", now + RETENTION));
        missing.forget("a");
        assert!(!missing.contains("a", now + RETENTION));
    }
}
