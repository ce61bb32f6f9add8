use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt as _;
use http::StatusCode;
use http::header::{CONTENT_RANGE, RANGE};
use taonet_objects::testing::{S3Server, settings};
use taonet_objects::{ObjectStorage, S3Addressing};
use taonet_proof_circuits::{Catalogue, Compiled, ShippedModel};
use taonet_proof_core::saturation;
use tokio::net::TcpListener;
use url::Url;

use super::*;

/// A static web server that can truncate responses.
struct Server {
    root: PathBuf,
    /// Number of bytes after which every response is truncated; 0 for never.
    cut: AtomicUsize,
    ignores_ranges: AtomicBool,
    /// Number of body bytes sent.
    sent: AtomicUsize,
}

async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response {
    let path = server.root.join(request.uri().path().trim_start_matches('/'));
    let Ok(contents) = fs::read(path) else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    };
    let range =
        request.headers().get(RANGE).filter(|_| !server.ignores_ranges.load(Ordering::SeqCst));
    let start = range.map(|range| {
        range.to_str().unwrap().trim_start_matches("bytes=").trim_end_matches('-').parse()
    });
    let start: usize = start.map_or(0, Result::unwrap);
    if range.is_some() && start >= contents.len() {
        return Response::builder()
            .status(StatusCode::RANGE_NOT_SATISFIABLE)
            .body(Body::empty())
            .unwrap();
    }
    let remaining = contents[start..].to_vec();
    let length = remaining.len();
    let cut = server.cut.load(Ordering::SeqCst);
    let sent_length = if cut > 0 { length.min(cut) } else { length };
    server.sent.fetch_add(sent_length, Ordering::SeqCst);
    let mut response = Response::builder().header("content-length", length);
    if range.is_some() {
        let range = format!("bytes {start}-{}/{}", contents.len() - 1, contents.len());
        response = response.status(StatusCode::PARTIAL_CONTENT).header(CONTENT_RANGE, range);
    }
    let error_chunk = (sent_length < length).then(|| Err(io::Error::other("cut")));
    let chunks = std::iter::once(Ok(remaining[..sent_length].to_vec())).chain(error_chunk);
    let chunks = futures::stream::iter(chunks.collect::<Vec<_>>()).then(async |chunk| {
        if chunk.is_err() {
            // Without this pause, the error would discard the data that was sent before it.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        chunk
    });
    response.body(Body::from_stream(chunks)).unwrap()
}

struct FileServer {
    server: Arc<Server>,
    url: Url,
    temp_dir: tempfile::TempDir,
}

fn compiled() -> Compiled {
    ShippedModel::DiabetesRegression.compile("stark").unwrap()
}

/// Returns the same circuit with a different name, and therefore a different identity.
fn renamed(compiled: &Compiled, name: &str) -> Compiled {
    let mut renamed_circuit = compiled.clone();
    renamed_circuit.metadata.name = name.to_owned();
    renamed_circuit
}

