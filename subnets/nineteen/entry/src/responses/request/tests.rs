use super::*;

fn read(extra_fields: &Value) -> Result<(TextRequest, EchoedFields), GatewayError> {
    let mut body = json!({"model": "m", "input": "hello"});
    body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
    parse(body.to_string().as_bytes())
}

fn payload(extra_fields: &Value) -> Map<String, Value> {
    read(extra_fields).unwrap().0.payload.into_map()
}

#[test]
fn inputs_are_converted_to_chat_messages() {
    assert_eq!(payload(&json!({}))["messages"], json!([{"role": "user", "content": "hello"}]));
    let items = json!([
        {"role": "user", "content": [{"type": "input_text", "text": "Weather in "}, {"type": "input_text", "text": "Ulm?"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}", "id": "fc", "status": "completed"},
        {"type": "function_call", "call_id": "c2", "name": "time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    ]);
    let map =
        payload(&json!({"input": items, "instructions": "Be brief.", "max_output_tokens": 9}));
    let function = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}});
    assert_eq!(
        map["messages"],
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather in Ulm?"},
            {"role": "assistant", "content": null, "tool_calls": [function("c1", "weather"), function("c2", "time")]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        ])
    );
    assert_eq!(map["max_tokens"], 9);
}

#[test]
fn images_are_converted_to_chat_parts() {
    let url = "https://example.org/a.png";
    let parts = json!([
        {"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": url, "detail": "low"},
    ]);
    let request = read(&json!({"input": [{"role": "user", "content": parts}]})).unwrap().0;
    assert_eq!(request.image_fields, ["input[0].content[1]"]);
    assert_eq!(
        request.payload.into_map()["messages"][0]["content"],
        json!([
            {"type": "text", "text": "What?"},
            {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
        ])
    );
}

#[test]
fn tools_and_formats_are_converted_to_chat_fields() {
    let tool =
        json!({"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true});
    let format = json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}});
    let extra_fields = json!({"tools": [tool], "tool_choice": {"type": "function", "name": "f"}, "text": {"format": format}});
    let map = payload(&extra_fields);
    let function = json!({"name": "f", "parameters": {"type": "object"}, "strict": true});
    assert_eq!(map["tools"], json!([{"type": "function", "function": function}]));
    assert_eq!(map["tool_choice"], json!({"type": "function", "function": {"name": "f"}}));
    let schema = json!({"name": "n", "schema": {"type": "object"}});
    assert_eq!(map["response_format"], json!({"type": "json_schema", "json_schema": schema}));
    let EchoedFields(echo) = read(&extra_fields).unwrap().1;
    assert_eq!((&echo["tools"][0], &echo["text"]["format"]), (&tool, &format));
}

/// Vercel's AI SDK and LangChain send these fields to models that reason.
#[test]
fn reasoning_is_converted_to_effort() {
    let options = json!({"effort": "low", "summary": "auto"});
    let extra_fields = json!({"reasoning": options, "include": ["reasoning.encrypted_content"]});
    assert_eq!(payload(&extra_fields)["reasoning_effort"], "low");
    let EchoedFields(echo) = read(&extra_fields).unwrap().1;
    assert_eq!(echo["reasoning"], options);
    for extra_fields in
        [json!({}), json!({"reasoning": {"effort": null, "generate_summary": "concise"}})]
    {
        assert_eq!(payload(&extra_fields).get("reasoning_effort"), None);
        let EchoedFields(echo) = read(&extra_fields).unwrap().1;
        assert_eq!(echo["reasoning"], json!({"effort": null, "summary": null}));
    }
}

#[test]
fn verbosity_is_passed_on_and_echoed() {
    for (text, sent) in [
        (json!({"verbosity": "low"}), Some("low")),
        (json!({"format": {"type": "json_object"}, "verbosity": "high"}), Some("high")),
        (json!({"verbosity": null}), None),
    ] {
        let extra_fields = json!({ "text": text });
        assert_eq!(payload(&extra_fields).get("verbosity").and_then(Value::as_str), sent, "{text}");
        let EchoedFields(echo) = read(&extra_fields).unwrap().1;
        assert_eq!(echo["text"].get("verbosity").and_then(Value::as_str), sent, "{text}");
        assert!(echo["text"]["format"]["type"].is_string(), "{echo:?}");
    }
}

#[test]
fn log_probabilities_are_requested_by_either_field() {
    for (extra_fields, wants_logprobs, top) in [
        (json!({}), false, 0),
        (json!({"include": [], "top_logprobs": 0}), false, 0),
        (json!({"include": ["message.output_text.logprobs"]}), true, 0),
        (json!({"include": ["reasoning.encrypted_content"], "top_logprobs": 3}), true, 3),
    ] {
        let (request, EchoedFields(echo)) = read(&extra_fields).unwrap();
        assert_eq!(
            (request.wants_logprobs, &echo["top_logprobs"]),
            (wants_logprobs, &json!(top)),
            "{extra_fields}"
        );
        let map = request.payload.into_map();
        assert_eq!(map.get("top_logprobs").unwrap_or(&json!(0)), &json!(top));
        assert_eq!(map["logprobs"], true);
    }
}

/// Clients send the complete output of earlier responses.
#[test]
fn reasoning_of_earlier_responses_is_left_out() {
    let items = json!([
        {"role": "user", "content": "a"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"role": "user", "content": "c"},
    ]);
    let messages = ["user", "assistant", "user"].iter().zip(["a", "b", "c"]);
    let messages: Vec<Value> =
        messages.map(|(role, content)| json!({"role": role, "content": content})).collect();
    assert_eq!(payload(&json!({"input": items}))["messages"], json!(messages));
}

#[test]
fn function_output_parts_are_joined() {
    let text = |text: &str| json!({"type": "input_text", "text": text});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": [text("rain "), text("all day")]});
    let messages = &payload(&json!({"input": [output]}))["messages"];
    assert_eq!(
        messages[0],
        json!({"role": "tool", "tool_call_id": "c", "content": "rain all day"})
    );
}

#[test]
fn stored_item_reference_is_refused_with_a_hint() {
    let error =
        read(&json!({"input": [{"type": "item_reference", "id": "msg_1"}]})).map(drop).unwrap_err();
    assert!(error.to_string().contains("hint: set store = false in the client"), "{error}");
}

#[test]
fn invalid_field_is_named_in_the_error() {
    let url = "https://example.org/a.png";
    let image = json!({"type": "input_image", "image_url": url});
    for (extra_fields, param) in [
        (json!({"previous_response_id": "resp-1"}), "previous_response_id"),
        (json!({"conversation": "c"}), "conversation"),
        (json!({"prompt": {"id": "p"}}), "prompt"),
        (json!({"store": true}), "store"),
        (json!({"background": true}), "background"),
        (json!({"include": ["file_search_call.results"]}), "include"),
        (json!({"include": "message.output_text.logprobs"}), "include"),
        (json!({"top_logprobs": 21}), "top_logprobs"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"reasoning": "low"}), "reasoning"),
        (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (json!({"reasoning": {"summary": "long"}}), "reasoning.summary"),
        (json!({"reasoning": {"tokens": 9}}), "reasoning.tokens"),
        (json!({"stop": "x"}), "stop"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"input": []}), "input"),
        (json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}), "input[0]"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "a"}]}]}),
            "input[0]",
        ),
        (
            json!({"input": [{"role": "system", "content": [{"type": "input_image", "image_url": url}]}]}),
            "input[0]",
        ),
        (json!({"input": [{"role": "tool", "content": "a"}]}), "input[0]"),
        (json!({"input": [{"type": "reasoning"}]}), "input"),
        (json!({"input": [{"type": "computer_call"}]}), "input[0]"),
        (json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "input[0]"),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "c", "output": [image]}]}),
            "input[0]",
        ),
        (json!({"instructions": 7}), "instructions"),
        (json!({"tools": [{"type": "web_search"}]}), "tools"),
        (json!({"tool_choice": {"type": "file_search"}}), "tool_choice"),
        (json!({"text": {"tone": "low"}}), "text"),
        (json!({"text": {"verbosity": "loud"}}), "text.verbosity"),
        (json!({"text": {"format": {"type": "grammar"}}}), "text.format"),
        (json!({"metadata": {"a": 1}}), "metadata"),
        (json!({"max_tool_calls": 2}), "max_tool_calls"),
        (json!({"temperature": 9}), "temperature"),
    ] {
        let error = read(&extra_fields).map(drop).unwrap_err();
        let GatewayError::InvalidField { param: found, .. } = &error else { panic!("{error:?}") };
        assert_eq!(found, param, "{error}");
    }
}
