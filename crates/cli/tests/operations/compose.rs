//! Checks compose.yml against the settings of the daemons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use taonet_babelbit_config::{Config, variables};
use taonet_http::AccessToken;

use crate::{check, is_installed, read, root};

/// Daemons by their names in the reference system.
const DAEMONS: [&str; 4] = ["subtensor-gateway", "signer", "validator", "runner"];

/// Services of the profiles `owner`, `nineteen`, `nineteen-scale`, `proof` and `prompting`.
const OPTIONAL: [&str; 11] = [
    "engine",
    "scoring-api",
    "arena-gateway",
    "nineteen-validator",
    "nineteen-miner",
    "nineteen-entry",
    "nineteen-query",
    "proof-validator",
    "proof-miner",
    "prompting-validator",
    "prompting-miner",
];

/// Metrics port of the runner.
const RUNNER_METRICS: &str = "8011";

/// A service in compose.yml, parsed by indentation.
struct Service(Vec<String>);

impl Service {
    /// Returns the value of a key on the same line.
    fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|line| line.strip_prefix(&format!("{key}: ")))
    }

    /// Returns the entries of a list below a key.
    fn block(&self, key: &str) -> impl Iterator<Item = &str> {
        let after = self.0.iter().skip_while(move |line| **line != format!("{key}:")).skip(1);
        let lines = after.take_while(|line| line.starts_with(' ')).map(|line| line.trim());
        lines.filter(|line| !line.starts_with('#')).map(|line| line.trim_start_matches("- "))
    }

    fn environment(&self) -> BTreeMap<&str, &str> {
        let pairs = self.block("environment").map(|line| line.split_once(": ").unwrap());
        pairs.map(|(name, value)| (name, value.trim_matches('"'))).collect()
    }

    /// Returns the configuration of the service without .env.
    fn config(&self) -> Config {
        let pairs = self.environment().into_iter().map(|(name, value)| (name.into(), value.into()));
        let (config, warnings) =
            Config::from_variables(pairs, Some(Path::new("/home/taonet"))).unwrap();
        assert_eq!(warnings, []);
        config
    }

    /// Returns the ports, each as address, host port and container port.
    fn ports(&self) -> Vec<[&str; 3]> {
        self.block("ports")
            .map(|port| port.split(':').collect::<Vec<_>>().try_into().unwrap())
            .collect()
    }
}

/// Returns the services or volumes in a section of compose.yml.
fn section(name: &str) -> BTreeMap<String, Service> {
    let text = read("compose.yml");
    let lines = text.lines().skip_while(|line| *line != format!("{name}:")).skip(1);
    let mut entries = BTreeMap::<String, Service>::new();
    let mut current = String::new();
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        match line.strip_prefix("    ") {
            Some(inside) => entries.get_mut(&current).unwrap().0.push(inside.to_owned()),
            None if line.trim().is_empty() || line.trim().starts_with('#') => {}
            None => {
                line.trim().trim_end_matches(':').clone_into(&mut current);
                entries.insert(current.clone(), Service(Vec::new()));
            }
        }
    }
    entries
}

#[test]
fn services_have_the_names_and_ports_of_the_reference() {
    let services = section("services");
    let port = |name: &str| services[name].ports();
    assert_eq!(port("subtensor-gateway"), [["127.0.0.1", "8090", "8090"]]);
    assert_eq!(port("signer"), [["127.0.0.1", "8080", "8080"]]);
    assert_eq!(port("validator"), [["127.0.0.1", "8001", "8010"]]);
    assert_eq!(port("runner"), [["127.0.0.1", "8002", RUNNER_METRICS]]);
    assert!(services.contains_key("model-cache"));
    let limit = |name: &str| services[name].value("mem_limit").unwrap();
    assert_eq!(DAEMONS.map(limit), ["1g", "1g", "1g", "8g"]);
}

