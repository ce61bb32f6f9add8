use std::num::NonZeroUsize;
use std::path::Path;

use taonet_objects::S3Addressing;
use taonet_settings::{Network, Secret, file_variables};

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), ConfigError> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Config::from_variables(pairs, Some(Path::new("/home/v")))
}

#[test]
fn empty_environment_has_reference_defaults() {
    let (config, warnings) = read(&[]).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.netuid, NetUid(59));
    assert_eq!(config.engine_url.as_str(), "https://api.babelbit.ai/");
    assert_eq!(config.play.init_timeout, Duration::from_mins(10));
    assert_eq!(config.play.chunk_timeout, Duration::from_secs(3));
    assert_eq!(config.recognizer, None);
    assert_eq!(
        config.transcript_cache,
        Path::new("/home/v/.babelbit/audio_scoring/stt_cache.jsonl")
    );
    assert!(!config.operator.network.is_local());
    assert_eq!(config.burn_uid, Uid(248));
    assert!((config.arena_share.get() - 0.9).abs() < 1e-12);
}

#[test]
fn environment_variables_set_config_fields() {
    let (config, warnings) = read(&[
        ("BITTENSOR_SUBTENSOR_ENDPOINT", "local"),
        ("BB_S2S_CHUNK_TIMEOUT_SEC", "0.5"),
        ("BB_DEV_MODE", "Yes"),
        ("BB_RULES", "strict"),
        ("BABELBIT_CACHE_DIR", "/var/cache/bb"),
        ("BB_MODELS_DIR", "  "),
        ("HOME", "/home/v"),
    ])
    .unwrap();
    assert!(warnings.is_empty());
    assert!(config.operator.network.is_local());
    assert_eq!(config.play.chunk_timeout, Duration::from_millis(500));
    assert!(config.dev_mode);
    assert_eq!(config.scoring.rules, Rules::Strict);
    assert_eq!(config.metadata_root, Path::new("/var/cache/bb/audio_scoring/metadata"));
    assert_eq!(config.models_dir, None);
}

#[test]
fn all_invalid_values_are_named_in_one_error() {
    let error = read(&[
        ("BB_S2S_CHUNK_TIMEOUT_SEC", "soon"),
        ("BB_DEV_MODE", "maybe"),
        ("BABELBIT_NETUID", "-1"),
    ]);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("BB_S2S_CHUNK_TIMEOUT_SEC=soon: expected a number of seconds"), "{text}");
    assert!(text.contains("BB_DEV_MODE=maybe: expected 1 or 0"), "{text}");
    assert!(text.contains("BABELBIT_NETUID=-1: expected an integer from 0 to 65535"), "{text}");
}

#[test]
fn unknown_and_unused_names_warn() {
    let set = [
        ("BB_DEV_MOD", "1"),
        ("BB_ENABLE_ARENA_CHALENGE", "1"),
        ("BB_TRACE_MINER_CALLS", "1"),
        ("BB_ZZZZZZZZ", "5"),
    ];
    let (_, warnings) = read(&set).unwrap();
    let texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "unknown setting BB_DEV_MOD; hint: did you mean BB_DEV_MODE?",
            "unknown setting BB_ENABLE_ARENA_CHALENGE; hint: did you mean BB_ENABLE_ARENA_CHALLENGE?",
            "BB_TRACE_MINER_CALLS has no effect; hint: remove it",
            "unknown setting BB_ZZZZZZZZ",
        ]
    );
}

#[test]
fn overridden_network_warns() {
    let name = "BITTENSOR_SUBTENSOR_ENDPOINT";
    for (set, expected) in [
        (&[("BT_NETWORK", "local"), (name, "finney")][..], 1),
        (&[("BT_NETWORK", "finney "), (name, "finney")], 0),
        (&[("BT_NETWORK", " "), (name, "finney")], 0),
        (&[("BT_NETWORK", "local")], 0),
        // A node of the network that the other variable names.
        (&[("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9944"), (name, "finney")], 0),
    ] {
        let (_, warnings) = read(set).unwrap();
        assert_eq!(warnings.len(), expected, "{set:?}");
        for warning in warnings {
            assert_eq!(
                warning.to_string(),
                "BITTENSOR_SUBTENSOR_ENDPOINT has no effect; hint: BT_NETWORK takes precedence: unset one of them"
            );
        }
    }
}

