use std::collections::HashMap;
use std::sync::Mutex;

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use taonet_chain::Metagraph;
use taonet_chain::testing::metagraph;
use taonet_neuron::MinerEntry;
use taonet_wire::{Call, CallError, ClientConfig, Registration, Retry, SignedClient};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::*;
use crate::query::{QueryLimits, query};
use crate::stream::query_stream;
use crate::testing::{NETUID, SumRequest, chain, client, entry, key, neuron};

const BODY: &str = r#"{"a": 1, "b": 2}"#;
const DEADLINE: Duration = Duration::from_secs(12);

async fn add(request: SumRequest, _: Caller) -> Result<SumRequest, SynapseError> {
    let sum = request.a.checked_add(request.b);
    let sum =
        sum.ok_or_else(|| SynapseError::new(StatusCode::BAD_REQUEST, "the sum is too large"))?;
    Ok(SumRequest { sum: Some(sum), ..request })
}

fn settings() -> MinerSettings {
    MinerSettings::new(NETUID)
}

/// Returns the load of a queue, without a limit of the rate.
fn queue(running: usize, waiting: usize, max_wait: Duration) -> Load {
    Load { rate: None, concurrency: Some(Concurrency { running, waiting, max_wait }) }
}

/// A miner that is served until it is stopped.
struct Served {
    entry: MinerEntry,
    shutdown: Shutdown,
    server: JoinHandle<()>,
}

impl Served {
    /// Serves a miner whose chain has validators with a permit, of different stakes, and the neuron
    /// `//neuron`, which has no permit.
    async fn start(miner: Miner) -> Self {
        let registration = |uri: &str, stake, validator_permit| {
            (key(uri).hotkey(), Registration { stake, validator_permit })
        };
        let registrations = [
            registration("//rich", 9, true),
            registration("//validator", 5, true),
            registration("//poor", 1, true),
            registration("//poorest", 0, true),
            registration("//neuron", 5, false),
        ];
        let router = miner
            .build_router(Arc::new(RegistrationTable::new(HashMap::from(registrations))))
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let entry = entry(1, key("//miner").hotkey(), listener.local_addr().unwrap().port());
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let server =
            tokio::spawn(
                async move { serve(listener, router, &stop, ServeLimits::default()).await },
            );
        Self { entry, shutdown, server }
    }

    async fn start_summing(settings: MinerSettings) -> Self {
        Self::start(Miner::new(key("//miner"), settings).serve(add)).await
    }

    async fn stop(self) {
        self.shutdown.request();
        self.server.await.unwrap();
    }

    /// Calls the miner; returns status and body.
    async fn post(&self, client: &SignedClient, class: &str, body: &Value) -> (u16, Value) {
        let call =
            Call { name: class.to_owned(), ..Call::new(Method::POST, class, body.to_string()) };
        let response = client.call(&self.entry.peer().unwrap(), &call).await.unwrap();
        (response.status.as_u16(), serde_json::from_slice(&response.body).unwrap())
    }

    /// Calls the miner; returns the status, or `None` after the deadline.
    async fn call_status(&self, caller: &str, deadline: Duration) -> Option<u16> {
        call_status(self.entry.clone(), caller.to_owned(), deadline).await
    }

