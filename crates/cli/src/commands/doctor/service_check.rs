//! Checks that a validator's daemons reach signer and subtensor gateway.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use taonet_babelbit_config::Config;
use taonet_cli_base::chain::is_loopback;
use taonet_doctor::{Check, Finding};
use taonet_http::{AccessToken, JsonCallError};
use taonet_validator::operator_http::{TOKEN_REMEDY, is_token_refused};
use taonet_validator::signer::SignerClient;
use taonet_validator::subtensor_gateway::GatewayClient;
use url::Url;

/// Timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// A service that other daemons of a validator call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// The signer.
    Signer,
    /// The subtensor gateway.
    Gateway,
}

/// The token with which daemons call signer and gateway.
#[derive(Debug)]
pub(super) enum Token {
    /// No token is configured.
    NotSet,
    /// The content of the configured file.
    Known(AccessToken),
    /// The configured file cannot be read, or is malformed.
    Unknown,
}

/// A daemon that calls services.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServiceCaller<'a> {
    /// The settings of the daemon.
    pub(super) config: &'a Config,
    /// The token that it sends.
    pub(super) token: &'a Token,
    /// Whether a unit of systemd starts it: the units set addresses and token themselves.
    pub(super) is_unit: bool,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Signer => "signer",
            Self::Gateway => "subtensor gateway",
        }
    }

    fn url(self, ServiceCaller { config, is_unit, .. }: ServiceCaller<'_>) -> Url {
        let (configured, mut url) = match self {
            Self::Signer => (&config.services.signer_url, config.signer_url()),
            Self::Gateway => (&config.services.gateway_url, config.gateway_url()),
        };
        if is_unit && configured.is_none() {
            // The default is the host in the compose file, which the units replace by loopback. The
            // host of an http URL can always be replaced.
            let _ = url.set_ip_host(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        url
    }

    /// Returns what to do if the service does not respond at its URL.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Signer => {
                "start it with `bb signer`, the units of systemd or `docker compose`; outside of containers, set SIGNER_URL \
                 to its address"
            }
            Self::Gateway => {
                "start it with `bb subtensor-gateway`, the units of systemd or `docker compose`; outside of containers, set \
                 SUBTENSOR_GATEWAY_URL to its address"
            }
        }
    }

    /// Sends a request that changes nothing and needs the token.
    async fn call(
        self,
        url: &Url,
        token: Option<&AccessToken>,
    ) -> anyhow::Result<Result<(), JsonCallError>> {
        Ok(match self {
            Self::Signer => SignerClient::new(url, token)?.check_access(REQUEST_TIMEOUT).await,
            Self::Gateway => {
                let block = GatewayClient::new(url, token, REQUEST_TIMEOUT)?
                    .current_block(REQUEST_TIMEOUT)
                    .await;
                block.map(|_| ()).map_err(|error| error.source)
            }
        })
    }
}

/// Checks that a daemon reaches a service, and that the service accepts its token. A service of
/// this machine that is not running is a warning: it may be started later.
pub(super) async fn check_service(service: Service, caller: ServiceCaller<'_>) -> Vec<Finding> {
    let url = service.url(caller);
    // The origin leaves out credentials.
    let subject = format!("{}: {}", service.name(), url.origin().ascii_serialization());
    let (token, success_text) = match caller.token {
        Token::NotSet => (None, "responds"),
        Token::Known(token) => (Some(token), "responds, and accepts the token"),
        Token::Unknown => {
            return vec![Finding::skipped(Check::Services, subject, "the token is unknown")];
        }
    };
    let error = match service.call(&url, token).await {
        Ok(Ok(())) => return vec![Finding::ok(Check::Services, subject, success_text)],
        Ok(Err(error)) => error,
        Err(error) => {
            let finding =
                Finding::error(Check::Services, subject, error.as_ref(), service.remedy());
            return vec![finding];
        }
    };
    if is_token_refused(&error) {
        let token_finding = refused_token_finding(&subject, token.is_some(), caller.is_unit);
        return vec![Finding::ok(Check::Services, subject, "responds"), token_finding];
    }
    if is_connection_refused(&error) && is_loopback(&url) {
        return vec![Finding::warning(Check::Services, subject, "not running", service.remedy())];
    }
    let is_response = matches!(error, JsonCallError::Status { .. });
    let remedy = if is_response { "see the log of the service" } else { service.remedy() };
    vec![Finding::fault(Check::Services, subject, format!("the request {error}"), remedy)]
}

/// Returns the finding on a token that a service refuses, or that is missing.
fn refused_token_finding(service: &str, has_token: bool, is_unit: bool) -> Finding {
    let subject = format!("token of the {service}");
    if is_unit && !has_token {
        let reason = "the units of systemd have their own token: pass it with --token-file /etc/taonet/api-token";
        return Finding::skipped(Check::Keys, subject, reason);
    }
    let seen = if has_token {
        "the service refuses the token"
    } else {
        "the service requires a token, and none is set"
    };
    Finding::fault(Check::Keys, subject, seen, TOKEN_REMEDY)
}