impl FileServer {
    /// Starts a site with these circuits and their catalogue.
    async fn start(circuits: &[Compiled]) -> Self {
        let temp_dir = tempfile::tempdir().unwrap();
        let root = temp_dir.path().join("site");
        for (index, compiled) in circuits.iter().enumerate() {
            CircuitDirectory::create(&root.join(format!("circuits/{index}")), compiled).unwrap();
        }
        publish(&root);
        let server = Arc::new(Server {
            root,
            cut: AtomicUsize::new(0),
            ignores_ranges: AtomicBool::new(false),
            sent: AtomicUsize::new(0),
        });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url =
            format!("http://{}/circuits.json", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { server, url, temp_dir }
    }

    fn store(&self, limit: u64, pinned: &[Digest]) -> CircuitStore {
        let settings = StoreSettings {
            directory: self.temp_dir.path().join("cache"),
            sources: vec![Source::http(&self.url).unwrap()],
            limit,
            pinned: pinned.iter().copied().collect(),
        };
        CircuitStore::open(settings).unwrap()
    }

    fn file(&self, circuit: usize, name: &str) -> PathBuf {
        self.server.root.join(format!("circuits/{circuit}/{name}"))
    }
}

/// Writes the catalogue of a directory's circuits.
fn publish(root: &Path) {
    let catalogue = Catalogue::open(&root.join("circuits")).unwrap();
    let listing = Listing::of(&catalogue, root).unwrap();
    fs::write(root.join("circuits.json"), serde_json::to_vec(&listing).unwrap()).unwrap();
}

const LARGE_LIMIT: u64 = 1 << 30;

#[tokio::test]
async fn circuits_are_downloaded_once_and_completely() {
    let compiled_circuit = compiled();
    let file_server = FileServer::start(std::slice::from_ref(&compiled_circuit)).await;
    let store = file_server.store(LARGE_LIMIT, &[]);
    let id = compiled_circuit.metadata.id().unwrap();
    let path = store.fetch(&id).await.unwrap();
    let fetched = CircuitDirectory::open(&path).unwrap();
    assert_eq!(fetched.id(), id);
    fetched.keys().unwrap();
    let sent = file_server.server.sent.load(Ordering::SeqCst);
    // The cache serves the circuit after the catalogue is deleted, to another process, too.
    fs::remove_file(file_server.server.root.join("circuits.json")).unwrap();
    assert_eq!(store.fetch(&id).await.unwrap(), path);
    assert_eq!(file_server.store(LARGE_LIMIT, &[]).fetch(&id).await.unwrap(), path);
    assert_eq!(file_server.server.sent.load(Ordering::SeqCst), sent);
    assert!(matches!(
        store.fetch(&Digest::of(b"x")).await,
        Err(StoreError::Source(SourceError::Http { .. }))
    ));
}

#[tokio::test]
async fn all_circuits_are_synchronised_with_one_listing() {
    let compiled_circuit = compiled();
    let circuits: Vec<Compiled> =
        ["a", "b", "c"].iter().map(|name| renamed(&compiled_circuit, name)).collect();
    let file_server = FileServer::start(&circuits).await;
    let ids = circuits.iter().map(|circuit| circuit.metadata.id().unwrap()).collect();
    file_server.store(LARGE_LIMIT, &[]).sync(&ids).await.unwrap();
    let size = |path: PathBuf| fs::metadata(path).unwrap().len() as usize;
    let names = |compiled: &Compiled| {
        compiled.files.keys().cloned().chain([metadata::FILE.to_owned()]).collect()
    };
    let files = circuits.iter().enumerate().flat_map(|(index, compiled)| {
        let names: Vec<String> = names(compiled);
        names.into_iter().map(move |name| (index, name))
    });
    let files: usize = files.map(|(index, name)| size(file_server.file(index, &name))).sum();
    let listing = size(file_server.server.root.join("circuits.json"));
    assert_eq!(
        file_server.server.sent.load(Ordering::SeqCst),
        files + listing,
        "the catalogue was read more than once"
    );
}

/// A catalogue lists a circuit with the verification key of another network, whose proofs would
/// verify.
#[tokio::test]
async fn circuit_with_another_networks_key_is_refused() {
    let (honest, mut false_key) = (compiled(), renamed(&compiled(), "false key"));
    let other = ShippedModel::DigitsMlp.compile("stark").unwrap();
    let key = other.files[metadata::VERIFICATION_KEY].clone();
    false_key.metadata.files.insert(metadata::VERIFICATION_KEY.to_owned(), Digest::of(&key));
    false_key.files.insert(metadata::VERIFICATION_KEY.to_owned(), key);
    let (good, bad) = (honest.metadata.id().unwrap(), false_key.metadata.id().unwrap());
    let file_server = FileServer::start(std::slice::from_ref(&honest)).await;
    // The directory of the site refuses such a circuit, so that its catalogue is written by hand.
    let bad_path = file_server.server.root.join(bad.to_string());
    CircuitDirectory::create(&bad_path, &false_key).unwrap();
    let document = fs::read(file_server.server.root.join("circuits.json")).unwrap();
    let mut listing = Listing::from_json(&document).unwrap();
    listing.circuits.push(ListedCircuit { id: bad, files: BTreeMap::new() });
    fs::write(file_server.server.root.join("circuits.json"), serde_json::to_vec(&listing).unwrap())
        .unwrap();

    let store = file_server.store(LARGE_LIMIT, &[]);
    let error = store.sync(&BTreeSet::from([bad, good])).await.unwrap_err().to_string();
    assert!(error.contains("the verification key does not match the network"), "{error}");
    // The others are fetched, and nothing is left of the refused one.
    let entries: Vec<_> = fs::read_dir(file_server.temp_dir.path().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(entries, [format!("model_{good}").as_str()]);
}

/// A catalogue lists a circuit whose network has 25 bytes, and would take 39 GB when it is lowered.
#[tokio::test]
async fn circuit_with_too_large_network_is_refused() {
    let mut large = renamed(&compiled(), "large");
    // An input of 1x512x512, and a max pool of 128x128 with stride 1.
    let network: [u8; 25] = [
        0x01, 0x01, 0x80, 0x04, 0x80, 0x04, 0x00, 0x02, 0x00, 0x01, 0x01, 0x00, 0x03, 0x80, 0x01,
        0x80, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ];
    large.metadata.files.insert(metadata::NETWORK.to_owned(), Digest::of(&network));
    large.files.insert(metadata::NETWORK.to_owned(), network.to_vec());
    let id = large.metadata.id().unwrap();
    let file_server = FileServer::start(&[compiled()]).await;
    // Opening the new directory fails, once its files are written.
    CircuitDirectory::create(&file_server.server.root.join(id.to_string()), &large).unwrap_err();
    let listing = Listing {
        circuits: vec![ListedCircuit { id, files: BTreeMap::new() }],
        models: Vec::new(),
    };
    fs::write(file_server.server.root.join("circuits.json"), serde_json::to_vec(&listing).unwrap())
        .unwrap();
    let error = file_server
        .store(LARGE_LIMIT, &[])
        .sync(&BTreeSet::from([id]))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("more than the limit of"), "{error}");
}

#[tokio::test]
async fn corrupt_files_in_the_cache_are_fetched_again() {
    let compiled_circuit = compiled();
    let file_server = FileServer::start(std::slice::from_ref(&compiled_circuit)).await;
    let id = compiled_circuit.metadata.id().unwrap();
    let path = file_server.store(LARGE_LIMIT, &[]).fetch(&id).await.unwrap();
    for name in [metadata::FILE, metadata::NETWORK, metadata::VERIFICATION_KEY] {
        let file = path.join(name);
        let valid_contents = fs::read(&file).unwrap();
        let flipped: Vec<u8> = valid_contents
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ u8::from(index == 10))
            .collect();
        for corrupt_contents in [flipped, valid_contents[..valid_contents.len() / 2].to_vec()] {
            fs::write(&file, corrupt_contents).unwrap();
            // Each store represents a separate process.
            assert_eq!(
                file_server.store(LARGE_LIMIT, &[]).fetch(&id).await.unwrap(),
                path,
                "{name}"
            );
            assert!(fs::read(&file).unwrap() == valid_contents, "{name}");
        }
    }
    fs::remove_file(path.join(metadata::VERIFICATION_KEY)).unwrap();
    file_server.store(LARGE_LIMIT, &[]).fetch(&id).await.unwrap();
    CircuitDirectory::open(&path).unwrap().keys().unwrap();
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(entries.count(), 1, "nothing is left beside the circuit");
    // A corrupt circuit stays, and is not used, until a catalogue has it again.
    fs::write(path.join(metadata::NETWORK), b"corrupt").unwrap();
    fs::remove_file(file_server.server.root.join("circuits.json")).unwrap();
    assert!(file_server.store(LARGE_LIMIT, &[]).fetch(&id).await.is_err());
}

