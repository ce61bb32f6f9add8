use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::redirect::Policy;
use taonet_http::SERVICE_HEADER;
use tokio::net::TcpListener;

use crate::{Check, Finding};

/// Timeout of a request to a service of this machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Checks that a service can listen on an address, or listens already. `names` are the names with
/// which its daemons report themselves, and `setting` names the variables that select the address.
///
/// Every daemon has its name in the header [`SERVICE_HEADER`] of `/readyz` and `/healthz`, so
/// another web server that responds to all paths is not taken for it.
pub async fn port(names: &[&str], address: SocketAddr, setting: &str) -> Finding {
    let subject = format!("{}: {address}", names.first().unwrap_or(&"service"));
    let Err(error) = TcpListener::bind(address).await else {
        return Finding::ok(Check::Ports, subject, "free");
    };
    match error.kind() {
        ErrorKind::AddrInUse => match running_service(address).await {
            Some(running) if names.contains(&running.as_str()) => {
                Finding::ok(Check::Ports, subject, format!("in use by the {running}"))
            }
            running => {
                let program = running.map_or_else(
                    || "another program, or a daemon of another version".to_owned(),
                    |running| format!("the {running}"),
                );
                let port = address.port();
                let remedy = format!(
                    "stop that program, which `ss -ltnp 'sport = :{port}'` shows, or set {setting}"
                );
                Finding::fault(Check::Ports, subject, format!("in use by {program}"), remedy)
            }
        },
        ErrorKind::AddrNotAvailable => Finding::fault(
            Check::Ports,
            subject,
            format!("this machine has no address {}", address.ip()),
            format!("set {setting} to an address of this machine, which `ip address` lists"),
        ),
        _ => Finding::fault(
            Check::Ports,
            subject,
            format!("cannot listen: {error}"),
            format!("set {setting}; ports below 1024 need privileges"),
        ),
    }
}

/// Returns the name of the daemon of this program at an address; `None` for other programs.
async fn running_service(mut address: SocketAddr) -> Option<String> {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .ok()?;
    for path in ["readyz", "healthz"] {
        let response = client.get(format!("http://{address}/{path}")).send().await;
        let name = response.ok().and_then(|response| {
            response.headers().get(SERVICE_HEADER)?.to_str().ok().map(str::to_owned)
        });
        if name.is_some() {
            return name;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use taonet_http::{Readiness, name_service, readiness_routes};

    use super::*;
    use crate::Status;

    const ANY_PORT: &str = "127.0.0.1:0";

    async fn serve(router: Router) -> SocketAddr {
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn port_of_other_program_is_fault() {
        // A web server that responds to every path is not a daemon.
        let catch_all = Router::new().fallback(|| async { r#"{"ready":true}"# });
        for router in [Router::new().route("/", get(|| async { "hello" })), catch_all] {
            let other = serve(router).await;
            let finding = port(&["signer"], other, "SIGNER_PORT").await;
            assert_eq!(
                (finding.status, finding.exit_code()),
                (Status::Fault, Some(1)),
                "{finding:?}"
            );
            let remedy = finding.remedy.unwrap();
            assert!(
                remedy.contains(&other.port().to_string()) && remedy.ends_with("set SIGNER_PORT"),
                "{remedy}"
            );
        }
    }

    #[tokio::test]
    async fn port_of_other_daemon_is_fault() {
        let other = name_service(readiness_routes(Readiness::starting(), None), "validator");
        let finding = port(&["signer"], serve(other).await, "SIGNER_PORT").await;
        assert_eq!(
            (finding.status, finding.seen.as_str()),
            (Status::Fault, "in use by the validator")
        );
    }

    #[tokio::test]
    async fn port_of_running_daemon_and_free_port_are_ok() {
        let health = Router::new().route("/healthz", get(|| async { "ok" }));
        for router in [health, readiness_routes(Readiness::starting(), None)] {
            let daemon = serve(name_service(router, "text miner")).await;
            let finding = port(&["miner", "text miner"], daemon, "MINER_AXON_PORT").await;
            assert_eq!(
                (finding.status, finding.seen.as_str()),
                (Status::Ok, "in use by the text miner")
            );
        }
        // The system selects a free port.
        assert_eq!(port(&["signer"], ANY_PORT.parse().unwrap(), "SIGNER_PORT").await.seen, "free");
    }

    #[tokio::test]
    async fn address_of_other_machine_is_fault() {
        // Reserved for documentation.
        let finding = port(&["signer"], "192.0.2.1:8080".parse().unwrap(), "SIGNER_HOST").await;
        assert_eq!(finding.status, Status::Fault);
        assert_eq!(finding.seen, "this machine has no address 192.0.2.1");
    }
}
