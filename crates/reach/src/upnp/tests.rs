use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::*;

const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

/// The requests that the router received, one line each.
type ReceivedRequests = Arc<Mutex<Vec<String>>>;

/// The behaviour of the mock router.
#[derive(Clone)]
struct Behaviour {
    address: &'static str,
    permanent_only: bool,
    closes: bool,
    requests: ReceivedRequests,
}

impl Behaviour {
    fn working_router() -> Self {
        Self {
            address: "8.8.8.8",
            permanent_only: false,
            closes: true,
            requests: ReceivedRequests::default(),
        }
    }
}

fn description() -> String {
    format!(
        "<root><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList>\
         <device><deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList>\
         <device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList>\
         <service><serviceType>{SERVICE}</serviceType><SCPDURL>/schema</SCPDURL><controlURL>/control</controlURL>\
         </service></serviceList></device></deviceList></device></deviceList></device></root>"
    )
}

fn schema() -> String {
    let action = |name: &str, arguments: &[&str]| {
        let argument = |name: &&str| {
            format!("<argument><name>{name}</name><direction>in</direction></argument>")
        };
        let arguments: String = arguments.iter().map(argument).collect();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    };
    let mapping = ["NewExternalPort", "NewProtocol"];
    let add_arguments = [
        "NewExternalPort",
        "NewProtocol",
        "NewInternalPort",
        "NewInternalClient",
        "NewLeaseDuration",
    ];
    let actions =
        [action("AddPortMapping", &add_arguments), action("DeletePortMapping", &mapping)].concat();
    format!("<scpd><actionList>{actions}</actionList></scpd>")
}

/// Returns the text of an XML element in a request.
fn element<'a>(body: &'a str, name: &str) -> &'a str {
    let (_, remaining) = body.split_once(&format!("<{name}")).unwrap();
    remaining.split_once('>').unwrap().1.split_once('<').unwrap().0
}

async fn control(State(router): State<Behaviour>, headers: HeaderMap, body: String) -> Response {
    let record = |line: String| router.requests.lock().unwrap().push(line);
    let soap = |body: String| {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{body}</s:Body></s:Envelope>"
        )
    };
    let fault = |code: u16, words: &str| {
        let fault = format!(
            "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
             <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{code}</errorCode>\
             <errorDescription>{words}</errorDescription></UPnPError></detail></s:Fault>"
        );
        (StatusCode::INTERNAL_SERVER_ERROR, soap(fault)).into_response()
    };
    let action = headers["soapaction"]
        .to_str()
        .unwrap()
        .trim_matches('"')
        .split_once('#')
        .unwrap()
        .1
        .to_owned();
    let success_response = |inner: &str| {
        soap(format!("<u:{action}Response xmlns:u=\"{SERVICE}\">{inner}</u:{action}Response>"))
    };
    match action.as_str() {
        "GetExternalIPAddress" => {
            let address = router.address;
            success_response(&format!("<NewExternalIPAddress>{address}</NewExternalIPAddress>"))
                .into_response()
        }
        "AddPortMapping" => {
            let lease = element(&body, "NewLeaseDuration");
            let (external, port) =
                (element(&body, "NewExternalPort"), element(&body, "NewInternalPort"));
            let client = element(&body, "NewInternalClient");
            record(format!("{external} to {client}:{port} for {lease} s"));
            if router.permanent_only && lease != "0" {
                return fault(725, "OnlyPermanentLeasesSupported");
            }
            success_response("").into_response()
        }
        "DeletePortMapping" => {
            record(format!("delete {}", element(&body, "NewExternalPort")));
            if router.closes {
                success_response("").into_response()
            } else {
                fault(606, "ActionNotAuthorized")
            }
        }
        other => panic!("{other}"),
    }
}

fn search_options(address: SocketAddr) -> SearchOptions {
    let mut options = SearchOptions::default();
    options.bind_addr = "127.0.0.1:0".parse().unwrap();
    options.broadcast_address = address;
    options.allowed_gateway_ips = vec![address.ip()];
    options
}