#[tokio::test]
async fn interrupted_downloads_resume_where_they_ended() {
    let compiled_circuit = ShippedModel::DigitsMlp.compile("stark").unwrap();
    let file_server = FileServer::start(std::slice::from_ref(&compiled_circuit)).await;
    let id = compiled_circuit.metadata.id().unwrap();
    let network = fs::metadata(file_server.file(0, metadata::NETWORK)).unwrap().len() as usize;
    // Every response is truncated after a third of the network; all other files are shorter.
    let others = ["circuits/0/circuit_metadata.json", "circuits.json"];
    let others: Vec<u64> = others
        .iter()
        .map(|name| fs::metadata(file_server.server.root.join(name)).unwrap().len())
        .collect();
    let truncation_length = (network / 3 + 1).max(*others.iter().max().unwrap() as usize + 1);
    assert!(truncation_length < network / 2, "the network takes three attempts");
    file_server.server.cut.store(truncation_length, Ordering::SeqCst);
    let small_files = [metadata::VERIFICATION_KEY, saturation::FILE]
        .map(|name| fs::metadata(file_server.file(0, name)).unwrap().len() as usize);
    let path = file_server.store(LARGE_LIMIT, &[]).fetch(&id).await.unwrap();
    CircuitDirectory::open(&path).unwrap().keys().unwrap();
    let total = network + small_files.iter().sum::<usize>() + others.iter().sum::<u64>() as usize;
    assert_eq!(file_server.server.sent.load(Ordering::SeqCst), total, "no byte was sent twice");
}

