//! Routes of images.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taonet_nineteen_images::Picture;

use super::*;

#[tokio::test]
async fn image_requests_are_converted_for_an_openai_backend() {
    let backend = Router::new().route(
        "/v1/images/generations",
        post(|Json(payload): Json<Value>| async move {
            let expected = json!({"prompt": "a cat", "steps": 8, "seed": 7, "model": "org/A", "size": "768x1024", "n": 1,
                "response_format": "b64_json"});
            assert_eq!(payload, expected);
            Json(json!({"created": 1, "data": [{"b64_json": "aW1hZ2U="}]}))
        }),
    );
    let url = Url::parse(&format!("http://{}/v1", listen(backend).await)).unwrap();
    let images = || MinerConfig { task_type: TaskType::Image, ..config() };
    let miner = Miner::new(images(), Backend::new(&url, None).unwrap().with_openai_images(), None);
    let payload = json!({"prompt": "a cat", "steps": 8, "width": 768, "height": 1_024, "seed": 7, "model": "chat-a"});
    let answer = text(post_payload(&miner, "/text-to-image", payload.clone()).await).await;
    assert_eq!(
        serde_json::from_str::<Value>(&answer).unwrap(),
        json!({"image_b64": "aW1hZ2U=", "is_nsfw": false})
    );
    let empty =
        Router::new().route("/v1/images/generations", post(|| async { Json(json!({"data": []})) }));
    let url = Url::parse(&format!("http://{}/v1", listen(empty).await)).unwrap();
    let miner = Miner::new(images(), Backend::new(&url, None).unwrap().with_openai_images(), None);
    assert_eq!(
        post_payload(&miner, "/text-to-image", payload).await.status(),
        StatusCode::BAD_GATEWAY
    );
}

/// Each image route has the image that the painter draws for the payload, by the routes of the
/// image workers and by those of OpenAI's API.
#[tokio::test]
async fn image_routes_work_with_both_protocols_of_a_backend() {
    let url = Url::parse(&format!("http://{}/v1", listen(taonet_nineteen_images::router()).await))
        .unwrap();
    let served: Vec<ServedTask> = ["a-text-to-image", "a-image-to-image", "inpaint", "avatar"]
        .map(|task| task.parse().unwrap())
        .to_vec();
    let images = || MinerConfig { task_type: TaskType::Image, served: served.clone(), ..config() };
    let workers = Miner::new(images(), Backend::new(&url, None).unwrap(), None);
    let openai = Miner::new(images(), Backend::new(&url, None).unwrap().with_openai_images(), None);
    let payload = |extra_fields: Value| {
        let mut payload = json!({"prompt": "a red boat", "negative_prompt": "", "steps": 6, "cfg_scale": 3.0, "width": 576,
            "height": 576, "seed": 7});
        payload.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
        payload
    };
    let send = async |miner: &Miner, route: &str, extra_fields: Value| {
        let response = post_payload(miner, route, payload(extra_fields)).await;
        assert_eq!(response.status(), StatusCode::OK, "{route}");
        serde_json::from_str::<Value>(&text(response).await).unwrap()
    };
    let model = || json!({"model": "a-text-to-image"});
    let photo = send(&workers, "/text-to-image", model()).await["image_b64"].clone();
    assert_eq!(send(&openai, "/text-to-image", model()).await["image_b64"], photo);
    let extra_fields =
        json!({"model": "a-image-to-image", "init_image": photo, "image_strength": 0.7});
    let changed =
        send(&workers, "/image-to-image", extra_fields.clone()).await["image_b64"].clone();
    assert!(
        changed != photo
            && send(&openai, "/image-to-image", extra_fields).await["image_b64"] == changed
    );
    let pixel = |index: u32| if index % 576 < 288 { 255 } else { 0 };
    let mask = Picture::from_grey(576, 576, (0..576 * 576).map(pixel).collect()).unwrap();
    let mask = STANDARD.encode(mask.to_png().unwrap());
    // With the prompt and seed of the image, the painter would replace its half by the same one.
    let extra_fields = json!({"init_image": photo, "mask_image": mask, "prompt": "a blue house"});
    let inpainted = send(&workers, "/inpaint", extra_fields.clone()).await["image_b64"].clone();
    assert!(
        inpainted != photo
            && send(&openai, "/inpaint", extra_fields).await["image_b64"] == inpainted
    );
    let extra_fields =
        json!({"init_image": photo, "ipadapter_strength": 0.5, "control_strength": 0.5});
    for miner in [&workers, &openai] {
        let avatar = send(miner, "/avatar", extra_fields.clone()).await["image_b64"].clone();
        assert!(avatar.is_string() && avatar != photo);
        let mut unsafe_prompt = model();
        unsafe_prompt["prompt"] = "nsfw".into();
        let withheld = send(miner, "/text-to-image", unsafe_prompt).await;
        assert_eq!((&withheld["image_b64"], &withheld["is_nsfw"]), (&Value::Null, &json!(true)));
        let response = post_payload(
            miner,
            "/inpaint",
            payload(json!({"init_image": photo, "mask_image": "aGVsbG8="})),
        )
        .await;
        assert!(response.status().is_client_error(), "{}", response.status());
    }
}

/// A validator lists its tasks with their routes when it asks for the capacity.
#[tokio::test]
async fn route_announced_by_a_validator_selects_the_task() {
    let echo =
        |Json(payload): Json<Value>| async move { Json(json!({"image_b64": payload["model"]})) };
    let backend = Router::new().route("/v1/avatar", post(echo));
    let served = ["portrait=face", "inpaint"].map(|text| text.parse().unwrap()).to_vec();
    let miner =
        miner_with_backend(backend, MinerConfig { task_type: TaskType::Image, served, ..config() })
            .await;
    let avatar = async || post_payload(&miner, "/avatar", json!({"prompt": "a"})).await;
    assert_eq!(
        avatar().await.status(),
        StatusCode::UNPROCESSABLE_ENTITY,
        "the name does not tell the route"
    );
    let task =
        json!({"task": "portrait", "max_capacity": 800.0, "weight": 0.1, "endpoint": "/avatar"});
    let capacity =
        text(post_payload(&miner, "/capacity", json!({ "task_configs": [task] })).await).await;
    assert_eq!(capacity, r#"{"miner_type":"image","portrait":800.0}"#);
    assert_eq!(text(avatar().await).await, r#"{"image_b64":"face"}"#);
}

/// The reference's payloads for avatars and inpainting have no `model`: the route selects the task.
#[tokio::test]
async fn payload_without_model_selects_the_task_of_the_route() {
    let echo =
        |Json(payload): Json<Value>| async move { Json(json!({"image_b64": payload["model"]})) };
    let backend = ["avatar", "inpaint", "text-to-image"]
        .into_iter()
        .fold(Router::new(), |router, route| router.route(&format!("/v1/{route}"), post(echo)));
    let tasks = ["avatar=face", "dreamshaper-inpaint", "one-text-to-image", "two-text-to-image"];
    let served = tasks.map(|text| text.parse().unwrap()).to_vec();
    let miner =
        miner_with_backend(backend, MinerConfig { task_type: TaskType::Image, served, ..config() })
            .await;
    for (route, model) in [("/avatar", "face"), ("/inpaint", "dreamshaper-inpaint")] {
        let answer = text(post_payload(&miner, route, json!({"prompt": "a"})).await).await;
        assert_eq!(answer, json!({"image_b64": model}).to_string());
    }
    // Two tasks have this route.
    let response = post_payload(&miner, "/text-to-image", json!({"prompt": "a"})).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(response).await.contains("model is missing"));
}
