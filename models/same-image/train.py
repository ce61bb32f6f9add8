"""Trains the classifier of the image check: the probability that two images are the same, given the distances of their
hashes. Prints the weights for subnets/nineteen/core/src/checker/image.rs, and how well they and the weights set by hand
separate pairs of photos that were not used for the training.

    pip install --requirement requirements.txt
    python3 train.py

The photos are those that scikit-image and scikit-learn contain. A pair is the same image if one is a copy of the other
with changes that another machine or encoder makes: JPEG, noise, scaling, brightness. It is not if the images are crops of
different photos, or of different parts of a photo, or if one is a copy with another shape or other content.
"""

import io
import pathlib

import imagehash
import numpy as np
import skimage
import sklearn
from PIL import Image
from skimage.transform import PiecewiseAffineTransform, warp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

SEED = 7
PAIRS = 400
SIDE = 256
# Per differing bit: perceptual, average, difference, colour hash; then the constant.
BY_HAND = np.array([-0.30, -0.20, -0.20, -0.10, 6.0])
HASHES = (imagehash.phash, imagehash.average_hash, imagehash.dhash, imagehash.colorhash)

SKIMAGE = ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "hubble_deep_field.jpg", "retina.jpg",
           "ihc.png", "rocket.jpg"]
SKLEARN = ["china.jpg", "flower.jpg"]
HELD_OUT = {"chelsea.png", "retina.jpg", "flower.jpg", "motorcycle_left.png"}


def photos():
    places = [(pathlib.Path(skimage.__file__).parent / "data", SKIMAGE),
              (pathlib.Path(sklearn.__file__).parent / "datasets" / "images", SKLEARN)]
    return {name: Image.open(folder / name).convert("RGB") for folder, names in places for name in names}


def crop(photo, random):
    side = int(min(photo.size) * random.uniform(0.5, 0.9))
    left, top = (int(random.integers(0, length - side + 1)) for length in photo.size)
    return photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.LANCZOS), (left, top, side)


def recoded(image, random):
    """Returns a copy as another machine or encoder makes it."""
    if random.random() < 0.7:
        scale = int(SIDE * random.uniform(0.8, 1.2))
        image = image.resize((scale, scale), Image.BICUBIC).resize((SIDE, SIDE), Image.BICUBIC)
    pixels = np.asarray(image, float) + random.normal(0, random.uniform(0.0, 4.0), (SIDE, SIDE, 3))
    # Details that differ between two runs of a model: weak smooth noise.
    coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).resize((SIDE, SIDE), Image.BICUBIC)
    pixels += (np.asarray(coarse, float) - 128) / 128 * random.uniform(0.0, 8.0) + random.uniform(-4.0, 4.0)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(random.integers(60, 96)))
    return Image.open(file).convert("RGB")


def changed(image, other, random):
    """Returns a copy with another shape and other content in a part, as of a model with fewer steps or other weights."""
    grid = np.stack(np.meshgrid(np.linspace(0, SIDE, 6), np.linspace(0, SIDE, 6)), -1).reshape(-1, 2)
    shift = random.normal(0, SIDE * random.uniform(0.03, 0.08), grid.shape)
    transform = PiecewiseAffineTransform.from_estimate(grid, grid + shift)
    pixels = warp(np.asarray(image), transform, mode="reflect", preserve_range=True)
    share = random.uniform(0.2, 0.6)
    mask = Image.fromarray((random.random((6, 6)) < share).astype(np.uint8) * 255).resize((SIDE, SIDE), Image.BICUBIC)
    part = np.asarray(mask, float)[..., None] / 255
    return Image.fromarray(np.clip(pixels * (1 - part) + np.asarray(other, float) * part, 0, 255).astype(np.uint8))


def pair(photos, is_same, random):
    names = list(photos)
    name = names[random.integers(len(names))]
    image, place = crop(photos[name], random)
    if is_same:
        return image, recoded(image, random)
    kind = random.integers(3)
    other, _ = crop(photos[names[(names.index(name) + random.integers(1, len(names))) % len(names)]], random)
    if kind == 0:
        return image, recoded(other, random)
    if kind == 1:
        while True:
            other, (left, top, side) = crop(photos[name], random)
            if max(abs(left - place[0]), abs(top - place[1]), abs(side - place[2])) > 0.15 * place[2]:
                return image, recoded(other, random)
    return image, recoded(changed(image, other, random), random)


def distances(photos, random):
    rows, labels = [], []
    for index in range(PAIRS):
        label = index % 2
        one, other = pair(photos, label == 1, random)
        rows.append([hash_of(one) - hash_of(other) for hash_of in HASHES])
        labels.append(label)
    return np.array(rows, float), np.array(labels)


def probability(weights, rows):
    return 1 / (1 + np.exp(-np.clip(rows @ weights[:4] + weights[4], -50, 50)))


def main():
    random = np.random.default_rng(SEED)
    known = photos()
    rows, labels = distances({name: photo for name, photo in known.items() if name not in HELD_OUT}, random)
    test_rows, test_labels = distances({name: photo for name, photo in known.items() if name in HELD_OUT}, random)
    model = LogisticRegression(C=1.0, max_iter=10_000).fit(rows, labels)
    trained = np.append(model.coef_[0], model.intercept_[0])
    print("mean distances of the same and of other images (perceptual, average, difference, colour):")
    print(" ", rows[labels == 1].mean(0).round(2), rows[labels == 0].mean(0).round(2))
    print("trained weights:", trained.round(3))
    for name, weights in [("by hand", BY_HAND), ("trained", trained)]:
        p = probability(weights, test_rows)
        same, other = p[test_labels == 1], p[test_labels == 0]
        print(f"{name}: log loss {log_loss(test_labels, p):.3f}, AUC {roc_auc_score(test_labels, p):.4f}, "
              f"same images below 0.8: {(same < 0.8).mean():.1%}, other images above 0.2: {(other > 0.2).mean():.1%}")


main()
