//! The miner's response to `/capacity`.

use serde_json::{Map, Value, json};

use crate::MinerConfig;

/// Builds the response to `/capacity`: `miner_type`, and the capacity for each offered task that
/// the miner serves.
///
/// `share` is the validator's share of the capacity. Skips malformed entries in `offered`, and
/// tasks without weight, which earn nothing.
pub(crate) fn capacity_response(
    config: &MinerConfig,
    offered: &Value,
    share: f64,
) -> Map<String, Value> {
    let mut response = Map::new();
    response.insert("miner_type".to_owned(), json!(config.task_type));
    for task in offered.as_array().into_iter().flatten() {
        let name = task.get("task").and_then(Value::as_str).unwrap_or_default();
        let positive_number =
            |field: &str| task.get(field).and_then(Value::as_f64).filter(|number| *number > 0.0);
        let Some(served) = config.served.iter().find(|served| served.task.as_str() == name) else {
            continue;
        };
        let (Some(max_capacity), Some(_)) =
            (positive_number("max_capacity"), positive_number("weight"))
        else {
            continue;
        };
        let capacity =
            served.capacity.map_or(max_capacity, |declared| declared.min(max_capacity)) * share;
        response.insert(name.to_owned(), capacity.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_core::task::TaskType;

    use super::*;
    use crate::Deadlines;

    #[test]
    fn served_tasks_are_announced_by_share() {
        let served = ["chat@60000", "other", "large@1e9", "unpaid"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let deadlines = Deadlines::default();
        let config = MinerConfig { task_type: TaskType::Text, served, concurrency: 1, deadlines };
        let task = |name: &str, weight: f64| json!({"task": name, "max_capacity": 120_000.0, "weight": weight});
        let offered = json!([
            task("chat", 0.1), task("other", 0.1), task("large", 0.1), task("unpaid", 0.0), task("foreign", 0.1),
            {"task": "chat2"}, 7, null, {"task": "other", "max_capacity": "many", "weight": 1},
        ]);
        let answer = Value::Object(capacity_response(&config, &offered, 0.5));
        assert_eq!(
            answer,
            json!({"miner_type": "text", "chat": 30_000.0, "other": 60_000.0, "large": 60_000.0})
        );
        for invalid in [json!(null), json!([]), json!({"task": "chat"})] {
            assert_eq!(
                Value::Object(capacity_response(&config, &invalid, 1.0)),
                json!({"miner_type": "text"})
            );
        }
    }
}
