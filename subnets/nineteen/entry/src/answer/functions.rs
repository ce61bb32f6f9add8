//! Function calls, the deprecated form of tool calls: an answer has at most one.

use serde_json::{Value, json};
use taonet_nineteen_query::Chunk;

use crate::items::{Addition, Item, Items};

/// A choice of a stream with a function call in place of tool calls.
pub(super) struct FunctionStream {
    items: Items,
    /// Index of the item that is the function call.
    call: Option<usize>,
}

impl Default for FunctionStream {
    fn default() -> Self {
        Self { items: Items::new(true, "call_"), call: None }
    }
}

impl FunctionStream {
    /// Adds a chunk of the answer; returns the resulting deltas.
    pub(super) fn add(&mut self, chunk: &Chunk) -> Vec<Value> {
        let mut deltas = Vec::new();
        for Addition { index, is_new, content } in self.items.add(chunk) {
            match self.items.get(index) {
                Some(Item::Text(_)) => deltas.push(json!({ "content": content })),
                Some(Item::Reasoning(_)) => deltas.push(json!({ "reasoning_content": content })),
                // The deprecated form supports only one call.
                Some(Item::Call { .. }) if *self.call.get_or_insert(index) != index => {}
                Some(Item::Call { name, .. }) if is_new => {
                    deltas.push(json!({"function_call": {"name": name, "arguments": content}}));
                }
                Some(Item::Call { .. }) => {
                    deltas.push(json!({"function_call": {"arguments": content}}));
                }
                None => {}
            }
        }
        deltas
    }
}

/// Returns the first one of an answer's tool calls as a function call.
pub(super) fn function_call(calls: &[(u64, Value)]) -> Option<Value> {
    let (_, call) = calls.first()?;
    let text = |path: &str| call.pointer(path).and_then(Value::as_str).unwrap_or_default();
    Some(json!({"name": text("/function/name"), "arguments": text("/function/arguments")}))
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_query::ChunkBody;

    use super::*;
    use crate::items::testing::fragments;

    fn chunk(delta: &Value) -> Chunk {
        let body = ChunkBody::Object(json!({"choices": [{"delta": delta}]}));
        Chunk { body, characters: 0, entries: 0, is_content: true }
    }

    /// Clients join the fragments, so the name is sent once.
    #[test]
    fn first_tool_call_is_the_function_call() {
        let mut stream = FunctionStream::default();
        let (fragments, [[_, name, arguments], _]) = fragments();
        let mut deltas =
            stream.add(&chunk(&json!({"reasoning_content": "hm", "content": "Well."})));
        for fragment in &fragments {
            deltas.extend(stream.add(&chunk(&json!({ "tool_calls": [fragment] }))));
        }
        assert_eq!(
            deltas,
            [
                json!({"reasoning_content": "hm"}),
                json!({"content": "Well."}),
                json!({"function_call": {"name": name, "arguments": "{\"x"}}),
                json!({"function_call": {"arguments": "\":1}"}}),
            ]
        );
        let call = |name: &str| json!({"id": "a", "type": "function", "function": {"name": name, "arguments": arguments}});
        let calls = [(0, call(name)), (7, call("g"))];
        assert_eq!(function_call(&calls), Some(json!({"name": name, "arguments": arguments})));
        assert_eq!(function_call(&[(0, json!({}))]), Some(json!({"name": "", "arguments": ""})));
        assert_eq!(function_call(&[]), None);
    }
}
