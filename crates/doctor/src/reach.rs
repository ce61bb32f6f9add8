use std::net::{IpAddr, SocketAddr, UdpSocket};

use http::StatusCode;
use taonet_neuron::AddressPolicy;
use taonet_primitives::{Hotkey, with_causes};
use taonet_wire::{Call, CallError, SignedClient};

use crate::{Check, Finding, Status};

/// Remedy for a wrong endpoint on the chain.
const REPUBLISH: &str = "publish the right endpoint with `bb register-axon` or `tao serve-axon`";

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

/// The signed request that is sent to a published endpoint.
#[derive(Debug, Clone, Copy)]
pub struct EndpointCall<'a> {
    /// The hotkey that published the endpoint: the receiver of the request.
    pub hotkey: Hotkey,
    /// The client that signs.
    pub client: &'a SignedClient,
    /// The request, with its deadline.
    pub request: &'a Call,
    /// Whether every miner of the subnet has the request's route.
    pub is_subnet_route: bool,
}

/// Checks the endpoint that the chain has for the hotkey: other neurons permit its address, it is
/// that of this machine, and a signed request is accepted there.
///
/// The request comes from this machine, and many routers do not forward connections from inside to
/// their own external address. So a failed request is a fault only if the address is one of this
/// machine's; otherwise it is a warning, which `tao axon ping` on another machine decides. Without
/// `call`, no request is sent.
///
/// An external address other than the published one is a fault if the request fails too. If it
/// succeeds, it is a warning: some networks send from another address than they receive at (egress
/// NAT).
pub async fn reachability(
    endpoint: Endpoint,
    policy: &AddressPolicy,
    call: Option<EndpointCall<'_>>,
) -> Vec<Finding> {
    let Endpoint { published, port, external_ip } = endpoint;
    let Some(published) = published else {
        return vec![match port {
            None => Finding::skipped(
                Check::Reachability,
                "endpoint",
                "none is published, and a validator needs none",
            ),
            Some(port) => Finding::fault(
                Check::Reachability,
                "endpoint",
                format!("none is published, so no validator calls the miner on port {port}"),
                "publish it with `bb register-axon` or `tao serve-axon`",
            ),
        }];
    };
    let subject = published.to_string();
    let resolved = policy
        .resolve(&subject)
        .map_err(|error| Finding::error(Check::Reachability, &subject, &error, REPUBLISH));
    let address = match resolved {
        Ok(address) => address,
        Err(finding) => return vec![finding],
    };
    if let Some(port) = port.filter(|port| *port != published.port()) {
        // A request to another port would say nothing about the miner.
        let seen = format!("port {} is published, but MINER_AXON_PORT is {port}", published.port());
        return vec![Finding::fault(Check::Reachability, &subject, seen, REPUBLISH)];
    }
    let other_ip =
        external_ip.filter(|external| *external != published.ip() && !policy.allow_private);
    let Some(call) = call else {
        let reason = "no key to sign a request with: `tao axon ping` asks for the password of an encrypted key";
        let unsigned = Finding::skipped(Check::Reachability, &subject, reason);
        return vec![match other_ip {
            None => unsigned,
            Some(external) => judge_address(published.ip(), external, unsigned),
        }];
    };
    let peer = match address.peer(call.hotkey) {
        Ok(peer) => peer,
        Err(error) => {
            return vec![Finding::error(Check::Reachability, &subject, &error, REPUBLISH)];
        }
    };
    let is_local = address.host().parse().is_ok_and(is_local_address);
    let response = call.client.call(&peer, call.request).await.map(|response| response.status);
    vec![match other_ip {
        None => judge_response(&subject, response, &call, is_local),
        Some(external) => {
            judge_address(published.ip(), external, judge_response(&subject, response, &call, true))
        }
    }]
}

/// Judges a published address that is not the external one, by the finding on a request to it.
fn judge_address(published: IpAddr, external: IpAddr, finding: Finding) -> Finding {
    let Finding { subject, status, seen, .. } = finding;
    let seen = format!(
        "{published} is published, but the external address of this machine is {external}; {seen}"
    );
    if status == Status::Fault {
        return Finding::fault(Check::Reachability, subject, seen, REPUBLISH);
    }
    let remedy = format!(
        "nothing, if this machine receives at another address than it sends from (egress NAT); otherwise {REPUBLISH}"
    );
    Finding::warning(Check::Reachability, subject, seen, remedy)
}

