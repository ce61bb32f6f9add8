//! The deprecated form of tools in chats: the fields `functions` and `function_call`, and messages
//! with function calls and their results. Miners get them as tools.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{Fields, MAX_TOOLS};
use crate::GatewayError;
use crate::translation::{function_choice, function_tool, tool_call, tool_message};

impl Fields {
    /// Translates `functions` and `function_call` to the fields for tools. Returns whether the
    /// request has functions, so that its answer has a function call in place of tool calls.
    pub(super) fn translate_functions(&mut self) -> Result<bool, GatewayError> {
        let Some(functions) = self.take("functions") else {
            self.refuse_unless("function_call", |_| false, "function_call requires functions")?;
            return Ok(false);
        };
        let tools = tools_of_functions(&functions).ok_or_else(|| {
            GatewayError::field(
                "functions",
                "functions must be an array of 1..=128 functions, each with a name",
            )
        })?;
        if let Some(conflicting_field) =
            ["tools", "tool_choice"].into_iter().find(|name| self.has(name))
        {
            let message = format!(
                "functions cannot be combined with {conflicting_field}; hint: use tools only"
            );
            return Err(GatewayError::field("functions", message));
        }
        self.0.insert("tools".to_owned(), tools.into());
        if let Some(choice) = self.take("function_call") {
            let name = choice.get("name").and_then(Value::as_str);
            let translated = match (choice.as_str(), name) {
                (Some("none" | "auto"), _) => choice,
                (_, Some(name)) => function_choice(name),
                _ => {
                    let message =
                        "function_call must be none, auto or an object with the name of a function";
                    return Err(GatewayError::field("function_call", message));
                }
            };
            self.0.insert("tool_choice".to_owned(), translated);
        }
        // An answer has at most one function call.
        if !self.has("parallel_tool_calls") {
            self.0.insert("parallel_tool_calls".to_owned(), false.into());
        }
        Ok(true)
    }
}

/// Returns functions as tools; `None` if they are invalid.
fn tools_of_functions(functions: &Value) -> Option<Vec<Value>> {
    let functions =
        functions.as_array().filter(|functions| (1..=MAX_TOOLS).contains(&functions.len()))?;
    let is_named =
        |function: &&Map<String, Value>| function.get("name").is_some_and(Value::is_string);
    functions
        .iter()
        .map(|function| function.as_object().filter(is_named).map(function_tool))
        .collect()
}

