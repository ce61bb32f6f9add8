use serde_json::json;
use taonet_nineteen_core::payload::MAX_SEED;

use super::*;

fn chat(extra_fields: &Value) -> Result<TextRequest, GatewayError> {
    let mut body = json!({"model": "chat-a", "messages": [{"role": "user", "content": "hello"}]});
    body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
    TextRequest::parse_chat(body.to_string().as_bytes())
}

#[test]
fn buyer_temperature_seed_and_max_tokens_are_kept() {
    let request = chat(&json!({"temperature": 0.1, "seed": 7, "max_tokens": 9})).unwrap();
    let map = request.payload.into_map();
    assert_eq!(
        (&map["temperature"], &map["seed"], &map["max_tokens"]),
        (&json!(0.1), &json!(7), &json!(9))
    );
}

/// A seed in the range of synthetic requests reaches the miner unchanged; any other is mapped into
/// that range, equal seeds to equal ones.
#[test]
fn any_integer_seed_is_mapped_to_a_valid_seed() {
    let seed = |seed: Value| chat(&json!({"seed": seed})).map(|request| request.payload.seed);
    assert_eq!([1, 100_000_000].map(|number| seed(json!(number)).unwrap()), [1, 100_000_000]);
    assert_eq!(seed(json!(0)), Ok(1));
    for other in [
        json!(null),
        json!(-7),
        json!(100_000_001),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e300),
    ] {
        assert!((1..=MAX_SEED).contains(&seed(other.clone()).unwrap()), "{other}");
        assert!(other.is_null() || seed(other.clone()) == seed(other));
    }
    assert_ne!(seed(json!(-7)), seed(json!(-8)));
    for refused in [json!("7"), json!(0.5), json!([1])] {
        let error = seed(refused.clone()).unwrap_err();
        assert_eq!(error, GatewayError::field("seed", "seed must be an integer"), "{refused}");
    }
}

#[test]
fn common_sampling_parameters_are_passed_on() {
    let options = json!({"top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1, "reasoning_effort": "low",
        "verbosity": "high"});
    let map = chat(&options).unwrap().payload.into_map();
    for (name, value) in options.as_object().unwrap() {
        assert_eq!(&map[name], value, "{name}");
    }
    let subnormal = json!({"repetition_penalty": f64::MIN_POSITIVE / 2.0});
    assert_eq!(
        chat(&subnormal).unwrap().payload.into_map()["repetition_penalty"],
        subnormal["repetition_penalty"]
    );
    for (top_k, sent) in [(json!(-1), 1_000_000), (json!(0), 1_000_000), (json!(7.0), 7)] {
        assert_eq!(chat(&json!({ "top_k": top_k })).unwrap().payload.into_map()["top_k"], sent);
    }
    // The default is the value in synthetic requests.
    assert_eq!(chat(&json!({})).unwrap().payload.into_map()["top_k"], 5);
    let ignored =
        json!({"metadata": {"order": "7"}, "modalities": ["text"], "prompt_cache_key": "a"});
    let map = chat(&ignored).unwrap().payload.into_map();
    assert!(ignored.as_object().unwrap().keys().all(|name| !map.contains_key(name)));
    let cache_key = |key: Value| chat(&json!({ "prompt_cache_key": key })).unwrap().cache_key;
    assert!(cache_key(json!("a")).is_some() && cache_key(json!("a")) == cache_key(json!("a")));
    assert_ne!(cache_key(json!("a")), cache_key(json!("b")));
    assert_eq!((cache_key(json!(7)), cache_key(Value::Null)), (None, None));
    let response = json!({"model": "m", "input": "a", "prompt_cache_key": "a"}).to_string();
    assert_eq!(
        crate::responses::parse(response.as_bytes()).unwrap().0.cache_key,
        cache_key(json!("a"))
    );
}