/// Whether an address is one of this machine's interfaces.
fn is_local_address(ip: IpAddr) -> bool {
    // The system lets a socket have only the addresses of its interfaces. UDP sends nothing on
    // binding.
    UdpSocket::bind((ip, 0)).is_ok()
}

fn judge_response(
    subject: &str,
    response: Result<StatusCode, CallError>,
    call: &EndpointCall<'_>,
    is_local: bool,
) -> Finding {
    let (seen, remedy) = match response {
        Err(error) => (
            format!("no response to a signed request: {}", with_causes(&error)),
            "start the miner, and open the port in firewall and router",
        ),
        Ok(status) => match status.as_u16() {
            401 => (
                format!("rejects a request that is signed for the hotkey: {status}"),
                "start the miner with the hotkey that published the endpoint",
            ),
            404 | 405 if call.is_subnet_route => (
                format!("not a miner of the subnet: {status}"),
                "stop the other program on the port",
            ),
            500..=599 => (format!("does not serve requests: {status}"), "see the log of the miner"),
            // The route decides about the content of a request only after its signature. With 403
            // or 429, the miner serves other validators only.
            _ => {
                let seen = format!("responds to a signed request: {status}");
                return Finding::ok(Check::Reachability, subject, seen);
            }
        },
    };
    if is_local {
        return Finding::fault(Check::Reachability, subject, seen, remedy);
    }
    let hotkey = call.hotkey;
    let remedy = format!(
        "run `tao axon ping {subject} --hotkey {hotkey}` on another machine: if it fails too, {remedy}"
    );
    Finding::warning(
        Check::Reachability,
        subject,
        format!("{seen}; this cannot be decided from inside"),
        remedy,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use http::Method;
    use taonet_wallet::Keypair;
    use taonet_wire::{BtauthScheme, ClientConfig, Retry, SignedLayer, Signer};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const LOCALHOST: &str = "127.0.0.1:0";

    fn hotkey() -> Hotkey {
        Keypair::from_uri("//Alice").unwrap().hotkey()
    }

    async fn check(endpoint: Endpoint, policy: &AddressPolicy, hotkey: Hotkey) -> Vec<Finding> {
        let signer =
            Signer::new(Keypair::from_uri("//Bob").unwrap(), "0.0.0.0", BtauthScheme::new());
        let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
        let deadline = Duration::from_secs(10);
        let request = Call { deadline, retry: Retry::Never, ..Call::new(Method::GET, "ping", "") };
        let call =
            EndpointCall { hotkey, client: &client, request: &request, is_subnet_route: true };
        reachability(endpoint, policy, Some(call)).await
    }

    fn statuses(findings: &[Finding]) -> Vec<Status> {
        findings.iter().map(|finding| finding.status).collect()
    }

    /// Starts a miner that serves signed requests to //Alice.
    async fn miner() -> SocketAddr {
        let signed = SignedLayer::builder(hotkey(), BtauthScheme::new()).build();
        let router = Router::new().route("/ping", get(|| async { "pong" })).route_layer(signed);
        let listener = TcpListener::bind(LOCALHOST).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn endpoint_accepts_requests_signed_for_its_hotkey() {
        let (private, published) = (AddressPolicy::private(), miner().await);
        let endpoint = Endpoint {
            published: Some(published),
            port: Some(published.port()),
            external_ip: None,
        };
        let findings = check(endpoint, &private, hotkey()).await;
        assert_eq!(statuses(&findings), [Status::Ok], "{findings:?}");
        // The miner has another hotkey.
        let other_hotkey = Keypair::from_uri("//Charlie").unwrap().hotkey();
        let findings = check(endpoint, &private, other_hotkey).await;
        assert_eq!(statuses(&findings), [Status::Fault], "{findings:?}");
        let unsigned = reachability(endpoint, &private, None).await;
        assert_eq!(statuses(&unsigned), [Status::Skipped]);
        let wrong_port = Endpoint { port: Some(published.port() ^ 1), ..endpoint };
        assert_eq!(statuses(&check(wrong_port, &private, hotkey()).await), [Status::Fault]);
    }

    #[tokio::test]
    async fn endpoint_without_listener_is_fault() {
        // A socket that is bound and does not listen: no other program gets the port, and
        // connections are refused.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(LOCALHOST.parse().unwrap()).unwrap();
        let endpoint =
            Endpoint { published: socket.local_addr().ok(), port: None, external_ip: None };
        let findings = check(endpoint, &AddressPolicy::private(), hotkey()).await;
        assert_eq!(statuses(&findings), [Status::Fault], "{findings:?}");
        assert_eq!(findings[0].exit_code(), Some(3));
    }

    #[test]
    fn failure_is_fault_only_on_address_of_this_machine() {
        let signer =
            Signer::new(Keypair::from_uri("//Bob").unwrap(), "0.0.0.0", BtauthScheme::new());
        let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
        let request = Call::new(Method::GET, "ping", "");
        let call = EndpointCall {
            hotkey: hotkey(),
            client: &client,
            request: &request,
            is_subnet_route: false,
        };
        let judge = |response, is_subnet_route, is_local| {
            let call = EndpointCall { is_subnet_route, ..call };
            judge_response("203.0.113.7:8092", response, &call, is_local)
        };
        let timeout = || Err(CallError::Timeout { after: Duration::from_secs(3) });
        assert_eq!(judge(timeout(), true, true).status, Status::Fault);
        let undecided = judge(timeout(), true, false);
        assert_eq!(undecided.status, Status::Warning);
        assert!(undecided.remedy.unwrap().contains("tao axon ping 203.0.113.7:8092 --hotkey 5Grw"));
        for (status, is_subnet_route, expected) in [
            (200, true, Status::Ok),
            (403, true, Status::Ok),
            (422, true, Status::Ok),
            (404, false, Status::Ok),
            (404, true, Status::Fault),
            (503, true, Status::Fault),
        ] {
            let finding = judge(Ok(StatusCode::from_u16(status).unwrap()), is_subnet_route, true);
            assert_eq!(finding.status, expected, "{finding:?}");
        }
        assert!(is_local_address(IpAddr::from([127, 0, 0, 1])));
        // Reserved for documentation.
        assert!(!is_local_address(IpAddr::from([192, 0, 2, 1])));
    }

    #[tokio::test]
    async fn private_or_foreign_address_is_reported() {
        let public_policy = AddressPolicy::default();
        let endpoint =
            Endpoint { published: "10.0.0.7:8092".parse().ok(), port: None, external_ip: None };
        let findings = check(endpoint, &public_policy, hotkey()).await;
        assert!(findings[0].seen.contains("not a public address"), "{findings:?}");
        assert_eq!(findings[0].exit_code(), Some(3));
        // Without a request, an egress NAT is possible.
        let external_ip = Some(IpAddr::from([8, 8, 4, 4]));
        let other_endpoint =
            Endpoint { published: "8.8.8.8:9".parse().ok(), port: None, external_ip };
        let findings = reachability(other_endpoint, &public_policy, None).await;
        assert_eq!(statuses(&findings), [Status::Warning], "{findings:?}");
        let seen =
            "8.8.8.8 is published, but the external address of this machine is 8.8.4.4; no key";
        assert!(findings[0].seen.starts_with(seen), "{findings:?}");
    }

    #[test]
    fn other_external_address_is_fault_if_endpoint_does_not_respond() {
        let [published, external] = [[8, 8, 8, 8], [8, 8, 4, 4]].map(IpAddr::from);
        let judge = |finding| judge_address(published, external, finding);
        let subject = "8.8.8.8:8092";
        let reachable = judge(Finding::ok(
            Check::Reachability,
            subject,
            "responds to a signed request: 200 OK",
        ));
        assert_eq!((reachable.status, reachable.subject.as_str()), (Status::Warning, subject));
        assert!(reachable.remedy.is_some_and(|remedy| remedy.contains("egress NAT")));
        let unreachable = judge(Finding::fault(
            Check::Reachability,
            subject,
            "no response to a signed request",
            "open the port",
        ));
        assert_eq!(
            (unreachable.status, unreachable.remedy.as_deref()),
            (Status::Fault, Some(REPUBLISH))
        );
        let seen = "8.8.8.8 is published, but the external address of this machine is 8.8.4.4; no response to a signed";
        assert!(unreachable.seen.starts_with(seen), "{}", unreachable.seen);
    }

    #[tokio::test]
    async fn missing_endpoint_is_fault_for_miners_only() {
        let endpoint = Endpoint { published: None, port: None, external_ip: None };
        let policy = AddressPolicy::default();
        assert_eq!(statuses(&check(endpoint, &policy, hotkey()).await), [Status::Skipped]);
        let miner = Endpoint { port: Some(8092), ..endpoint };
        assert_eq!(statuses(&check(miner, &policy, hotkey()).await), [Status::Fault]);
    }
}
