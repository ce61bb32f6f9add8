use serde_json::json;

use super::*;

fn error_param(error: &GatewayError) -> &str {
    if let GatewayError::InvalidField { param, .. } = error { param } else { "" }
}

fn generation(body: &Value) -> Result<ImageRequest, GatewayError> {
    ImageRequest::parse_generation(body.to_string().as_bytes())
}

fn edit(body: &Value) -> Result<ImageRequest, GatewayError> {
    ImageRequest::parse_edit(body.to_string().as_bytes())
}

/// Returns a PNG file of this size in base64, whose left half is white, or transparent if it has an
/// alpha channel.
fn png(width: u32, height: u32, has_alpha: bool) -> String {
    let pixel = |index: u32| if index % width < width / 2 { 255 } else { 0 };
    let picture =
        Picture::from_grey(width, height, (0..width * height).map(pixel).collect()).unwrap();
    let picture = if has_alpha { picture.white_to_transparent() } else { picture };
    STANDARD.encode(picture.to_png().unwrap())
}

#[test]
fn openai_fields_are_converted_to_miner_fields() {
    let body = json!({"model": "m", "prompt": "a cat", "size": "768x1024", "seed": 4, "n": 1, "quality": "auto"});
    let request = generation(&body).unwrap();
    assert_eq!(
        Value::Object(request.payload.clone().into_map()).to_string(),
        r#"{"prompt":"a cat","negative_prompt":"","steps":8,"cfg_scale":3.0,"width":768,"height":1024,"seed":4}"#
    );
    assert_eq!((request.count, request.output.needs_conversion()), (1, false));
    for (field, value) in [
        ("n", json!(0)),
        ("n", json!(11)),
        ("response_format", json!("jpg")),
        ("quality", json!("best")),
        ("size", json!("513x512")),
        ("size", json!("1024")),
        ("size", json!(1_024)),
        ("style", json!("vivid")),
        ("background", json!("transparent")),
        ("stream", json!(true)),
        ("partial_images", json!(1)),
        ("output_format", json!("webp")),
        ("output_compression", json!(50)),
        ("steps", json!(4)),
        ("cfg_scale", json!(20)),
        ("prompt", json!(" ")),
        ("model", json!(7)),
        ("init_image", json!("/9j/4AAQ")),
    ] {
        let mut body = body.clone();
        body[field] = value;
        let error = generation(&body).unwrap_err();
        assert_eq!(error_param(&error), field, "{error}");
    }
}

#[test]
fn quality_selects_default_steps_and_small_sizes_are_scaled() {
    let request_with = |extra_fields: Value| {
        let mut body = json!({"model": "m", "prompt": "a cat"});
        body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
        generation(&body).unwrap()
    };
    for (quality, steps) in [("low", 5), ("medium", 8), ("standard", 8), ("high", 20), ("hd", 20)] {
        assert_eq!(request_with(json!({"quality": quality})).payload.steps, steps);
    }
    assert_eq!(request_with(json!({"quality": "hd", "steps": 11})).payload.steps, 11);
    let small = request_with(json!({"size": "256x256", "n": 3}));
    assert_eq!((small.payload.width, small.payload.height, small.count), (1_024, 1_024, 3));
    assert!(
        small.output.needs_conversion()
            && request_with(json!({"output_format": "jpeg"})).output.needs_conversion()
    );
    assert_eq!(
        (
            request_with(json!({})).payload.width,
            request_with(json!({"size": "auto"})).payload.height
        ),
        (1_024, 1_024)
    );
}

#[test]
fn edit_is_parsed_with_and_without_a_mask() {
    let body =
        json!({"prompt": "a cat", "image": png(600, 700, false), "seed": 4, "image_strength": 0.7});
    let request = edit(&body).unwrap();
    let map = request.payload.clone().into_map();
    assert_eq!((request.endpoint, request.model), (Endpoint::ImageToImage, None));
    assert_eq!((&map["init_image"], &map["image_strength"]), (&body["image"], &json!(0.7)));
    assert_eq!((&map["width"], &map["height"]), (&json!(600), &json!(700)), "the image's own size");
    let body = json!({"prompt": "a cat", "model": "m", "image": png(600, 700, false), "mask": png(600, 700, true)});
    let request = edit(&body).unwrap();
    let map = request.payload.clone().into_map();
    assert_eq!((request.endpoint, request.model.as_deref()), (Endpoint::Inpaint, Some("m")));
    assert_eq!(map["mask_image"], png(600, 700, false), "the transparent half is white");
}

#[test]
fn invalid_edit_field_is_named_in_the_error() {
    let body =
        json!({"prompt": "a cat", "image": png(600, 600, false), "mask": png(600, 600, true)});
    edit(&body).unwrap();
    let truncated = &STANDARD.decode(png(600, 600, false)).unwrap()[..60];
    for (field, value) in [
        ("image", Value::Null),
        ("image", json!("aGVsbG8=")),
        ("image", json!(STANDARD.encode(truncated))),
        ("image", json!(png(20, 600, false))),
        ("mask", json!(png(600, 600, false))),
        ("mask", json!(png(600, 601, true))),
        ("mask", json!("%")),
        ("image_strength", json!(0.5)),
        ("input_fidelity", json!("high")),
        ("model", json!("")),
        ("n", json!("two")),
        ("size", json!("large")),
        ("language", json!("en")),
    ] {
        let mut body = body.clone();
        body[field] = value;
        if field == "image" {
            body["mask"] = Value::Null;
        }
        let error = edit(&body).unwrap_err();
        assert_eq!(error_param(&error), field, "{error}");
    }
}

#[test]
fn unsupported_image_size_keeps_its_aspect_ratio() {
    let size = |width, height| {
        let body = json!({"prompt": "a", "image": png(width, height, false)});
        let payload = edit(&body).unwrap().payload;
        (payload.width, payload.height)
    };
    assert_eq!(size(513, 2_047), (513, 2_047));
    assert_eq!(size(400, 300), (696, 520));
    assert_eq!(size(2_400, 1_200), (2_040, 1_024));
    let body = json!({"prompt": "a", "image": png(20, 600, false), "size": "1024x1024"});
    assert_eq!(edit(&body).unwrap().payload.width, 1_024);
}