    /// Sends a request with these headers; returns the status.
    async fn send(&self, headers: HeaderMap, body: &str) -> u16 {
        let url = self.entry.peer().unwrap().url("Sum");
        let client = client(key("//validator"), &[]);
        match client.post(&url, headers, body.to_owned().into(), DEADLINE, 1 << 20).await {
            Ok(_) => 200,
            Err(CallError::Status { status, .. }) => status.as_u16(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn call_status(miner: MinerEntry, caller: String, deadline: Duration) -> Option<u16> {
    let call = Call {
        name: "Sum".to_owned(),
        deadline,
        retry: Retry::Never,
        ..Call::new(Method::POST, "Sum", BODY)
    };
    let response = client(key(&caller), &[]).call(&miner.peer().unwrap(), &call).await;
    response.ok().map(|response| response.status.as_u16())
}

/// Returns the headers of a request with [`BODY`] from the validator to the miner.
fn signed() -> HeaderMap {
    let peer = entry(1, key("//miner").hotkey(), 8091).peer().unwrap();
    let client = client(key("//validator"), &[]);
    client.signer().headers(&peer, &Method::POST, "/Sum", "Sum", DEADLINE, BODY.as_bytes()).unwrap()
}

#[tokio::test]
async fn response_repeats_the_request_with_the_result() {
    let miner = Served::start_summing(settings()).await;
    let client = client(key("//validator"), &[]);
    let request =
        json!({ "name": "Sum", "timeout": 12.0, "axon": {}, "a": 2, "b": 3, "sum": null });
    let (status, response) = miner.post(&client, "Sum", &request).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(
        (&response["a"], &response["b"], &response["sum"]),
        (&json!(2), &json!(3), &json!(5))
    );
    assert_eq!((&response["name"], &response["axon"]["status_code"]), (&json!("Sum"), &json!(200)));
    assert_eq!(response["dendrite"]["hotkey"], json!(key("//validator").hotkey()));
}

/// Columns: caller · class · body · status
#[tokio::test]
async fn status_depends_on_caller_class_and_body() {
    let miner = Served::start_summing(settings()).await;
    for (caller, class, body, expected) in [
        ("//validator", "Sum", json!({ "a": 1, "b": 2 }), 200),
        ("//validator", "Synapse", json!({}), 200),
        ("//validator", "Sum", json!({ "a": 1, "b": "two" }), 422),
        ("//validator", "Sum", json!({ "a": i64::MAX, "b": 1 }), 400),
        ("//validator", "Other", json!({}), 404),
        ("//neuron", "Sum", json!({ "a": 1, "b": 2 }), 403),
        ("//stranger", "Sum", json!({ "a": 1, "b": 2 }), 403),
    ] {
        let (status, response) = miner.post(&client(key(caller), &["Other"]), class, &body).await;
        assert_eq!(status, expected, "{caller} {class} {body}: {response}");
    }
}

#[tokio::test]
async fn request_that_is_not_signed_as_sent_is_refused() {
    let miner = Served::start_summing(settings()).await;
    let other_signed = {
        let peer = entry(1, key("//other").hotkey(), 8091).peer().unwrap();
        let client = client(key("//validator"), &[]);
        client
            .signer()
            .headers(&peer, &Method::POST, "/Sum", "Sum", DEADLINE, BODY.as_bytes())
            .unwrap()
    };
    for (headers, body, expected) in [
        (HeaderMap::new(), BODY, 500),
        (signed(), r#"{"a": 1, "b": 3}"#, 500),
        (other_signed, BODY, 401),
        (signed(), BODY, 200),
    ] {
        assert_eq!(miner.send(headers, body).await, expected, "{body}");
    }
}

/// Columns: headers · body · status
#[tokio::test]
async fn btauth_covers_the_whole_request() {
    let scheme = RequestScheme::Btauth;
    let miner = Served::start_summing(MinerSettings { scheme, ..settings() }).await;
    let signer = scheme.signer(key("//validator"), SumRequest::class());
    let peer = miner.entry.peer().unwrap();
    let headers =
        signer.headers(&peer, &Method::POST, "/Sum", "Sum", DEADLINE, BODY.as_bytes()).unwrap();
    for (headers, body, expected) in [
        // The dendrite scheme does not sign `sum`, which is not in the hash of the class.
        (headers.clone(), r#"{"a": 1, "b": 2, "sum": 4}"#, 401),
        (headers.clone(), BODY, 200),
        (headers, BODY, 401),
        // Signed by the dendrite scheme.
        (signed(), BODY, 401),
    ] {
        assert_eq!(miner.send(headers, body).await, expected, "{body}");
    }
    let (miners, request) = ([miner.entry.clone()], SumRequest::ONE_AND_TWO);
    let response = async |caller: &str| {
        let signer = scheme.signer(key(caller), SumRequest::class());
        let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
        let mut replies = query(&client, &miners, &request, QueryLimits::default()).await.unwrap();
        replies.remove(0).response.map_err(|error| error.to_string())
    };
    assert_eq!(response("//validator").await.unwrap().sum, Some(3));
    let error = response("//stranger").await.unwrap_err();
    assert!(error.starts_with("status 403 Forbidden: "), "{error}");
    assert!(error.contains(&key("//stranger").hotkey().to_string()), "{error}");
}

#[tokio::test]
async fn configured_limits_apply_to_requests() {
    let limits = Limits {
        header_count: 32,
        body_bytes: 100,
        answer_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let never_respond =
        |_: SumRequest, _: Caller| std::future::pending::<Result<SumRequest, SynapseError>>();
    let miner =
        Miner::new(key("//miner"), MinerSettings { limits, ..settings() }).serve(never_respond);
    let miner = Served::start(miner).await;
    let mut many_headers = signed();
    for number in 0..32_u32 {
        many_headers.append("x-header", number.into());
    }
    for (headers, body, expected) in [
        (signed(), BODY.to_owned(), 408),
        (signed(), " ".repeat(101), 413),
        (many_headers, BODY.to_owned(), 431),
    ] {
        assert_eq!(miner.send(headers, &body).await, expected, "{} bytes", body.len());
    }
}

#[tokio::test]
async fn response_chunks_arrive_before_the_response_ends() {
    let (parts, receiver) = tokio::sync::mpsc::unbounded_channel::<Result<String, BoxError>>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let forward = move |_: SumRequest, _: Caller| {
        let receiver = receiver.lock().unwrap().take();
        async move {
            let receiver =
                receiver.ok_or_else(|| SynapseError::new(StatusCode::CONFLICT, "only once"))?;
            let next = |mut receiver: UnboundedReceiver<_>| async move {
                Some((receiver.recv().await?, receiver))
            };
            Ok::<_, SynapseError>(futures::stream::unfold(receiver, next))
        }
    };
    let miner = Served::start(Miner::new(key("//miner"), settings()).serve_stream(forward)).await;
    let client = client(key("//validator"), &[]);
    let start = async || {
        query_stream(&client, &miner.entry, &SumRequest::ONE_AND_TWO, QueryLimits::default()).await
    };
    let mut reply = start().await.unwrap();
    for part in ["The ", "ferry"] {
        // The next part is sent only once this one has arrived.
        parts.send(Ok(part.to_owned())).unwrap();
        assert_eq!(reply.next_part().await.unwrap().unwrap(), part);
    }
    parts.send(Err("the model failed".into())).unwrap();
    assert!(reply.next_part().await.unwrap().is_err());
    assert_eq!(start().await.unwrap_err().to_string(), "status 409 Conflict: only once");
}

#[tokio::test]
async fn caller_above_its_rate_is_refused() {
    let load = Load { rate: Some(Rate { per_second: 1, burst: 2 }), concurrency: None };
    let miner = Served::start_summing(MinerSettings { load, ..settings() }).await;
    let mut statuses = Vec::new();
    // On a busy machine, the allowance grows while the requests are sent.
    while statuses.len() < 100 && !statuses.contains(&Some(429)) {
        statuses.push(miner.call_status("//validator", DEADLINE).await);
    }
    assert_eq!(statuses[..2], [Some(200); 2]);
    assert_eq!(statuses.last(), Some(&Some(429)));
}

#[tokio::test]
async fn blocked_validator_is_refused() {
    let policy = settings().policy.block([key("//validator").hotkey()]);
    let miner = Served::start_summing(MinerSettings { policy, ..settings() }).await;
    assert_eq!(miner.call_status("//validator", DEADLINE).await, Some(403));
}

/// Serves a miner that notes its callers, and answers each when it gets a permit.
async fn start_with_permits(load: Load) -> (Served, Arc<Mutex<Vec<Hotkey>>>, Arc<Semaphore>) {
    let (callers, permits) = (Arc::<Mutex<Vec<Hotkey>>>::default(), Arc::new(Semaphore::new(0)));
    let (handler_callers, handler_permits) = (Arc::clone(&callers), Arc::clone(&permits));
    let forward = move |request: SumRequest, caller: Caller| {
        handler_callers.lock().unwrap().push(caller.hotkey);
        let handler_permits = Arc::clone(&handler_permits);
        async move {
            handler_permits.acquire().await.unwrap().forget();
            Ok::<_, SynapseError>(SumRequest { sum: Some(3), ..request })
        }
    };
    let miner = Miner::new(key("//miner"), MinerSettings { load, ..settings() }).serve(forward);
    (Served::start(miner).await, callers, permits)
}

#[tokio::test]
async fn queue_serves_higher_stake_first_and_refuses_when_full() {
    let (miner, callers, permits) = start_with_permits(queue(1, 2, Duration::from_mins(1))).await;
    let call = |caller: &str| {
        tokio::spawn(call_status(miner.entry.clone(), caller.to_owned(), Duration::from_mins(1)))
    };
    let mut calls = vec![call("//validator")];
    while callers.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    calls.extend(["//poor", "//rich"].map(call));
    // The caller with the least stake is refused only once the others fill the queue.
    let short_deadline = Duration::from_millis(200);
    while miner.call_status("//poorest", short_deadline).await != Some(503) {}
    permits.add_permits(3);
    for call in calls {
        assert_eq!(call.await.unwrap(), Some(200));
    }
    let expected = ["//validator", "//rich", "//poor"].map(|uri| key(uri).hotkey());
    assert_eq!(*callers.lock().unwrap(), expected);
}

#[tokio::test]
async fn request_leaves_queue_after_maximum_wait() {
    let (miner, callers, permits) =
        start_with_permits(queue(1, 2, Duration::from_millis(100))).await;
    let first = tokio::spawn(call_status(
        miner.entry.clone(),
        "//validator".to_owned(),
        Duration::from_mins(1),
    ));
    while callers.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(miner.call_status("//rich", DEADLINE).await, Some(408));
    permits.add_permits(1);
    assert_eq!(first.await.unwrap(), Some(200));
}

/// Columns: whether there is a replay log · status of a request that was answered before a restart
#[tokio::test]
async fn replay_log_refuses_requests_from_before_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    for (replay_log, expected) in [(None, 200), (Some(directory.path().join("replay.log")), 401)] {
        let start = async || {
            Served::start_summing(MinerSettings { replay_log: replay_log.clone(), ..settings() })
                .await
        };
        let first = start().await;
        let headers = signed();
        assert_eq!(first.send(headers.clone(), BODY).await, 200);
        assert_eq!(first.send(headers.clone(), BODY).await, 401, "the same process");
        first.stop().await;
        let restarted = start().await;
        assert_eq!(restarted.send(headers, BODY).await, expected, "{replay_log:?}");
        restarted.stop().await;
    }
}

/// Columns: grace period · whether the handler completes after the shutdown · status
#[tokio::test]
async fn requests_in_flight_have_the_grace_period_at_shutdown() {
    for (drain, completes, expected) in
        [(Duration::from_mins(1), true, Some(200)), (Duration::from_millis(100), false, None)]
    {
        let chain = chain(1, vec![neuron(0, "//miner", None), neuron(1, "//validator", None)]);
        let (arrived, permits) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (notify, handler_permits) = (Arc::clone(&arrived), Arc::clone(&permits));
        let forward = move |request: SumRequest, _: Caller| {
            notify.add_permits(1);
            let handler_permits = Arc::clone(&handler_permits);
            async move {
                handler_permits.acquire().await.unwrap().forget();
                Ok::<_, SynapseError>(request)
            }
        };
        let miner =
            Miner::new(key("//miner"), MinerSettings { drain, ..settings() }).serve(forward);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let entry = entry(0, key("//miner").hotkey(), listener.local_addr().unwrap().port());
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let server = tokio::spawn(async move { miner.run(listener, Arc::new(chain), &stop).await });
        let call =
            tokio::spawn(call_status(entry, "//validator".to_owned(), Duration::from_mins(1)));
        arrived.acquire().await.unwrap().forget();
        shutdown.request();
        if completes {
            permits.add_permits(1);
        }
        assert_eq!(call.await.unwrap(), expected, "{drain:?}");
        server.await.unwrap().unwrap();
        shutdown.finished().await.unwrap();
    }
}

#[tokio::test]
async fn registrations_follow_the_chain_across_an_outage() {
    let chain = chain(1, vec![neuron(0, "//validator", None)]);
    let (registrations, shutdown) = (Arc::<RegistrationTable>::default(), Shutdown::new());
    let sync = ChainSync::new(Arc::new(chain.clone()), NETUID, Arc::clone(&registrations));
    sync.start(Duration::from_millis(1), &shutdown).await.unwrap();
    let registered = Registration { stake: 1, validator_permit: true };
    assert_eq!(registrations.registration(&key("//validator").hotkey()), Some(registered));
    chain.lose_requests(3);
    let neurons = vec![neuron(0, "//other", None)];
    chain.set_metagraph(Metagraph { neurons, ..metagraph(NETUID, &key("//owner")) });
    let replaced = async {
        while registrations.hotkeys() != [key("//other").hotkey()] {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), replaced).await.unwrap();
    shutdown.request();
    shutdown.finished().await.unwrap();
}
