use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use taonet_nineteen_core::checker::image::{ImageAnswer, quality};
use taonet_nineteen_core::task::Endpoint;

use super::*;
use crate::{embedding, hashes};

const SIZE: u32 = 576;

fn text_to_image() -> Value {
    json!({"prompt": "a red boat on a lake", "steps": 8, "cfg_scale": 3.0, "width": SIZE, "height": 640, "seed": 7})
}

fn painted(endpoint: Endpoint, payload: &Value) -> Picture {
    paint(&PaintRequest::parse(endpoint, payload.as_object().unwrap()).unwrap())
}

fn base64(picture: &Picture) -> String {
    STANDARD.encode(picture.to_png().unwrap())
}

/// Returns the quality that a validator gives to the first image if it expects the second one.
fn compare(actual: &Picture, expected: &Picture) -> f64 {
    let answer = |picture: &Picture| ImageAnswer {
        image_b64: Some(String::new()),
        is_nsfw: Some(false),
        clip_embeddings: Some(embedding(picture)),
        image_hashes: Some(hashes(picture)),
    };
    quality(&answer(actual), &answer(expected)).unwrap()
}

/// Mean distance of the channels of two images.
fn distance(one: &Picture, other: &Picture) -> f64 {
    let (one, other) = (one.rgb(), other.rgb());
    assert_eq!(one.dimensions(), other.dimensions());
    let sum: u64 =
        one.as_raw().iter().zip(other.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / one.as_raw().len() as f64
}

/// Validators compare images with those of other machines and releases.
#[test]
fn image_of_a_request_is_reproducible() {
    let picture = painted(Endpoint::TextToImage, &text_to_image());
    assert_eq!((picture.width(), picture.height()), (SIZE, 640));
    let digest = Sha256::digest(picture.rgb().as_raw());
    assert_eq!(digest[..8], 0xa432_943c_bd85_686e_u64.to_be_bytes());
}

#[test]
fn every_field_changes_the_image() {
    let reference = painted(Endpoint::TextToImage, &text_to_image());
    for (field, value) in [
        ("prompt", json!("a red boat in a lake")),
        ("negative_prompt", json!("blurry")),
        ("seed", json!(8)),
        ("steps", json!(5)),
        ("steps", json!(9)),
    ] {
        let mut payload = text_to_image();
        payload[field] = value;
        let other = painted(Endpoint::TextToImage, &payload);
        let quality = compare(&other, &reference);
        assert!(quality < 0.5, "{field}: {quality}");
        assert_eq!(compare(&other, &other), 1.0);
    }
    let mut payload = text_to_image();
    payload["cfg_scale"] = json!(9.0);
    assert!(distance(&painted(Endpoint::TextToImage, &payload), &reference) > 1.0);
    // A named colour dominates.
    let sum = |channel: usize| -> u64 {
        reference.rgb().pixels().map(|pixel| u64::from(pixel.0[channel])).sum()
    };
    assert!(sum(0) > 2 * sum(1) && sum(0) > 2 * sum(2), "{} {} {}", sum(0), sum(1), sum(2));
}

/// An honest miner may send JPEG files.
#[test]
fn recompressed_image_has_full_quality() {
    for seed in 7..11 {
        let mut payload = text_to_image();
        payload["seed"] = seed.into();
        let picture = painted(Endpoint::TextToImage, &payload);
        let recompressed = Picture::decode(&picture.to_jpeg(85).unwrap()).unwrap();
        assert_eq!(compare(&recompressed, &picture), 1.0, "{seed}");
    }
}

#[test]
fn image_strength_determines_distance_from_initial_image() {
    let initial = painted(
        Endpoint::TextToImage,
        &json!({"prompt": "green hills", "width": SIZE, "height": 640}),
    );
    let with_strength = |strength: f64| {
        let mut payload = text_to_image();
        payload["init_image"] = base64(&initial).into();
        payload["image_strength"] = strength.into();
        painted(Endpoint::ImageToImage, &payload)
    };
    let distances =
        [0.1, 0.5, 0.9, 1.0].map(|strength| distance(&with_strength(strength), &initial));
    assert!(distances.windows(2).all(|pair| pair[0] > pair[1]), "{distances:?}");
    assert_eq!(distances[3], 0.0);
    assert!(compare(&with_strength(0.5), &with_strength(0.9)) < 1.0);
}

#[test]
fn inpainting_changes_only_the_masked_area() {
    let initial = painted(
        Endpoint::TextToImage,
        &json!({"prompt": "green hills", "width": SIZE, "height": 640}),
    );
    let white = |x: u32, y: u32| (100..300).contains(&x) && (200..450).contains(&y);
    let mask = RgbaImage::from_fn(SIZE, 640, |x, y| {
        if white(x, y) { Rgba([255; 4]) } else { Rgba([0, 0, 0, 255]) }
    });
    let mut payload = text_to_image();
    payload["init_image"] = base64(&initial).into();
    payload["mask_image"] = base64(&Picture::from_pixels(mask)).into();
    let picture = painted(Endpoint::Inpaint, &payload).rgb();
    let before = initial.rgb();
    let mut changed = 0;
    for (x, y, pixel) in picture.enumerate_pixels() {
        let is_same = before.get_pixel(x, y) == pixel;
        assert!(is_same || white(x, y), "{x},{y} is outside the mask");
        changed += u32::from(!is_same);
    }
    assert!(changed > 200 * 250 * 9 / 10, "{changed} pixels changed");
}

#[test]
fn avatar_keeps_face_of_initial_image() {
    let initial = painted(
        Endpoint::TextToImage,
        &json!({"prompt": "portrait of a man", "width": SIZE, "height": 640}),
    );
    let avatar = |ipadapter: f64, control: f64| {
        let mut payload = text_to_image();
        payload["init_image"] = base64(&initial).into();
        payload["ipadapter_strength"] = ipadapter.into();
        payload["control_strength"] = control.into();
        painted(Endpoint::Avatar, &payload)
    };
    let middle = |picture: &Picture| *picture.rgb().get_pixel(SIZE / 2, 320);
    assert_eq!(middle(&avatar(1.0, 1.0)), middle(&initial));
    assert!(distance(&avatar(1.0, 1.0), &initial) > 1.0, "the background follows the prompt");
    assert!(distance(&avatar(1.0, 1.0), &initial) < distance(&avatar(0.1, 0.1), &initial));
}
