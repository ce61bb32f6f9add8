//! The C library of releases: scripts/release links programs for Linux with the oldest supported
//! one, whatever this machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::write_program;
use crate::support::{repository, search_path, stderr};

/// Selects the target of this machine, on a system with a version of glibc and with scripts in
/// place of mmdebstrap and gcc; returns the output of a shell script after that.
fn run(cache: &Path, libc: &str, script: &str) -> String {
    let programs = tempfile::tempdir().unwrap();
    write_program(programs.path(), "getconf", &format!("echo glibc {libc}"));
    write_program(programs.path(), "gcc", r#"printf '%s\n' "$@""#);
    // An archive with an absolute link, as packages of libraries have.
    let archive = r#"
echo "mmdebstrap $*" >&2
cd "$(mktemp -d)"
mkdir -p lib usr/lib dev
echo library > lib/libm.so.6
ln -s /lib/libm.so.6 usr/lib/libm.so
touch dev/null
tar -c ."#;
    write_program(programs.path(), "mmdebstrap", archive);
    let [lib, target] = ["scripts/lib.sh", "scripts/release-target.sh"].map(repository);
    // Keyrings and other packages are not installed.
    let prepare = r#"require_mmdebstrap() { :; }
unset "${!CC_@}" "${!CARGO_TARGET_@}"
use_target "$(this_target)"
use_oldest_libc"#;
    let script = format!(
        "set -euo pipefail; . '{}'; . '{}'; {prepare}\n{script}",
        lib.display(),
        target.display()
    );
    let mut bash = Command::new("/bin/bash");
    bash.args(["-c", &script]).env("PATH", search_path([programs.path().to_owned()]));
    bash.env("TMPDIR", programs.path()).env("XDG_CACHE_HOME", cache);
    let output = bash.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// Prints the command that runs programs, and what the compiler for the target is called with.
const PRINT_RUNNER_AND_LINKER: &str = r#"echo "runner: ${release_runner[*]-}"
linker=$(env | sed -n 's/^CARGO_TARGET_.*_LINKER=//p'); compiler=$(env | sed -n 's/^CC_.*=//p')
[ "$linker" = "$compiler" ] && [ -z "$compiler" ] || "$compiler" -c 'my file.c'"#;

/// Directory with the unpacked C library.
fn sysroot(cache: &Path) -> PathBuf {
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    cache.join(format!("taonet/sysroot/bullseye-{architecture}"))
}

#[test]
fn release_is_linked_with_the_oldest_c_library() {
    let cache = tempfile::tempdir().unwrap();
    let sysroot = sysroot(cache.path());
    let output = run(cache.path(), "2.36", PRINT_RUNNER_AND_LINKER);
    assert!(output.contains("fetching glibc 2.31 of Debian bullseye"), "{output}");
    assert!(output.contains("--include=libc6-dev,libgcc-s1 bullseye - "), "{output}");
    assert!(output.contains(&format!("\n--sysroot={}\n", sysroot.display())), "{output}");
    assert!(output.contains("\n-c\nmy file.c\n"), "{output}");
    let runner = format!("runner: {}/lib", sysroot.display());
    assert!(output.contains(&runner), "{output}");
    // Links stay inside of the directory.
    let link = fs::read_link(sysroot.join("usr/lib/libm.so")).unwrap();
    assert_eq!(link, Path::new("../../lib/libm.so.6"));
    assert!(!sysroot.join("dev/null").exists());

    let second_run = run(cache.path(), "2.36", PRINT_RUNNER_AND_LINKER);
    assert!(second_run.contains(&runner) && !second_run.contains("mmdebstrap"), "{second_run}");
}

#[test]
fn old_c_library_of_the_machine_is_used() {
    let cache = tempfile::tempdir().unwrap();
    for libc in ["2.31", "2.28"] {
        assert_eq!(
            run(cache.path(), libc, PRINT_RUNNER_AND_LINKER).trim_end(),
            "runner:",
            "{libc}"
        );
    }
    assert!(!sysroot(cache.path()).exists());
}