#[tokio::test]
async fn download_without_range_support_restarts() {
    let compiled_circuit = compiled();
    let file_server = FileServer::start(std::slice::from_ref(&compiled_circuit)).await;
    let id = compiled_circuit.metadata.id().unwrap();
    let contents = fs::read(file_server.file(0, metadata::NETWORK)).unwrap();
    let write_partial = |bytes: &[u8]| {
        let partial = file_server.temp_dir.path().join(format!("cache/.partial-{id}"));
        let _ = fs::remove_dir_all(file_server.temp_dir.path().join("cache"));
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join(metadata::NETWORK), bytes).unwrap();
    };
    let corrupt_contents: Vec<u8> = contents.iter().map(|byte| byte ^ 1).collect();
    for ignores_ranges in [false, true] {
        file_server.server.ignores_ranges.store(ignores_ranges, Ordering::SeqCst);
        for bytes in
            [&contents[..], &contents[..contents.len() / 2], &[contents.clone(), vec![7]].concat()]
        {
            write_partial(bytes);
            let path = file_server.store(LARGE_LIMIT, &[]).fetch(&id).await.unwrap();
            assert_eq!(fs::read(path.join(metadata::NETWORK)).unwrap(), contents);
        }
    }
    // A wrong prefix is detected and removed, and the next attempt starts from the beginning.
    file_server.server.ignores_ranges.store(false, Ordering::SeqCst);
    write_partial(&corrupt_contents[..corrupt_contents.len() / 2]);
    let store = file_server.store(LARGE_LIMIT, &[]);
    assert!(matches!(store.fetch(&id).await, Err(StoreError::Checksum { .. })));
    store.fetch(&id).await.unwrap();
}

#[tokio::test]
async fn changed_file_is_not_cached() {
    let compiled_circuit = compiled();
    let id = compiled_circuit.metadata.id().unwrap();
    for name in [metadata::NETWORK, metadata::VERIFICATION_KEY] {
        let file_server = FileServer::start(std::slice::from_ref(&compiled_circuit)).await;
        let mut contents = fs::read(file_server.file(0, name)).unwrap();
        contents[10] ^= 1;
        fs::write(file_server.file(0, name), contents).unwrap();
        let store = file_server.store(LARGE_LIMIT, &[]);
        assert!(matches!(store.fetch(&id).await, Err(StoreError::Checksum { .. })), "{name}");
        assert!(
            Catalogue::open(&file_server.temp_dir.path().join("cache")).is_err(),
            "nothing is served"
        );
    }
    // The server returns another circuit's metadata, then metadata above the maximum size.
    let file_server = FileServer::start(std::slice::from_ref(&compiled_circuit)).await;
    let renamed_circuit = renamed(&compiled_circuit, "other");
    fs::write(file_server.file(0, metadata::FILE), renamed_circuit.metadata.to_json().unwrap())
        .unwrap();
    assert!(matches!(
        file_server.store(LARGE_LIMIT, &[]).fetch(&id).await,
        Err(StoreError::OtherCircuit { .. })
    ));
    fs::write(file_server.file(0, metadata::FILE), vec![b' '; (MAX_METADATA_BYTES + 1) as usize])
        .unwrap();
    assert!(matches!(
        file_server.store(LARGE_LIMIT, &[]).fetch(&id).await,
        Err(StoreError::TooLarge { .. })
    ));
}

