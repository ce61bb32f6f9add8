//! Checks what a release contains: stripped programs, man pages, completions, units.

use std::process::Command;

use crate::{check, is_installed, read, root};

/// Returns the lines of a table in Cargo.toml.
fn table(name: &str) -> Vec<String> {
    let manifest = read("Cargo.toml");
    let lines = manifest.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    lines.take_while(|line| !line.starts_with('[')).map(str::to_owned).collect()
}

#[test]
fn programs_that_users_build_are_stripped() {
    let [release, packaged] = ["profile.release", "profile.packaged"].map(table);
    assert!(release.contains(&"strip = \"symbols\"".to_owned()), "{release:?}");
    // The packaging moves the line tables to a separate file.
    for line in ["inherits = \"release\"", "debug = \"line-tables-only\"", "strip = \"none\""] {
        assert!(packaged.contains(&line.to_owned()), "{packaged:?}");
    }
    assert!(
        read("docker/Dockerfile").contains("scripts/split-debug target/packaged/tao /programs")
    );
}

#[test]
fn packages_install_man_pages_and_completions() {
    let image = read("docker/Dockerfile");
    for line in [
        "/programs/tao man /man",
        "/programs/tao completions bash --program $program > /completions/$program",
        "COPY --from=builder /man/ /usr/local/share/man/man1/",
        "COPY --from=builder /completions/ /usr/share/bash-completion/completions/",
    ] {
        assert!(image.contains(line), "docker/Dockerfile: {line}");
    }
    let guide = read("docs/validator.md");
    for line in [
        "sudo tao man /usr/local/share/man/man1",
        "tao completions bash | sudo install",
        "tao completions zsh",
    ] {
        assert!(guide.contains(line), "docs/validator.md: {line}");
    }
}

/// The context of the image's build contains only what .dockerignore lists.
#[test]
fn image_is_built_from_files_in_its_context() {
    let (image, ignored) = (read("docker/Dockerfile"), read(".dockerignore"));
    for file in ["docker/add-user", "scripts/split-debug"] {
        assert!(image.contains(file) && ignored.contains(&format!("\n!{file}\n")), "{file}");
    }
    assert!(
        read("scripts/split-debug").contains("/lib.sh") && ignored.contains("\n!scripts/lib.sh\n")
    );
    // Cargo reads the manifests of all members of the workspace.
    let manifest = read("Cargo.toml");
    let (_, members) = manifest.split_once("\nmembers = [\n").unwrap();
    let (members, _) = members.split_once("\n]\n").unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        let mut included = ignored.lines().filter_map(|line| line.strip_prefix('!'));
        assert!(included.any(|path| member.starts_with(path)), "{member} is not in the context");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn debian_package_has_program_links_pages_and_units() {
    if !is_installed("dpkg-deb") || !is_installed("readelf") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut package = Command::new(root().join("scripts/package-deb"));
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    package.args([env!("CARGO_BIN_EXE_tao"), &target]).arg(folder.path());
    check(package.env("DEB_COMPRESSOR", "none").env("SOURCE_DATE_EPOCH", "1700000000"));
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let query = |argument: &str| {
        let output =
            Command::new("dpkg-deb").arg(argument).arg(&file).env("TZ", "UTC").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let contents = query("--contents");
    for line in [
        " ./usr/bin/tao",
        " ./usr/bin/bb -> tao",
        " ./usr/bin/sn2-miner -> tao",
        " ./usr/share/man/man1/tao.1.gz",
        " ./usr/share/bash-completion/completions/bb",
        " ./usr/share/zsh/vendor-completions/_tao",
        " ./usr/share/fish/vendor_completions.d/tao.fish",
        " ./usr/lib/systemd/system/taonet-.service.d/common.conf",
        " ./usr/lib/systemd/system/taonet-nineteen-miner.service",
        " ./usr/share/doc/taonet/copyright",
    ] {
        assert!(contents.lines().any(|candidate| candidate.ends_with(line)), "{line}: {contents}");
    }
    let times = contents.lines().filter(|line| line.contains(" 2023-11-14 "));
    assert_eq!(
        times.count(),
        contents.lines().count(),
        "files have the time of the commit: {contents}"
    );
    let control = query("--info");
    assert!(control.contains(&format!(" Version: {}\n", env!("CARGO_PKG_VERSION"))), "{control}");
    assert!(control.contains(" Depends: libc6 (>= 2."), "{control}");
    let unpacked = folder.path().join("unpacked");
    check(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&unpacked));
    let unit =
        std::fs::read_to_string(unpacked.join("usr/lib/systemd/system/taonet-runner.service"))
            .unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/bb -v runner "), "{unit}");
    let compressed =
        std::fs::File::open(unpacked.join("usr/share/doc/taonet/changelog.gz")).unwrap();
    let changelog = std::io::read_to_string(flate2::read::GzDecoder::new(compressed)).unwrap();
    let heading = format!("taonet ({}) stable; ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&heading), "{changelog}");
}

/// The workflow makes releases with the scripts that make them on any machine.
#[test]
fn release_workflow_runs_scripts_of_the_repository() {
    let workflow = read(".github/workflows/release.yml");
    let lines: Vec<_> =
        workflow.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let words = lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter(|word| word.starts_with("scripts/"));
    let scripts: Vec<_> = words.collect();
    for script in &scripts {
        assert!(root().join(script).is_file(), "{script}");
    }
    for script in ["scripts/release", "scripts/package-image", "scripts/try-release"] {
        assert!(scripts.contains(&script), "{script}: {scripts:?}");
    }
}

/// Faults of the arguments are found before anything is built.
#[test]
fn release_script_rejects_invalid_arguments() {
    let run = |arguments: &[&str]| {
        let output = Command::new(root().join("scripts/release")).args(arguments).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let existing = folder.path().to_str().unwrap();
    for (arguments, expected) in [
        (
            &["--target", "riscv64gc-unknown-linux-gnu"][..],
            "there is no cross-compiler for riscv64gc",
        ),
        (&["--out", existing], "exists: remove it"),
        (&["--program", "tao", "--check-reproducible"], "without --program"),
        (&["--target"], "--target needs a value"),
        (&["--nonsense"], "unknown argument: --nonsense"),
    ] {
        let (success, text) = run(arguments);
        assert!(!success && text.contains(expected), "{arguments:?}: {text}");
    }
    let (success, help) = run(&["--help"]);
    assert!(success && help.contains("--check-reproducible"), "{help}");
}
