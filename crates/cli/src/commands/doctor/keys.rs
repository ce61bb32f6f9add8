//! Checks of the daemons' keyfiles and of their token.

use std::io::{self, ErrorKind};
use std::path::Path;

use taonet_babelbit_config::Config;
use taonet_cli_babelbit::access::check_token_set;
use taonet_cli_base::exit::{ClassifiedError, is_missing_key};
use taonet_cli_base::keys::{configured_wallet, stored_hotkey};
use taonet_cli_base::secret_file::read_token;
use taonet_cli_base::settings;
use taonet_doctor::{Check, Finding, Status, coldkey, hotkey, secret_file};
use taonet_primitives::Hotkey;
use taonet_wallet::StoredKey;

use super::role::Role;
use super::service_check::{Service, Token};
use super::{DoctorArgs, Subnet};

/// Hint of the error for a missing hotkey.
const NO_HOTKEY_HINT: &str = "pass the keyfile with --keyfile, create a wallet with `tao wallet create`, or select one with \
    BITTENSOR_WALLET_COLD and BITTENSOR_WALLET_HOT";

/// Result of the checks of the daemons' keys.
pub(super) struct KeyCheck {
    pub(super) findings: Vec<Finding>,
    /// The keyfile of the hotkey; `None` if it cannot be read.
    pub(super) stored_key: Option<StoredKey>,
    /// The hotkey; `None` if it is unknown without a password.
    pub(super) hotkey: Option<Hotkey>,
    /// The token with which daemons call signer and gateway.
    pub(super) token: Token,
}

/// Checks the keyfiles and the token. `has_units` is whether systemd has units of this program.
pub(super) fn check(
    args: &DoctorArgs,
    subnet: &Subnet,
    roles: &[Role],
    has_units: bool,
) -> KeyCheck {
    let mut keys =
        KeyCheck { findings: Vec::new(), stored_key: None, hotkey: None, token: Token::NotSet };
    let needs_hotkey = roles.is_empty() || roles.iter().any(|role| role.has_hotkey());
    if !needs_hotkey && args.keyfile.is_none() {
        let reason = "an entry process has no hotkey";
        keys.findings.push(Finding::skipped(Check::Keys, "hotkey", reason));
        return keys;
    }
    match read_hotkey(args.keyfile.as_deref()) {
        Ok(stored) => {
            (keys.findings, keys.hotkey) = hotkey(&stored);
            keys.stored_key = Some(stored);
        }
        // The units read it as root, and this user may have no wallet.
        Err(error) if has_units && args.keyfile.is_none() && is_missing_key(&error) => {
            let reason = "the units of systemd have their own keyfile: pass it with --keyfile /etc/taonet/hotkey";
            keys.findings.push(Finding::skipped(Check::Keys, "hotkey", reason));
        }
        Err(error) => {
            let remedy = remedy_of_unreadable_key(&error, args.keyfile.is_some());
            keys.findings.push(Finding::error(Check::Keys, "hotkey", error.as_ref(), remedy));
        }
    }
    if let Ok(Some(wallet)) = settings::wallet_settings()
        .and_then(|wallet| configured_wallet(&wallet, dirs::home_dir().as_deref()))
        && args.keyfile.is_none()
    {
        keys.findings.extend(coldkey(&wallet));
    }
    if let Some(config) = &subnet.babelbit {
        let token_file = args.token_file.as_deref().or(config.services.token_file.as_deref());
        let (findings, token) = check_token(config, roles, token_file, args.insecure);
        keys.findings.extend(findings);
        keys.token = token;
    }
    keys
}

fn read_hotkey(keyfile: Option<&Path>) -> anyhow::Result<StoredKey> {
    match keyfile {
        Some(file) => Ok(StoredKey::read(file)?),
        None => stored_hotkey(
            &settings::wallet_settings()?,
            dirs::home_dir().as_deref(),
            NO_HOTKEY_HINT,
        ),
    }
}

/// Returns the remedy for a keyfile that cannot be read, if the error has no hint. `is_option` is
/// whether --keyfile selects the file.
fn remedy_of_unreadable_key(error: &anyhow::Error, is_option: bool) -> &'static str {
    let kind = error.chain().find_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
    match kind {
        Some(ErrorKind::PermissionDenied) => {
            "run the command as the file's owner, or correct the owner of the file and of its directories"
        }
        _ if is_option => "pass the path of a keyfile with --keyfile",
        _ => NO_HOTKEY_HINT,
    }
}

/// Refuses options of the token that none of the daemons has.
pub(super) fn check_token_options(args: &DoctorArgs, roles: &[Role]) -> anyhow::Result<()> {
    let has_insecure = roles.iter().any(|role| role.requires_token());
    let has_token_file = has_insecure || roles.iter().any(|role| role.calls(Service::Gateway));
    let problem = if args.insecure && !has_insecure {
        "--insecure is an option of Babelbit's gateway and signer\nhint: select them with --role"
    } else if args.token_file.is_some() && !has_token_file {
        "--token-file is an option of Babelbit's gateway, signer, validator and runner\nhint: select them with --role"
    } else {
        return Ok(());
    };
    Err(ClassifiedError::usage(problem))
}