#[test]
fn warning_for_replaced_variable_names_its_successor() {
    let (_, warnings) = read(&[("BABELBIT_TEMPO", "360"), ("CHUTE_TOP_K", "50")]).unwrap();
    let texts: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "BABELBIT_TEMPO has no effect; hint: use bb validate --tempo for the blocks per epoch of weights",
            "CHUTE_TOP_K has no effect; hint: only the script of a chute reads it; bb miner predicts the likeliest words",
        ]
    );
}

#[test]
fn cache_directory_is_shown_as_set() {
    let cache_dir_of = |pairs: &[(&str, &str)]| {
        let (config, _) = read(pairs).unwrap();
        let variable =
            variables().iter().find(|variable| variable.name == "BABELBIT_CACHE_DIR").unwrap();
        (variable.show)(&config)
    };
    assert_eq!(cache_dir_of(&[]), "/home/v/.babelbit");
    assert_eq!(
        cache_dir_of(&[("BB_AUDIO_SCORING_STT_CACHE_PATH", "/tmp/x.jsonl")]),
        "/home/v/.babelbit"
    );
    assert_eq!(cache_dir_of(&[("BABELBIT_CACHE_DIR", "/var/cache/bb")]), "/var/cache/bb");
}

#[cfg(unix)]
#[test]
fn non_utf8_value_is_an_error_for_known_variables_only() {
    use std::os::unix::ffi::OsStringExt as _;
    let non_utf8 = || OsString::from_vec(vec![b'/', 0xff]);
    let read =
        |name: OsString| Config::from_variables([(name, non_utf8())], Some(Path::new("/home/v")));
    for name in [OsString::from("X"), non_utf8()] {
        assert_eq!(read(name).unwrap().1, []);
    }
    assert_eq!(
        read("BB_COLOUR".into()).unwrap().1,
        [Warning::Unknown { name: "BB_COLOUR".to_owned(), nearest: None }]
    );
    for name in ["BB_MODELS_DIR", "BABELBIT_CACHE_DIR"] {
        let text = read(name.into()).unwrap_err().to_string();
        assert!(text.contains(&format!("{name}=/\u{fffd}: expected text in UTF-8")), "{text}");
    }
}

#[test]
fn invalid_weight_settings_fall_back_as_in_the_reference() {
    for (percent, share) in [("", 0.9), ("soon", 0.9), ("40", 0.4), ("250", 1.0), ("-3", 0.0)] {
        let (config, _) = read(&[("BB_ARENA_INCENTIVE_PERCENT", percent)]).unwrap();
        assert!((config.arena_share.get() - share).abs() < 1e-12, "{percent}");
    }
    assert_eq!(read(&[("BB_DEFAULT_FALLBACK_UID", "many")]).unwrap().0.burn_uid, Uid(248));
}

#[test]
fn scoring_settings_that_contradict_each_other_are_refused() {
    let error = read(&[("BB_AUDIO_SCORING_RATE_LOWER", "2"), ("BB_AUDIO_SCORING_RATE_UPPER", "1")])
        .unwrap_err();
    assert!(error.to_string().contains("BB_AUDIO_SCORING_*"), "{error}");
}

