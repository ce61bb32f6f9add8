use super::*;

fn config_error(from: &str, to: &str) -> String {
    let text = DEFAULT_TOML.replacen(from, to, 1);
    assert_ne!(text, DEFAULT_TOML, "{from} is not in the file");
    MarketConfig::from_toml(&text).unwrap_err().to_string()
}

#[test]
#[rustfmt::skip]
fn default_tasks_begin_with_the_reference_tasks() {
    let config = MarketConfig::default();
    let table = [
        ("chat-llama-3-2-3b",           "text",  120_000.0, 300.0, 0.05,  2.0, true,  "/chat/completions"),
        ("chat-llama-3-1-70b",          "text",  120_000.0, 300.0, 0.20,  2.0, true,  "/chat/completions"),
        ("chat-llama-3-1-8b",           "text",  120_000.0, 300.0, 0.15,  2.0, true,  "/chat/completions"),
        ("proteus-text-to-image",       "image",     800.0,  10.0, 0.10,  5.0, false, "/text-to-image"),
        ("proteus-image-to-image",      "image",     800.0,  10.0, 0.05, 20.0, false, "/image-to-image"),
        ("flux-schnell-text-to-image",  "image",   2_100.0,  10.0, 0.15, 20.0, false, "/text-to-image"),
        ("flux-schnell-image-to-image", "image",     800.0,  10.0, 0.05, 15.0, false, "/image-to-image"),
        ("avatar",                      "image",     800.0,  10.0, 0.15, 15.0, false, "/avatar"),
        ("dreamshaper-text-to-image",   "image",     800.0,  10.0, 0.05,  5.0, false, "/text-to-image"),
        ("dreamshaper-image-to-image",  "image",     800.0,  10.0, 0.05, 15.0, false, "/image-to-image"),
    ];
    let (reference, additional) = config.tasks.split_at(table.len());
    for (task, row) in reference.iter().zip(table) {
        let kind = serde_json::to_value(task.task_type).unwrap();
        let actual = (
            task.task.as_str(), kind.as_str().unwrap(), task.max_capacity, task.volume_to_requests_conversion,
            task.weight, task.timeout.get(), task.is_stream, task.endpoint.path(),
        );
        assert_eq!(actual, row);
    }
    let sum: f64 = reference.iter().map(|task| task.weight).sum();
    assert!((sum - 1.0).abs() < 1e-12);
    let additional: Vec<_> =
        additional.iter().map(|task| (task.task.as_str(), task.endpoint, task.weight)).collect();
    assert_eq!(
        additional,
        [("chat-llama-3-1-8b-comp", Endpoint::Completions, 0.02), ("embed-bge-m3", Endpoint::Embeddings, 0.02)]
    );
}

#[test]
fn period_of_the_market_follows_its_profile() {
    assert_eq!(MarketConfig::default().period().get(), 1_800.0);
    let seed = DEFAULT_TOML
        .replace("period_profile = \"reference\"", "period_profile = \"seed\"")
        .replace("\nperiod = 1800", "");
    let config = MarketConfig::from_toml(&seed).unwrap();
    assert_eq!((config.period().get(), config.period_multiplier()), (3_600.0, 2.0));
}