/// Checks the token of the signer and the gateway, and whether they start without one. Also returns
/// the token. `is_insecure` is whether they are started with --insecure.
fn check_token(
    config: &Config,
    roles: &[Role],
    token_file: Option<&Path>,
    is_insecure: bool,
) -> (Vec<Finding>, Token) {
    let addresses = roles.iter().filter_map(|role| match role {
        Role::Gateway => Some(config.gateway_listen()),
        Role::Signer => Some(config.signer_listen()),
        _ => None,
    });
    let mut findings = Vec::new();
    for listen in addresses {
        let Err(error) = check_token_set(token_file.is_some(), listen) else { continue };
        findings.push(if is_insecure {
            let seen = format!("{listen} requires no token: every caller can act as the validator");
            let remedy = "set BB_API_TOKEN_FILE, and start the daemons without --insecure";
            Finding::warning(Check::Keys, "token", seen, remedy)
        } else {
            Finding::error(Check::Keys, "token", error.as_ref(), "set BB_API_TOKEN_FILE")
        });
    }
    let Some(token_file) = token_file else { return (findings, Token::NotSet) };
    let (finding, token) = check_token_file(token_file);
    findings.push(finding);
    (findings, token)
}

/// Checks the file of the token, and that the daemons accept its content. Also returns the token.
fn check_token_file(path: &Path) -> (Finding, Token) {
    let finding = secret_file("token", path);
    // The content of a pipe can be read once, which the daemon does.
    if !path.is_file() {
        return (finding, Token::Unknown);
    }
    match read_token(path) {
        Ok(token) => (finding, Token::Known(token)),
        Err(_) if finding.status == Status::Fault => (finding, Token::Unknown),
        Err(error) => {
            let remedy = "write a token with `openssl rand -hex 32`";
            let finding = Finding::error(Check::Keys, finding.subject, error.as_ref(), remedy);
            (finding, Token::Unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use taonet_wallet::WalletError;

    use super::*;

    /// Columns: variables of the addresses · number of faults
    #[test]
    fn services_beyond_loopback_without_token_are_faults() {
        let all = [("SUBTENSOR_GATEWAY_HOST", "0.0.0.0"), ("SIGNER_HOST", "0.0.0.0")];
        for (variables, faults) in [(&all[..0], 0), (&all[..1], 1), (&all[..], 2)] {
            let pairs = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            let (config, _) = Config::from_variables(pairs, None).unwrap();
            let services = [Role::Gateway, Role::Signer];
            let (insecure, _) = check_token(&config, &services, None, true);
            assert_eq!(insecure.len(), faults, "{insecure:?}");
            assert!(insecure.iter().all(|finding| finding.status == Status::Warning));
            let (findings, _) = check_token(&config, &services, None, false);
            assert_eq!(findings.len(), faults, "{findings:?}");
            for finding in findings {
                assert_eq!(finding.status, Status::Fault);
                assert!(finding.seen.contains("a token is required"), "{finding:?}");
                assert!(finding.remedy.unwrap().contains("BB_API_TOKEN_FILE"));
            }
            assert_eq!(check_token(&config, &[Role::Runner], None, false).0, []);
        }
    }

    #[test]
    fn malformed_token_is_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (text, status) in [
            ("0123456789abcdef0123456789abcdef\n", Status::Ok),
            ("", Status::Fault),
            ("short", Status::Fault),
            ("0123456789abcdef 0123456789abcdef", Status::Fault),
        ] {
            std::fs::write(&path, text).unwrap();
            set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            let (finding, token) = check_token_file(&path);
            assert_eq!(finding.status, status, "{finding:?}");
            assert_eq!(matches!(token, Token::Known(_)), status == Status::Ok, "{token:?}");
            assert_eq!(finding.subject, format!("token: {}", path.display()));
        }
        let (malformed, _) = check_token_file(&path);
        assert!(malformed.remedy.unwrap().contains("openssl rand -hex 32"));
        // The services can be called with a token that other users can read.
        std::fs::write(&path, "0123456789abcdef").unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let (exposed, token) = check_token_file(&path);
        assert_eq!(exposed.status, Status::Fault, "{exposed:?}");
        assert!(matches!(token, Token::Known(_)), "{token:?}");
    }

    #[test]
    fn remedy_depends_on_the_cause_of_an_unreadable_keyfile() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read_hotkey(Some(&folder.path().join("none"))).unwrap_err();
        let remedy = "pass the path of a keyfile with --keyfile";
        assert_eq!(remedy_of_unreadable_key(&missing, true), remedy);
        assert_eq!(remedy_of_unreadable_key(&missing, false), NO_HOTKEY_HINT);
        // Root can read every file, so that no real file causes the error in every environment.
        let denied = anyhow::Error::new(WalletError::Read {
            path: "hotkey".into(),
            source: ErrorKind::PermissionDenied.into(),
        });
        for is_option in [true, false] {
            let remedy = remedy_of_unreadable_key(&denied, is_option);
            assert!(remedy.starts_with("run the command as the file's owner"), "{remedy}");
        }
    }
}
