use super::*;

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Removes the second draft after all checks, so that only the first file is written.
#[test]
fn error_lists_files_written_before_it() {
    for (overwrite, backup_count) in [(Overwrite::Refuse, 0), (Overwrite::KeepBackup, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = (dir.path().join("coldkey"), dir.path().join("coldkeypub.txt"));
        if overwrite == Overwrite::KeepBackup {
            fs::write(&secret, "old secret").unwrap();
            fs::write(&public, "old public").unwrap();
        }
        let lock = Lock::acquire(dir.path(), dir.path()).unwrap();
        let drafts = vec![
            Draft::new(&secret, b"new secret").unwrap(),
            Draft::new(&public, b"new public").unwrap(),
        ];
        fs::remove_file(drafts[1].file.path()).unwrap();
        let error = lock.persist_all(drafts, overwrite).unwrap_err();
        assert!(error.is_partly_written());
        let WalletError::PartlyWritten { files, backups, source } = error else { unreachable!() };
        assert_eq!((files, backups.len()), (vec![secret.clone()], backup_count));
        assert!(matches!(*source, WalletError::Write { path, .. } if path == public));
        assert_eq!(fs::read(&secret).unwrap(), b"new secret");
        if let Some(backup) = backups.first() {
            assert_eq!(fs::read(backup).unwrap(), b"old secret");
        }
    }
}

#[test]
fn error_before_the_first_file_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("coldkey");
    fs::write(&secret, "old secret").unwrap();
    let lock = Lock::acquire(dir.path(), dir.path()).unwrap();
    let draft = Draft::new(&secret, b"new secret").unwrap();
    fs::remove_file(draft.file.path()).unwrap();
    let error = lock.persist_all(vec![draft], Overwrite::KeepBackup).unwrap_err();
    assert!(matches!(error, WalletError::Write { .. }) && !error.is_partly_written());
    assert_eq!(fs::read(&secret).unwrap(), b"old secret");
    assert!(files(&dir.path().join(".backups")).is_empty());
}

#[test]
fn drafts_of_killed_writers_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        ".coldkey.aB3xY9.partial",
        ".coldkey.keep.partial",
        "a.b.aB3xY9.partial",
        ".partial",
        "coldkey",
    ] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    fs::create_dir(dir.path().join(".backups")).unwrap();
    fs::write(dir.path().join(".backups/.coldkey.1.aB3xY9.partial"), "").unwrap();
    let partial_file = {
        let draft = Draft::new(&dir.path().join("coldkey"), b"").unwrap();
        draft.file.keep().unwrap().1
    };
    let _lock = Lock::acquire(dir.path(), dir.path()).unwrap();
    assert!(!partial_file.exists());
    assert_eq!(
        files(dir.path()),
        [".backups", ".coldkey.keep.partial", ".lock", ".partial", "a.b.aB3xY9.partial", "coldkey"]
    );
    assert!(files(&dir.path().join(".backups")).is_empty());
}