#[test]
fn invalid_market_field_is_named_in_the_error() {
    for (from, to, message) in [
        (
            "max_capacity = 800",
            "max_capacity = -1",
            "tasks[3].max_capacity is -1; hint: use a number above 0",
        ),
        (
            "max_capacity = 800",
            "max_capacity = \"many\"",
            "tasks[3].max_capacity: invalid type: string \"many\", expected f64",
        ),
        (
            "volume_to_requests_conversion = 300",
            "volume_to_requests_conversion = 0",
            "tasks[0].volume_to_requests_conversion is 0",
        ),
        ("weight = 0.05", "weight = nan", "tasks[0].weight is NaN"),
        ("timeout = 2", "timeout = 0", "tasks[0].timeout is 0"),
        (
            "/chat/completions",
            "/avatar",
            "tasks[0].endpoint is /avatar; hint: use a route of the task's type",
        ),
        ("/chat/completions", "/nowhere", "tasks[0].endpoint: unknown variant `/nowhere`"),
        (
            "task = \"avatar\"",
            "task = \"proteus-text-to-image\"",
            "tasks[7].task is proteus-text-to-image; hint: name each task once",
        ),
        (
            "task = \"avatar\"",
            "task = \"An Avatar\"",
            "tasks[7].task: \"An Avatar\" is not a task name",
        ),
        (
            "is_stream = true",
            "is_stream = true\nis_streem = true",
            "tasks[0].is_streem: unknown field `is_streem`",
        ),
        ("is_stream = true\n", "", "tasks[0]: missing field `is_stream`"),
        ("period = 1800", "period = 0", "period is 0; hint: use 1..=86400 seconds"),
        (
            "capacity_to_score_multiplier = 1.0",
            "capacity_to_score_multiplier = 2",
            "capacity_to_score_multiplier is 2",
        ),
        (
            "server_needed = \"llm_server\"",
            "server_needed = \"image_server\"",
            "tasks[0].orchestrator_server_config is ImageServer",
        ),
        (
            "func = \"generate_chat_synthetic\"",
            "func = \"generate_avatar_synthetic\"",
            "tasks[0].synthetic_generation_config.func is generate_avatar_synthetic; hint: use the generator of the",
        ),
        (
            "func = \"generate_chat_synthetic\"",
            "func = \"generate_something\"",
            "tasks[0].synthetic_generation_config.func: unknown variant `generate_something`",
        ),
        (
            "endpoint = \"/avatar\"",
            "endpoint = \"/upscale\"",
            "tasks[7].endpoint is /upscale; hint: use a route with",
        ),
        ("[[tasks]]", "[[tasks", "invalid TOML: "),
    ] {
        let actual = config_error(from, to);
        assert!(actual.starts_with(message), "{actual}\nexpected {message}");
    }
    assert_eq!(
        MarketConfig::from_toml("tasks = []").unwrap_err().to_string(),
        "tasks is 0 tasks; hint: use 1..=256 tasks"
    );
    let unweighted = DEFAULT_TOML
        .lines()
        .map(|line| if line.starts_with("weight") { "weight = 0" } else { line });
    let error = MarketConfig::from_toml(&unweighted.collect::<Vec<_>>().join("\n"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "tasks is a list with a total weight of 0; hint: enable a task with a weight above 0"
    );
}

/// A vote of 0 disables its task. Empty votes, invalid weights and votes that would disable every
/// task have no effect.
#[test]
fn only_valid_votes_change_tasks() {
    let config = MarketConfig::default();
    let mut votes = Votes::default();
    let weights = |votes: &Votes| {
        let config = config.with_votes(votes);
        let weight = |name| config.task(name).map(|task| (task.weight, task.enabled)).unwrap();
        (weight("avatar"), weight("chat-llama-3-1-8b"))
    };
    let is_weighted = |weight: f64, ((one, on), (other, also_on)): ((f64, bool), (f64, bool))| {
        (one - weight).abs() < 1e-12 && (other - weight).abs() < 1e-12 && on && also_on
    };
    assert!(is_weighted(0.15, weights(&votes)), "no vote yet");
    votes.update([
        ("avatar".to_owned(), 0.0),
        ("unknown".to_owned(), 5.0),
        ("chat-llama-3-1-8b".to_owned(), f64::NAN),
    ]);
    let after = weights(&votes);
    assert_eq!(after.0, (0.0, false), "voted 0");
    assert!((after.1.0 - 0.15 / 0.89).abs() < 1e-12 && after.1.1, "not voted on");
    votes.update([]);
    assert_eq!(weights(&votes), after, "an empty vote has no effect");
    let all = config.tasks.iter().map(|task| (task.task.to_string(), 0.0));
    votes.update(all);
    assert!(is_weighted(0.15 / 1.04, weights(&votes)), "votes that disable every task are ignored");
}

/// The scale of a vote has no effect, only its stake.
#[test]
fn votes_are_weighted_by_stake() {
    let vote = |weights: &[(&str, u32)]| -> BTreeMap<TaskName, u32> {
        weights.iter().map(|(task, units)| (task.parse().unwrap(), *units)).collect()
    };
    let (one, other) = (vote(&[("a", 1), ("b", 3)]), vote(&[("b", 500_000), ("c", 500_000)]));
    let (empty, zero) = (vote(&[]), vote(&[("a", 0)]));
    let weights =
        stake_weighted([(300, &one), (100, &other), (900, &empty), (900, &zero), (0, &other)]);
    // 0.75 · (1/4, 3/4, 0) + 0.25 · (0, 1/2, 1/2)
    let expected = [("a", 0.1875), ("b", 0.6875), ("c", 0.125)];
    assert_eq!(weights.len(), expected.len());
    for (task, weight) in expected {
        assert!((weights[task] - weight).abs() < 1e-12, "{task}: {weights:?}");
    }
    assert!(stake_weighted([(0, &one), (900, &zero)]).is_empty());
}

#[test]
fn aliases_name_tasks_of_the_file() {
    let with_aliases = |aliases: &str| {
        MarketConfig::from_toml(&DEFAULT_TOML.replacen(
            "[[tasks]]",
            &format!("{aliases}\n[[tasks]]"),
            1,
        ))
    };
    let config =
        with_aliases(r#"aliases = { fast = ["chat-llama-3-2-3b", "chat-llama-3-1-8b"] }"#).unwrap();
    let names = |config: &MarketConfig, alias: &str| {
        config.alias(alias).map(|tasks| tasks.map(|task| task.task.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(names(&config, "fast").unwrap(), ["chat-llama-3-2-3b", "chat-llama-3-1-8b"]);
    assert_eq!(names(&config, "slow"), None);
    let config_with_hyphen = with_aliases(r#"aliases = { very-fast = ["avatar"] }"#).unwrap();
    assert_eq!(names(&config_with_hyphen, "very_fast").unwrap(), ["avatar"]);
    // Disabled tasks are left out.
    let mut disabled = config.clone();
    disabled.tasks[0].enabled = false;
    assert_eq!(names(&disabled, "fast").unwrap(), ["chat-llama-3-1-8b"]);
    let json = serde_json::to_value(&config).unwrap();
    assert_eq!(serde_json::from_value::<MarketConfig>(json).unwrap(), config);
    assert!(serde_json::to_value(MarketConfig::default()).unwrap().get("aliases").is_none());
    for (aliases, path, hint) in [
        (r#"aliases = { fast = ["none"] }"#, "aliases.fast", "use names of tasks in the file"),
        (r"aliases = { fast = [] }", "aliases.fast", "use 1..=16 tasks"),
        (r#"aliases = { fast = ["avatar", "avatar"] }"#, "aliases.fast", "name each task once"),
        (
            r#"aliases = { avatar = ["avatar"] }"#,
            "aliases.avatar",
            "use a name that buyers use for no task",
        ),
        // Names by which buyers can ask for a task.
        (
            r#"aliases = { llama-3-1-8b = ["avatar"] }"#,
            "aliases.llama-3-1-8b",
            "use a name that buyers use for no task",
        ),
        (
            r#"aliases = { flux-schnell = ["avatar"] }"#,
            "aliases.flux-schnell",
            "use a name that buyers use for no task",
        ),
    ] {
        let error = with_aliases(aliases).unwrap_err().to_string();
        assert!(error.starts_with(path) && error.contains(hint), "{error}");
    }
    assert!(with_aliases(r#"aliases = { "a b" = ["avatar"] }"#).is_err());
}

/// The reference's payloads for avatars and inpainting name no task. If two tasks have the same
/// route, the payload must name one.
#[test]
fn task_is_named_unless_the_route_selects_it() {
    let mut config = MarketConfig::default();
    let names_task =
        |config: &MarketConfig, task: &str| config.names_task(config.task(task).unwrap());
    assert!(
        names_task(&config, "proteus-text-to-image") && names_task(&config, "chat-llama-3-2-3b")
    );
    assert!(!names_task(&config, "avatar"));
    let second =
        Task { task: "portrait".parse().unwrap(), ..config.task("avatar").unwrap().clone() };
    config.tasks.push(second);
    assert!(names_task(&config, "avatar") && names_task(&config, "portrait"));
    config.tasks.last_mut().unwrap().enabled = false;
    assert!(!names_task(&config, "avatar"));
}
