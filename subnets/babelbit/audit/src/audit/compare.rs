use serde_json::Value;

/// Maximum difference between a recomputed number and the recorded one. Sentence vectors vary by up
/// to 1e-6 per component with the other texts in the batch, and the duplication step multiplies
/// this error by 8.
pub const TOLERANCE: f64 = 1e-5;

/// A difference between two documents.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// Keys and indices joined by dots, e.g. `latency.score`; empty for the complete document.
    pub(super) path: String,
    pub(super) recorded: Value,
    pub(super) actual: Value,
}

/// Finds the differences between two documents. A missing value equals null; `skip` lists ignored
/// keys.
pub(super) fn differences(recorded: &Value, actual: &Value, skip: &[&str]) -> Vec<Difference> {
    let mut differences = Vec::new();
    collect("", recorded, actual, skip, &mut differences);
    differences
}

fn collect(path: &str, recorded: &Value, actual: &Value, skip: &[&str], all: &mut Vec<Difference>) {
    let child_path =
        |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (recorded, actual) {
        (Value::Object(fields), Value::Object(others)) => {
            let actual_only = others.keys().filter(|key| !fields.contains_key(*key));
            for key in fields.keys().chain(actual_only).filter(|key| !skip.contains(&key.as_str()))
            {
                let [recorded, actual] =
                    [fields, others].map(|fields| fields.get(key).unwrap_or(&Value::Null));
                collect(&child_path(key), recorded, actual, skip, all);
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            for (index, (recorded, actual)) in items.iter().zip(others).enumerate() {
                collect(&child_path(&index.to_string()), recorded, actual, skip, all);
            }
        }
        _ if recorded == actual || are_close(recorded, actual) => {}
        _ => all.push(Difference {
            path: path.to_owned(),
            recorded: recorded.clone(),
            actual: actual.clone(),
        }),
    }
}

fn are_close(recorded: &Value, actual: &Value) -> bool {
    match (recorded.as_f64(), actual.as_f64()) {
        (Some(recorded), Some(actual)) => (recorded - actual).abs() <= TOLERANCE,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_above_the_tolerance_are_named_by_path() {
        for (recorded, actual, paths) in [
            (json!({"a": 1.0, "b": null}), json!({"a": 1}), vec![]),
            (json!({"a": 0.5}), json!({"a": 0.500_009}), vec![]),
            (json!({"a": 0.5}), json!({"a": 0.500_02}), vec!["a"]),
            (json!({"a": {"b": [1, 2]}}), json!({"a": {"b": [1, 3]}}), vec!["a.b.1"]),
            (json!({"a": [1]}), json!({"a": [1, 2]}), vec!["a"]),
            (json!({"a": 1}), json!({"a": 1, "b": "new"}), vec!["b"]),
            (json!({"a": "1"}), json!({"a": 1}), vec!["a"]),
            (json!({"a": {"skipped": 1}}), json!({"a": {"skipped": 2}}), vec![]),
            (json!([]), json!(null), vec![""]),
        ] {
            let differences = differences(&recorded, &actual, &["skipped"]);
            assert_eq!(
                differences.iter().map(|difference| difference.path.as_str()).collect::<Vec<_>>(),
                paths,
                "{recorded}"
            );
        }
    }
}
