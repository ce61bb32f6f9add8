//! Images in chats: data URLs, and `https` URLs, which the gateway downloads before it queries a
//! miner.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use taonet_nineteen_core::Task;
use taonet_nineteen_core::payload::{TextInput, TextPayload};
use tokio::sync::Semaphore;

use crate::GatewayError;
use crate::download::Downloader;

/// Maximum number of images in a request.
pub(crate) const MAX_IMAGES: usize = 8;
/// Maximum size of all downloaded images of a request together, in bytes: encoded in base64 twice,
/// they fit into a request to a miner.
const MAX_TOTAL_BYTES: usize = 9 << 20;
/// Number of characters of base64 that contain the first 12 bytes of an image.
const SIGNATURE_CHARS: usize = 16;
/// Type of a message's part that is an image.
const IMAGE_TYPE: &str = "image_url";

/// Returns whether a part of a message is an image.
pub(crate) fn is_image(part: &Value) -> bool {
    part.get("type").is_some_and(|kind| kind == IMAGE_TYPE)
}

/// Returns a part of a message with the image at a URL.
pub(crate) fn image_part(url: &str) -> Value {
    json!({"type": IMAGE_TYPE, (IMAGE_TYPE): {"url": url}})
}

/// Checks a part of the type `image_url`.
///
/// # Errors
/// What the part must have.
pub(crate) fn check_image(part: &Value) -> Result<(), &'static str> {
    let image = part.get(IMAGE_TYPE).and_then(Value::as_object);
    let image = image.filter(|_| part.as_object().is_some_and(|fields| fields.len() == 2));
    let image = image.ok_or("must have an object image_url, and no other fields")?;
    let is_detail = |detail: &Value| matches!(detail.as_str(), Some("auto" | "low" | "high"));
    for (name, value) in image {
        if name != "url" && !(name == "detail" && is_detail(value)) {
            return Err(
                "must have an image_url with url and, optionally, detail: auto, low or high",
            );
        }
    }
    let url = image.get("url").and_then(Value::as_str).unwrap_or_default();
    if is_https_url(url) || is_data_url(url) {
        Ok(())
    } else {
        Err("must have an https URL, or a data URL with a JPEG, PNG, GIF or WebP image in base64")
    }
}

fn is_https_url(url: &str) -> bool {
    url.starts_with("https://")
}

fn is_data_url(url: &str) -> bool {
    let parts = url.strip_prefix("data:image/").and_then(|url| url.split_once(";base64,"));
    parts.is_some_and(|(kind, data)| {
        matches!(kind, "jpeg" | "png" | "gif" | "webp") && is_image_data(data.as_bytes())
    })
}

/// Returns whether a text is an image in base64. Decodes only its ends, because images are large.
fn is_image_data(data: &[u8]) -> bool {
    let Some((head, last)) = data.split_last_chunk::<4>() else { return false };
    let is_base64_symbol = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    head.len().is_multiple_of(4)
        && head.iter().all(is_base64_symbol)
        && STANDARD.decode(last).is_ok()
        && STANDARD
            .decode(data.get(..SIGNATURE_CHARS).unwrap_or(data))
            .is_ok_and(|bytes| media_type(&bytes).is_some())
}

/// Returns the media type of an image, judged by its first bytes.
const fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// Returns the number of tokens for which a request's images are charged. `image_fields` are the
/// names of the images' fields.
///
/// # Errors
/// [`GatewayError::InvalidField`] when the task's model reads no images.
pub(crate) fn image_tokens(task: &Task, image_fields: &[String]) -> Result<u64, GatewayError> {
    let Some(first) = image_fields.first() else { return Ok(0) };
    let Some(tokens) = task.image_tokens else {
        let message = format!("{first} is an image, but {} reads no images", task.task);
        return Err(GatewayError::field(first.as_str(), message));
    };
    Ok(u64::from(tokens.get())
        .saturating_mul(u64::try_from(image_fields.len()).unwrap_or(u64::MAX)))
}

/// Returns the field of the largest image. `image_fields` are the names of all images' fields.
pub(crate) fn largest_image<'a>(
    payload: &TextPayload,
    image_fields: &'a [String],
) -> Option<&'a str> {
    let TextInput::Messages(messages) = &payload.input else { return None };
    let parts = messages.iter().filter_map(|message| message.get("content")?.as_array()).flatten();
    let urls =
        parts.filter(|part| is_image(part)).map(|part| part.get(IMAGE_TYPE)?.get("url")?.as_str());
    let lengths = urls.map(|url| url.map_or(0, str::len));
    lengths.zip(image_fields).max_by_key(|(length, _)| *length).map(|(_, field)| field.as_str())
}

