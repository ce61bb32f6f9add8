//! Checks the deployment files that `tao subnets new` writes.

use std::path::Path;
use std::process::Command;

use crate::{check, is_installed, root};

/// Writes the files of a subnet `demo` below a directory.
fn write_demo(folder: &Path) {
    let mut new = Command::new(env!("CARGO_BIN_EXE_tao"));
    new.args(["subnets", "new", "demo", "--taonet"]).arg(root());
    check(new.current_dir(folder));
}

fn read(folder: &Path, file: &str) -> String {
    let path = folder.join("demo").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The program need not be built: this build's program takes its place.
#[test]
fn systemd_analyze_accepts_the_unit_of_both_roles() {
    let folder = tempfile::tempdir().unwrap();
    write_demo(folder.path());
    let unit = read(folder.path(), "demo@.service");
    let start = "ExecStart=/usr/local/bin/demo $OPTIONS %i $ROLE_OPTIONS\n";
    assert!(unit.contains(start) && unit.contains("User=demo\n"), "{unit}");
    if !is_installed("systemd-analyze") {
        return;
    }
    let units = folder.path().join("units");
    std::fs::create_dir(&units).unwrap();
    let unit = unit.replace("/usr/local/bin/demo", env!("CARGO_BIN_EXE_tao"));
    std::fs::write(units.join("demo@.service"), unit).unwrap();
    for role in ["miner", "validator"] {
        let mut verify = Command::new("systemd-analyze");
        verify
            .args(["verify", "--man=no"])
            .arg(units.join(format!("demo@{role}.service")))
            .env("SYSTEMD_UNIT_PATH", format!("{}:", units.display()));
        let output = verify.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        // It only warns about unknown keys.
        assert!(output.status.success() && !stderr.contains("demo@"), "{role}: {stderr}");
    }
}

#[test]
fn image_is_built_from_the_program_and_runs_it_without_privileges() {
    let folder = tempfile::tempdir().unwrap();
    write_demo(folder.path());
    let [dockerfile, dockerignore, manifest, main] =
        ["Dockerfile", ".dockerignore", "Cargo.toml", "src/main.rs"]
            .map(|file| read(folder.path(), file));
    let instructions: Vec<&str> =
        dockerfile.lines().filter(|line| !line.starts_with(['#', ' '])).collect();
    let position = |instruction: &str| {
        let index = instructions.iter().position(|line| *line == instruction);
        index.unwrap_or_else(|| panic!("{instruction}: {dockerfile}"))
    };
    assert!(manifest.contains("\nname = \"demo\"\n"), "{manifest}");
    // The context of the build contains only what .dockerignore lists.
    let program = "target/release/demo";
    assert!(dockerignore.ends_with(&format!("\n*\n!{program}\n")), "{dockerignore}");
    let copy = position(&format!("COPY {program} /usr/local/bin/"));
    assert!(copy < position("ENTRYPOINT [\"demo\"]"), "{dockerfile}");
    let created = position("RUN useradd --uid \"${UID}\" --user-group --create-home neuron");
    let user = position("USER neuron");
    // The user owns the directory of the state, which is made after the change of user.
    assert!(created < user && user < position("WORKDIR /home/neuron/data"), "{dockerfile}");
    assert!(main.contains("default_value = \"0.0.0.0:8091\""), "{main}");
    position("EXPOSE 8091");
}