#[test]
fn sampling_parameters_of_vllm_are_passed_on() {
    let options = json!({
        "min_tokens": 5, "ignore_eos": true, "include_stop_str_in_output": true, "skip_special_tokens": false,
        "spaces_between_special_tokens": false, "length_penalty": 0.8, "stop_token_ids": [0, 128_009],
        "allowed_token_ids": [1, 2.0], "bad_words": ["one", "two"], "truncate_prompt_tokens": -1,
        "chat_template_kwargs": {"enable_thinking": false},
    });
    let schema = json!({"type": "object"});
    let constraints = [
        json!({"structured_outputs": {"json": schema, "disable_fallback": true, "whitespace_pattern": " "}}),
        json!({"structured_outputs": {"json": "{}"}}),
        json!({"structured_outputs": {"choice": ["a", "b"]}}),
        json!({"structured_outputs": {"json_object": true}}),
        json!({"structured_outputs": {"grammar": "root ::= \"a\""}}),
        json!({"structured_outputs": {"structural_tag": "{}"}}),
        json!({"guided_json": schema, "guided_whitespace_pattern": " ", "guided_decoding_backend": "auto"}),
        json!({"guided_regex": "a+"}),
        json!({"guided_choice": ["a", "b"]}),
        json!({"guided_grammar": "root ::= \"a\""}),
    ];
    for sent in std::iter::once(&options).chain(&constraints) {
        let request = chat(sent).unwrap();
        assert_eq!(request.min_tokens, sent["min_tokens"].as_u64().unwrap_or(0));
        let map = request.payload.into_map();
        for (name, value) in sent.as_object().unwrap() {
            assert_eq!(&map[name], value, "{name}");
        }
    }
    // The defaults, which change nothing.
    let defaults = json!({
        "min_tokens": 0, "use_beam_search": false, "structured_outputs": null, "guided_json": null,
        "chat_template_kwargs": null,
    });
    assert!(chat(&defaults).unwrap().payload.extra_fields.is_empty());
    let template = json!({"chat_template_kwargs": {"chat_template": null, "tokenize": null, "thinking": true}});
    assert_eq!(
        chat(&template).unwrap().payload.into_map()["chat_template_kwargs"],
        json!({"thinking": true})
    );
    // The options of a chat's template are not options of a completion.
    let body = json!({"model": "m", "prompt": "a", "chat_template_kwargs": {"thinking": true}})
        .to_string();
    let error = TextRequest::parse_completion(body.as_bytes()).unwrap_err();
    assert!(
        matches!(&error, GatewayError::InvalidField { param, .. } if param == "chat_template_kwargs"),
        "{error:?}"
    );
}

#[test]
fn total_tokens_of_all_answers_are_limited() {
    for (options, is_valid) in [
        (json!({"n": 128}), true),
        (json!({"n": 128, "max_tokens": 2_048}), true),
        (json!({"n": 128, "max_tokens": 2_049}), false),
        (json!({"n": 8, "max_tokens": 32_768}), true),
        (json!({"n": 128, "min_tokens": 2_049}), false),
    ] {
        assert_eq!(chat(&options).is_ok(), is_valid, "{options}");
    }
}

/// The gateway holds a document in memory, with the alternatives of each token.
#[test]
fn log_probabilities_lower_the_token_limit_of_documents() {
    let result_with = |n: u64, top: u64, max_tokens: u64, streams: bool| {
        let options = json!({"n": n, "logprobs": true, "top_logprobs": top, "max_tokens": max_tokens,
                             "stream": streams});
        chat(&options).map(drop)
    };
    assert_eq!(result_with(8, 20, 32_768, false), Ok(()));
    assert_eq!(result_with(128, 20, 97, false), Ok(()));
    assert_eq!(result_with(128, 20, 2_048, true), Ok(()));
    assert_eq!(result_with(128, 0, 2_048, false), Ok(()));
    for (n, top, max_tokens) in [(128, 20, 98), (9, 20, 1_388), (128, 1, 1_025)] {
        let error = result_with(n, top, max_tokens, false).unwrap_err();
        let GatewayError::InvalidField { param, message } = &error else { panic!("{error:?}") };
        assert!(param == "n" && message.contains("log-probabilities"), "{message}");
    }
    let completion = |max_tokens: u64| {
        let body =
            json!({"model": "a", "prompt": "a", "n": 128, "logprobs": 5, "max_tokens": max_tokens});
        TextRequest::parse_completion(body.to_string().as_bytes()).is_ok()
    };
    assert!(completion(341) && !completion(342));
}

