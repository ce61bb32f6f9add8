//! Checks what a release contains: stripped programs, man pages, completions.

use crate::read;

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
    assert!(read("docker/Dockerfile").contains("scripts/split-debug target/packaged/tao /programs"));
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
    for line in ["sudo tao man /usr/local/share/man/man1", "tao completions bash | sudo install", "tao completions zsh"]
    {
        assert!(guide.contains(line), "docs/validator.md: {line}");
    }
}
