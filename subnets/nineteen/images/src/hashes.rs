//! Hashes of images, as Python's `imagehash` computes them, and a stand-in for an embedding.

use image::imageops::{FilterType, resize};
use image::{GrayImage, Luma, Rgb, RgbImage};
use taonet_nineteen_core::checker::image::ImageHashes;

use crate::Picture;

/// Side of the brightness hashes, in pixels: each has 64 bits.
const HASH_SIDE: u32 = 8;
/// Side of the image whose low frequencies are hashed, in pixels.
const FREQUENCY_SIDE: u32 = 32;
/// Bits of each bin of the colour hash.
const BIN_BITS: u32 = 3;
/// Bins of hues of the colour hash, for faint and for bright colours each.
const HUE_BINS: usize = 6;
/// Below this brightness a pixel is black; below this saturation it is grey, or else faint.
const BLACK_BRIGHTNESS: u8 = 32;
const GREY_SATURATION: u8 = 85;
const FAINT_SATURATION: u8 = 170;
/// Side of the grid of [`embedding`].
const GRID_SIDE: u32 = 8;

/// Returns the hashes of an image, which differ in few bits for images that look alike:
/// `average_hash`, `phash`, `dhash` and `colorhash` of `imagehash`. Single bits can differ from it,
/// because its scaling rounds differently.
pub fn hashes(picture: &Picture) -> ImageHashes {
    let image = picture.rgb();
    let grey = brightness(&image);
    ImageHashes {
        average_hash: hex(&average_hash(&grey)),
        perceptual_hash: hex(&perceptual_hash(&grey)),
        difference_hash: hex(&difference_hash(&grey)),
        color_hash: hex(&colour_hash(&image)),
    }
}

/// Returns the deviations from the mean colour in a grid of 8x8 cells. It stands in for a CLIP
/// embedding, whose model is not part of this program: equal images have the cosine similarity 1,
/// different ones a lower one.
pub fn embedding(picture: &Picture) -> Vec<f64> {
    let cells = resize(&picture.rgb(), GRID_SIDE, GRID_SIDE, FilterType::Triangle);
    let values: Vec<f64> = cells.as_raw().iter().map(|value| f64::from(*value)).collect();
    let mean = |channel: usize| {
        let channel_values = values.iter().skip(channel).step_by(3);
        channel_values.sum::<f64>() / f64::from(GRID_SIDE * GRID_SIDE)
    };
    let means = [mean(0), mean(1), mean(2)];
    values.iter().zip(means.iter().cycle()).map(|(value, mean)| value - mean).collect()
}

/// Converts colours to brightness, with the weights and rounding of Pillow.
fn brightness(image: &RgbImage) -> GrayImage {
    let mut grey = GrayImage::new(image.width(), image.height());
    for (grey_pixel, Rgb([red, green, blue])) in grey.pixels_mut().zip(image.pixels()) {
        let sum = u32::from(*red) * 19_595
            + u32::from(*green) * 38_470
            + u32::from(*blue) * 7_471
            + 0x8000;
        *grey_pixel = Luma([(sum >> 16) as u8]);
    }
    grey
}

fn scaled(grey: &GrayImage, width: u32, height: u32) -> Vec<u8> {
    resize(grey, width, height, FilterType::Lanczos3).into_raw()
}

/// Returns whether each pixel is brighter than the mean.
fn average_hash(grey: &GrayImage) -> Vec<bool> {
    let pixels = scaled(grey, HASH_SIDE, HASH_SIDE);
    let mean = pixels.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / pixels.len() as f64;
    pixels.iter().map(|pixel| f64::from(*pixel) > mean).collect()
}

/// Returns whether each pixel is brighter than the pixel on its left.
fn difference_hash(grey: &GrayImage) -> Vec<bool> {
    let pixels = scaled(grey, HASH_SIDE + 1, HASH_SIDE);
    let rows = pixels.chunks_exact(HASH_SIDE as usize + 1);
    rows.flat_map(|row| row.iter().zip(row.iter().skip(1)).map(|(left, right)| right > left))
        .collect()
}