#[test]
fn daemons_listen_on_addresses_that_clients_use() {
    let services = section("services");
    let container = |name: &str| services[name].ports()[0][2].to_owned();
    let [gateway, signer, validator, runner] = DAEMONS.map(|name| services[name].config());
    assert_eq!(
        gateway.gateway_listen().to_string(),
        format!("0.0.0.0:{}", container("subtensor-gateway"))
    );
    assert_eq!(signer.signer_listen().to_string(), format!("0.0.0.0:{}", container("signer")));
    assert_eq!(
        validator.metrics_listen().to_string(),
        format!("0.0.0.0:{}", container("validator"))
    );
    assert_eq!(runner.metrics_listen().ip(), validator.metrics_listen().ip());
    // The default addresses, with the host names of compose.yml.
    let defaults = Config::from_variables([], None).unwrap().0;
    assert_eq!(gateway.services.gateway_port, defaults.services.gateway_port);
    assert_eq!(signer.services.signer_port, defaults.services.signer_port);
    assert_eq!(validator.services.metrics_port, defaults.services.metrics_port);
    for config in [&signer, &validator, &runner] {
        assert_eq!(config.gateway_url(), defaults.gateway_url());
    }
    assert_eq!(validator.signer_url(), defaults.signer_url());
    for name in DAEMONS {
        let config = services[name].config();
        assert_eq!(
            config.services.token_file.as_deref(),
            Some(Path::new("/run/taonet/token")),
            "{name}"
        );
        assert!(
            services[name].block("volumes").any(|volume| volume == "token:/run/taonet:ro"),
            "{name}"
        );
        let health =
            services[name].block("healthcheck").find(|line| line.starts_with("test:")).unwrap();
        // The gateway's own port serves liveness only.
        let port = match services[name].value("command").unwrap().split_once("--metrics 0.0.0.0:") {
            Some((_, metrics)) if name == "subtensor-gateway" => metrics.to_owned(),
            _ => container(name),
        };
        let path = if name == "signer" { "healthz" } else { "readyz" };
        assert!(
            health.contains(&format!("\"http://127.0.0.1:{port}/{path}\"")),
            "{name}: {health}"
        );
    }
}

