//! The painter: an image as a pure function of a request.

use image::{Rgba, RgbaImage};

use crate::colours::{Colour, Random, palette};
use crate::request::ImageSource;
use crate::{PaintRequest, Picture};

/// Radius of the first and of the last ellipse, as fractions of the shorter side.
const RADII: (f32, f32) = (0.55, 0.05);
/// Opacity of an ellipse.
const OPACITY: f32 = 0.85;
/// Largest deviation of an ellipse's colour from that of the palette.
const MAX_COLOUR_DEVIATION: f32 = 22.0;
/// Part of the radius over which the edge of an ellipse fades.
const EDGE_WIDTH: f32 = 0.2;
/// Width and height of the face in the middle of an avatar, as fractions of the sides.
const FACE_SIZE: (f32, f32) = (0.3, 0.38);

/// An ellipse with a soft edge, in pixels.
struct Ellipse {
    centre: (f32, f32),
    radii: (f32, f32),
}

impl Ellipse {
    /// Returns the opacity at a position: 1 inside, 0 outside, between them at the edge.
    fn coverage(&self, x: f32, y: f32) -> f32 {
        let (across, down) =
            ((x - self.centre.0) / self.radii.0, (y - self.centre.1) / self.radii.1);
        let distance = (across * across + down * down).sqrt();
        ((1.0 - distance) / EDGE_WIDTH + 0.5).clamp(0.0, 1.0)
    }

    /// Returns the rows or columns that an ellipse covers, of `side` ones.
    fn span(centre: f32, radius: f32, side: usize) -> std::ops::Range<usize> {
        let reach = radius * (1.0 + EDGE_WIDTH);
        let first = (centre - reach).max(0.0) as usize;
        let end = ((centre + reach).max(0.0) as usize).saturating_add(1);
        first.min(side)..end.min(side)
    }
}

/// An image in progress.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// Creates a canvas whose colour changes from the top to the bottom.
    fn gradient((width, height): (u32, u32), top: Colour, bottom: Colour) -> Self {
        let (width, height) = (width as usize, height as usize);
        let row = |y: usize| std::iter::repeat_n(mix(top, bottom, y as f32 / height as f32), width);
        Self { width, height, pixels: (0..height).flat_map(row).collect() }
    }

    /// Blends an image into the canvas with a weight in `0..=1`.
    fn blend(&mut self, image: &[Colour], weight: f32) {
        for (pixel, other) in self.pixels.iter_mut().zip(image) {
            *pixel = mix(*pixel, *other, weight);
        }
    }

    /// Draws an ellipse. `opacity` returns the opacity at a position.
    fn draw(&mut self, ellipse: &Ellipse, colour: Colour, opacity: impl Fn(f32, f32) -> f32) {
        let columns = Ellipse::span(ellipse.centre.0, ellipse.radii.0, self.width);
        let rows = Ellipse::span(ellipse.centre.1, ellipse.radii.1, self.height);
        let (first_row, count) = (rows.start, rows.len());
        for (row, y) in
            self.pixels.chunks_exact_mut(self.width).skip(first_row).take(count).zip(rows)
        {
            let Some(row) = row.get_mut(columns.clone()) else { continue };
            for (pixel, x) in row.iter_mut().zip(columns.clone()) {
                let (x, y) = (x as f32, y as f32);
                *pixel = mix(*pixel, colour, ellipse.coverage(x, y) * opacity(x, y));
            }
        }
    }
}

