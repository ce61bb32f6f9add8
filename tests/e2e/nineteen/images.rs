//! Image tasks: the demonstration's market, a miner with the painter in its process, and the
//! development server.

use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_images::{PaintRequest, Picture, paint};

use super::*;

/// Width and height of all images.
const SIDE: u32 = 576;

fn request(extra_fields: &Value) -> Value {
    let mut body =
        json!({"prompt": "a red boat", "steps": 6, "width": SIDE, "height": SIDE, "seed": 7});
    body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
    body
}

/// Returns what the painter draws for a payload of a miner.
fn expected_picture(endpoint: Endpoint, payload: &Value) -> Picture {
    paint(&PaintRequest::parse(endpoint, payload.as_object().unwrap()).unwrap())
}

/// Fails unless a base64-encoded image is the expected one.
#[track_caller]
fn assert_image_eq(image: &Value, expected: &Picture) {
    let actual =
        Picture::from_base64(image.as_str().unwrap_or_else(|| panic!("{image} is no image")))
            .unwrap();
    assert!(actual.to_png().unwrap() == expected.to_png().unwrap(), "another image");
}

/// The miner that paints passes the checks, and the one that sends the same image for every request
/// does not.
#[test]
fn miner_reusing_an_image_earns_less_than_painting_miner() {
    let demo = document(&demo(&["--once", "--images"]).output().unwrap());
    assert_eq!(demo["miners"].as_array().unwrap().len(), 7);
    let [painting, reusing, good] = ["painting", "reusing", "good"].map(|name| miner(&demo, name));
    assert!(number(painting, "quality") > 0.99 && number(painting, "checked") > 0.0, "{painting}");
    assert!(number(reusing, "quality") < 0.3 && number(reusing, "checked") > 0.0, "{reusing}");
    assert!(number(painting, "weight") > 0.05, "{demo}");
    assert!(number(painting, "weight") > 10.0 * number(reusing, "weight"), "{demo}");
    assert!(
        number(good, "quality") > 0.9 && number(good, "weight") > number(painting, "weight"),
        "{demo}"
    );
    // All requests succeed, on routes with and without a model in the payload.
    let tasks: Vec<_> =
        painting["tasks"].as_array().unwrap().iter().map(|task| &task["task"]).collect();
    for task in ["painter-text-to-image", "painter-image-to-image", "painter-inpaint", "avatar"] {
        assert!(tasks.contains(&&json!(task)), "{task}: {painting}");
    }
    assert_eq!(
        (number(painting, "requests_429"), number(painting, "requests_500")),
        (0.0, 0.0),
        "{painting}"
    );
}

/// A buyer's edit, as a form.
fn form(files: &[(&str, &[u8])], texts: &[(&str, &str)]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, file) in files {
        let head = format!(
            "--b\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{name}.png\"\r\n\r\n"
        );
        form.extend([head.as_bytes(), file, b"\r\n"].concat());
    }
    for (name, text) in texts {
        form.extend(
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
                .into_bytes(),
        );
    }
    form.extend(b"--b--\r\n");
    form
}

