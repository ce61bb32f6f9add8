//! Input images of synthetic requests: scenes, portraits and masks, drawn from random numbers.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rand::Rng;

/// Largest deviation of a pixel from its colour, as the grain of a photograph.
const MAX_PIXEL_NOISE: f32 = 5.0;
/// Points of the coarsest noise along one side of an image.
const NOISE_POINTS: usize = 5;
/// Layers of noise, each twice as fine and half as strong as the one before.
const OCTAVES: usize = 4;

type Colour = [f32; 3];

/// An ellipse with a soft edge. Positions and radii are fractions of the image's sides.
struct Ellipse {
    centre: (f32, f32),
    radii: (f32, f32),
    colour: Colour,
    /// Part of the radius over which the edge fades.
    edge: f32,
}

/// Smooth noise: random values on a lattice, interpolated between its points.
struct Noise {
    side: usize,
    values: Vec<f32>,
}

impl Noise {
    fn new(side: usize, random: &mut impl Rng) -> Self {
        Self {
            side,
            values: (0..(side + 1) * (side + 1)).map(|_| random.random_range(-1.0..1.0)).collect(),
        }
    }

    /// Returns the noise at a position in `0..=1`.
    fn sample(&self, x: f32, y: f32) -> f32 {
        let lattice_position = |position: f32| {
            let scaled = position.clamp(0.0, 0.999) * self.side as f32;
            let fraction = scaled.fract();
            (scaled as usize, fraction * fraction * (3.0 - 2.0 * fraction))
        };
        let ((column, x_weight), (row, y_weight)) = (lattice_position(x), lattice_position(y));
        let value = |row: usize, column: usize| {
            self.values.get(row * (self.side + 1) + column).copied().unwrap_or(0.0)
        };
        let upper = lerp(value(row, column), value(row, column + 1), x_weight);
        lerp(upper, lerp(value(row + 1, column), value(row + 1, column + 1), x_weight), y_weight)
    }
}

/// Returns an image of a scene, as base64-encoded PNG: a sky or a wall, light and shadow, and a few
/// objects.
pub(super) fn draw_scene(width: u32, height: u32, random: &mut impl Rng) -> String {
    let mut shapes = Vec::new();
    for _ in 0..random.random_range(3..=9) {
        let radius = random.random_range(0.03..0.3_f32);
        shapes.push(Ellipse {
            centre: (random.random_range(0.0..1.0), random.random_range(0.0..1.0)),
            radii: (radius, radius * random.random_range(0.4..1.6_f32)),
            colour: random_colour(random),
            edge: random.random_range(0.02..0.4),
        });
    }
    draw(width, height, &shapes, random)
}