/// Draws the image of a request. Equal requests have equal images, on every machine.
///
/// Each denoising step draws one ellipse, from large to small, so that more steps show more detail.
/// Sizes, positions and colours follow from prompt and seed, contrast from the guidance scale. The
/// strength is the share of the initial image that is kept; an inpainting request keeps every pixel
/// outside its mask. Takes some 10 ms to 100 ms.
pub fn paint(request: &PaintRequest) -> Picture {
    let PaintRequest { prompt, negative_prompt, steps, cfg_scale, size, seed, source } = request;
    let mut random = Random::new(*seed, prompt, negative_prompt);
    let contrast = 0.7 + cfg_scale / 20.0;
    let colours = palette(prompt, negative_prompt);
    let colours: Vec<Colour> =
        colours.into_iter().map(|colour| adjust_contrast(colour, contrast)).collect();
    let pick_colour = |random: &mut Random| {
        // The first colours, which the prompt names, are the most frequent.
        let index = random.next() * random.next() * colours.len() as f32;
        let colour = colours.get(index as usize).copied().unwrap_or([128.0; 3]);
        let shade = random.in_range(-MAX_COLOUR_DEVIATION, MAX_COLOUR_DEVIATION);
        colour.map(|channel| channel + shade)
    };
    let (top, bottom) = (pick_colour(&mut random), pick_colour(&mut random));
    let mut canvas = Canvas::gradient(*size, top, bottom);
    let initial = initial_image(source, *size);
    let (initial_strength, face_strength) = match source {
        ImageSource::Noise | ImageSource::Masked(..) => (0.0, 0.0),
        ImageSource::Image(_, strength) => (*strength, *strength),
        ImageSource::Face(_, strength, _) => (*strength, 0.0),
    };
    canvas.blend(&initial, initial_strength);
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let face = Ellipse {
        centre: (width / 2.0, height / 2.0),
        radii: (width * FACE_SIZE.0, height * FACE_SIZE.1),
    };
    let control = if let ImageSource::Face(_, _, control) = source { *control } else { 0.0 };
    for step in 0..*steps {
        let radius = width.min(height) * lerp(RADII.0, RADII.1, step as f32 / *steps as f32);
        let radius = radius * random.in_range(0.6, 1.0);
        let ellipse = Ellipse {
            centre: (random.next() * width, random.next() * height),
            radii: (radius, radius * random.in_range(0.5, 1.5)),
        };
        let colour = pick_colour(&mut random);
        canvas.draw(&ellipse, colour, |x, y| {
            let uncovered = if control > 0.0 { 1.0 - face.coverage(x, y) * control } else { 1.0 };
            OPACITY * (1.0 - face_strength) * uncovered
        });
    }
    render(&canvas, source, &initial)
}

/// Returns the colours of the initial image in the size of the new one.
fn initial_image(source: &ImageSource, (width, height): (u32, u32)) -> Vec<Colour> {
    match source {
        ImageSource::Noise => Vec::new(),
        ImageSource::Image(image, _)
        | ImageSource::Masked(image, _)
        | ImageSource::Face(image, ..) => {
            let pixels = image.scaled(width, height).rgb();
            pixels.pixels().map(|pixel| pixel.0.map(f32::from)).collect()
        }
    }
}

/// Rounds the colours, and puts the initial image back outside the mask.
fn render(canvas: &Canvas, source: &ImageSource, initial: &[Colour]) -> Picture {
    let (width, height) = (canvas.width as u32, canvas.height as u32);
    let replaced_pixels = match source {
        ImageSource::Masked(_, mask) => mask.scaled(width, height).white_pixels(),
        _ => Vec::new(),
    };
    let mut pixels = RgbaImage::new(width, height);
    for (index, (pixel, painted)) in pixels.pixels_mut().zip(&canvas.pixels).enumerate() {
        let is_replaced = replaced_pixels.get(index).copied().unwrap_or(true);
        let original = initial.get(index).filter(|_| !is_replaced);
        let [red, green, blue] =
            original.unwrap_or(painted).map(|channel| channel.clamp(0.0, 255.0) as u8);
        *pixel = Rgba([red, green, blue, u8::MAX]);
    }
    Picture::from_pixels(pixels)
}

fn adjust_contrast(colour: Colour, factor: f32) -> Colour {
    colour.map(|channel| 128.0 + (channel - 128.0) * factor)
}

fn mix(
    [red, green, blue]: Colour,
    [other_red, other_green, other_blue]: Colour,
    fraction: f32,
) -> Colour {
    [
        lerp(red, other_red, fraction),
        lerp(green, other_green, fraction),
        lerp(blue, other_blue, fraction),
    ]
}

fn lerp(one: f32, other: f32, fraction: f32) -> f32 {
    one + (other - one) * fraction
}

#[cfg(test)]
mod tests;