#[test]
fn variable_names_are_unique() {
    let mut names: Vec<_> = variables().iter().map(|variable| variable.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn service_urls_are_configured_or_default() {
    let urls = |pairs: &[(&str, &str)]| {
        let (config, _) = read(pairs).unwrap();
        [config.signer_url().to_string(), config.gateway_url().to_string()]
    };
    assert_eq!(urls(&[]), ["http://signer:8080/", "http://subtensor-gateway:8090/"]);
    let local = ("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
    assert_eq!(urls(&[local]), ["http://127.0.0.1:8080/", "http://127.0.0.1:8090/"]);
    let set = [local, ("SIGNER_URL", "http://a:1"), ("SUBTENSOR_GATEWAY_URL", "https://b/")];
    assert_eq!(urls(&set), ["http://a:1/", "https://b/"]);
    let set = [
        ("SIGNER_HOST", "0.0.0.0"),
        ("SIGNER_PORT", "8081"),
        ("SUBTENSOR_GATEWAY_HOST", "localhost"),
    ];
    let (config, _) = read(&set).unwrap();
    assert_eq!(config.signer_listen().to_string(), "0.0.0.0:8081");
    assert_eq!(config.gateway_listen().to_string(), "127.0.0.1:8090");
    assert_eq!(config.metrics_listen().to_string(), "127.0.0.1:8010");
}

/// Columns: variables · attempts and delay of requests from the validator
#[test]
fn validator_retries_default_to_those_of_the_signer() {
    for (pairs, retries, delay) in [
        (&[][..], 20, 2.0),
        (&[("SIGNER_RETRIES", "3"), ("SIGNER_RETRY_DELAY", "0.5")], 3, 0.5),
        (
            &[
                ("SIGNER_RETRIES", "3"),
                ("BB_SET_WEIGHTS_RETRIES", "7"),
                ("BB_SET_WEIGHTS_RETRY_DELAY", "1"),
            ],
            7,
            1.0,
        ),
    ] {
        let (config, _) = read(pairs).unwrap();
        assert_eq!(
            config.set_weights_retries(),
            (retries, Duration::from_secs_f64(delay)),
            "{pairs:?}"
        );
    }
    assert_eq!(
        read(&[("BB_MAX_SKIPPED_WEIGHT_EPOCHS", "soon")]).unwrap().0.services.max_skipped_epochs,
        12
    );
    assert_eq!(
        read(&[("BB_MAX_SKIPPED_WEIGHT_EPOCHS", "3")]).unwrap().0.services.max_skipped_epochs,
        3
    );
}

#[test]
fn reference_variables_set_buckets_and_submissions() {
    let (config, _) = read(&[]).unwrap();
    assert!(config.submits() && !config.operator.s3.enabled);
    assert_eq!(
        (config.submission.timeout, config.submission.concurrency),
        (Duration::from_secs(30), 8)
    );
    assert_eq!(
        (config.operator.s3.region.as_str(), config.operator.s3.addressing),
        ("us-east-1", S3Addressing::Path)
    );
    let (config, warnings) = read(&[
        ("BB_ENABLE_VALIDATION_SUBMISSIONS", "0"),
        ("BB_SUBMIT_TIMEOUT_S", "10"),
        ("BB_SUBMIT_CONCURRENCY", "32"),
        ("BB_ENABLE_S3_UPLOADS", "1"),
        ("S3_ENDPOINT_URL", "https://s3.example:9000/"),
        ("S3_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("S3_SECRET_ACCESS_KEY", "hunter2"),
        ("S3_BUCKET_NAME", "results"),
        ("S3_LOG_DIR", "/a/b/"),
        ("S3_ADDRESSING_STYLE", "virtual"),
        ("S3_SIGNATURE_VERSION", "s3v4"),
        ("DATABASE_URL", "postgres://me:hunter2@db/scores"),
        ("NATS_URL", "tls://me:hunter2@queue:4222"),
    ])
    .unwrap();
    assert_eq!(warnings, []);
    assert!(!config.submits() && config.operator.s3.enabled);
    assert_eq!(config.operator.s3.endpoint_url.as_deref(), Some("https://s3.example:9000"));
    assert_eq!(
        (config.operator.s3.log_dir.as_str(), config.operator.s3.addressing),
        ("a/b", S3Addressing::Virtual)
    );
    assert_eq!(
        config.operator.database_url.as_ref().map(Secret::expose),
        Some("postgres://me:hunter2@db/scores")
    );
    assert_eq!(
        config.operator.nats_url.as_ref().map(Secret::expose),
        Some("tls://me:hunter2@queue:4222")
    );
    let values: Vec<String> = variables().iter().map(|variable| (variable.show)(&config)).collect();
    assert!(!format!("{config:?} {values:?}").contains("hunter2"));
    for (name, value, expected) in [
        ("S3_SIGNATURE_VERSION", "s3v2", "expected s3v4"),
        ("S3_ADDRESSING_STYLE", "dns", "expected path or virtual"),
        ("S3_ENDPOINT_URL", "ftp://x/", "expected an http or https URL"),
        ("BB_SUBMIT_CONCURRENCY", "0", "expected an integer from 1 to 256"),
        ("DATABASE_URL", "mysql://x", "expected postgres://"),
        ("NATS_URL", "queue:4222", "expected nats://HOST:4222"),
    ] {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}={value}: {expected}")), "{error}");
    }
}

#[test]
fn rounds_have_reference_defaults_and_separate_arena_deadlines() {
    let (config, _) = read(&[]).unwrap();
    let schedule = config.rounds.schedule();
    assert_eq!(
        (schedule.tempo, schedule.on_startup, schedule.solo, schedule.arena),
        (2_160, false, true, None)
    );
    let (config, warnings) = read(&[
        ("BB_ENABLE_ARENA_CHALLENGE", "on"),
        ("BB_ARENA_RUN_ON_STARTUP", "Y"),
        ("BB_ARENA_CADENCE_BLOCKS", "0"),
        ("BB_ENABLE_SOLO_CHALLENGE", "off"),
        ("BABELBIT_RUNNER_TEMPO", "7"),
        ("BB_MINER_TIMEOUT_SEC", "5"),
        ("BB_S2S_CHUNK_TIMEOUT_SEC", "2"),
        ("BB_ARENA_MINER_TIMEOUT_SEC", "20"),
    ])
    .unwrap();
    assert!(warnings.is_empty());
    let schedule = config.rounds.schedule();
    let arena = schedule.arena.unwrap();
    assert_eq!(
        (schedule.tempo, schedule.solo, arena.cadence, arena.on_startup),
        (7, false, 1, true)
    );
    let arena = config.rounds.arena_play(&config.play);
    assert_eq!(
        (config.play.miner_timeout, config.play.drop_after_failures),
        (Duration::from_secs(5), 0)
    );
    assert_eq!(
        (arena.miner_timeout, arena.chunk_timeout),
        (Duration::from_secs(20), Duration::from_secs(2))
    );
    assert_eq!(
        (arena.startup_utterances, arena.startup_frames, arena.drop_after_failures),
        (3, 4, 2)
    );
    assert_eq!(
        (arena.startup_chunk_timeout, arena.max_init_timeout),
        (Duration::from_mins(1), Some(Duration::from_mins(10)))
    );
    let error = read(&[("BABELBIT_RUNNER_TEMPO", "0")]).unwrap_err().to_string();
    assert!(
        error.contains("BABELBIT_RUNNER_TEMPO=0: expected a number of blocks, at least 1"),
        "{error}"
    );
}

#[test]
fn variables_set_steps_of_text_rounds_and_arena_startup_time() {
    let rounds = |pairs: &[(&str, &str)]| {
        let (config, warnings) = read(pairs).unwrap();
        assert_eq!(warnings, []);
        let RoundSettings { step_blocks, arena, .. } = config.rounds;
        (step_blocks, arena.startup_timeout.as_secs(), arena.startup_request_timeout.as_secs())
    };
    assert_eq!(rounds(&[]), (0, 300, 60));
    let set = [
        ("BB_STEP_BLOCK_MODULO", "5"),
        ("BB_ARENA_STARTUP_TIMEOUT_SEC", "30"),
        ("BB_ARENA_STARTUP_REQUEST_TIMEOUT_SEC", "7"),
    ];
    assert_eq!(rounds(&set), (5, 30, 7));
    let error = read(&[("BB_STEP_BLOCK_MODULO", "-1")]).unwrap_err().to_string();
    assert!(
        error.contains("BB_STEP_BLOCK_MODULO=-1: expected an integer from 0 to 4294967295"),
        "{error}"
    );
}

#[test]
fn arena_gateway_url_is_configured_or_default() {
    let url = |pairs: &[(&str, &str)]| read(pairs).unwrap().0.arena_gateway_url().to_string();
    let local = ("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
    assert_eq!(url(&[]), "https://gw.babelbit.ai/");
    assert_eq!(url(&[("BB_ARENA_GATEWAY_URL", " ")]), "https://gw.babelbit.ai/");
    assert_eq!(url(&[local]), "http://127.0.0.1:8060/");
    assert_eq!(
        url(&[local, ("BB_ARENA_GATEWAY_URL", "https://gw.example.com/v1")]),
        "https://gw.example.com/v1"
    );
}

#[test]
fn reference_variables_set_the_arena() {
    let (config, warnings) = read(&[
        ("BB_ARENA_CONTAINERS_STATUS", "running,idle"),
        ("BB_ARENA_CONTAINERS_WINDOW_SECONDS", "60"),
        ("BB_ARENA_GATEWAY_RETRY_MAX_DELAY_SEC", "2.5"),
        ("RUNPOD_API_KEY", "rp_secret"),
    ])
    .unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((config.arena.status.as_str(), config.arena.window_seconds), ("running,idle", 60));
    assert_eq!(config.arena.retry_max_delay, Duration::from_millis(2_500));
    assert_eq!(config.arena.ready_timeout, Duration::from_mins(5));
    // The key is in use, but never shown.
    assert_eq!(config.arena.runpod_api_key.as_ref().unwrap().expose(), "rp_secret");
    assert!(!format!("{config:?}").contains("rp_secret"));
    assert!(variables().iter().all(|variable| !(variable.show)(&config).contains("rp_secret")));
}

/// Columns: variables · whether results are submitted
#[test]
fn local_network_submits_only_if_configured() {
    let (local, named) =
        (("BITTENSOR_SUBTENSOR_ENDPOINT", "local"), ("BB_SUBMIT_API_URL", "http://127.0.0.1:8070"));
    let (enabled, disabled) =
        (("BB_ENABLE_VALIDATION_SUBMISSIONS", "1"), ("BB_ENABLE_VALIDATION_SUBMISSIONS", "0"));
    for (pairs, submits) in [
        (&[][..], true),
        (&[local], false),
        (&[local, named], true),
        (&[local, enabled], true),
        (&[local, named, disabled], false),
        (&[disabled], false),
    ] {
        assert_eq!(read(pairs).unwrap().0.submits(), submits, "{pairs:?}");
    }
}

#[test]
fn keys_of_model_servers_are_redacted() {
    let (config, warnings) = read(&[
        ("BB_MINER_BACKEND_API_KEY", "sk-1"),
        ("BB_MINER_STT_API_KEY", "sk-2"),
        ("BB_MINER_LLM_API_KEY", "sk-3"),
        ("BB_MINER_TTS_API_KEY", "sk-4"),
        ("HF_TOKEN", "sk-5"),
    ])
    .unwrap();
    assert!(warnings.is_empty());
    let keys = &config.model_keys;
    let read = [&keys.backend, &keys.stt, &keys.llm, &keys.tts, &keys.hub]
        .map(|key| key.as_ref().map(Secret::expose));
    assert_eq!(read, ["sk-1", "sk-2", "sk-3", "sk-4", "sk-5"].map(Some));
    let is_key =
        |name: &str| name == "HF_TOKEN" || name.starts_with("BB_MINER_") && name.ends_with("_KEY");
    for variable in variables().iter().filter(|variable| is_key(variable.name)) {
        assert_eq!((variable.show)(&config), "(set)", "{}", variable.name);
    }
    assert!(!format!("{config:?}").contains("sk-1"));
}

#[test]
fn task_of_a_miner_is_transcribe_unless_set() {
    assert_eq!(read(&[]).unwrap().0.miner_task, MinerTask::Transcribe);
    for task in [MinerTask::Transcribe, MinerTask::Translate] {
        assert_eq!(read(&[("BB_MINER_TASK", &task.to_string())]).unwrap().0.miner_task, task);
    }
    let error = read(&[("BB_MINER_TASK", "interpret")]).unwrap_err().to_string();
    assert!(
        error.contains("BB_MINER_TASK=interpret") && error.contains("transcribe or translate"),
        "{error}"
    );
}

#[test]
fn language_model_of_a_speech_miner_is_set_by_its_own_variable() {
    assert_eq!(read(&[]).unwrap().0.phrase_model, None);
    let (config, warnings) = read(&[("BB_MINER_LM", "hub:a/b")]).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(
        (config.phrase_model.as_deref(), config.language_model.path),
        (Some("hub:a/b"), None)
    );
}

#[test]
fn reference_variables_set_the_language_model() {
    assert_eq!(read(&[]).unwrap().0.language_model, LanguageModelSettings::default());
    let (config, warnings) = read(&[
        ("MINER_MODEL_ID", "models/gpt2"),
        ("MINER_MODEL_REVISION", "v1"),
        ("MINER_DEV_MODE", "True"),
        ("MINER_DEVICE", "cuda"),
        ("MINER_LOAD_IN_8BIT", "1"),
        ("MINER_LOAD_IN_4BIT", "0"),
        ("CHUTE_MAX_NEW_TOKENS", "24"),
        ("CHUTE_FALLBACK_COMPLETION", "..."),
    ])
    .unwrap();
    assert!(warnings.is_empty());
    let expected = LanguageModelSettings {
        path: Some("models/gpt2".into()),
        revision: Some("v1".to_owned()),
        device: Some("cuda".to_owned()),
        in_8_bits: true,
        in_4_bits: false,
        max_new_tokens: NonZeroU32::new(24),
        fallback_completion: Some("...".to_owned()),
    };
    assert_eq!(config.language_model, expected);
    assert!(config.unsigned_requests);
    for (name, value, expected) in [
        ("MINER_DEVICE", "gpu", "cpu, cuda or mps"),
        ("CHUTE_MAX_NEW_TOKENS", "0", "an integer from 1 to 512"),
        ("CHUTE_MAX_NEW_TOKENS", "513", "an integer from 1 to 512"),
    ] {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}={value}: expected {expected}")), "{error}");
    }
}

#[test]
fn reference_variables_set_the_address_of_a_miner() {
    let address = |pairs: &[(&str, &str)]| {
        let (config, warnings) = read(pairs).unwrap();
        assert_eq!(warnings, []);
        (config.axon_port.map(NonZeroU16::get), config.external_ip)
    };
    assert_eq!(address(&[]), (None, None));
    assert_eq!(
        address(&[("MINER_AXON_PORT", "8091"), ("MINER_EXTERNAL_IP", "auto")]),
        (Some(8091), None)
    );
    let external = "203.0.113.7".parse().unwrap();
    assert_eq!(address(&[("MINER_EXTERNAL_IP", "203.0.113.7")]), (None, Some(external)));
    for (name, value, expected) in [
        ("MINER_AXON_PORT", "0", "an integer from 1 to 65535"),
        ("MINER_EXTERNAL_IP", "your-public-ip", "an IP address or auto"),
    ] {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}={value}: expected {expected}")), "{error}");
    }
}

#[test]
fn reference_variables_set_the_text_similarity() {
    assert_eq!(read(&[]).unwrap().0.text_vectors, VectorOptions::default());
    let (config, warnings) =
        read(&[("EMBED_DIM", "64"), ("BASELINE_PAIRS", "10"), ("BASELINE_SEED", "7")]).unwrap();
    assert_eq!(warnings, []);
    let dimensions = NonZeroUsize::new(64);
    let expected = VectorOptions { dimensions, pairs: NonZeroU32::new(10).unwrap(), seed: 7 };
    assert_eq!(config.text_vectors, expected);
    for (name, value) in [("EMBED_DIM", "0"), ("BASELINE_PAIRS", "0"), ("BASELINE_SEED", "-1")] {
        let error = read(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}={value}: expected an integer")), "{error}");
    }
}

/// The settings in the reference's guide to the text contest, with values for its placeholders.
const GUIDE: &str = "\
# Path to your hotkey file
BITTENSOR_WALLET_COLD=coldkey
BITTENSOR_WALLET_HOT=my-hotkey
BITTENSOR_WALLET_PATH=~/.bittensor/wallets/my-wallet/hotkeys/my-hotkey
BABELBIT_NETUID=59
BITTENSOR_SUBTENSOR_ENDPOINT=finney
BITTENSOR_SUBTENSOR_FALLBACK=wss://node.example.org:443
CHUTES_USERNAME=your-username
CHUTES_API_KEY=your-api-key
HUGGINGFACE_USERNAME=your-username
HUGGINGFACE_API_KEY=your-api-key
BB_ENABLE_S3_UPLOADS=1
S3_ENDPOINT_URL=https://s3.example.org
S3_REGION=s3-region
S3_ACCESS_KEY_ID=your-s3-access-key
S3_SECRET_ACCESS_KEY=your-s3-secret
S3_BUCKET_NAME=your-s3-bucket
S3_SUBMISSIONS_DIR=challenges
S3_LOG_DIR=logs
S3_ADDRESSING_STYLE=path
S3_SIGNATURE_VERSION=s3v4
S3_USE_SSL=true
BB_UTTERANCE_ENGINE_URL=https://api.babelbit.ai
BB_SUBMIT_API_URL=https://scoring.babelbit.ai
SIGNER_URL=http://127.0.0.1:8080
SIGNER_HOST=127.0.0.1
SIGNER_PORT=8080
MINER_DEVICE=cpu              # Use 'cpu', 'cuda' (NVIDIA), or 'mps' (Apple Silicon)
MINER_MODEL_ID=gpt2           # Start with gpt2 for testing, upgrade for production
MINER_AXON_PORT=8091          # Port for the miner API
MINER_LOAD_IN_8BIT=0          # Enable 8-bit quantization (requires bitsandbytes)
MINER_LOAD_IN_4BIT=0          # Enable 4-bit quantization (requires bitsandbytes)
MINER_EXTERNAL_IP=203.0.113.7  # Optional: override public IP for axon registration
MINER_DEV_MODE=1
HF_TOKEN=your-token
";

#[test]
fn settings_of_the_reference_guide_are_accepted() {
    let variables = file_variables(GUIDE).unwrap();
    let pairs: Vec<_> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (config, warnings) = read(&pairs).unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["S3_SUBMISSIONS_DIR has no effect; hint: remove it"]);
    let model = &config.language_model;
    assert_eq!(
        (model.path.as_deref(), model.device.as_deref()),
        (Some(Path::new("gpt2")), Some("cpu"))
    );
    assert!(
        !model.in_8_bits
            && !model.in_4_bits
            && config.unsigned_requests
            && config.operator.s3.enabled
    );
    assert_eq!(config.axon_port.map(NonZeroU16::get), Some(8091));
    assert_eq!(config.external_ip, Some("203.0.113.7".parse().unwrap()));
    assert_eq!(config.operator.wallet.hotkey, "my-hotkey");
}

#[test]
fn each_network_variable_selects_the_network() {
    for (pairs, network) in [
        (&[("BT_NETWORK", "local")][..], Network::Local),
        (&[("BT_CHAIN_ENDPOINT", "test")], Network::Test),
        (&[("BT_CHAIN_ENDPOINT", "ws://127.0.0.1:9955"), ("BT_NETWORK", "local")], Network::Local),
        (&[("BT_NETWORK", "local"), ("BITTENSOR_SUBTENSOR_ENDPOINT", "finney")], Network::Local),
        (&[("BT_NETWORK", " "), ("BITTENSOR_SUBTENSOR_ENDPOINT", "test")], Network::Test),
        (&[], Network::Finney),
    ] {
        assert_eq!(read(pairs).unwrap().0.operator.network, network, "{pairs:?}");
    }
}