/// Returns an image of a face, as base64-encoded PNG: head, hair, eyes, nose, mouth and clothes of
/// random shape and colour.
pub(super) fn draw_portrait(width: u32, height: u32, random: &mut impl Rng) -> String {
    let skin = random.random_range(0.35..1.0_f32);
    let skin: Colour = [245.0 * skin, 205.0 * skin, 175.0 * skin];
    let shade = |colour: Colour, factor: f32| colour.map(|channel| channel * factor);
    let hair = shade([150.0, 110.0, 70.0], random.random_range(0.1..1.3));
    let iris = shade([110.0, 120.0, 140.0], random.random_range(0.3..1.0));
    let lips = blend(shade(skin, 0.75), [170.0, 60.0, 70.0], 0.35);
    let (x, y) = (random.random_range(0.42..0.58_f32), random.random_range(0.4..0.5_f32));
    let (w, h) = (random.random_range(0.15..0.2_f32), random.random_range(0.21..0.27_f32));
    let (eye_offset, eye_y) =
        (w * random.random_range(0.38..0.48_f32), y - h * random.random_range(0.08..0.18_f32));
    let mut shapes = Vec::new();
    let mut add_ellipse =
        |centre, radii, colour, edge| shapes.push(Ellipse { centre, radii, colour, edge });
    add_ellipse((x, y - h * 0.25), (w * 1.2, h * random.random_range(1.0..1.3_f32)), hair, 0.1);
    add_ellipse((x, 1.05), (w * 2.4, h * 1.2), random_colour(random), 0.05);
    add_ellipse((x, y + h * 0.95), (w * 0.5, h * 0.6), shade(skin, 0.9), 0.1);
    add_ellipse((x, y), (w, h), skin, 0.06);
    add_ellipse((x, y - h * 0.85), (w * 0.9, h * 0.35), hair, 0.3);
    for side in [-1.0, 1.0] {
        let eye = x + side * eye_offset;
        add_ellipse((x + side * w, y), (w * 0.12, h * 0.2), shade(skin, 0.93), 0.2);
        add_ellipse((eye, eye_y - h * 0.16), (w * 0.26, h * 0.035), hair, 0.4);
        add_ellipse((eye, eye_y), (w * 0.2, h * 0.075), [238.0, 236.0, 232.0], 0.2);
        add_ellipse((eye, eye_y), (w * 0.09, h * 0.07), iris, 0.2);
        add_ellipse((eye, eye_y), (w * 0.04, h * 0.032), [15.0, 12.0, 12.0], 0.2);
        add_ellipse(
            (x + side * w * 0.1, y + h * 0.26),
            (w * 0.05, h * 0.025),
            shade(skin, 0.6),
            0.5,
        );
    }
    add_ellipse((x, y + h * 0.1), (w * 0.06, h * 0.22), shade(skin, 1.06), 0.9);
    let smile = random.random_range(0.28..0.42_f32);
    add_ellipse((x, y + h * 0.52), (w * smile, h * 0.06), lips, 0.25);
    add_ellipse((x, y + h * 0.52), (w * smile * 0.9, h * 0.012), shade(lips, 0.6), 0.4);
    draw(width, height, &shapes, random)
}

/// Returns a mask, as base64-encoded PNG: the white part of the image is replaced.
pub(super) fn draw_mask(width: u32, height: u32, random: &mut impl Rng) -> String {
    let spots = random.random_range(1..=3_usize);
    let shapes: Vec<_> = (0..spots)
        .map(|_| Ellipse {
            centre: (random.random_range(0.2..0.8), random.random_range(0.2..0.8)),
            radii: (random.random_range(0.05..0.25), random.random_range(0.05..0.25)),
            colour: [255.0; 3],
            edge: 0.0,
        })
        .collect();
    let pixel = |x: f32, y: f32| {
        if shapes.iter().any(|shape| coverage(shape, x, y) > 0.5) { [255; 3] } else { [0; 3] }
    };
    encode_png(width, height, pixel)
}

fn random_colour(random: &mut impl Rng) -> Colour {
    // Muted: most photographs have few saturated colours.
    let light = random.random_range(40.0..220.0_f32);
    [(); 3].map(|()| (light + random.random_range(-45.0..45.0_f32)).clamp(0.0, 255.0))
}

/// Draws shapes on a background that fades from one colour to another, with uneven light and grain.
fn draw(width: u32, height: u32, shapes: &[Ellipse], random: &mut impl Rng) -> String {
    let (top, bottom) = (random_colour(random), random_colour(random));
    let octaves: Vec<_> =
        (0..OCTAVES).map(|octave| Noise::new(NOISE_POINTS << octave, random)).collect();
    let strength = random.random_range(10.0..45.0_f32);
    let pixel = |x: f32, y: f32| {
        let mut pixel = blend(top, bottom, y);
        for shape in shapes {
            pixel = blend(pixel, shape.colour, coverage(shape, x, y));
        }
        let light: f32 = octaves
            .iter()
            .zip(0..)
            .map(|(noise, octave)| noise.sample(x, y) / (1 << octave) as f32)
            .sum();
        let shift = light * strength + random.random_range(-MAX_PIXEL_NOISE..MAX_PIXEL_NOISE);
        pixel.map(|channel| (channel + shift).clamp(0.0, 255.0) as u8)
    };
    encode_png(width, height, pixel)
}

/// Returns a mixture of two colours, of which `fraction` is the second.
fn blend(one: Colour, other: Colour, fraction: f32) -> Colour {
    let ([red, green, blue], [other_red, other_green, other_blue]) = (one, other);
    [
        lerp(red, other_red, fraction),
        lerp(green, other_green, fraction),
        lerp(blue, other_blue, fraction),
    ]
}