/// Downloads the images that are given as URLs, and replaces the URLs by data URLs. `image_fields`
/// are the names of all images' fields; `download_slots` limits the number of requests that
/// download.
///
/// # Errors
/// [`GatewayError::ImageDownload`] when an image cannot be downloaded, or is not an image.
pub(crate) async fn download_images(
    payload: &mut TextPayload,
    image_fields: &[String],
    downloader: Downloader,
    download_slots: &Semaphore,
) -> Result<(), GatewayError> {
    let TextInput::Messages(messages) = &mut payload.input else { return Ok(()) };
    let urls = messages.iter_mut().flat_map(image_urls).zip(image_fields);
    let urls: Vec<_> =
        urls.filter(|(url, _)| url.as_str().is_some_and(|url| downloader.is_url(url))).collect();
    if urls.is_empty() {
        return Ok(());
    }
    // The semaphore is never closed.
    let _slot = download_slots.acquire().await;
    let mut total_bytes = 0;
    for (url, param) in urls {
        let address = url.as_str().unwrap_or_default();
        // One after the other, so that a request needs little memory.
        let bytes = downloader.download(address).await;
        let bytes =
            bytes.map_err(|error| GatewayError::image_download(param, error.to_string()))?;
        total_bytes += bytes.len();
        if total_bytes > MAX_TOTAL_BYTES {
            return Err(GatewayError::image_download(
                param,
                "the images of the request have more than 9 MiB together",
            ));
        }
        let mime = media_type(&bytes);
        let mime = mime.ok_or_else(|| {
            GatewayError::image_download(param, "the file is not a JPEG, PNG, GIF or WebP image")
        })?;
        *url = format!("data:{mime};base64,{}", STANDARD.encode(&bytes)).into();
    }
    Ok(())
}