/// A part that is neither text nor image is refused, and the error names its position.
#[test]
fn message_parts_are_texts_and_images() {
    let text = json!({"type": "text", "text": "hello"});
    let request_with_parts = |parts: Value| {
        let earlier = json!({"role": "system", "content": "Be brief."});
        chat(&json!({"messages": [earlier, {"role": "user", "content": parts}]}))
    };
    let parts = json!([text, text]);
    assert_eq!(
        request_with_parts(parts.clone()).unwrap().payload.into_map()["messages"][1]["content"],
        parts
    );
    let image =
        json!({"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ"}});
    let parts = json!([image, text, image]);
    let request = request_with_parts(parts.clone()).unwrap();
    assert_eq!(request.image_fields, ["messages[1].content[0]", "messages[1].content[2]"]);
    assert_eq!(request.payload.into_map()["messages"][1]["content"], parts);
    let error_param = |error: GatewayError| match error {
        GatewayError::InvalidField { param, .. } => param,
        error => panic!("{error:?}"),
    };
    assert_eq!(
        error_param(request_with_parts(json!(vec![image.clone(); 9])).unwrap_err()),
        "messages[1].content[8]"
    );
    let assistant_image = json!({"messages": [{"role": "assistant", "content": [image]}]});
    assert_eq!(error_param(chat(&assistant_image).unwrap_err()), "messages[0].content[0]");
    for other in [
        json!({"type": "image_url", "image_url": {"url": "http://example.com/a.png"}}),
        json!({"type": "image_url", "image_url": "https://example.com/a.png"}),
        json!({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}),
        json!({"type": "file", "file": {"file_id": "a"}}),
        json!({"type": "text"}),
        json!({"type": "text", "text": 7}),
        json!("hello"),
    ] {
        assert_eq!(
            error_param(request_with_parts(json!([text, other])).unwrap_err()),
            "messages[1].content[1]",
            "{other}"
        );
    }
}

#[test]
fn chat_options_are_forwarded_except_the_user() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let options = json!({"tools": tools, "stop": ["x"], "response_format": {"type": "json_object"}, "user": "me"});
    let map = chat(&options).unwrap().payload.into_map();
    assert_eq!((&map["tools"], &map["stop"]), (&tools, &json!(["x"])));
    assert!(map.get("user").is_none() && map["response_format"].is_object());
}