fn lerp(one: f32, other: f32, fraction: f32) -> f32 {
    one + (other - one) * fraction
}

/// Returns the opacity of a shape at a position: 1 inside, 0 outside, less than 1 at its edge.
fn coverage(shape: &Ellipse, x: f32, y: f32) -> f32 {
    let (across, down) =
        ((x - shape.centre.0) / shape.radii.0, (y - shape.centre.1) / shape.radii.1);
    let distance = (across * across + down * down).sqrt();
    if shape.edge <= 0.0 {
        return if distance <= 1.0 { 1.0 } else { 0.0 };
    }
    ((1.0 + shape.edge - distance) / (2.0 * shape.edge)).clamp(0.0, 1.0)
}

/// Encodes an image as PNG, in base64. `pixel` returns the colour at a position in `0..1`.
fn encode_png(width: u32, height: u32, mut pixel: impl FnMut(f32, f32) -> [u8; 3]) -> String {
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut row = Vec::new();
    for y in 0..height {
        row.clear();
        // Filter 1: differences to the pixel on the left.
        row.push(1);
        let mut left = [0_u8; 3];
        for x in 0..width {
            let colour = pixel(x as f32 / width as f32, y as f32 / height as f32);
            row.extend(colour.iter().zip(left).map(|(channel, left)| channel.wrapping_sub(left)));
            left = colour;
        }
        // Writing to a vector does not fail.
        let _ = rows.write_all(&row);
    }
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // 8 bits per channel, RGB, no interlacing.
    header.extend([8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in
        [(b"IHDR", header), (b"IDAT", rows.finish().unwrap_or_default()), (b"IEND", Vec::new())]
    {
        let body = [name.as_slice(), &data].concat();
        file.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
        file.extend(&body);
        file.extend(crc32fast::hash(&body).to_be_bytes());
    }
    STANDARD.encode(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::ZlibDecoder;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    /// Decodes a PNG file of this module to its pixels.
    fn pixels(image: &str, width: usize, height: usize) -> Vec<u8> {
        let file = STANDARD.decode(image).unwrap();
        assert!(file.starts_with(b"\x89PNG\r\n\x1a\n") && file.ends_with(b"IEND\xae\x42\x60\x82"));
        let (mut remaining, mut data) = (&file[8..], Vec::new());
        while let Some((length, body)) = remaining.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let (chunk, tail) = body.split_at(4 + length);
            assert_eq!(tail[..4], crc32fast::hash(chunk).to_be_bytes());
            if chunk.starts_with(b"IDAT") {
                data.extend_from_slice(&chunk[4..]);
            }
            remaining = &tail[4..];
        }
        let mut rows = Vec::new();
        ZlibDecoder::new(data.as_slice()).read_to_end(&mut rows).unwrap();
        assert_eq!(rows.len(), height * (1 + 3 * width));
        let mut decoded = Vec::new();
        for row in rows.chunks(1 + 3 * width) {
            assert_eq!(row[0], 1);
            let mut left = [0_u8; 3];
            for pixel in row[1..].chunks(3) {
                left = [0, 1, 2].map(|part: usize| left[part].wrapping_add(pixel[part]));
                decoded.extend(left);
            }
        }
        decoded
    }

    #[test]
    fn pictures_are_drawn_from_the_seed() {
        let draw_from_seed = |seed, draw: fn(u32, u32, &mut StdRng) -> String| {
            draw(64, 48, &mut StdRng::seed_from_u64(seed))
        };
        let draw_functions: [fn(u32, u32, &mut StdRng) -> String; 2] = [draw_scene, draw_portrait];
        for draw in draw_functions {
            let one = pixels(&draw_from_seed(1, draw), 64, 48);
            let shades: std::collections::HashSet<_> = one.chunks(3).collect();
            assert!(shades.len() > 500, "{}", shades.len());
            assert_eq!(draw_from_seed(1, draw), draw_from_seed(1, draw));
            assert_ne!(one, pixels(&draw_from_seed(2, draw), 64, 48));
        }
        let mask = pixels(&draw_from_seed(3, draw_mask), 64, 48);
        assert!(
            mask.contains(&0)
                && mask.contains(&255)
                && mask.iter().all(|part| matches!(part, 0 | 255))
        );
    }
}
