use serde_json::Value;

/// A message class: its name, its signed fields and its fields without a default, as in the Python
/// class.
#[derive(Debug, Clone, PartialEq)]
pub struct SynapseClass {
    name: String,
    hash_fields: Vec<String>,
    required_fields: Vec<(String, Value)>,
}

impl SynapseClass {
    /// Creates a class whose body is not signed. The name is also the path: `POST /<name>`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), hash_fields: Vec::new(), required_fields: Vec::new() }
    }

    /// Sets the signed fields, in the order of the class's `required_hash_fields`.
    #[must_use]
    pub fn hash<F: Into<String>>(self, fields: impl IntoIterator<Item = F>) -> Self {
        Self { hash_fields: fields.into_iter().map(Into::into).collect(), ..self }
    }

    /// Adds a field without a default, with the empty value of its type (`""`, `[]`, `0`). A Python
    /// axon requires it in the headers (`bt_header_input_obj_<field>`).
    #[must_use]
    pub fn required(mut self, field: impl Into<String>, empty: Value) -> Self {
        self.required_fields.push((field.into(), empty));
        self
    }

    /// Returns the name of the class.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the signed fields.
    pub fn hash_fields(&self) -> &[String] {
        &self.hash_fields
    }

    /// Returns the fields without a default, each with the empty value of its type.
    pub(crate) fn required_fields(&self) -> &[(String, Value)] {
        &self.required_fields
    }
}
