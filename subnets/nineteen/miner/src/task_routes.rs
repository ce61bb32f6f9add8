//! The route of each served task.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::Endpoint;
use taonet_primitives::Hotkey;

use crate::ServedTask;

/// Maximum number of validators whose tasks are remembered: a subnet has fewer neurons.
const MAX_VALIDATORS: usize = 4_096;

/// Endpoint of each served task, in the order of the tasks; `None` if it is unknown.
type Endpoints = Vec<Option<Endpoint>>;

/// Routes of the served tasks: as a validator lists them when it queries the capacity, or else
/// derived from their names. The route selects the task of a payload without `model`.
#[derive(Debug)]
pub(crate) struct TaskRoutes {
    by_name: Endpoints,
    by_validator: Mutex<HashMap<Hotkey, Endpoints>>,
}

impl TaskRoutes {
    pub(crate) fn new(served: &[ServedTask]) -> Self {
        let market = MarketConfig::default();
        let by_name = served.iter().map(|served| served.endpoint(&market)).collect();
        Self { by_name, by_validator: Mutex::default() }
    }

    /// Records the endpoints of the tasks that a validator offers. Skips malformed entries.
    pub(crate) fn record_offer(&self, validator: Hotkey, served: &[ServedTask], offered: &Value) {
        let offered = offered.as_array().map(Vec::as_slice).unwrap_or_default();
        let offered_endpoint = |served: &ServedTask| {
            let task = offered
                .iter()
                .find(|task| task.get("task").is_some_and(|name| name == served.task.as_str()))?;
            serde_json::from_value(task.get("endpoint")?.clone()).ok()
        };
        let endpoints: Endpoints = served
            .iter()
            .zip(&self.by_name)
            .map(|(task, named_endpoint)| offered_endpoint(task).or(*named_endpoint))
            .collect();
        let mut by_validator = self.by_validator.lock().unwrap_or_else(PoisonError::into_inner);
        if endpoints == self.by_name {
            by_validator.remove(&validator);
        } else if by_validator.len() < MAX_VALIDATORS || by_validator.contains_key(&validator) {
            by_validator.insert(validator, endpoints);
        }
    }

    /// Returns the only task that a validator requests by a route; `None` if there is none, or
    /// several.
    pub(crate) fn only_task<'a>(
        &self,
        validator: &Hotkey,
        served: &'a [ServedTask],
        endpoint: Endpoint,
    ) -> Option<&'a ServedTask> {
        let by_validator = self.by_validator.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoints = by_validator.get(validator).unwrap_or(&self.by_name);
        let mut route_tasks = served
            .iter()
            .zip(endpoints)
            .filter(|(_, task_endpoint)| **task_endpoint == Some(endpoint));
        match (route_tasks.next(), route_tasks.next()) {
            (Some((only, _)), None) => Some(only),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use taonet_wallet::Keypair;

    use super::*;

    #[test]
    fn offered_endpoints_override_task_names() {
        let served: Vec<ServedTask> = ["portrait", "avatar", "dreamshaper-inpaint"]
            .map(|task| task.parse().unwrap())
            .to_vec();
        let routes = TaskRoutes::new(&served);
        let [alice, bob]: [Hotkey; 2] =
            ["//Alice", "//Bob"].map(|uri| Keypair::from_uri(uri).unwrap().hotkey());
        let only = |validator, endpoint| {
            routes.only_task(validator, &served, endpoint).map(|served| served.task.to_string())
        };
        assert_eq!(only(&alice, Endpoint::Avatar).as_deref(), Some("avatar"));
        let offered = json!([
            {"task": "portrait", "endpoint": "/avatar"}, {"task": "avatar", "endpoint": "/image-to-image"},
            {"task": "dreamshaper-inpaint", "endpoint": "/nowhere"}, {"task": "other", "endpoint": "/inpaint"}, 7,
        ]);
        routes.record_offer(alice, &served, &offered);
        assert_eq!(only(&alice, Endpoint::Avatar).as_deref(), Some("portrait"));
        assert_eq!(only(&alice, Endpoint::ImageToImage).as_deref(), Some("avatar"));
        assert_eq!(only(&alice, Endpoint::Inpaint).as_deref(), Some("dreamshaper-inpaint"));
        assert_eq!(
            only(&bob, Endpoint::Avatar).as_deref(),
            Some("avatar"),
            "another validator's tasks"
        );
        // Two tasks of the route are ambiguous.
        routes.record_offer(bob, &served, &json!([{"task": "portrait", "endpoint": "/avatar"}]));
        assert_eq!(only(&bob, Endpoint::Avatar), None);
        routes.record_offer(bob, &served, &json!(null));
        assert_eq!(only(&bob, Endpoint::Avatar).as_deref(), Some("avatar"));
        assert_eq!(only(&bob, Endpoint::TextToImage), None);
    }
}