/// Every image route of the gateway works, from the buyer through a miner with several tasks to the
/// painter.
#[test]
fn images_are_bought_from_demo() {
    let mut command = demo(&["--images"]);
    let mut demo =
        KillOnDrop(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(demo.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut word = |name: &str| {
        lines.by_ref().find_map(|line| line.strip_prefix(name).map(str::to_owned)).unwrap()
    };
    let (url, key) = (word("gateway "), word("key "));
    // The other miner, which sends the same image for every request, may answer first.
    let curl = word("try an image: ");
    let start = Instant::now();
    let has_size = || {
        let response = Command::new("bash").args(["-c", &curl]).output().unwrap();
        let response: Value = serde_json::from_slice(&response.stdout).unwrap();
        let image =
            Picture::from_base64(response["data"][0]["b64_json"].as_str().unwrap_or_default());
        image.is_ok_and(|image| (image.width(), image.height()) == (768, 576))
    };
    while !has_size() {
        assert!(start.elapsed() < Duration::from_mins(3), "{curl}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let send = async |path: &str, kind: &str, body: Vec<u8>| {
            let request =
                client.post(format!("{url}{path}")).bearer_auth(&key).header("content-type", kind);
            let response = request.body(body).send().await.unwrap();
            let status = response.status().as_u16();
            (status, response.json::<Value>().await.unwrap())
        };
        let post_json = async |path: &str, body: &Value| {
            send(path, "application/json", body.to_string().into_bytes()).await
        };
        let bought = async |path: &str, body: &Value, pointer: &str| {
            let (status, response) = post_json(path, body).await;
            assert_eq!(status, 200, "{path}: {response}");
            Picture::from_base64(response.pointer(pointer).unwrap().as_str().unwrap()).unwrap()
        };
        let body = json!({"model": "painter", "prompt": "hills", "size": "576x576", "n": 2});
        let photo = bought("/images/generations", &body, "/data/1/b64_json").await;
        let (_, photos) = post_json("/text-to-image", &request(&json!({"model": "painter"}))).await;
        for (path, extra_fields) in [
            (
                "/image-to-image",
                json!({"model": "painter-image-to-image", "init_image": photos["image_b64"]}),
            ),
            ("/inpaint", json!({"init_image": photos["image_b64"], "mask": photos["image_b64"]})),
            ("/avatar", json!({"init_image": photos["image_b64"]})),
        ] {
            bought(path, &request(&extra_fields), "/image_b64").await;
        }
        let (width, height) = (photo.width(), photo.height());
        let mask = Picture::from_grey(width, height, vec![255; (width * height) as usize]).unwrap();
        let photo = photo.to_png().unwrap();
        let mask = mask.white_to_transparent().to_png().unwrap();
        for files in [&[("image", &photo[..])][..], &[("image", &photo[..]), ("mask", &mask[..])]] {
            let texts = [("prompt", "a red boat"), ("size", "1024x1024")];
            let (status, response) =
                send("/images/edits", "multipart/form-data; boundary=b", form(files, &texts)).await;
            assert!(status == 200 && response["data"][0]["b64_json"].is_string(), "{response}");
        }
        let unsafe_prompt = json!({"model": "painter", "prompt": "nsfw"});
        let request_unsafe = async || {
            let (status, response) = post_json("/images/generations", &unsafe_prompt).await;
            (status == 403).then_some(response)
        };
        let start = Instant::now();
        // The other miner does not classify prompts.
        let response = loop {
            if let Some(response) = request_unsafe().await {
                break response;
            }
            assert!(start.elapsed() < Duration::from_mins(2), "no image is withheld");
        };
        assert_eq!(response["error"]["code"], "content_policy_violation");
    });
}

/// A miner with several image tasks paints without a backend, and routes payloads without a model.
#[test]
fn miner_generates_images_for_every_task() {
    let mut miner = tao();
    miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args([
        "nineteen",
        "miner",
        "--key-uri",
        "//Bob",
    ]);
    miner.args(["--no-metagraph", "--type", "image", "--model", "painter"]);
    let daemon = Daemon::start(miner.args([
        "--task",
        "proteus-text-to-image",
        "--task",
        "avatar",
        "--task",
        "inpaint",
    ]));
    let port = daemon.url().rsplit(':').next().unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let key = |uri: &str| Keypair::from_uri(uri).unwrap();
        let client = FiberClient::new(
            key("//Alice"),
            Trust::Signed,
            ClientConfig::default(),
            Arc::new(SystemClock),
        )
        .unwrap();
        let session = client
            .handshake(&taonet_wire::Peer::new(key("//Bob").hotkey(), "127.0.0.1", port).unwrap())
            .await
            .unwrap();
        let post_json = async |path: &str, payload: &Value| {
            let payload = payload.as_object().unwrap().clone();
            let response =
                client.send(&session, path, payload, Duration::from_mins(1)).await.unwrap();
            assert_eq!(response.status, 200, "{path}");
            let body = response.map(Result::unwrap).collect::<Vec<_>>().await.concat();
            serde_json::from_slice::<Value>(&body).unwrap()
        };
        let payload = request(&json!({"model": "proteus-text-to-image"}));
        let photo = post_json("/text-to-image", &payload).await["image_b64"].clone();
        assert_image_eq(&photo, &expected_picture(Endpoint::TextToImage, &payload));
        let payload = request(&json!({"init_image": photo, "mask_image": photo}));
        assert_image_eq(
            &post_json("/inpaint", &payload).await["image_b64"],
            &expected_picture(Endpoint::Inpaint, &payload),
        );
        let response = post_json("/avatar", &payload).await;
        assert_image_eq(&response["image_b64"], &expected_picture(Endpoint::Avatar, &payload));
        assert!(response["image_hashes"].is_object() && response["is_nsfw"] == false, "{response}");
    });
    assert!(daemon.terminate().success());
    let refused_output = tao()
        .args([
            "nineteen",
            "miner",
            "--key-uri",
            "//Bob",
            "--no-metagraph",
            "--network",
            "local",
            "--type",
            "image",
        ])
        .args(["--model", "nosuch", "--task", "avatar", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let text = refusal(&refused_output, 1);
    assert!(
        text.contains("--model serves no images, except painter\nhint: set --model painter"),
        "{text}"
    );
}

/// The development server paints beside its language model.
#[test]
fn development_server_generates_images() {
    let daemon = Daemon::start(tao().args(["nineteen", "model", "--layers", "1"]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let payload = request(&json!({}));
        let expected = expected_picture(Endpoint::TextToImage, &payload);
        assert_image_eq(
            &post(&format!("{}/text-to-image", daemon.url()), &payload).await["image_b64"],
            &expected,
        );
        let body = json!({"prompt": "a red boat", "steps": 6, "size": "576x576", "seed": 7});
        let response = post(&format!("{}/v1/images/generations", daemon.url()), &body).await;
        assert_image_eq(&response["data"][0]["b64_json"], &expected);
    });
    assert!(daemon.terminate().success());
}