/// Starts a mock router on loopback and discovers it.
async fn router(behaviour: Behaviour) -> HomeRouter {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = axum::Router::new()
        .route("/root", get(|| async { description() }))
        .route("/schema", get(|| async { schema() }))
        .route("/control", post(control))
        .with_state(behaviour);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let discovery = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let broadcast_address = discovery.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while let Ok((_, from)) = discovery.recv_from(&mut buffer).await {
            let response = format!(
                "HTTP/1.1 200 OK\r\nST: {SERVICE}\r\nLOCATION: http://{address}/root\r\n\r\n"
            );
            let _ = discovery.send_to(response.as_bytes(), from).await;
        }
    });
    HomeRouter::search(search_options(broadcast_address)).await.unwrap()
}

/// The address of a service that listens on every interface.
const UNSPECIFIED_ADDRESS: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 8091);

#[tokio::test]
async fn mapping_is_created_renewed_and_removed() {
    let behaviour = Behaviour::working_router();
    let mut mapping =
        router(behaviour.clone()).await.map(UNSPECIFIED_ADDRESS, 18_091).await.unwrap();
    assert_eq!(mapping.lease(), Some(Duration::from_hours(1)));
    mapping.renew().await.unwrap();
    mapping.close().await.unwrap();
    let expected = [
        "18091 to 127.0.0.1:8091 for 3600 s",
        "18091 to 127.0.0.1:8091 for 3600 s",
        "delete 18091",
    ];
    assert_eq!(*behaviour.requests.lock().unwrap(), expected);
}

#[tokio::test]
async fn permanent_mapping_is_created_on_routers_without_leases() {
    let behaviour =
        Behaviour { permanent_only: true, closes: false, ..Behaviour::working_router() };
    let mut mapping = router(behaviour.clone()).await.map(UNSPECIFIED_ADDRESS, 8091).await.unwrap();
    assert_eq!(mapping.lease(), None);
    mapping.renew().await.unwrap();
    let error = mapping.close().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the router refused to remove the mapping of port 8091: the port stays open until it is closed in the router"
    );
    let permanent_mapping = "8091 to 127.0.0.1:8091 for 0 s";
    let expected =
        ["8091 to 127.0.0.1:8091 for 3600 s", permanent_mapping, permanent_mapping, "delete 8091"];
    assert_eq!(*behaviour.requests.lock().unwrap(), expected);
}

#[tokio::test]
async fn unremovable_mapping_error_states_the_remaining_time() {
    let mapping = router(Behaviour { closes: false, ..Behaviour::working_router() })
        .await
        .map(UNSPECIFIED_ADDRESS, 8091)
        .await
        .unwrap();
    let error = mapping.close().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the router refused to remove the mapping of port 8091: the port stays open for at most 60 min"
    );
}

#[tokio::test]
async fn mapping_targets_the_listen_address() {
    let behaviour = Behaviour::working_router();
    router(behaviour.clone()).await.map("192.0.2.7:8091".parse().unwrap(), 8091).await.unwrap();
    assert_eq!(*behaviour.requests.lock().unwrap(), ["8091 to 192.0.2.7:8091 for 3600 s"]);
    for address in ["127.0.0.1:8091", "127.1.2.3:8091", "[::1]:8091", "[::ffff:127.0.0.1]:8091"] {
        let behaviour = Behaviour::working_router();
        let error =
            router(behaviour.clone()).await.map(address.parse().unwrap(), 8091).await.unwrap_err();
        assert!(matches!(error, UpnpError::Loopback(_)), "{error}");
        assert!(behaviour.requests.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn private_external_address_of_router_is_an_error() {
    let ip = router(Behaviour::working_router()).await.external_ip().await.unwrap();
    assert_eq!(ip, IpAddr::from([8, 8, 8, 8]));
    for address in ["100.64.3.2", "192.168.0.2", "10.0.0.1"] {
        let error = router(Behaviour { address, ..Behaviour::working_router() })
            .await
            .external_ip()
            .await
            .unwrap_err();
        assert!(matches!(error, UpnpError::NotPublic(ip) if ip.to_string() == address), "{error}");
    }
}

#[tokio::test]
async fn missing_router_is_a_search_error() {
    let silent_socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut options = search_options(silent_socket.local_addr().unwrap());
    options.timeout = Some(Duration::from_millis(50));
    options.single_search_timeout = options.timeout;
    let error = HomeRouter::search(options).await.unwrap_err();
    assert!(matches!(error, UpnpError::Search(_)), "{error}");
}