/// Translates the function calls in the messages of a chat, and their results, to tool calls and
/// their results. A result belongs to the latest call of its function.
pub(super) fn translate_messages(messages: &mut [Value]) -> Result<(), GatewayError> {
    let mut latest_calls: HashMap<String, String> = HashMap::new();
    for (index, message) in messages.iter_mut().enumerate() {
        let Some(fields) = message.as_object_mut() else { continue };
        // Nine letters and digits, as the templates of Mistral's models require.
        let id = format!("call{index:05}");
        match fields.get("role").and_then(Value::as_str) {
            Some("assistant") => {
                let Some(call) =
                    fields.shift_remove("function_call").filter(|call| !call.is_null())
                else {
                    continue;
                };
                let name = translate_call(fields, &call, &id).map_err(|problem| {
                    let param = format!("messages[{index}].function_call");
                    GatewayError::field(param.clone(), format!("{param} {problem}"))
                })?;
                latest_calls.insert(name, id);
            }
            Some("function") => {
                *message =
                    translate_result(fields, &latest_calls, &id).map_err(|(name, problem)| {
                        let param = format!("messages[{index}].{name}");
                        GatewayError::field(param.clone(), format!("{param} {problem}"))
                    })?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes a function call as the tool call of a message; returns the name of the function.
fn translate_call(
    message: &mut Map<String, Value>,
    call: &Value,
    id: &str,
) -> Result<String, &'static str> {
    if message.get("tool_calls").is_some_and(|calls| !calls.is_null()) {
        return Err("cannot be combined with tool_calls");
    }
    let text = |name: &str| call.get(name).and_then(Value::as_str);
    let (Some(name), Some(arguments)) = (text("name"), text("arguments")) else {
        return Err("must have the strings name and arguments");
    };
    message.insert("tool_calls".to_owned(), json!([tool_call(id, name, arguments)]));
    Ok(name.to_owned())
}

/// Returns the result of a function call as that of a tool call, with the ID of the latest call of
/// the function, or `id` without one.
///
/// # Errors
/// The name of a field, and what it must be.
fn translate_result(
    message: &Map<String, Value>,
    latest_calls: &HashMap<String, String>,
    id: &str,
) -> Result<Value, (&'static str, &'static str)> {
    let Some(name) = message.get("name").and_then(Value::as_str) else {
        return Err(("name", "must be the name of the function"));
    };
    let id = latest_calls.get(name).map_or(id, String::as_str);
    match message.get("content") {
        Some(Value::String(content)) => Ok(tool_message(id, content)),
        None | Some(Value::Null) => Ok(tool_message(id, "")),
        Some(_) => Err(("content", "must be a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TextRequest;
    use super::*;
    use crate::answer::ChoiceFormat;

    fn chat(extra_fields: &Value) -> Result<TextRequest, GatewayError> {
        let mut body =
            json!({"model": "chat-a", "messages": [{"role": "user", "content": "hello"}]});
        body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
        TextRequest::parse_chat(body.to_string().as_bytes())
    }

    #[test]
    fn functions_are_converted_to_tools() {
        let function =
            json!({"name": "weather", "description": "now", "parameters": {"type": "object"}});
        for (call, choice) in [
            (json!(null), json!(null)),
            (json!("none"), json!("none")),
            (json!("auto"), json!("auto")),
            (
                json!({"name": "weather"}),
                json!({"type": "function", "function": {"name": "weather"}}),
            ),
        ] {
            let request = chat(&json!({"functions": [function], "function_call": call})).unwrap();
            assert_eq!(request.choice_format, ChoiceFormat::FunctionChat);
            let map = request.payload.into_map();
            assert_eq!(map["tools"], json!([{"type": "function", "function": function}]));
            assert_eq!(map.get("tool_choice").unwrap_or(&Value::Null), &choice);
            assert_eq!(map["parallel_tool_calls"], false);
            assert!(!map.contains_key("functions") && !map.contains_key("function_call"));
        }
        assert_eq!(chat(&json!({"functions": null})).unwrap().choice_format, ChoiceFormat::Chat);
    }

    #[test]
    fn function_messages_are_converted_to_tool_messages() {
        let call = |name: &str| json!({"role": "assistant", "content": null, "function_call": {"name": name, "arguments": "{}"}});
        let result = |name: &str, content: Value| json!({"role": "function", "name": name, "content": content});
        let messages = json!([
            {"role": "user", "content": "Weather?"}, call("f"), result("f", json!("rain")), call("g"), call("f"),
            result("f", json!(null)), result("g", json!("noon")), result("h", json!("x")),
            {"role": "assistant", "content": "a", "function_call": null},
        ]);
        let translated = |id: &str, name: &str| {
            let calls = json!([{"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}]);
            json!({"role": "assistant", "content": null, "tool_calls": calls})
        };
        let tool = |id: &str, content: &str| json!({"role": "tool", "tool_call_id": id, "content": content});
        assert_eq!(
            chat(&json!({ "messages": messages })).unwrap().payload.into_map()["messages"],
            json!([
                {"role": "user", "content": "Weather?"}, translated("call00001", "f"), tool("call00001", "rain"),
                translated("call00003", "g"), translated("call00004", "f"), tool("call00004", ""),
                tool("call00003", "noon"), tool("call00007", "x"), {"role": "assistant", "content": "a"},
            ])
        );
    }

    #[test]
    fn invalid_function_field_is_named_in_the_error() {
        let functions = json!([{"name": "f"}]);
        let message =
            |fields: Value| json!({"messages": [{"role": "user", "content": "a"}, fields]});
        let call = json!({"name": "f", "arguments": "{}"});
        for (extra_fields, param) in [
            (json!({"functions": []}), "functions"),
            (json!({"functions": "f"}), "functions"),
            (json!({"functions": [{"description": "f"}]}), "functions"),
            (json!({"functions": vec![json!({"name": "f"}); 129]}), "functions"),
            (json!({"functions": functions, "tools": [{"type": "function"}]}), "functions"),
            (json!({"functions": functions, "tool_choice": "auto"}), "functions"),
            (json!({"functions": functions, "function_call": "required"}), "function_call"),
            (
                json!({"functions": functions, "function_call": {"type": "function"}}),
                "function_call",
            ),
            (json!({"function_call": "auto"}), "function_call"),
            (message(json!({"role": "function", "content": "a"})), "messages[1].name"),
            (
                message(json!({"role": "function", "name": "f", "content": []})),
                "messages[1].content",
            ),
            (
                message(json!({"role": "assistant", "function_call": {"name": "f"}})),
                "messages[1].function_call",
            ),
            (
                message(json!({"role": "assistant", "function_call": call, "tool_calls": []})),
                "messages[1].function_call",
            ),
        ] {
            let error = chat(&extra_fields).unwrap_err();
            assert!(
                matches!(&error, GatewayError::InvalidField { param: found, .. } if found == param),
                "{extra_fields}: {error:?}"
            );
        }
    }
}
