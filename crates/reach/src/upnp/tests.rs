use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::*;

const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

/// What a router was asked for, one line each.
type Asked = Arc<Mutex<Vec<String>>>;

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
        let argument = |name: &&str| format!("<argument><name>{name}</name><direction>in</direction></argument>");
        let arguments: String = arguments.iter().map(argument).collect();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    };
    let mapping = ["NewExternalPort", "NewProtocol"];
    let add = ["NewExternalPort", "NewProtocol", "NewInternalPort", "NewInternalClient", "NewLeaseDuration"];
    let actions = [action("AddPortMapping", &add), action("DeletePortMapping", &mapping)].concat();
    format!("<scpd><actionList>{actions}</actionList></scpd>")
}

/// What stands in an element of a request.
fn element<'a>(body: &'a str, name: &str) -> &'a str {
    let (_, rest) = body.split_once(&format!("<{name}")).unwrap();
    rest.split_once('>').unwrap().1.split_once('<').unwrap().0
}

async fn control(State((asked, permanent_only)): State<(Asked, bool)>, headers: HeaderMap, body: String) -> Response {
    let soap = |body: String| {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{body}</s:Body></s:Envelope>"
        )
    };
    let action = headers["soapaction"].to_str().unwrap().trim_matches('"').split_once('#').unwrap().1.to_owned();
    let done = |inner: &str| soap(format!("<u:{action}Response xmlns:u=\"{SERVICE}\">{inner}</u:{action}Response>"));
    match action.as_str() {
        "GetExternalIPAddress" => done("<NewExternalIPAddress>8.8.8.8</NewExternalIPAddress>").into_response(),
        "AddPortMapping" => {
            let lease = element(&body, "NewLeaseDuration");
            let (external, internal) = (element(&body, "NewExternalPort"), element(&body, "NewInternalPort"));
            asked.lock().unwrap().push(format!("{external} to {internal} for {lease} s"));
            if permanent_only && lease != "0" {
                let fault = "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
                             <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>725</errorCode>\
                             <errorDescription>OnlyPermanentLeasesSupported</errorDescription></UPnPError></detail>\
                             </s:Fault>";
                return (StatusCode::INTERNAL_SERVER_ERROR, soap(fault.to_owned())).into_response();
            }
            done("").into_response()
        }
        "DeletePortMapping" => {
            asked.lock().unwrap().push(format!("delete {}", element(&body, "NewExternalPort")));
            done("").into_response()
        }
        other => panic!("{other}"),
    }
}

fn look_at(address: SocketAddr) -> SearchOptions {
    let mut options = SearchOptions::default();
    options.bind_addr = "127.0.0.1:0".parse().unwrap();
    options.broadcast_address = address;
    options.allowed_gateway_ips = vec![address.ip()];
    options
}

/// A router on loopback: where it is looked for, and what it was asked.
async fn router(permanent_only: bool) -> (SearchOptions, Asked) {
    let asked = Asked::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new()
        .route("/root", get(|| async { description() }))
        .route("/schema", get(|| async { schema() }))
        .route("/control", post(control))
        .with_state((asked.clone(), permanent_only));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let discovery = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let broadcast_address = discovery.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while let Ok((_, from)) = discovery.recv_from(&mut buffer).await {
            let answer = format!("HTTP/1.1 200 OK\r\nST: {SERVICE}\r\nLOCATION: http://{address}/root\r\n\r\n");
            let _ = discovery.send_to(answer.as_bytes(), from).await;
        }
    });
    (look_at(broadcast_address), asked)
}

#[tokio::test]
async fn a_mapping_is_made_renewed_and_taken_back() {
    let (options, asked) = router(false).await;
    let mapping = PortMapping::search(options, 8091, 18_091).await.unwrap();
    assert_eq!(mapping.external(), "8.8.8.8:18091".parse().unwrap());
    mapping.renew().await.unwrap();
    mapping.close().await.unwrap();
    let expected = ["18091 to 8091 for 3600 s", "18091 to 8091 for 3600 s", "delete 18091"];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn routers_without_leases_get_a_mapping_without_end() {
    let (options, asked) = router(true).await;
    PortMapping::search(options, 8091, 8091).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["8091 to 8091 for 3600 s", "8091 to 8091 for 0 s"]);
}

#[tokio::test]
async fn without_a_router_there_is_no_mapping() {
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut options = look_at(nobody.local_addr().unwrap());
    options.timeout = Some(Duration::from_millis(50));
    options.single_search_timeout = options.timeout;
    let error = PortMapping::search(options, 8091, 8091).await.unwrap_err();
    assert!(matches!(error, UpnpError::Search(_)), "{error}");
}
