use super::*;

fn body(extra_fields: &Value) -> Vec<u8> {
    let mut body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
    body.to_string().into_bytes()
}

fn payload(extra_fields: &Value) -> Map<String, Value> {
    parse(&body(extra_fields)).unwrap().0.payload.into_map()
}

#[test]
fn messages_are_converted_to_chat_messages() {
    assert_eq!(payload(&json!({}))["messages"], json!([{"role": "user", "content": "hello"}]));
    let messages = json!([
        {"role": "user", "content": [
            {"type": "text", "text": "Weather in", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Ulm?"},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"town": "Ulm"}},
            {"type": "tool_use", "id": "c2", "name": "time", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "text", "text": "And tomorrow?"},
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "rain"}]},
            {"type": "tool_result", "tool_use_id": "c2", "is_error": true, "content": "no clock"},
        ]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c3", "name": "time", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c3"}]},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
        {"role": "system", "content": "Be quick."},
        {"role": "user", "content": ""},
    ]);
    let system =
        json!([{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]);
    let map = payload(&json!({"messages": messages, "system": system}));
    assert_eq!(
        map["messages"],
        json!([
            {"role": "system", "content": "Be brief.\nBe kind."},
            {"role": "user", "content": "Weather in\nUlm?"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [
                tool_call("c1", "weather", "{\"town\":\"Ulm\"}"), tool_call("c2", "time", "{}"),
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "rain"},
            {"role": "tool", "tool_call_id": "c2", "content": "Error: no clock"},
            {"role": "user", "content": "And tomorrow?"},
            {"role": "assistant", "content": null, "tool_calls": [tool_call("c3", "time", "{}")]},
            {"role": "tool", "tool_call_id": "c3", "content": ""},
            {"role": "assistant", "content": ""},
            {"role": "system", "content": "Be quick."},
            {"role": "user", "content": ""},
        ])
    );
    assert_eq!((&map["max_tokens"], &map["stream"]), (&json!(9), &json!(true)));
}

#[test]
fn options_are_converted_to_chat_options() {
    let tool = json!({"name": "f", "description": "d", "input_schema": {"type": "object"}, "type": "custom",
        "cache_control": {"type": "ephemeral"}});
    let schema = json!({"type": "object"});
    let options = json!({
        "tools": [tool], "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true},
        "stop_sequences": ["END"], "temperature": 0.5, "top_k": 7, "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": schema}},
        "metadata": {"user_id": "u"}, "service_tier": "auto", "cache_control": {"type": "ephemeral"}, "stream": true,
    });
    let (request, read) = parse(&body(&options)).unwrap();
    assert!(request.streams);
    assert_eq!(
        read,
        MessageOptions { stop_sequences: vec!["END".to_owned()], wants_reasoning: true }
    );
    let map = request.payload.into_map();
    let function = json!({"name": "f", "description": "d", "parameters": {"type": "object"}});
    for (name, expected) in [
        ("tools", json!([{"type": "function", "function": function}])),
        ("tool_choice", json!({"type": "function", "function": {"name": "f"}})),
        ("parallel_tool_calls", json!(false)),
        ("stop", json!(["END"])),
        ("temperature", json!(0.5)),
        ("top_k", json!(7)),
        ("reasoning_effort", json!("xhigh")),
        (
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}),
        ),
    ] {
        assert_eq!(map[name], expected, "{name}");
    }
    for name in ["metadata", "service_tier", "cache_control", "thinking", "system"] {
        assert!(!map.contains_key(name), "{name}");
    }
    for (choice, expected) in [("auto", "auto"), ("any", "required"), ("none", "none")] {
        assert_eq!(payload(&json!({"tool_choice": {"type": choice}}))["tool_choice"], expected);
    }
    let defaults =
        parse(&body(&json!({"stop_sequences": [], "tools": [], "thinking": {"type": "disabled"}})))
            .unwrap();
    assert!(defaults.0.payload.extra_fields.is_empty() && !defaults.1.wants_reasoning);
}

