use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::redirect::Policy;
use tokio::net::TcpListener;

use crate::{Check, Finding};

/// Timeout of a request to a service of this machine.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Checks that a service can listen on an address, or listens already. `setting` names the variables that select the
/// address.
///
/// A port in use is fine if a service responds there as a daemon does: on `/readyz`, with 200 or 503, or on `/healthz`.
pub async fn port(service: &str, address: SocketAddr, setting: &str) -> Finding {
    let subject = format!("{service}: {address}");
    let error = match TcpListener::bind(address).await {
        Ok(_) => return Finding::ok(Check::Ports, subject, "free"),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::AddrInUse if is_daemon(address).await => Finding::ok(Check::Ports, subject, "in use by a daemon"),
        ErrorKind::AddrInUse => Finding::fault(
            Check::Ports,
            subject,
            "in use by another program",
            format!("stop that program, which `ss -ltnp 'sport = :{}'` shows, or set {setting}", address.port()),
        ),
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

/// Whether the service at this address responds as a daemon of this program.
async fn is_daemon(mut address: SocketAddr) -> bool {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let Ok(client) = reqwest::Client::builder().redirect(Policy::none()).timeout(TIMEOUT).no_proxy().build() else {
        return false;
    };
    for (path, statuses) in
        [("readyz", &[StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE][..]), ("healthz", &[StatusCode::OK])]
    {
        let response = client.get(format!("http://{address}/{path}")).send().await;
        if response.is_ok_and(|response| statuses.contains(&response.status())) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;
    use crate::Status;

    async fn serve(router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn port_of_other_program_is_fault() {
        let other = serve(Router::new().route("/", get(|| async { "hello" }))).await;
        let finding = port("signer", other, "SIGNER_PORT").await;
        assert_eq!((finding.status, finding.exit_code()), (Status::Fault, Some(1)));
        let remedy = finding.remedy.unwrap();
        assert!(remedy.contains(&other.port().to_string()) && remedy.ends_with("set SIGNER_PORT"), "{remedy}");
    }

    #[tokio::test]
    async fn port_of_running_daemon_and_free_port_are_ok() {
        for route in ["/readyz", "/healthz"] {
            let daemon = serve(Router::new().route(route, get(|| async { StatusCode::OK }))).await;
            assert_eq!(port("signer", daemon, "SIGNER_PORT").await.seen, "in use by a daemon");
        }
        let starting = Router::new().route("/readyz", get(|| async { StatusCode::SERVICE_UNAVAILABLE }));
        assert_eq!(port("signer", serve(starting).await, "SIGNER_PORT").await.status, Status::Ok);
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(port("signer", free, "SIGNER_PORT").await.seen, "free");
    }

    #[tokio::test]
    async fn address_of_other_machine_is_fault() {
        // Reserved for documentation.
        let finding = port("signer", "192.0.2.1:8080".parse().unwrap(), "SIGNER_HOST").await;
        assert_eq!(finding.status, Status::Fault);
        assert_eq!(finding.seen, "this machine has no address 192.0.2.1");
    }
}