#[test]
fn invalid_field_is_named_in_the_error() {
    for (extra_fields, param) in [
        (json!({"modalities": ["audio"]}), "modalities"),
        (json!({"n": 0}), "n"),
        (json!({"n": 129}), "n"),
        (json!({"n": 9, "max_tokens": 30_000}), "n"),
        (json!({"n": 9, "min_tokens": 30_000}), "n"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"temperature": 3}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": 1e9}), "max_tokens"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"seed": 1.5}), "seed"),
        (json!({"top_k": -2}), "top_k"),
        (json!({"top_k": 0.5}), "top_k"),
        (json!({"min_p": 1.5}), "min_p"),
        (json!({"repetition_penalty": 0}), "repetition_penalty"),
        (json!({"repetition_penalty": -0.0}), "repetition_penalty"),
        (json!({"ignore_eos": 1}), "ignore_eos"),
        (json!({"skip_special_tokens": "no"}), "skip_special_tokens"),
        (json!({"min_tokens": -1}), "min_tokens"),
        (json!({"min_tokens": 32_769}), "min_tokens"),
        (json!({"min_tokens": 6, "max_tokens": 5}), "min_tokens"),
        (json!({"length_penalty": 11}), "length_penalty"),
        (json!({"stop_token_ids": []}), "stop_token_ids"),
        (json!({"stop_token_ids": 7}), "stop_token_ids"),
        (json!({"stop_token_ids": [-1]}), "stop_token_ids"),
        (json!({"allowed_token_ids": vec![7; 4_097]}), "allowed_token_ids"),
        (json!({"allowed_token_ids": [0.5]}), "allowed_token_ids"),
        (json!({"allowed_token_ids": [1_000_001]}), "allowed_token_ids"),
        (json!({"bad_words": "a"}), "bad_words"),
        (json!({"bad_words": [""]}), "bad_words"),
        (json!({"truncate_prompt_tokens": 0}), "truncate_prompt_tokens"),
        (json!({"truncate_prompt_tokens": -2}), "truncate_prompt_tokens"),
        (json!({"use_beam_search": true}), "use_beam_search"),
        (json!({"prompt_logprobs": 1}), "prompt_logprobs"),
        (json!({"chat_template": "{{ x }}"}), "chat_template"),
        (json!({"chat_template_kwargs": []}), "chat_template_kwargs"),
        (
            json!({"chat_template_kwargs": {"chat_template": "x"}}),
            "chat_template_kwargs.chat_template",
        ),
        (json!({"chat_template_kwargs": {"tokenize": true}}), "chat_template_kwargs.tokenize"),
        (json!({"structured_outputs": "a+"}), "structured_outputs"),
        (json!({"structured_outputs": {}}), "structured_outputs"),
        (json!({"structured_outputs": {"regex": "a", "json": {}}}), "structured_outputs"),
        (json!({"structured_outputs": {"regex": 7}}), "structured_outputs"),
        (json!({"structured_outputs": {"json_object": false}}), "structured_outputs"),
        (json!({"structured_outputs": {"choice": []}}), "structured_outputs"),
        (json!({"structured_outputs": {"lark": "a"}}), "structured_outputs"),
        (
            json!({"structured_outputs": {"regex": "a", "whitespace_pattern": 1}}),
            "structured_outputs",
        ),
        (
            json!({"structured_outputs": {"regex": "a", "disable_fallback": "no"}}),
            "structured_outputs",
        ),
        (json!({"guided_json": 7}), "guided_json"),
        (json!({"guided_regex": ""}), "guided_regex"),
        (json!({"guided_choice": "a"}), "guided_choice"),
        (json!({"guided_grammar": {}}), "guided_grammar"),
        (json!({"guided_decoding_backend": 1}), "guided_decoding_backend"),
        (json!({"guided_json": {}, "guided_regex": "a"}), "guided_regex"),
        (json!({"structured_outputs": {"regex": "a"}, "guided_choice": ["a"]}), "guided_choice"),
        (json!({"model": 7}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "god", "content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 7}]}), "messages[0].content"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (json!({"stream": true, "stream_options": {"speed": 1}}), "stream_options.speed"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs"),
        (
            json!({"stream": true, "stream_options": {"include_usage": "yes"}}),
            "stream_options.include_usage",
        ),
        (
            json!({"stream": true, "stream_options": {"include_obfuscation": true}}),
            "stream_options.include_obfuscation",
        ),
        (json!({"max_tokens": 5, "max_completion_tokens": 6}), "max_tokens"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
        (json!({"stop": 7}), "stop"),
        (json!({"tools": []}), "tools"),
        (json!({"tools": [7]}), "tools"),
        (json!({"tool_choice": "sometimes"}), "tool_choice"),
        (json!({"parallel_tool_calls": 1}), "parallel_tool_calls"),
        (json!({"response_format": "json"}), "response_format"),
        (json!({"frequency_penalty": 2.5}), "frequency_penalty"),
        (json!({"logit_bias": {"1": 101}}), "logit_bias"),
        (json!({"store": true}), "store"),
        (json!({"metadata": {"a": 7}}), "metadata"),
        (json!({"metadata": "a"}), "metadata"),
        (json!({"service_tier": "flex"}), "service_tier"),
        (json!({"reasoning_effort": "huge"}), "reasoning_effort"),
        (json!({"verbosity": "loud"}), "verbosity"),
    ] {
        let error = chat(&extra_fields).unwrap_err();
        assert!(
            matches!(&error, GatewayError::InvalidField { param: found, .. } if found == param),
            "{extra_fields}: {error:?}"
        );
    }
    for body in ["", "[]", "7", "{"] {
        assert!(
            matches!(TextRequest::parse_chat(body.as_bytes()), Err(GatewayError::InvalidBody(_))),
            "{body}"
        );
    }
}

#[test]
fn integers_may_have_a_zero_fraction() {
    for (value, expected) in [
        (json!(24), Some(24)),
        (json!(24.0), Some(24)),
        (json!(-0.0), Some(0)),
        (json!(i64::MIN), Some(i64::MIN)),
        (json!(9.3e18), None),
        (serde_json::from_str("-9223372036854775809").unwrap(), None),
        (json!(u64::MAX), None),
        (json!(0.5), None),
        (json!("1"), None),
    ] {
        assert_eq!(as_integer(&value), expected, "{value}");
    }
}

#[test]
fn null_fields_count_as_absent() {
    let nulls = json!({"n": null, "stop": null, "seed": null, "stream": null, "tools": null, "modalities": null});
    let request = chat(&nulls).unwrap();
    assert!(!request.streams && request.payload.extra_fields.is_empty());
}

#[test]
fn completion_prompts_are_parsed_as_text_or_list() {
    let read = |body: Value| TextRequest::parse_completion(body.to_string().as_bytes());
    let request = read(json!({"model": "a", "prompt": ["x"], "logprobs": 1})).unwrap();
    assert!(request.wants_logprobs && request.extra_prompts.is_empty());
    let several =
        read(json!({"model": "a", "prompt": ["x", "y", ""], "n": 2, "best_of": 3, "echo": true}))
            .unwrap();
    assert_eq!(
        (several.extra_prompts.as_slice(), several.echoed_prompts()),
        (&["y".to_owned(), String::new()][..], vec!["x".to_owned(), "y".to_owned(), String::new()])
    );
    assert_eq!(
        (several.prompt_count(), several.answer_count(), several.choices_per_prompt),
        (3, 9, 2)
    );
    assert!(request.echoed_prompts().is_empty());
    let maximum =
        read(json!({"model": "a", "prompt": "x", "logprobs": 5})).unwrap().payload.into_map();
    assert_eq!(maximum["logprobs"], 5);
    assert_eq!(request.payload.input, TextInput::Prompt("x".to_owned()));
    for (extra_fields, choices, answers) in [
        (json!({}), 1, 1),
        (json!({"n": 2}), 2, 2),
        (json!({"best_of": 3}), 1, 3),
        (json!({"n": 2, "best_of": 3}), 2, 3),
        (json!({"best_of": 1, "stream": true}), 1, 1),
    ] {
        let mut body = json!({"model": "a", "prompt": "x"});
        body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
        let request = read(body).unwrap();
        assert_eq!(
            (request.choices_per_prompt, request.answers_per_prompt),
            (choices, answers),
            "{extra_fields}"
        );
        assert!(!request.payload.into_map().contains_key("best_of"));
    }
    for (body, param) in [
        (json!({"model": "a"}), "prompt"),
        (json!({"model": "a", "prompt": []}), "prompt"),
        (json!({"model": "a", "prompt": ["x", 7]}), "prompt"),
        (json!({"model": "a", "prompt": [7, 8]}), "prompt"),
        (json!({"model": "a", "prompt": vec!["x"; 129]}), "prompt"),
        (json!({"model": "a", "prompt": vec!["x"; 65], "n": 2}), "prompt"),
        (json!({"model": "a", "prompt": vec!["x"; 64], "max_tokens": 4_097}), "prompt"),
        (json!({"model": "a", "prompt": "x", "echo": true, "logprobs": 0}), "echo"),
        (json!({"model": "a", "prompt": "x", "echo": 1}), "echo"),
        (json!({"model": "a", "prompt": "x", "suffix": "y"}), "suffix"),
        (json!({"model": "a", "prompt": "x", "best_of": 0}), "best_of"),
        (json!({"model": "a", "prompt": "x", "best_of": 129}), "best_of"),
        (json!({"model": "a", "prompt": "x", "best_of": 9, "max_tokens": 32_768}), "best_of"),
        (json!({"model": "a", "prompt": "x", "n": 3, "best_of": 2}), "best_of"),
        (json!({"model": "a", "prompt": "x", "best_of": 2, "stream": true}), "best_of"),
        (json!({"model": "a", "prompt": "x", "tools": [{"type": "function"}]}), "tools"),
        (json!({"model": "a", "prompt": "x", "logprobs": 6}), "logprobs"),
    ] {
        let error = read(body).unwrap_err();
        assert!(
            matches!(&error, GatewayError::InvalidField { param: found, .. } if found == param),
            "{error:?}"
        );
    }
}