#[test]
fn images_are_converted_to_chat_parts() {
    let base64 = json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"});
    let url = json!({"type": "url", "url": "https://example.org/a.png"});
    let messages = json!([{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c", "content": "a"}, {"type": "image", "source": base64},
        {"type": "text", "text": "Compare:"}, {"type": "image", "source": url},
    ]}]);
    let (request, _) = parse(&body(&json!({"messages": messages}))).unwrap();
    assert_eq!(request.image_fields, ["messages[0].content[1]", "messages[0].content[3]"]);
    assert_eq!(
        request.payload.into_map()["messages"],
        json!([
            {"role": "tool", "tool_call_id": "c", "content": "a"},
            {"role": "user", "content": [
                image_part("data:image/jpeg;base64,/9j/4AAQ"), {"type": "text", "text": "Compare:"},
                image_part("https://example.org/a.png"),
            ]},
        ])
    );
}

#[test]
fn count_tokens_request_needs_no_max_tokens() {
    let body_without_max_tokens =
        json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).to_string();
    assert_eq!(parse_count(body_without_max_tokens.as_bytes()).unwrap().max_tokens, None);
    let error = parse(body_without_max_tokens.as_bytes()).unwrap_err();
    assert!(
        matches!(&error, GatewayError::InvalidField { param, .. } if param == "max_tokens"),
        "{error:?}"
    );
}

#[test]
fn max_tokens_above_the_maximum_is_ignored() {
    let limit = |max_tokens: Value| {
        let body = json!({"model": "m", "max_tokens": max_tokens, "messages": [{"role": "user", "content": "hello"}]});
        let body = body.to_string();
        let limit = parse(body.as_bytes()).map(|(request, _)| request.max_tokens);
        assert_eq!(parse_count(body.as_bytes()).map(|request| request.max_tokens), limit);
        limit
    };
    assert_eq!(limit(json!(32_768)).unwrap(), Some(32_768));
    for large in [json!(32_769), json!(128_000), json!(1e30)] {
        assert_eq!(limit(large).unwrap(), None);
    }
    limit(json!(40_000.5)).unwrap_err();
}

#[test]
fn invalid_field_is_named_in_the_error() {
    let user = |blocks: Value| json!({"messages": [{"role": "user", "content": blocks}]});
    let assistant = |block: Value| json!({"messages": [{"role": "assistant", "content": [block]}]});
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}});
    for (extra_fields, param) in [
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"model": ""}), "model"),
        (json!({"system": 7}), "system"),
        (json!({"system": [{"type": "image"}]}), "system"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hello"}), "messages"),
        (json!({"messages": ["hello"]}), "messages[0].content"),
        (json!({"messages": [{"role": "tool", "content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "assistant", "content": "The answer is"}]}), "messages"),
        (user(json!(null)), "messages[0].content"),
        (user(json!([])), "messages[0].content"),
        (user(json!(["hello"])), "messages[0].content[0]"),
        (user(json!([{"type": "text", "text": "a"}, image])), "messages[0].content[1]"),
        (
            user(json!([{"type": "image", "source": {"type": "file", "file_id": "a"}}])),
            "messages[0].content[0]",
        ),
        (user(json!([{"type": "document", "source": {"type": "text"}}])), "messages[0].content[0]"),
        (user(json!([{"type": "text"}])), "messages[0].content[0]"),
        (
            user(json!([{"type": "tool_use", "id": "a", "name": "f", "input": {}}])),
            "messages[0].content[0]",
        ),
        (user(json!([{"type": "tool_result", "content": "a"}])), "messages[0].content[0]"),
        (
            user(json!([{"type": "tool_result", "tool_use_id": "a", "content": [image]}])),
            "messages[0].content[0]",
        ),
        (
            assistant(json!({"type": "tool_use", "id": "a", "name": "f", "input": "{}"})),
            "messages[0].content[0]",
        ),
        (assistant(json!({"type": "tool_result", "tool_use_id": "a"})), "messages[0].content[0]"),
        (json!({"messages": [{"role": "system", "content": [image]}]}), "messages[0].content[0]"),
        (json!({"tools": {}}), "tools"),
        (json!({"tools": [{"name": "f"}]}), "tools"),
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "tools"),
        (json!({"tool_choice": "auto"}), "tool_choice"),
        (json!({"tool_choice": {"type": "tool"}}), "tool_choice"),
        (
            json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}}),
            "tool_choice.disable_parallel_tool_use",
        ),
        (json!({"stop_sequences": "END"}), "stop_sequences"),
        (json!({"stop_sequences": ["a", "b", "c", "d", "e"]}), "stop_sequences"),
        (json!({"stop_sequences": [""]}), "stop_sequences"),
        (json!({"thinking": {"type": "always"}}), "thinking"),
        (json!({"thinking": true}), "thinking"),
        (json!({"thinking": {"type": "enabled", "display": "all"}}), "thinking.display"),
        (json!({"speed": "fast"}), "speed"),
        (json!({"output_config": "json"}), "output_config"),
        (json!({"output_config": {"effort": "huge"}}), "output_config.effort"),
        (json!({"output_config": {"format": {"type": "json_schema"}}}), "output_config.format"),
        (json!({"output_config": {"verbosity": 1}}), "output_config.verbosity"),
        (json!({"metadata": {"user_id": 7}}), "metadata"),
        (json!({"service_tier": "flex"}), "service_tier"),
        (json!({"temperature": 9}), "temperature"),
        (json!({"top_k": -2}), "top_k"),
        (json!({"container": "c"}), "container"),
        // Fields of chat completions that this protocol lacks.
        (json!({"n": 1}), "n"),
        (json!({"stop": "x"}), "stop"),
        (json!({"max_completion_tokens": 9}), "max_completion_tokens"),
        (json!({"response_format": {"type": "text"}}), "response_format"),
        (json!({"reasoning_effort": "low"}), "reasoning_effort"),
        (json!({"parallel_tool_calls": true}), "parallel_tool_calls"),
    ] {
        let error = parse(&body(&extra_fields)).map(drop).unwrap_err();
        let GatewayError::InvalidField { param: named, .. } = &error else { panic!("{error:?}") };
        assert_eq!(named, param, "{extra_fields}: {error}");
    }
    assert!(matches!(parse(b"[]").map(drop), Err(GatewayError::InvalidBody(_))));
}

