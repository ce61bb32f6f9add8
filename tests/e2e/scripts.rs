//! The installation scripts, with mock programs that print their arguments.

#[cfg(target_os = "linux")]
mod release;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::{repository, stderr};

/// Runs `script` with `scripts/lib.sh`, as a user with this ID, with only `programs` installed.
fn run(script: &str, user: &str, programs: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    write_program(folder.path(), "id", &format!("echo {user}"));
    for name in programs {
        write_program(folder.path(), name, &format!("echo {name} $*"));
    }
    let lib = repository("scripts/lib.sh");
    let script = format!("set -eu; . '{}'; {script}", lib.display());
    Command::new("/bin/bash").args(["-c", &script]).env("PATH", folder.path()).output().unwrap()
}

fn write_program(folder: &Path, name: &str, script: &str) {
    // A shell writes the file: programs that other tests start meanwhile would inherit it from this
    // process while it is open for writing, and until they close it, it cannot be run ("Text file
    // busy").
    let write = r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#;
    let mut shell = Command::new("/bin/sh");
    assert!(
        shell
            .args(["-c", write, "sh"])
            .arg(folder.join(name))
            .arg(script)
            .status()
            .unwrap()
            .success()
    );
}

const INSTALL: &str = "apt-get install --yes --no-install-recommends espeak-ng";

#[test]
fn root_installs_missing_packages() {
    let output = run("install_packages espeak-ng", "0", &["apt-get"]);
    assert!(output.status.success());
    assert_eq!(stderr(&output), format!("installing: {INSTALL}\napt-get update -qq\n{INSTALL}\n"));
}

#[test]
fn sudo_is_called_after_announcing_the_command() {
    let output =
        run("has_terminal() { true; }; install_packages espeak-ng", "1000", &["apt-get", "sudo"]);
    assert!(output.status.success());
    assert_eq!(
        stderr(&output),
        format!("installing: sudo {INSTALL}\nsudo apt-get update -qq\nsudo {INSTALL}\n")
    );
}

#[test]
fn install_command_is_printed_without_terminal() {
    let terminal = "has_terminal() { true; }; install_packages espeak-ng";
    for (script, programs) in
        [("install_packages espeak-ng", &["apt-get", "sudo"][..]), (terminal, &["apt-get"])]
    {
        let output = run(script, "1000", programs);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stderr(&output), format!("error: missing: espeak-ng. As root: {INSTALL}\n"));
    }
    let output = run("install_packages espeak-ng", "0", &[]);
    assert_eq!(stderr(&output), "error: please install: espeak-ng\n");
}

#[test]
fn cargo_tool_is_built_once() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "XDG_CACHE_HOME='{}'; require_cargo_tool cargo-deny 0.20.2",
        folder.path().display()
    );
    let output = run(&script, "1000", &["cargo"]);
    let root = folder.path().join("taonet/tools");
    let options = format!("--locked --no-default-features --root {}", root.display());
    assert!(
        stderr(&output).contains(&format!("cargo install cargo-deny --version 0.20.2 {options}\n")),
        "{}",
        stderr(&output)
    );
    fs::create_dir_all(root.join("bin")).unwrap();
    write_program(&root.join("bin"), "cargo-deny", "echo cargo-deny 0.20.2");
    let output = run(&script, "1000", &["cargo"]);
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
}