#[test]
fn every_setting_in_compose_file_exists() {
    let applied_variables: BTreeSet<_> = variables()
        .iter()
        .filter(|variable| variable.apply.is_some())
        .map(|variable| variable.name)
        .collect();
    let text = read("compose.yml");
    let named =
        text.split("${").skip(1).map(|remaining| remaining.split([':', '}']).next().unwrap());
    // Options of a service's command are not settings of the program.
    let named: BTreeSet<_> = named.filter(|name| !name.ends_with("_OPTIONS")).collect();
    assert_eq!(named.difference(&applied_variables).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert!(!named.is_empty());
    for (name, service) in section("services") {
        // The PostgreSQL image defines its own settings.
        let set_variables: BTreeSet<_> = service
            .environment()
            .into_keys()
            .filter(|variable| !variable.starts_with("POSTGRES_"))
            .collect();
        assert_eq!(
            set_variables.difference(&applied_variables).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "{name}"
        );
    }
}

/// The workers connect to queue and database, and have no access to the wallets.
#[test]
fn worker_settings_name_queue_and_database() {
    let services = section("services");
    let scorer = &services["scorer"];
    let config = scorer.config();
    let url =
        |secret: &Option<taonet_settings::Secret>| secret.as_ref().unwrap().expose().to_owned();
    assert_eq!(url(&config.operator.nats_url), "nats://nats:4222");
    assert_eq!(url(&config.operator.database_url), "postgres://postgres@postgres/postgres");
    for name in ["scorer", "nats", "postgres"] {
        assert!(services[name].value("profiles").unwrap().starts_with("[scale"), "{name}");
        assert_eq!(services[name].block("ports").next(), None, "{name}");
    }
    assert!(scorer.value("command").unwrap().ends_with("--metrics 0.0.0.0:8012"));
    assert!(
        read("prometheus.yml").contains("dns_sd_configs: [{names: [scorer], type: A, port: 8012}]")
    );
    assert!(
        !scorer
            .block("volumes")
            .any(|volume| volume.contains("wallets") || volume.starts_with("token:"))
    );
}

/// All have the same readiness check, at the metrics address of their command; only the ports of
/// miners are public.
#[test]
fn services_of_profiles_are_checked_and_published() {
    let (services, prometheus) = (section("services"), read("prometheus.yml"));
    let (ready, text) =
        ("&ready\n  test: [CMD, curl, --fail, --silent, --output, /dev/null", read("compose.yml"));
    assert!(text.contains(&format!("{ready}, \"http://127.0.0.1:8010/readyz\"]")));
    for name in OPTIONAL {
        let service = &services[name];
        assert!(
            service.value("profiles").is_some() && service.value("healthcheck") == Some("*ready"),
            "{name}"
        );
        assert!(service.value("command").unwrap().contains(" --metrics 0.0.0.0:8010"), "{name}");
        assert!(
            prometheus.contains(&format!("[{name},")) || prometheus.contains(&format!(", {name}")),
            "{name}"
        );
        for port in service.block("ports") {
            assert_eq!(port.starts_with("127.0.0.1:"), !name.ends_with("-miner"), "{name}: {port}");
        }
    }
}

/// Only daemons read .env, since it contains secrets.
#[test]
fn only_daemons_load_the_env_file() {
    for (name, service) in section("services") {
        let base = service.value("<<");
        let is_daemon = [&DAEMONS[..], &OPTIONAL, &["scorer"]].concat().contains(&name.as_str());
        assert_eq!(base == Some("*daemon"), is_daemon, "{name}");
    }
    assert_eq!(read("compose.yml").matches("env_file").count(), 1);
}

/// Persistent data is in volumes, and every volume is declared.
#[test]
fn compose_state_is_in_volumes() {
    let services = section("services");
    let declared: BTreeSet<String> = section("volumes").into_keys().collect();
    let sources =
        services.values().flat_map(|service| service.block("volumes").collect::<Vec<_>>());
    let used: BTreeSet<String> = sources
        .map(|volume| volume.split(':').next().unwrap().to_owned())
        .filter(|source| !source.starts_with(['.', '$']))
        .collect();
    assert_eq!(used, declared);
    let runner = services["runner"].config();
    for folder in [&runner.logs_dir, &runner.scores_dir, &runner.status_dir, &runner.cache_dir] {
        let is_state_volume = |volume: &str| {
            volume.split(':').nth(1).is_some_and(|target| folder.starts_with(target))
        };
        assert!(services["runner"].block("volumes").any(is_state_volume), "{}", folder.display());
    }
    for name in DAEMONS {
        let wallets =
            "${BITTENSOR_WALLET_PATH:-~/.bittensor/wallets}:/home/taonet/.bittensor/wallets:ro";
        assert!(services[name].block("volumes").any(|volume| volume == wallets), "{name}");
    }
    for name in ["subtensor-gateway", "signer", "validator"] {
        let mut volumes = services[name].block("volumes");
        assert!(
            volumes.any(|volume| volume.ends_with("-state:/home/taonet/.local/state/taonet")),
            "{name}"
        );
    }
}

/// The image has a directory owned by its user for every volume, since volumes inherit the owner.
#[test]
fn image_has_a_directory_for_each_volume() {
    let (image, user) = (read("docker/Dockerfile"), read("docker/add-user"));
    let directories = user.split_once("install --directory").unwrap().1;
    let directories: BTreeSet<_> = directories.split_whitespace().collect();
    for (name, service) in section("services") {
        // Docker creates the directories of bind mounts itself.
        let volumes = service.block("volumes").filter(|volume| !volume.starts_with(['.', '$']));
        let mount_points =
            volumes.map(|volume| volume.split(':').rev().find(|part| part.starts_with('/')));
        for mount_point in mount_points.map(Option::unwrap).filter(|mount_point| {
            mount_point.contains("taonet/") || mount_point.ends_with("taonet")
        }) {
            let mount_point = mount_point.trim_start_matches("/home/taonet/");
            assert!(directories.contains(mount_point), "{name}: {mount_point}");
        }
    }
    assert!(image.contains("/tmp/add-user \"${UID}\"\n") && image.contains("\nUSER taonet\n"));
}

/// The one-shot service generates a token that is readable by its user, and keeps an existing one.
#[cfg(unix)]
#[test]
fn token_is_generated_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let services = section("services");
    let command = services["token"].value("command").unwrap();
    let words =
        shlex::split(&command.replace("/run/taonet", folder.path().to_str().unwrap())).unwrap();
    let run = || {
        check(Command::new(&words[0]).args(&words[1..]));
        std::fs::read_to_string(folder.path().join("token")).unwrap()
    };
    let token = run();
    assert_eq!(token.len(), 64);
    AccessToken::parse(&token).unwrap();
    assert_eq!(run(), token);
    let mode = folder.path().join("token").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn compose_config_is_valid() {
    let (program, first) = match (
        is_installed("docker-compose"),
        Command::new("docker").args(["compose", "version"]).output(),
    ) {
        (_, Ok(output)) if output.status.success() => ("docker", Some("compose")),
        (true, _) => ("docker-compose", None),
        _ => return,
    };
    // docker compose requires the operator's .env file.
    let folder = tempfile::tempdir().unwrap();
    for name in ["compose.yml", "env.example"] {
        std::fs::copy(root().join(name), folder.path().join(name)).unwrap();
    }
    std::fs::copy(root().join("env.example"), folder.path().join(".env")).unwrap();
    let mut command = Command::new(program);
    check(command.args(first).args(["config", "--quiet"]).current_dir(folder.path()));
}
