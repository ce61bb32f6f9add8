use std::fs::metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use taonet_primitives::{Hotkey, bytes_without_bom};
use taonet_wallet::{CryptoType, Keyfile, PublicKey, StoredKey, Wallet};

use crate::finding::quoted;
use crate::{Check, Finding};

/// Checks the keyfile of the hotkey that signs: its mode, owner and type. Also returns the hotkey;
/// `None` if the file is encrypted and has no public file beside it.
pub fn hotkey(stored: &StoredKey) -> (Vec<Finding>, Option<Hotkey>) {
    let subject = stored.path().display().to_string();
    let mut findings = vec![secret_file("hotkey", stored.path())];
    let public = match stored.encryption() {
        None => match stored.open(None) {
            Ok(key) => Some(key.public()),
            Err(error) => {
                let remedy = "restore the keyfile with `tao wallet regen-hotkey`";
                findings.push(Finding::error(Check::Keys, subject.clone(), &error, remedy));
                None
            }
        },
        // Not through `StoredKey`, which warns of files that other users can read: this one is
        // public.
        Some(_) => std::fs::read(public_path(stored.path()))
            .ok()
            .and_then(|bytes| Keyfile::from_json(bytes_without_bom(&bytes)).ok())
            .map(|key| key.public()),
    };
    if let Some(finding) = public.as_ref().and_then(|public| wrong_type(&subject, public)) {
        findings.push(finding);
    }
    if public.is_none() && stored.encryption().is_some() {
        let reason = "encrypted, and without a public file beside it: the hotkey is unknown without its password";
        findings.push(Finding::skipped(Check::Keys, subject, reason));
    }
    (findings, public.map(|public| public.hotkey()))
}

/// Checks the coldkey of a wallet, if its secret is on this machine: a daemon does not need it.
pub fn coldkey(wallet: &Wallet) -> Vec<Finding> {
    let path = wallet.coldkey_path();
    if !path.is_file() {
        return Vec::new();
    }
    let mut findings = vec![secret_file("coldkey", &path)];
    if StoredKey::read(&path).is_ok_and(|stored| stored.encryption().is_none()) {
        findings.push(Finding::warning(
            Check::Keys,
            path.display().to_string(),
            "the coldkey is not encrypted, and no daemon needs it",
            format!(
                "encrypt it with `tao wallet encrypt --wallet-name {} --wallet-path {}`, or move it off this machine",
                wallet.name(),
                // `tao wallet` does not read the daemons' BITTENSOR_WALLET_PATH.
                quoted(wallet.root())
            ),
        ));
    }
    findings
}

/// Checks that a file with a secret is readable by its owner only, and by this user.
pub fn secret_file(secret_name: &str, path: &Path) -> Finding {
    let file = quoted(path);
    let subject = format!("{secret_name}: {}", path.display());
    let metadata = match metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let seen = format!("cannot read the file: {error}");
            return Finding::fault(
                Check::Keys,
                subject,
                seen,
                "check the path, and the owner of its directories",
            );
        }
    };
    let mode = metadata.permissions().mode() & 0o777;
    // A pipe or a device, such as /dev/stdin, has no lasting content.
    if metadata.is_file() && mode & 0o077 != 0 {
        let seen = format!("mode {mode:04o}: other users can read the secret");
        return Finding::fault(Check::Keys, subject, seen, format!("run `chmod 600 {file}`"));
    }
    let user = geteuid();
    if !user.is_root() && metadata.uid() != user.as_raw() {
        let seen =
            format!("the file belongs to user {}, this is user {}", metadata.uid(), user.as_raw());
        return Finding::fault(
            Check::Keys,
            subject,
            seen,
            format!("run `sudo chown $USER {file}`"),
        );
    }
    Finding::ok(Check::Keys, subject, format!("mode {mode:04o}"))
}

/// Returns the path of the public file of a keyfile.
fn public_path(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push("pub.txt");
    path.into()
}

fn wrong_type(subject: &str, public: &PublicKey) -> Option<Finding> {
    (public.crypto_type() != CryptoType::Sr25519).then(|| {
        let seen = format!("an {} key, but neurons require sr25519", public.crypto_type());
        Finding::fault(
            Check::Keys,
            subject,
            seen,
            "create a hotkey with `tao wallet new-hotkey`, and register it",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};

    use taonet_wallet::{Keypair, Overwrite, Password, Wallets};

    use super::*;
    use crate::Status;

    fn write(directory: &Path, mode: u32) -> PathBuf {
        let path = directory.join("hotkey");
        let pair = Keypair::from_uri("//Alice").unwrap();
        std::fs::write(&path, &*Keyfile::from_keypair(pair).to_json()).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn keyfile_readable_by_others_is_fault() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, status) in [
            (0o600, Status::Ok),
            (0o400, Status::Ok),
            (0o640, Status::Fault),
            (0o644, Status::Fault),
        ] {
            let stored = StoredKey::read(write(directory.path(), mode)).unwrap();
            let (findings, key) = hotkey(&stored);
            assert_eq!(
                findings.iter().map(|finding| finding.status).collect::<Vec<_>>(),
                [status],
                "{findings:?}"
            );
            assert_eq!(key, Some(Keypair::from_uri("//Alice").unwrap().hotkey()));
            if status == Status::Fault {
                assert_eq!(findings[0].exit_code(), Some(4));
                assert!(
                    findings[0].remedy.as_ref().unwrap().starts_with("run `chmod 600 "),
                    "{findings:?}"
                );
            }
            std::fs::remove_file(stored.path()).unwrap();
        }
    }

    #[test]
    fn damaged_keyfile_and_missing_token_are_faults() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hotkey");
        std::fs::write(&path, "{}").unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let (findings, key) = hotkey(&StoredKey::read(&path).unwrap());
        assert!(findings.iter().any(|finding| finding.status == Status::Fault), "{findings:?}");
        assert_eq!(key, None);
        assert_eq!(secret_file("token", &directory.path().join("none")).status, Status::Fault);
    }

    #[test]
    fn plain_coldkey_on_this_machine_is_warning() {
        let directory = tempfile::tempdir().unwrap();
        let wallet = Wallets::new(directory.path()).wallet("vali".parse().unwrap());
        assert_eq!(coldkey(&wallet), []);
        let pair = Keypair::from_uri("//Alice").unwrap();
        wallet
            .write_coldkey(&Keyfile::from_keypair(pair), None::<&Password>, Overwrite::Refuse)
            .unwrap();
        let statuses: Vec<_> = coldkey(&wallet).iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Ok, Status::Warning]);
        let remedy = coldkey(&wallet).remove(1).remedy.unwrap();
        let options = format!("--wallet-name vali --wallet-path {}`", directory.path().display());
        assert!(remedy.contains(&options), "{remedy}");
    }

    #[test]
    fn path_with_spaces_is_quoted_in_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("my token");
        std::fs::write(&path, "").unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let finding = secret_file("token", &path);
        assert_eq!(finding.subject, format!("token: {}", path.display()));
        assert_eq!(finding.remedy, Some(format!("run `chmod 600 '{}'`", path.display())));
    }
}