/// The checks of ./test, with scripted commands.
fn run_checks(commands: &str) -> (Option<i32>, String) {
    let (lib, checks) = (repository("scripts/lib.sh"), repository("scripts/checks.sh"));
    let script = format!(
        "set -euo pipefail; . '{}'; . '{}'; {commands}; summarize_checks",
        lib.display(),
        checks.display()
    );
    let output = Command::new("/bin/bash").args(["-c", &script]).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn failed_check_does_not_stop_the_others() {
    let commands = "a() { echo 'test wave::is_read ... FAILED'; return 101; }; b() { false; }; check a; check b; \
                    check true; check echo 'SKIPPED: OpenCL. Install it'";
    let (code, stderr) = run_checks(commands);
    assert_eq!(code, Some(1));
    let summary =
        "== skipped\n  SKIPPED: OpenCL. Install it\n== failed\n  a\n  b\n  test wave::is_read\n";
    assert!(stderr.contains("== true\n") && stderr.ends_with(summary), "{stderr}");
}

/// By default, cargo runs no further test programs after one that failed.
#[test]
fn failed_test_program_does_not_stop_the_others() {
    let script = fs::read_to_string(repository("test")).unwrap().replace("\\\n", " ");
    let lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#') && line.contains("cargo test"));
    let runs: Vec<&str> = lines.filter(|line| !line.contains("--no-run")).collect();
    assert!(runs.len() >= 3, "{runs:?}");
    for run in runs {
        assert!(run.contains("--no-fail-fast"), "{run}");
    }
}

/// Tests that need the recordings of the real chain print such a line without them
/// (taonet-chain-vectors).
#[test]
fn missing_recordings_are_in_the_summary() {
    let message = "NOT TESTED: no recordings in ../shared/vectors/chain";
    let (code, stderr) = run_checks(&format!("check echo '{message}'"));
    assert_eq!(code, Some(0));
    assert!(stderr.ends_with(&format!("== skipped\n  {message}\nall checks passed\n")), "{stderr}");
}

#[test]
fn background_checks_are_in_the_summary() {
    let commands = r"lint() { echo 'test wave::is_read ... FAILED'; return 101; }
        aside() { check lint; check echo 'SKIPPED: NATS'; }
        check_beside aside; check true; finish_beside";
    let (code, stderr) = run_checks(commands);
    assert_eq!(code, Some(1));
    let summary = "== skipped\n  SKIPPED: NATS\n== failed\n  lint\n  test wave::is_read\n";
    assert!(stderr.ends_with(summary), "{stderr}");
    let (code, stderr) =
        run_checks("aside() { check true; }; check_beside aside; check true; finish_beside");
    assert!(code == Some(0) && stderr.ends_with("all checks passed\n"), "{stderr}");
    let (code, stderr) = run_checks("aside() { exit 3; }; check_beside aside; finish_beside");
    assert_eq!(code, Some(1));
    assert!(
        stderr.ends_with("== failed\n  the checks beside the others ended early\n"),
        "{stderr}"
    );
}

#[test]
fn background_checks_end_with_the_script() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let aside = format!("aside() {{ sleep 600 & echo $! >'{}'; wait; }}", pid.display());
    let wait = format!("until [ -s '{}' ]; do sleep 0.05; done", pid.display());
    let (code, _) = run_checks(&format!("{aside}; check_beside aside; {wait}; exit 7"));
    assert_eq!(code, Some(7));
    let process = format!("/proc/{}", fs::read_to_string(pid).unwrap().trim());
    let start = Instant::now();
    while Path::new(&process).exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "{process}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The output of tests is far above the summary, and logs of CI are cut.
#[test]
fn summary_repeats_output_of_failed_tests() {
    let output = r"test wave::is_read ... FAILED\n\nfailures:\n\n---- wave::is_read stdout ----\nleft: 1\n\nfailures:\n";
    let (code, stderr) =
        run_checks(&format!(r"a() {{ printf '{output}\n'; return 101; }}; check a"));
    assert_eq!(code, Some(1));
    let summary = "---- wave::is_read stdout ----\nleft: 1\n== failed\n  a\n  test wave::is_read\n";
    assert!(stderr.ends_with(summary), "{stderr}");
}

#[test]
fn passed_checks_exit_with_0_and_list_skipped_ones() {
    let (code, stderr) = run_checks("check echo '!!! SKIPPED: NATS !!!'; check true");
    assert_eq!(code, Some(0));
    assert!(stderr.ends_with("== skipped\n  SKIPPED: NATS !!!\nall checks passed\n"), "{stderr}");
}

/// `./test` runs files of the tools' own suites, and the neurons of the subnet template, which only
/// their repositories have. Columns: mode of scripts/suites · what is skipped · repository
#[test]
fn unreachable_suite_repositories_are_reported_as_skipped() {
    let folder = tempfile::tempdir().unwrap();
    write_program(folder.path(), "git", "exit 128");
    let (path, suites) = (folder.path().display(), repository("scripts/suites"));
    for (mode, tests, source) in [
        ("fast", "of the SDK's and btcli's own suites", "bittensor"),
        ("template", "with the neurons of the subnet template", "bittensor-subnet-template"),
    ] {
        let (code, stderr) = run_checks(&format!(
            "export PATH='{path}':\"$PATH\" TAONET_PEERS_DIR='{path}/peers'; check '{}' {mode}",
            suites.display()
        ));
        let url = format!("https://github.com/opentensor/{source}");
        let skipped = format!("SKIPPED: tests {tests}: cannot reach {url}");
        assert_eq!(code, Some(0));
        assert!(
            stderr.ends_with(&format!("== skipped\n  {skipped}\nall checks passed\n")),
            "{stderr}"
        );
    }
}

#[test]
fn standard_library_of_a_release_target_is_added_with_rustup() {
    let script = format!(
        ". '{}'; release_target=aarch64-unknown-linux-gnu; require_rust_target",
        repository("scripts/release-target.sh").display()
    );
    let command = "rustup target add aarch64-unknown-linux-gnu";
    let output = run(&script, "1000", &["rustc", "rustup"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), format!("installing: {command}\n{command}\n"));
    let output = run(&script, "1000", &["rustc"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).ends_with("there is no rustup to add it\n"), "{}", stderr(&output));
}

/// A packaged program is stripped, with its line tables in a separate file.
#[test]
fn line_tables_are_split_into_a_separate_file() {
    let folder = tempfile::tempdir().unwrap();
    let (source, program, split) =
        (folder.path().join("main.c"), folder.path().join("program"), folder.path().join("split"));
    fs::write(&source, "int main(void) { return 7; }").unwrap();
    let built = Command::new("cc").args(["-g", "-o"]).args([&program, &source]).status().unwrap();
    assert!(built.success());
    let output =
        Command::new(repository("scripts/split-debug")).args([&program, &split]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let contains = |path: &Path, name: &str| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(name.len()).any(|window| window == name.as_bytes())
    };
    let (small, tables) = (split.join("program"), split.join("program.debug"));
    assert!(!contains(&small, ".debug_line") && contains(&small, "program.debug"));
    assert!(contains(&tables, ".debug_line"));
    assert_eq!(Command::new(small).status().unwrap().code(), Some(7));
}

#[test]
fn postgres_is_installed_only_where_it_is_missing() {
    let output = run("require_postgres", "0", &["initdb"]);
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    let missing = "has_postgres() { false; }; require_postgres";
    let output = run(missing, "0", &["apt-get"]);
    assert!(
        stderr(&output).contains("apt-get install --yes --no-install-recommends postgresql\n"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("there is no command initdb"), "{}", stderr(&output));
}

/// The page states results of these suites and packages, not of others.
#[test]
fn coverage_page_names_versions_of_suites_and_packages() {
    let text = |path: &str| fs::read_to_string(repository(path)).unwrap();
    let script = text("scripts/suites");
    let page = text("docs/localnet-coverage.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let suites =
        [("bittensor", "SDK", "sdk10", "bittensor"), ("btcli", "btcli", "btcli", "bittensor-cli")];
    for (source, program, peer, package) in suites {
        let (_, commit) =
            script.split_once(&format!("https://github.com/opentensor/{source} ")).unwrap();
        // The program's version in the suite's repository follows.
        assert!(
            page.contains(&format!("opentensor/{source} ({}, {program} ", &commit[..8])),
            "{source}"
        );
        let pins = text(&format!("tests/peers/{peer}.txt"));
        let pin = pins.lines().find_map(|line| line.strip_prefix(&format!("{package}=="))).unwrap();
        let version = pin.split_whitespace().next().unwrap();
        assert!(page.contains(&format!("{program} {version}")), "{program} {version}");
    }
}

/// A driver whose LLVM does not know the processor compiles no kernels, as that in PoCL's Python
/// package. Code that is compiled for the processor at hand does not run on others.
#[test]
fn no_test_depends_on_the_cpu_model() {
    let driver = "/etc/OpenCL/vendors/pocl.icd";
    for path in ["scripts/lib.sh", "tests/e2e/chain/opencl.rs", "crates/pow/src/opencl/tests.rs"] {
        assert!(fs::read_to_string(repository(path)).unwrap().contains(driver), "{path}");
    }
    let pins = fs::read_dir(repository("tests/peers")).unwrap().map(|entry| entry.unwrap().path());
    let pins: Vec<_> =
        pins.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    assert!(pins.len() >= 10, "{pins:?}");
    for path in pins {
        assert!(
            !fs::read_to_string(&path).unwrap().to_lowercase().contains("pocl"),
            "{}",
            path.display()
        );
    }
    for path in ["test", ".ci/run", "Cargo.toml"] {
        assert!(!fs::read_to_string(repository(path)).unwrap().contains("target-cpu"), "{path}");
    }
}

#[test]
fn missing_opencl_driver_is_installed_in_ci_and_reported_elsewhere() {
    let packages = "pocl-opencl-icd ocl-icd-libopencl1";
    let reported = format!("SKIPPED: tests on an OpenCL device. Install {packages}\n");
    let output = run("has_opencl() { false; }; CI=; want_opencl", "0", &["apt-get"]);
    assert!(output.status.success());
    assert_eq!(stderr(&output), format!("== {reported}"));
    let output = run("has_opencl() { false; }; CI=1; want_opencl", "0", &["apt-get"]);
    let installation = format!("apt-get install --yes --no-install-recommends {packages}\n");
    assert!(
        output.status.success() && stderr(&output).contains(&installation),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).ends_with(&format!("== {reported}")), "{}", stderr(&output));
    let (code, stderr) = run_checks("has_opencl() { false; }; CI=; check want_opencl");
    assert_eq!(code, Some(0));
    assert!(stderr.ends_with(&format!("== skipped\n  {reported}all checks passed\n")), "{stderr}");
}

/// Columns: arguments of `benches/interpret/compare` · exit code · part of the error
#[test]
fn interpreter_comparison_checks_its_arguments() {
    for (arguments, code, expected) in [
        (&[][..], 0, ""),
        (&["--neural", "--challenges", "1", "8"], 0, ""),
        (&["--neural"], 2, "the neural voice speaks English only"),
        (&["--challenges", "1", "fr-1"], 2, "English challenges are measured on their own"),
        (&["--challenges", "9"], 1, "there is no challenge 9; the names are 1 to 8"),
        (&["--utterances", "0"], 2, "--utterances: invalid positive value: '0'"),
    ] {
        let mut compare = Command::new("python3");
        compare.arg(repository("benches/interpret/compare.py")).arg("--check").args(arguments);
        let output = compare.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(expected) && error.is_empty() == (code == 0), "{error}");
    }
}

#[test]
fn interpreter_comparison_without_its_peers_compares_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut compare = Command::new(repository("benches/interpret/compare"));
    compare.arg("--json").env("PYTHONDONTWRITEBYTECODE", "1");
    compare.env("TAONET_PEERS_DIR", folder.path());
    compare.env("SIMULSTREAMING", folder.path().join("missing"));
    let output = compare.output().unwrap();
    let error = stderr(&output);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{error}");
    for part in ["cannot fetch ", "NOTHING WAS COMPARED", "SIMULSTREAMING=URL names another"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!folder.path().join("suites/SimulStreaming").exists());
}