#[tokio::test]
async fn least_recently_used_circuits_are_evicted() {
    let compiled_circuit = compiled();
    let circuits: Vec<Compiled> =
        ["a", "b", "c", "d"].iter().map(|name| renamed(&compiled_circuit, name)).collect();
    let ids: Vec<Digest> = circuits.iter().map(|circuit| circuit.metadata.id().unwrap()).collect();
    let file_server = FileServer::start(&circuits).await;
    let size = {
        let path = file_server.store(LARGE_LIMIT, &[]).fetch(&ids[0]).await.unwrap();
        fs::read_dir(path).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    // The limit fits three circuits. Each store represents a separate process.
    let limit = size * 3 + size / 2;
    let fetch = async |index: usize, pinned: &[Digest]| {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        file_server.store(limit, pinned).fetch(&ids[index]).await
    };
    fetch(1, &[]).await.unwrap();
    fetch(2, &[]).await.unwrap();
    fetch(0, &[]).await.unwrap();
    fetch(3, &[]).await.unwrap();
    let is_cached = |index: usize| {
        file_server.temp_dir.path().join(format!("cache/model_{}", ids[index])).exists()
    };
    assert_eq!(
        [is_cached(0), is_cached(1), is_cached(2), is_cached(3)],
        [true, false, true, true],
        "b was not used for longest"
    );
    fetch(1, &[ids[2]]).await.unwrap();
    assert_eq!(
        [is_cached(0), is_cached(1), is_cached(2), is_cached(3)],
        [false, true, true, true],
        "c is pinned"
    );
    // A process uses more circuits than the limit allows.
    let store = file_server.store(size + 1, &[]);
    store.fetch(&ids[1]).await.unwrap();
    assert!(matches!(store.fetch(&ids[2]).await, Err(StoreError::CacheFull { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn bucket_serves_circuits_and_slices_of_models() {
    let s3 = S3Server::start().await;
    let temp_dir = tempfile::tempdir().unwrap();
    let root = temp_dir.path().join("site");
    let sliced = ShippedModel::DiabetesRegression.compile_slices("stark", 2).unwrap();
    sliced.write(&root.join("circuits/regression")).unwrap();
    publish(&root);
    let storage = ObjectStorage::open(&settings(&s3.url, S3Addressing::Path)).unwrap();
    storage.upload("proofs/circuits.json", &root.join("circuits.json")).await.unwrap();
    for slice in ["slice_0", "slice_1"] {
        for file in fs::read_dir(root.join("circuits/regression").join(slice)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            storage
                .upload(&format!("proofs/circuits/regression/{slice}/{name}"), &path)
                .await
                .unwrap();
        }
    }
    let directory = temp_dir.path().join("cache");
    let store = CircuitStore::open(StoreSettings {
        directory: directory.clone(),
        sources: vec![Source::bucket(storage, "proofs/circuits.json")],
        limit: LARGE_LIMIT,
        pinned: BTreeSet::new(),
    })
    .unwrap();
    // An earlier attempt has left half of a file.
    let first = sliced.model.slices[0];
    let partial = directory.join(format!(".partial-{first}"));
    fs::create_dir_all(&partial).unwrap();
    let network = &sliced.slices[0].files[metadata::NETWORK];
    fs::write(partial.join(metadata::NETWORK), &network[..network.len() / 2]).unwrap();
    store.sync(&BTreeSet::from([sliced.model.id().unwrap()])).await.unwrap();
    let catalogue = Catalogue::open(&directory).unwrap();
    assert_eq!(catalogue.circuits().count(), 2);
    assert_eq!(catalogue.models().next().unwrap().0, &sliced.model.id().unwrap());
    assert!(matches!(store.sync(&BTreeSet::new()).await, Err(StoreError::NoIdentities)));
    let unknown = BTreeSet::from([Digest::of(b"unknown")]);
    assert!(matches!(store.sync(&unknown).await, Err(StoreError::NotListed(_))));
}