/// Templates of many models require that the roles alternate.
#[test]
fn consecutive_messages_of_one_role_are_merged() {
    let image =
        json!({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}});
    let messages = json!([
        {"role": "user", "content": "One."},
        {"role": "user", "content": [image]},
        {"role": "assistant", "content": "Let me see."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": "And"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "a"}]},
        {"role": "user", "content": "two?"},
    ]);
    let request = parse(&body(&json!({ "messages": messages }))).unwrap().0;
    assert_eq!(request.image_fields, ["messages[1].content[0]"]);
    let one = json!({"type": "text", "text": "One."});
    assert_eq!(
        request.payload.into_map()["messages"],
        json!([
            {"role": "user", "content": [one, image_part("https://example.org/a.png")]},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [tool_call("c", "f", "{}")]},
            {"role": "tool", "tool_call_id": "c", "content": "a"},
            {"role": "user", "content": "And\ntwo?"},
        ])
    );
    // Errors name the field in the request.
    let messages = json!([{"role": "user", "content": "a"}, {"role": "user", "content": ["b"]}]);
    let error = parse(&body(&json!({ "messages": messages }))).map(drop).unwrap_err();
    assert!(
        matches!(&error, GatewayError::InvalidField { param, .. } if param == "messages[1].content[0]"),
        "{error:?}"
    );
}

/// Claude Code sends such fields.
#[test]
fn fields_without_effect_are_ignored() {
    let edits = json!({"edits": [{"type": "clear_tool_uses_20250919"}]});
    let extra_fields = json!({
        "context_management": edits, "diagnostics": {"a": 1}, "inference_geo": "us", "speed": "standard",
        "user_profile_id": "a", "cache_control": {"type": "ephemeral"},
    });
    let (request, _) = parse(&body(&extra_fields)).unwrap();
    let TextRequest { payload, .. } = parse(&body(&json!({}))).unwrap().0;
    assert_eq!(request.payload.extra_fields, payload.extra_fields);
}

#[test]
fn reasoning_is_shown_unless_it_is_omitted() {
    for (thinking, is_shown) in [
        (json!({"type": "between_tools"}), true),
        (json!({"type": "adaptive", "display": "summarized"}), true),
        (json!({"type": "adaptive", "display": null}), true),
        (json!({"type": "adaptive", "display": "omitted"}), false),
        (json!({"type": "disabled", "display": "summarized"}), false),
    ] {
        let (_, options) = parse(&body(&json!({ "thinking": thinking }))).unwrap();
        assert_eq!(options.wants_reasoning, is_shown, "{thinking}");
    }
}