/// The goals of translation and recognition that a comparison names, without the programs.
#[test]
fn comparison_goals_without_measurements_are_not_met() {
    let script = "
import compare
figures = {'chrf': 60.0, 'laal_seconds': 2.0, 'cpu_per_second': 0.3, 'word_errors_percent': 4.0}
peer = {**figures, 'chrf': 60.5, 'cpu_per_second': 2.0}
whole = {**figures, 'chrf': 64.0}
programs = {compare.OURS: figures, compare.SIMULSTREAMING: peer, compare.WHOLE: whole}
for is_english in (True, False):
    assert not any(goal['is_met'] for goal in compare.goals({}, is_english))
    found = compare.goals(programs, is_english)
    met = [True, True, True] + ([True, True] if is_english else [False, True])
    assert [goal['is_met'] for goal in found] == met, found
assert compare.plain('Um, we have, we have to go.') == ['we', 'have', 'to', 'go']
assert compare.words([(' the ho', 1), ('use', 2), ('', 3), (' is', 3)]) == (['the', 'house', 'is'], [1000, 2000, 3000])
assert compare.lagging([1000, 2000, 4000], 3000, 3) == 4000 / 3
";
    let mut python = Command::new("python3");
    python.args(["-c", script]).env("PYTHONPATH", repository("benches/interpret"));
    let output = python.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn help_of_build_scripts_does_not_build() {
    let folder = tempfile::tempdir().unwrap();
    for (script, option) in [
        ("demo", "--stt tiny"),
        ("chaos", "--epochs N"),
        ("soak", "--every SECONDS"),
        ("scripts/simulate", "--count N"),
        ("scripts/release", "--check-reproducible"),
    ] {
        let path = repository(script);
        let (directory, name) = (path.parent().unwrap(), path.file_name().unwrap());
        let mut command = Command::new("/bin/bash");
        command.arg(name).arg("--help").current_dir(directory);
        command.env("CARGO_TARGET_DIR", folder.path());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(option), "{script}: {text}");
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "{script} builds");
    }
}
