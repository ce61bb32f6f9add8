"""Yuma consensus, compared with the recorded epochs in vectors/yuma."""

import json
import unittest
from pathlib import Path

import taonet

VECTORS = Path(__file__).parents[2] / "vectors" / "yuma"


def read(name):
    return json.loads((VECTORS / name).read_text())


def plain(output):
    """Rows of bonds as lists, as in JSON."""
    return json.loads(json.dumps(output))


class Yuma(unittest.TestCase):
    def test_every_recorded_epoch_is_bit_exact(self):
        cases, fixed = read("cases.json")["cases"], read("fixed.json")["cases"]
        self.assertEqual(len(cases), 112)
        for case in cases:
            with self.subTest(case["id"]):
                self.assertEqual(plain(taonet.yuma(case["input"])), fixed[case["id"]])

    def test_every_random_epoch_is_bit_exact(self):
        cases = read("random.json")["cases"]
        self.assertEqual(len(cases), 200)
        for case in cases:
            with self.subTest(case["id"]):
                self.assertEqual(plain(taonet.yuma(case["input"])), case["fixed"])

    def test_dense_path_differs_only_with_liquid_alpha(self):
        for case in read("random.json")["cases"]:
            if not case["input"]["liquid_alpha"]:
                dense = taonet.yuma(case["input"], dense=True)
                self.assertEqual(dense, taonet.yuma(case["input"]), case["id"])

    def test_invalid_input_names_the_field(self):
        epoch = read("cases.json")["cases"][0]["input"]
        for change, message in [
            ({"stake": [-1]}, r"stake\[0\]: "), ({"n": 70_000}, "n: "), ({"kappa": 0.5}, "kappa: "),
            ({"unknown": 1}, "unknown: |unknown field"), ({"stake": [1, 2]}, "stake: 2 items for 1 neuron"),
            ({"weights": [[[0, 1], [0, 2]]]}, r"weights\[0\]: uid 0 appears twice"),
        ]:
            with self.subTest(change), self.assertRaisesRegex(ValueError, message):
                taonet.yuma({**epoch, **change})
        del epoch["tempo"]
        with self.assertRaisesRegex(ValueError, "missing field `tempo`"):
            taonet.yuma(epoch)
        self.assertRaises(ValueError, taonet.yuma, None)


if __name__ == "__main__":
    unittest.main()
