//! Checks the systemd units.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use taonet_babelbit_config::{Config, variables};

use crate::{is_installed, read, root};

const COMMON: &str = "systemd/taonet-.service.d/common.conf";

fn units() -> Vec<String> {
    let folder = fs::read_dir(root().join("systemd")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".service")).collect()
}

#[test]
fn each_daemon_has_a_unit() {
    let babelbit = ["subtensor-gateway", "signer", "validator", "runner", "scorer", "miner"];
    let owner = ["engine", "scoring-api", "arena-gateway"];
    let nineteen = ["nineteen-validator", "nineteen-query", "nineteen-entry", "nineteen-miner"];
    let proof = ["proof-validator", "proof-miner"];
    let prompting = ["prompting-validator", "prompting-miner"];
    let expected = [&babelbit[..], &owner, &nineteen, &proof, &prompting].concat();
    let expected: BTreeSet<_> =
        expected.iter().map(|name| format!("taonet-{name}.service")).collect();
    assert_eq!(BTreeSet::from_iter(units()), expected);
}

#[test]
fn unit_settings_exist_and_addresses_match() {
    let mut texts: Vec<String> =
        units().iter().map(|unit| read(&format!("systemd/{unit}"))).collect();
    let common = read(COMMON);
    texts.push(common.clone());
    let environment_of = |text: &str| -> Vec<(String, String)> {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("Environment="))
            .map(|line| line.trim_matches('"'));
        lines
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    };
    // The units expand OPTIONS themselves.
    for (name, _) in
        texts.iter().flat_map(|text| environment_of(text)).filter(|(name, _)| name != "OPTIONS")
    {
        assert!(
            variables().iter().any(|variable| variable.name == name && variable.apply.is_some()),
            "{name}"
        );
    }
    let pairs =
        environment_of(&common).into_iter().map(|(name, value)| (name.into(), value.into()));
    let config = Config::from_variables(pairs, None).unwrap().0;
    assert_eq!(config.signer_url().as_str(), format!("http://{}/", config.signer_listen()));
    assert_eq!(config.gateway_url().as_str(), format!("http://{}/", config.gateway_listen()));
}

/// A transcription worker exits when its recogniser is unusable, and relies on its supervisor.
#[test]
fn worker_unit_restarts_on_failure_and_needs_no_wallet() {
    let (unit, common) = (read("systemd/taonet-scorer.service"), read(COMMON));
    assert!(common.lines().any(|line| line == "Restart=on-failure"), "{common}");
    assert!(!unit.contains("Restart=") && !unit.contains("LoadCredential="), "{unit}");
}

/// The specifier `%d` of the credentials directory came with systemd 250; Ubuntu 22.04 has 249.
#[test]
fn units_load_credentials_with_older_systemd() {
    let mut with_credentials = 0;
    for unit in units() {
        let text = read(&format!("systemd/{unit}"));
        assert!(!text.contains("%d"), "{unit}");
        for name in ["hotkey", "api-token"] {
            let is_loaded = text.contains(&format!("LoadCredential={name}:/etc/taonet/"));
            assert_eq!(
                is_loaded,
                text.contains(&format!("${{CREDENTIALS_DIRECTORY}}/{name}")),
                "{unit}: {name}"
            );
            with_credentials += usize::from(is_loaded);
        }
    }
    assert!(with_credentials > 10, "{with_credentials}");
}

/// Only units with options of the operator use them, and give a default.
#[test]
fn unit_options_have_a_default() {
    for unit in units() {
        let text = read(&format!("systemd/{unit}"));
        let command = text.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert_eq!(command.ends_with(" $OPTIONS"), text.contains("OPTIONS="), "{unit}");
    }
    assert!(read(COMMON).contains("\nEnvironmentFile=-/etc/taonet/%N.env\n"));
}

/// Verifies the units with systemd-analyze, with this build's program in place of the installed
/// one.
#[test]
fn systemd_analyze_accepts_the_units() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let copied_path = |path: &Path| folder.path().join(path.strip_prefix("systemd").unwrap());
    fs::create_dir(copied_path(Path::new(COMMON).parent().unwrap())).unwrap();
    fs::write(copied_path(Path::new(COMMON)), read(COMMON)).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify
        .args(["verify", "--man=no"])
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()));
    for unit in units() {
        let text = read(&format!("systemd/{unit}"))
            .replace("/usr/local/bin/bb", env!("CARGO_BIN_EXE_tao"));
        let text = text.replace("/usr/local/bin/tao", env!("CARGO_BIN_EXE_tao"));
        fs::write(folder.path().join(&unit), text).unwrap();
        verify.arg(folder.path().join(&unit));
    }
    let output = verify.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let own_warnings: Vec<_> = stderr.lines().filter(|line| line.contains("taonet-")).collect();
    assert!(output.status.success() && own_warnings.is_empty(), "{stderr}");
}