/// Returns the URLs of a message's images.
fn image_urls(message: &mut Value) -> impl Iterator<Item = &mut Value> {
    let parts = message.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten();
    parts.filter(|part| is_image(part)).filter_map(|part| part.get_mut(IMAGE_TYPE)?.get_mut("url"))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use taonet_nineteen_core::MarketConfig;

    use super::*;
    use crate::download::testing::rules;

    /// First bytes of images, in base64.
    const JPEG: &str = "/9j/4AAQ";
    const WEBP: &str = "UklGRgAAAABXRUJQ";

    #[test]
    fn only_supported_image_parts_are_accepted() {
        for url in [
            "https://example.org/a.png",
            "data:image/jpeg;base64,/9j/4AAQ",
            "data:image/webp;base64,UklGRgAAAABXRUJQAAA=",
        ] {
            assert_eq!(check_image(&image_part(url)), Ok(()), "{url}");
        }
        for url in [
            "",
            "http://example.org/a.png",
            "file:///a.png",
            "/9j/4AAQ",
            "data:text/plain;base64,/9j/4AAQ",
            "data:image/png;base64,aGVsbG8=",
            "data:image/png;base64,%",
            "data:image/bmp;base64,/9j/4AAQ",
            "data:image/jpeg;base64,/9j/4AA",
            "data:image/jpeg;base64,/9j/4AAQ====",
            "data:image/jpeg;base64,/9j/4A==4AAQ",
            "data:image/jpeg;base64,/9j/4AAQ-AAQ4AAQ4AAQ4AAQ",
            // The last symbol has bits that belong to no byte.
            "data:image/jpeg;base64,/9j/4AAQ4AAQ4AAQ4AB=",
            "data:image/jpeg;base64,",
            "data:image/png,a",
        ] {
            assert!(check_image(&image_part(url)).is_err(), "{url}");
        }
        let check_fields =
            |fields: Value| check_image(&json!({"type": IMAGE_TYPE, (IMAGE_TYPE): fields}));
        let url = format!("data:image/jpeg;base64,{JPEG}");
        assert_eq!(check_fields(json!({"url": url, "detail": "low"})), Ok(()));
        for fields in [
            json!({"url": url, "detail": "huge"}),
            json!({"url": url, "text": "a"}),
            json!({}),
            json!(url),
        ] {
            assert!(check_fields(fields.clone()).is_err(), "{fields}");
        }
        // A text in another field would not be charged.
        assert!(
            check_image(&json!({"type": IMAGE_TYPE, (IMAGE_TYPE): {"url": url}, "text": "a"}))
                .is_err()
        );
        assert!(check_image(&json!({"type": IMAGE_TYPE})).is_err());
    }

    #[test]
    fn image_token_count_depends_on_the_task() {
        let mut task = MarketConfig::default().task("chat-llama-3-2-3b").unwrap().clone();
        let fields = ["messages[0].content[1]".to_owned(), "messages[2].content[0]".to_owned()];
        assert_eq!(image_tokens(&task, &[]), Ok(0));
        let error = image_tokens(&task, &fields).unwrap_err();
        assert!(
            matches!(&error, GatewayError::InvalidField { param, .. } if *param == fields[0]),
            "{error:?}"
        );
        task.image_tokens = NonZeroU32::new(700);
        assert_eq!(image_tokens(&task, &fields), Ok(1_400));
    }

    /// Returns a chat with these parts in the user's message.
    fn chat(parts: &[Value]) -> TextPayload {
        let messages = vec![
            json!({"role": "system", "content": "a"}),
            json!({"role": "user", "content": parts}),
        ];
        TextPayload {
            input: TextInput::Messages(messages),
            model: "m".to_owned(),
            temperature: 1.0,
            seed: 1,
            top_p: 1.0,
            max_tokens: 9,
            extra_fields: serde_json::Map::new(),
        }
    }

    #[tokio::test]
    async fn only_images_at_urls_are_downloaded() {
        let data = format!("data:image/webp;base64,{WEBP}");
        let text = json!({"type": "text", "text": "a", (IMAGE_TYPE): {"url": "https://127.0.0.1/text.png"}});
        let fields = ["first".to_owned(), "second".to_owned()];
        let mut payload = chat(&[text.clone(), image_part(&data)]);
        let original = payload.clone();
        let download_slots = Semaphore::new(1);
        assert_eq!(
            download_images(&mut payload, &fields[..1], Downloader::default(), &download_slots)
                .await,
            Ok(())
        );
        assert_eq!(payload, original);
        let mut payload = chat(&[text, image_part(&data), image_part("https://127.0.0.1/a.png")]);
        let error = download_images(&mut payload, &fields, Downloader::default(), &download_slots)
            .await
            .unwrap_err();
        let reason = "the URL's host is not public".to_owned();
        assert_eq!(error, GatewayError::ImageDownload { param: "second".to_owned(), reason });
    }

    #[tokio::test]
    async fn images_at_urls_become_data_urls() {
        let jpeg = [0xff_u8, 0xd8, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
        let large = [jpeg.clone(), vec![0; 5 << 20]].concat();
        let (small, encoded) = (jpeg.clone(), STANDARD.encode(&jpeg));
        let router = axum::Router::new()
            .route("/small", axum::routing::get(move || async move { small }))
            .route("/large", axum::routing::get(move || async move { large }))
            .route("/text", axum::routing::get(|| async { "text" }));
        let server = format!("http://{}", taonet_http::testing::listen(router).await);
        let image_at = |path: &str| image_part(&format!("{server}/{path}"));
        let data = image_part(&format!("data:image/webp;base64,{WEBP}"));
        let (download_slots, fields) =
            (Semaphore::new(1), ["first".to_owned(), "second".to_owned()]);
        let mut payload = chat(&[image_at("small"), data.clone()]);
        assert_eq!(download_images(&mut payload, &fields, rules(), &download_slots).await, Ok(()));
        let downloaded = image_part(&format!("data:image/jpeg;base64,{encoded}"));
        assert_eq!(payload, chat(&[downloaded, data]));
        for (parts, reason) in [
            ([image_at("small"), image_at("text")], "not a JPEG"),
            ([image_at("large"), image_at("large")], "more than 9 MiB together"),
        ] {
            let error = download_images(&mut chat(&parts), &fields, rules(), &download_slots)
                .await
                .unwrap_err();
            let GatewayError::ImageDownload { param, reason: actual } = &error else {
                panic!("{error:?}")
            };
            assert!(param == "second" && actual.contains(reason), "{error}");
        }
        // Requests that download wait for each other.
        let _slot = download_slots.acquire().await.unwrap();
        let mut waiting = chat(&[image_at("small")]);
        let waiting = download_images(&mut waiting, &fields[..1], rules(), &download_slots);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), waiting).await.is_err());
    }
}