fn is_connection_refused(error: &JsonCallError) -> bool {
    anyhow::Chain::new(error).any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::Router;
    use axum::http::StatusCode;
    use taonet_babelbit_validator::PayloadPolicy;
    use taonet_doctor::Status;
    use taonet_primitives::NetUid;
    use taonet_validator::operator_http::OperatorLimits;
    use taonet_validator::signer::{AuditLog, Signer, SignerConfig};
    use taonet_validator::subtensor_gateway::{Gateway, GatewaySettings};
    use taonet_wallet::Keypair;
    use tempfile::TempDir;
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    async fn serve(router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Returns the settings of a validator whose services are both at this address.
    fn config(services: SocketAddr) -> Config {
        let url = format!("http://{services}");
        let variables =
            ["SIGNER_URL", "SUBTENSOR_GATEWAY_URL"].map(|name| (name.into(), url.clone().into()));
        Config::from_variables(variables, None).unwrap().0
    }

    /// Starts a signer that requires the token; returns its address and the folder of its log.
    async fn signer() -> (SocketAddr, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let keypair = Arc::new(Keypair::from_uri("//Alice").unwrap());
        let unused: Url = "http://127.0.0.1:9".parse().unwrap();
        let signer = Signer::new(SignerConfig {
            policy: PayloadPolicy::new(keypair.hotkey()).into_signing_policy(),
            keypair,
            netuid: NetUid(59),
            gateway: GatewayClient::new(&unused, None, REQUEST_TIMEOUT).unwrap(),
            retries: 1,
            retry_delay: Duration::ZERO,
            audit: AuditLog::open(&folder.path().join("audit.jsonl")).unwrap(),
        });
        let token = AccessToken::parse(TOKEN).unwrap();
        (serve(signer.router(OperatorLimits::new(Some(token)))).await, folder)
    }

    async fn check(service: Service, config: &Config, token: Option<&str>) -> Vec<Finding> {
        let token =
            token.map_or(Token::NotSet, |token| Token::Known(AccessToken::parse(token).unwrap()));
        let caller = ServiceCaller { config, token: &token, is_unit: false };
        check_service(service, caller).await
    }

    fn exit_codes(findings: &[Finding]) -> Vec<(Check, Status, Option<u8>)> {
        findings
            .iter()
            .map(|finding| (finding.check, finding.status, finding.exit_code()))
            .collect()
    }

    /// Columns: token of the validator · state of the token
    #[tokio::test]
    async fn wrong_or_missing_token_of_signer_is_fault_of_keys() {
        let (address, folder) = signer().await;
        let config = config(address);
        let ok = (Check::Services, Status::Ok, None);
        let accepted = check(Service::Signer, &config, Some(TOKEN)).await;
        assert_eq!(exit_codes(&accepted), [ok], "{accepted:?}");
        for (token, seen) in [
            (Some("fedcba9876543210"), "the service refuses the token"),
            (None, "the service requires a token, and none is set"),
        ] {
            let findings = check(Service::Signer, &config, token).await;
            assert_eq!(exit_codes(&findings), [ok, (Check::Keys, Status::Fault, Some(4))]);
            assert_eq!(
                (&*findings[1].seen, findings[1].remedy.as_deref()),
                (seen, Some(TOKEN_REMEDY))
            );
        }
        // The units of systemd have a token that the settings lack.
        let caller = ServiceCaller { config: &config, token: &Token::NotSet, is_unit: true };
        let findings = check_service(Service::Signer, caller).await;
        assert_eq!(exit_codes(&findings), [ok, (Check::Keys, Status::Skipped, None)]);
        let caller = ServiceCaller { config: &config, token: &Token::Unknown, is_unit: false };
        let findings = check_service(Service::Signer, caller).await;
        assert_eq!(exit_codes(&findings), [(Check::Services, Status::Skipped, None)]);
        let audit = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
        assert_eq!(audit, "", "the check signs nothing");
    }

    #[tokio::test]
    async fn gateway_that_cannot_serve_is_fault() {
        let hotkey = Keypair::from_uri("//Alice").unwrap().hotkey();
        let gateway = Gateway::new(GatewaySettings::new(NetUid(59), hotkey));
        let limits = OperatorLimits::new(AccessToken::parse(TOKEN).ok());
        let unconnected = config(serve(gateway.router(limits)).await);
        let findings = check(Service::Gateway, &unconnected, Some(TOKEN)).await;
        assert_eq!(exit_codes(&findings), [(Check::Services, Status::Fault, Some(3))]);
        assert!(findings[0].seen.contains("not connected to the chain yet"), "{findings:?}");
        let refused = check(Service::Gateway, &unconnected, None).await;
        assert_eq!(refused[1].exit_code(), Some(4), "{refused:?}");

        let other = Router::new().fallback(|| async { (StatusCode::NOT_FOUND, "no") });
        let other = config(serve(other).await);
        for service in [Service::Signer, Service::Gateway] {
            let findings = check(service, &other, None).await;
            assert_eq!(exit_codes(&findings), [(Check::Services, Status::Fault, Some(3))]);
        }
    }

    #[tokio::test]
    async fn service_of_this_machine_that_is_not_running_is_warning() {
        // A socket that is bound and does not listen: no other program gets the port, and
        // connections are refused.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let stopped = config(socket.local_addr().unwrap());
        for (service, command) in
            [(Service::Signer, "`bb signer`"), (Service::Gateway, "`bb subtensor-gateway`")]
        {
            let findings = check(service, &stopped, None).await;
            assert_eq!(exit_codes(&findings), [(Check::Services, Status::Warning, None)]);
            assert_eq!(findings[0].seen, "not running");
            assert!(findings[0].remedy.as_ref().unwrap().contains(command), "{findings:?}");
        }
    }

    #[test]
    fn units_have_services_on_loopback() {
        let (default, _) = Config::from_variables([], None).unwrap();
        let configured = config("192.0.2.1:80".parse().unwrap());
        for (config, is_unit, url) in [
            (&default, false, "http://signer:8080/"),
            (&default, true, "http://127.0.0.1:8080/"),
            (&configured, true, "http://192.0.2.1/"),
        ] {
            let caller = ServiceCaller { config, token: &Token::NotSet, is_unit };
            assert_eq!(Service::Signer.url(caller).as_str(), url);
        }
    }
}
