use std::path::Path;

use clap::CommandFactory as _;

use super::*;

const COMPOSE: &str = include_str!("../../../../../compose.yml");
/// Home and state directory of the image's user.
const HOME: &str = "/home/taonet";
const STATE: &str = "/home/taonet/.local/state/taonet";

/// Returns the entries below a key of a service in compose.yml.
fn entries(service: &str, key: &str) -> Vec<&'static str> {
    let is_below =
        |line: &&str, depth: usize| line.trim().is_empty() || line.starts_with(&" ".repeat(depth));
    let lines = COMPOSE.lines().skip_while(|line| *line != format!("  {service}:")).skip(1);
    let lines = lines
        .take_while(|line| is_below(line, 4))
        .skip_while(|line| *line != format!("    {key}:"))
        .skip(1);
    let lines = lines.take_while(|line| is_below(line, 6)).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// A volume of a service.
struct Volume {
    target: &'static Path,
    is_read_only: bool,
}

fn volumes(service: &str) -> Vec<Volume> {
    let volume = |entry: &'static str| {
        let is_read_only = entry.ends_with(":ro");
        let (_, target) = entry.trim_end_matches(":ro").rsplit_once(':').unwrap();
        Volume { target: Path::new(target), is_read_only }
    };
    entries(service, "volumes").into_iter().map(volume).collect()
}

/// Returns the settings of a service without `.env`.
fn config(service: &str) -> Config {
    let pairs =
        entries(service, "environment").into_iter().map(|line| line.split_once(": ").unwrap());
    let pairs = pairs.map(|(name, value)| (name.into(), value.trim_matches('"').into()));
    Config::from_variables(pairs, Some(Path::new(HOME))).unwrap().0
}

#[test]
fn services_of_compose_file_write_in_writable_volumes_only() {
    for (service, role) in [
        ("subtensor-gateway", Role::Gateway),
        ("signer", Role::Signer),
        ("validator", Role::Validator),
        ("runner", Role::Runner),
    ] {
        let volumes = volumes(service);
        assert!(volumes.len() > 2, "{service}");
        let root = "1 0 0:1 / / rw,relatime - overlay overlay rw\n".to_owned();
        let mounts = volumes.iter().map(|Volume { target, is_read_only }| {
            let mode = if *is_read_only { "ro" } else { "rw" };
            format!("2 1 8:1 /volume {} {mode} - ext4 /dev/sda1 rw\n", target.display())
        });
        let machine = Host {
            container: Some("Docker"),
            mounts: root + &mounts.collect::<String>(),
            ..Host::default()
        };
        let directories = write_directories(&config(service), &[role], Path::new(STATE), None);
        let paths: Vec<_> = directories.iter().map(|directory| directory.path.clone()).collect();
        let findings = host(&machine, &paths);
        assert!(
            findings.iter().all(|finding| finding.status == Status::Ok),
            "{service}: {findings:?}"
        );
        // No fault of the disk: each directory is in a volume that the service can write.
        for path in paths {
            let volume = volumes.iter().find(|volume| path.starts_with(volume.target));
            assert!(
                volume.is_some_and(|volume| !volume.is_read_only),
                "{service}: {}",
                path.display()
            );
        }
    }
}

#[test]
fn directory_outside_of_volumes_is_fault() {
    let mounts = "1 0 0:1 / / rw,relatime - overlay overlay rw\n".to_owned();
    let machine = Host { container: Some("Docker"), mounts, ..Host::default() };
    let directories = write_directories(&config("runner"), &[Role::Runner], Path::new(STATE), None);
    let paths: Vec<_> = directories.into_iter().map(|directory| directory.path).collect();
    assert_eq!(
        host(&machine, &paths).iter().filter(|finding| finding.status == Status::Fault).count(),
        paths.len()
    );
}

