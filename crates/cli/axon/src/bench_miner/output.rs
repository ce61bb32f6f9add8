//! The files of a benchmark: checked before it, and written as a whole after its report.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use taonet_cli_base::exit::ClassifiedError;
use taonet_service::{Access, atomic_write};

/// Checks that the files can be written, so that a wrong path does not waste a measurement, and
/// that none replaces another one or the input.
pub(super) fn check(outputs: [Option<&Path>; 2], input: Option<&Path>) -> anyhow::Result<()> {
    let mut paths: Vec<PathBuf> = input.map(resolve).into_iter().collect();
    for path in outputs.into_iter().flatten() {
        let file = resolve(path);
        if paths.contains(&file) {
            let message = format!("{} is also another file of this command", path.display());
            return Err(ClassifiedError::usage(message));
        }
        if path.is_dir() {
            bail!("cannot create {}: it is a directory", path.display());
        }
        if !is_special(path) {
            tempfile::tempfile_in(directory(&file))
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        paths.push(file);
    }
    Ok(())
}

/// Writes a file: readers find the old one or the new one.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if is_special(path) {
        return fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
    }
    Ok(atomic_write(resolve(path), text.as_bytes(), Access::Everyone)?)
}

/// Returns whether a path is that of a pipe or a device, such as /dev/stdout.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Returns the path of a file without symbolic links, also if the file does not exist.
fn resolve(path: &Path) -> PathBuf {
    path.canonicalize()
        .ok()
        .or_else(|| Some(directory(path).canonicalize().ok()?.join(path.file_name()?)))
        .unwrap_or_else(|| path.to_owned())
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use taonet_cli_base::exit::exit_code;

    use super::*;

    #[test]
    fn unusable_output_paths_are_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path_of = |name: &str| folder.path().join(name);
        fs::create_dir(path_of("below")).unwrap();
        fs::write(path_of("requests.json"), "{}").unwrap();
        let (csv, svg, requests) =
            (path_of("miner.csv"), path_of("miner.svg"), path_of("requests.json"));
        assert!(check([Some(&csv), Some(&svg)], Some(&requests)).is_ok());
        assert!(!csv.exists() && !svg.exists(), "nothing is written before the benchmark");
        for (csv, svg) in [
            (&csv, &csv),
            (&csv, &path_of("below/../miner.csv")),
            (&requests, &svg),
            (&csv, &path_of("./requests.json")),
        ] {
            let result = check([Some(csv), Some(svg)], Some(&requests));
            assert_eq!(exit_code(&result), 2, "{} {}", csv.display(), svg.display());
        }
        for (path, reason) in [
            (path_of("nowhere/miner.csv"), "cannot create"),
            (path_of("below"), "it is a directory"),
        ] {
            let error = check([Some(&path), None], None).unwrap_err();
            assert!(format!("{error:#}").contains(reason), "{error:#}");
        }
    }

    #[test]
    fn files_are_written_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let path_of = |name: &str| folder.path().join(name);
        fs::write(path_of("file"), "old").unwrap();
        std::os::unix::fs::symlink(path_of("file"), path_of("link")).unwrap();
        write(&path_of("link"), "new").unwrap();
        write(&path_of("other"), "text").unwrap();
        assert_eq!(fs::read_to_string(path_of("file")).unwrap(), "new");
        assert!(path_of("link").symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read_to_string(path_of("other")).unwrap(), "text");
        write(Path::new("/dev/null"), "text").unwrap();
        assert!(is_special(Path::new("/dev/null")));
    }
}
