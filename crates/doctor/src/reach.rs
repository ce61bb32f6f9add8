use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use taonet_neuron::AddressPolicy;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::{Check, Finding};

/// A neuron's endpoint, published and expected.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// The endpoint that the chain has for the hotkey; `None` if none is published.
    pub published: Option<SocketAddr>,
    /// The port of a miner, if one is configured; a validator has none.
    pub port: Option<u16>,
    /// The external address of this machine; `None` if it is unknown.
    pub external_ip: Option<IpAddr>,
}

/// Checks the endpoint that the chain has for the hotkey: other neurons permit its address, it is that of this machine,
/// and something listens there.
///
/// The connection is made from this machine, so a router that does not forward connections from inside is reported as a
/// fault too; `tao axon ping` tests from another machine.
pub async fn reachability(endpoint: Endpoint, policy: &AddressPolicy, within: Duration) -> Vec<Finding> {
    let Endpoint { published, port, external_ip } = endpoint;
    let Some(published) = published else {
        return vec![match port {
            None => Finding::skipped(Check::Reachability, "endpoint", "none is published, and a validator needs none"),
            Some(port) => Finding::fault(
                Check::Reachability,
                "endpoint",
                format!("none is published, so no validator calls the miner on port {port}"),
                "publish it with `bb register-axon` or `tao serve-axon`",
            ),
        }];
    };
    let subject = published.to_string();
    let republish = "publish the right endpoint with `bb register-axon` or `tao serve-axon`";
    let address = match policy.resolve(&subject) {
        Ok(address) => address,
        Err(error) => {
            return vec![Finding::error(Check::Reachability, subject, &error, republish)];
        }
    };
    let mut findings = Vec::new();
    if let Some(port) = port.filter(|port| *port != published.port()) {
        let seen = format!("port {} is published, but MINER_AXON_PORT is {port}", published.port());
        findings.push(Finding::fault(Check::Reachability, subject.clone(), seen, republish));
    }
    if let Some(external) = external_ip.filter(|external| *external != published.ip() && !policy.allow_private) {
        let seen = format!("{} is published, but the external address of this machine is {external}", published.ip());
        findings.push(Finding::fault(Check::Reachability, subject.clone(), seen, republish));
    }
    let connect = async {
        let mut resolved = lookup_host((address.host(), address.port())).await?;
        let first = resolved.next().ok_or_else(|| std::io::Error::other("the host name has no address"))?;
        TcpStream::connect(first).await
    };
    let failure = match timeout(within, connect).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no connection within {} s", within.as_secs_f64())),
    };
    findings.push(match failure {
        None => Finding::ok(Check::Reachability, subject, "accepts connections"),
        Some(failure) => Finding::fault(
            Check::Reachability,
            subject,
            format!("unreachable: {failure}"),
            "start the miner, and open the port in firewall and router; `tao axon ping` tests it from another machine",
        ),
    });
    findings
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::Status;

    const BRIEF: Duration = Duration::from_secs(5);

    async fn statuses(endpoint: Endpoint, policy: &AddressPolicy) -> Vec<Status> {
        reachability(endpoint, policy, BRIEF).await.iter().map(|finding| finding.status).collect()
    }

    #[tokio::test]
    async fn endpoint_without_listener_is_fault() {
        let private = AddressPolicy::private();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let published = listener.local_addr().unwrap();
        let endpoint = Endpoint { published: Some(published), port: Some(published.port()), external_ip: None };
        assert_eq!(statuses(endpoint, &private).await, [Status::Ok]);
        let other = Endpoint { port: Some(published.port() ^ 1), ..endpoint };
        assert_eq!(statuses(other, &private).await, [Status::Fault, Status::Ok]);
        drop(listener);
        assert_eq!(statuses(endpoint, &private).await, [Status::Fault]);
    }

    #[tokio::test]
    async fn private_or_foreign_address_is_fault() {
        let public = AddressPolicy::default();
        let endpoint = Endpoint { published: "10.0.0.7:8092".parse().ok(), port: None, external_ip: None };
        let findings = reachability(endpoint, &public, BRIEF).await;
        assert!(findings[0].seen.contains("not a public address"), "{findings:?}");
        assert_eq!(findings[0].exit_code(), Some(3));
        // The documentation address does not respond; the mismatch is reported before that.
        let foreign =
            Endpoint { published: "8.8.8.8:9".parse().ok(), port: None, external_ip: Some(IpAddr::from([8, 8, 4, 4])) };
        let findings = reachability(foreign, &public, Duration::from_millis(1)).await;
        assert!(findings[0].seen.ends_with("the external address of this machine is 8.8.4.4"), "{findings:?}");
    }

    #[tokio::test]
    async fn missing_endpoint_is_fault_for_miners_only() {
        let endpoint = Endpoint { published: None, port: None, external_ip: None };
        assert_eq!(statuses(endpoint, &AddressPolicy::default()).await, [Status::Skipped]);
        let miner = Endpoint { port: Some(8092), ..endpoint };
        assert_eq!(statuses(miner, &AddressPolicy::default()).await, [Status::Fault]);
    }
}