#[test]
fn ledger_option_replaces_directory_of_gateway() {
    let config = config("subtensor-gateway");
    let directories = write_directories(
        &config,
        &Role::BABELBIT,
        Path::new(STATE),
        Some(Path::new("/srv/ledger")),
    );
    assert_eq!(directories[0].path, Path::new("/srv/ledger"));
    assert!(
        directories
            .iter()
            .all(|directory| directory.path != Path::new(STATE).join("subtensor-gateway"))
    );
}

/// Columns: value of BB_MINER_LM · state of the language model
#[test]
fn doctor_skips_custom_language_models_and_reports_unknown_ones() {
    let folder = tempfile::tempdir().unwrap();
    let own_model = folder.path().to_str().unwrap();
    for (name, status) in [
        (own_model, Status::Skipped),
        ("hub:owner/name", Status::Skipped),
        ("no/such/model", Status::Fault),
        ("tiny-ctc", Status::Fault),
    ] {
        let variables = [("BB_MINER_LM".into(), name.into())];
        let (config, _) = Config::from_variables(variables, Some(Path::new(HOME))).unwrap();
        let findings = verify_phrase_models(&config);
        assert_eq!(findings[0].status, status, "{name}: {findings:?}");
        assert!(findings[1].subject.contains("all-MiniLM-L6-v2"), "{findings:?}");
    }
}

/// Columns: command · option with the address
#[test]
fn default_ports_match_the_commands() {
    for (role, path, option) in [
        (Role::NineteenValidator, ["nineteen", "validator"], "listen"),
        (Role::NineteenEntry, ["nineteen", "entry"], "listen"),
        (Role::NineteenMiner, ["nineteen", "miner"], "listen"),
        (Role::ProofValidator, ["proof", "validator"], "metrics"),
        (Role::ProofMiner, ["proof", "miner"], "listen"),
        (Role::PromptingMiner, ["prompting", "miner"], "listen"),
    ] {
        let tree = crate::Tao::command();
        let command =
            path.iter().fold(&tree, |command, name| command.find_subcommand(name).unwrap());
        let argument =
            command.get_arguments().find(|argument| argument.get_id() == option).unwrap();
        let defaults: Vec<_> =
            argument.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
        let (name, port) = role.default_port().unwrap();
        assert_eq!(defaults, [format!("127.0.0.1:{}", port.unwrap())], "{name}");
        assert_eq!(name, path.join(" "));
    }
}

#[test]
fn models_and_circuits_of_options_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let status = |model: Option<&Path>, circuits: Option<&Path>| -> Vec<Status> {
        verify_option_models(model, circuits, &[]).iter().map(|finding| finding.status).collect()
    };
    assert_eq!(status(None, None), []);
    assert_eq!(status(Some(folder.path()), None), [Status::Skipped]);
    assert_eq!(
        status(Some(Path::new("no/such/model")), Some(folder.path())),
        [Status::Fault, Status::Fault]
    );
    #[cfg(feature = "proof")]
    {
        let missing =
            verify_option_models(None, Some(Path::new("no/such/circuits")), &[]).remove(0);
        assert_eq!(missing.status, Status::Fault);
        assert!(missing.seen.starts_with("cannot read the directory: "), "{missing:?}");
        assert!(missing.remedy.unwrap().contains("--circuits"));
    }
    // A miner of images can draw without a model; other daemons cannot.
    let painter = Some(Path::new("painter"));
    assert_eq!(status(painter, None), [Status::Fault]);
    let drawn = verify_option_models(painter, None, &[Role::NineteenMiner]);
    assert_eq!(drawn.iter().map(|finding| finding.status).collect::<Vec<_>>(), [Status::Skipped]);
}

#[test]
fn missing_directory_and_regular_file_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(directory_problem(folder.path()), None);
    assert_eq!(directory_problem(&file).unwrap(), "not a directory");
    let missing = directory_problem(&folder.path().join("none")).unwrap();
    assert!(missing.starts_with("cannot read the directory: "), "{missing}");
}