/// Returns whether each of the lowest frequencies is above their median.
fn perceptual_hash(grey: &GrayImage) -> Vec<bool> {
    let pixels = scaled(grey, FREQUENCY_SIDE, FREQUENCY_SIDE);
    let side = FREQUENCY_SIDE as usize;
    // Each column's low frequencies along the row, then along the column; the scale has no
    // influence.
    let rows: Vec<Vec<f64>> = pixels
        .chunks_exact(side)
        .map(|row| low_frequencies(&row.iter().map(|pixel| f64::from(*pixel)).collect::<Vec<_>>()))
        .collect();
    let columns: Vec<Vec<f64>> = (0..HASH_SIDE as usize)
        .map(|column| {
            low_frequencies(
                &rows.iter().filter_map(|row| row.get(column).copied()).collect::<Vec<_>>(),
            )
        })
        .collect();
    let low_values: Vec<f64> = (0..HASH_SIDE as usize)
        .flat_map(|row| columns.iter().filter_map(move |column| column.get(row).copied()))
        .collect();
    let mut sorted = low_values.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = sorted
        .get(middle.saturating_sub(1)..=middle)
        .map_or(0.0, |middle_pair| middle_pair.iter().sum::<f64>() / 2.0);
    low_values.iter().map(|value| *value > median).collect()
}

/// Returns the first eight coefficients of the cosine transform (DCT-II).
fn low_frequencies(values: &[f64]) -> Vec<f64> {
    let count = values.len() as f64;
    let coefficient = |frequency: u32| {
        let angle = |index: usize| {
            std::f64::consts::PI * f64::from(frequency) * (2.0 * index as f64 + 1.0) / (2.0 * count)
        };
        values.iter().enumerate().map(|(index, value)| value * angle(index).cos()).sum::<f64>()
    };
    (0..HASH_SIDE).map(coefficient).collect()
}

/// Returns the quantised shares of black, of grey, and of six hues of faint and of bright colours.
fn colour_hash(image: &RgbImage) -> Vec<bool> {
    let (mut black, mut grey, mut coloured) = (0_u32, 0_u32, 0_u32);
    let (mut faint, mut bright) = ([0_u32; HUE_BINS], [0_u32; HUE_BINS]);
    let brightness_image = brightness(image);
    for (pixel, Luma([level])) in image.pixels().zip(brightness_image.pixels()) {
        let (hue, saturation) = hue_and_saturation(*pixel);
        if *level < BLACK_BRIGHTNESS {
            black += 1;
        } else if saturation < GREY_SATURATION {
            grey += 1;
        } else {
            coloured += 1;
            // As numpy's histogram of 0..=255: the last bin includes its end.
            let bin = (usize::from(hue) * HUE_BINS / 255).min(HUE_BINS - 1);
            // Saturation at the limit itself counts in neither.
            let bins = match saturation {
                FAINT_SATURATION => None,
                lower if lower < FAINT_SATURATION => faint.get_mut(bin),
                _ => bright.get_mut(bin),
            };
            if let Some(count) = bins {
                *count += 1;
            }
        }
    }
    let pixels = f64::from(image.width()) * f64::from(image.height());
    let bin_value = |share: f64| (share * f64::from(1_u32 << BIN_BITS)) as u32;
    let colour_fraction = |count: u32| f64::from(count) / f64::from(coloured.max(1));
    let bins = [f64::from(black) / pixels, f64::from(grey) / pixels];
    let bins = bins.into_iter().chain(faint.into_iter().chain(bright).map(colour_fraction));
    let maximum = (1_u32 << BIN_BITS) - 1;
    bins.flat_map(|share| {
        let value = bin_value(share).min(maximum);
        // Not the value's bits, but what `imagehash` computes.
        (0..BIN_BITS).map(move |bit| {
            !(value >> (BIN_BITS - 1 - bit)).is_multiple_of(1_u32 << (BIN_BITS - bit))
        })
    })
    .collect()
}

