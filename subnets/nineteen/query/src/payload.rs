//! Payload of a request.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// Name of the field with the seed.
const SEED_FIELD: &str = "seed";

/// JSON payload of a request to a miner. Clones share the fields, which may contain images.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub struct Payload {
    fields: Arc<Map<String, Value>>,
    /// Value of the field `seed` in place of the shared one.
    seed: Option<Value>,
}

impl From<Map<String, Value>> for Payload {
    fn from(fields: Map<String, Value>) -> Self {
        Self { fields: Arc::new(fields), seed: None }
    }
}

impl Payload {
    /// Returns the payload with another seed, if it has one. Both share the other fields.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { fields: Arc::clone(&self.fields), seed: Some(seed.into()) }
    }

    /// Returns the value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).map(|value| self.seed_or_shared(name, value))
    }

    /// Returns the fields. The seed is the shared one.
    pub(crate) fn shared_fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.fields.iter().map(|(name, value)| (name, self.seed_or_shared(name, value)))
    }

    /// Returns the value of a shared field in this payload.
    fn seed_or_shared<'a>(&'a self, name: &str, shared: &'a Value) -> &'a Value {
        self.seed.as_ref().filter(|_| name == SEED_FIELD).unwrap_or(shared)
    }

    #[cfg(test)]
    pub(crate) fn insert(&mut self, name: String, value: Value) {
        Arc::make_mut(&mut self.fields).insert(name, value);
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payloads_with_other_seeds_differ_only_in_the_seed() {
        let fields = json!({"model": "a", "seed": 1, "stream": true});
        let payload = Payload::from(fields.as_object().unwrap().clone());
        let other = payload.with_seed(7);
        assert!(Arc::ptr_eq(&payload.fields, &other.fields));
        assert_eq!((payload.get("seed"), other.get("seed")), (Some(&json!(1)), Some(&json!(7))));
        assert_eq!(serde_json::to_string(&payload).unwrap(), fields.to_string());
        let text = r#"{"model":"a","seed":7,"stream":true}"#;
        assert_eq!(serde_json::to_string(&other).unwrap(), text);
        let received: Payload = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&received).unwrap(), text);
        // Images have no seed.
        let image = Payload::from(Map::new()).with_seed(7);
        assert_eq!(
            (image.get("seed"), serde_json::to_string(&image).unwrap().as_str()),
            (None, "{}")
        );
    }
}
