//! Parameters of synthetic image requests, distributed like buyers' requests: mostly the defaults
//! of the gateway.

use rand::Rng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value};
use taonet_nineteen_core::Task;
use taonet_nineteen_core::payload::{ImagePayload, MAX_SEED};
use taonet_nineteen_core::task::Endpoint;

use super::picture::{draw_mask, draw_portrait, draw_scene};
use super::words::{TextKind, generate_text};

/// Widths and heights that image models are trained for, both also swapped.
const SIZES: [(u64, u64); 6] =
    [(1_024, 1_024), (896, 1_152), (832, 1_216), (768, 1_024), (768, 1_344), (640, 1_536)];
/// Side lengths of input images, in pixels.
const SIDES: [u32; 4] = [512, 576, 640, 768];
/// Numbers of denoising steps that buyers choose, besides the defaults.
const STEPS: [u64; 6] = [5, 6, 12, 15, 20, 25];
/// Parts of negative prompts, which most users copy from one another.
const NEGATIVE_PROMPT_PARTS: [&str; 24] = [
    "blurry",
    "low quality",
    "worst quality",
    "lowres",
    "jpeg artifacts",
    "watermark",
    "signature",
    "text",
    "logo",
    "bad anatomy",
    "bad hands",
    "extra fingers",
    "extra limbs",
    "deformed",
    "disfigured",
    "ugly",
    "cropped",
    "out of frame",
    "oversaturated",
    "grainy",
    "duplicate",
    "cartoon",
    "3d render",
    "nsfw",
];

/// Generates the payload of a request to an image route, which has the task's name if `names_task`
/// is set; `None` for routes without a generator.
pub(super) fn payload(
    task: &Task,
    names_task: bool,
    random: &mut impl Rng,
) -> Option<Map<String, Value>> {
    let mut extra_fields = Map::new();
    let mut add = |name: &str, value: Value| extra_fields.insert(name.to_owned(), value);
    let (width, height) = (random_side(random), random_side(random));
    match task.endpoint {
        Endpoint::TextToImage => {}
        Endpoint::ImageToImage => {
            add("init_image", draw_scene(width, height, random).into());
            add("image_strength", random_strength(random).into());
        }
        Endpoint::Inpaint => {
            add("init_image", draw_scene(width, height, random).into());
            add("mask_image", draw_mask(width, height, random).into());
        }
        Endpoint::Avatar => {
            add("init_image", draw_portrait(width, height, random).into());
            add("ipadapter_strength", random_strength(random).into());
            add("control_strength", random_strength(random).into());
        }
        _ => return None,
    }
    let (width, height) = random_size(random);
    let payload = ImagePayload {
        prompt: generate_text(TextKind::ImagePrompt, random.random_range(4..=30), random),
        negative_prompt: random_negative_prompt(random),
        steps: random_steps(random),
        cfg_scale: random_cfg_scale(random),
        width,
        height,
        seed: random.random_range(1..=MAX_SEED),
        model: names_task.then(|| task.task.to_string()),
        extra_fields,
    };
    Some(payload.into_map())
}

fn random_side(random: &mut impl Rng) -> u32 {
    SIDES.choose(random).copied().unwrap_or(512)
}

fn random_size(random: &mut impl Rng) -> (u64, u64) {
    let (width, height) = if random.random_bool(0.6) {
        (1_024, 1_024)
    } else {
        SIZES.choose(random).copied().unwrap_or((1_024, 1_024))
    };
    if random.random_bool(0.4) { (height, width) } else { (width, height) }
}

fn random_steps(random: &mut impl Rng) -> u64 {
    match random.random_range(0..10) {
        // The defaults of the gateway's two interfaces.
        0..=4 => 8,
        5..=6 => 10,
        _ => STEPS.choose(random).copied().unwrap_or(8),
    }
}

fn random_cfg_scale(random: &mut impl Rng) -> f64 {
    if random.random_bool(0.6) {
        3.0
    } else {
        (random.random_range(1.5..9.0_f64) * 2.0).round() / 2.0
    }
}

fn random_strength(random: &mut impl Rng) -> f64 {
    if random.random_bool(0.6) {
        0.5
    } else {
        (random.random_range(0.1..=1.0_f64) * 20.0).round() / 20.0
    }
}

fn random_negative_prompt(random: &mut impl Rng) -> String {
    if random.random_bool(0.6) {
        return String::new();
    }
    let count = random.random_range(1..=8);
    NEGATIVE_PROMPT_PARTS.choose_multiple(random, count).copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use taonet_nineteen_core::MarketConfig;
    use taonet_nineteen_images::PaintRequest;

    use super::*;

    /// Miners' servers and the checking server accept every synthetic request: its fields are in
    /// range, and its images can be decoded.
    #[test]
    fn synthetic_requests_are_valid_for_image_servers() {
        let mut task = MarketConfig::default().task("avatar").unwrap().clone();
        let mut random = StdRng::seed_from_u64(6);
        for (endpoint, rounds) in [
            (Endpoint::TextToImage, 200),
            (Endpoint::ImageToImage, 2),
            (Endpoint::Inpaint, 2),
            (Endpoint::Avatar, 2),
        ] {
            task.endpoint = endpoint;
            for _ in 0..rounds {
                let payload = payload(&task, true, &mut random).unwrap();
                PaintRequest::parse(endpoint, &payload)
                    .unwrap_or_else(|error| panic!("{endpoint:?}: {error}"));
            }
        }
    }
}