/// Returns hue and saturation, as Pillow computes them.
fn hue_and_saturation(Rgb([red, green, blue]): Rgb<u8>) -> (u8, u8) {
    let (maximum, minimum) = (red.max(green).max(blue), red.min(green).min(blue));
    if maximum == minimum {
        return (0, 0);
    }
    let range = f32::from(maximum - minimum);
    let part = |channel: u8| f32::from(maximum - channel) / range;
    let sextant = if red == maximum {
        part(blue) - part(green)
    } else if green == maximum {
        2.0 + part(red) - part(blue)
    } else {
        4.0 + part(green) - part(red)
    };
    let hue = (sextant / 6.0 + 1.0).fract();
    ((hue * 255.0) as u8, (range / f32::from(maximum) * 255.0) as u8)
}

/// Returns bits in hex, the first one as the highest, with zeros in front for a full digit.
fn hex(bits: &[bool]) -> String {
    let padding = (4 - bits.len() % 4) % 4;
    let padded: Vec<bool> =
        std::iter::repeat_n(false, padding).chain(bits.iter().copied()).collect();
    let digit = |bits: &[bool]| bits.iter().fold(0, |digit, bit| digit * 2 + u32::from(*bit));
    padded.chunks(4).filter_map(|digit_bits| char::from_digit(digit(digit_bits), 16)).collect()
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};
    use taonet_nineteen_core::checker::image::{HashDistances, cosine};

    use super::*;

    /// A coloured pattern of 96x64 pixels.
    fn pattern(shift: u32) -> Picture {
        let pixel = |x: u32, y: u32| {
            let (x, y) = (x + shift, y + shift / 2);
            Rgba([
                (x * 5 % 256) as u8,
                (y * 4 % 256) as u8,
                ((x * x + y * y) / 40 % 256) as u8,
                u8::MAX,
            ])
        };
        Picture::from_pixels(RgbaImage::from_fn(96, 64, pixel))
    }

    /// The expected hashes are those of imagehash 4.3.2 with Pillow 13.0.0, whose scaling rounds
    /// differently.
    #[test]
    fn image_hashes_match_imagehash() {
        for (shift, average, perceptual, difference, colour) in [
            (0, "000001133b7fffff", "8c2ad42dca35da3d", "f7f7f7f7f7f7f6f6", "00000008200"),
            (37, "08989dffffff0000", "db8951a6b847dc23", "3b3b3b333b2b3b39", "00008008200"),
        ] {
            let actual = hashes(&pattern(shift));
            let expected = ImageHashes {
                average_hash: average.to_owned(),
                perceptual_hash: perceptual.to_owned(),
                difference_hash: difference.to_owned(),
                color_hash: colour.to_owned(),
            };
            let distances = HashDistances::between(&actual, &expected).unwrap();
            let is_equal = (distances.average, distances.difference, distances.colour) == (0, 0, 0);
            assert!(is_equal && distances.perceptual <= 2, "{shift}: {actual:?}");
        }
    }

    #[test]
    fn recompressed_image_has_nearly_the_same_hashes_and_embedding() {
        let picture = pattern(0);
        let jpeg = Picture::decode(&picture.to_jpeg(85).unwrap()).unwrap();
        let distances = HashDistances::between(&hashes(&picture), &hashes(&jpeg)).unwrap();
        assert!(
            distances.perceptual <= 4 && distances.average <= 2 && distances.difference <= 2,
            "{distances:?}"
        );
        assert!(cosine(&embedding(&picture), &embedding(&jpeg)).unwrap() > 0.999);
        let other = pattern(37);
        let distances = HashDistances::between(&hashes(&picture), &hashes(&other)).unwrap();
        assert!(distances.perceptual > 8, "{distances:?}");
        assert!(cosine(&embedding(&picture), &embedding(&other)).unwrap() < 0.9);
    }

    #[test]
    fn hex_hash_starts_with_the_first_bit() {
        assert_eq!(hex(&[true, false, false, false, true, true, true, true]), "8f");
        assert_eq!(hex(&[true, false, true, false, true, false]), "2a");
        assert_eq!(hex(&[false; 42]).len(), 11);
    }
}
