"""The miner without a chain: `python -m unittest discover --start-directory tests`."""

import asyncio
import unittest
from types import SimpleNamespace

import bittensor as bt

from summing_subnet_miner import Miner, Sum

LARGEST = 2**63 - 1


def request(a, b, hotkey="validator"):
    return Sum(a=a, b=b, dendrite=bt.TerminalInfo(hotkey=hotkey))


class MinerTest(unittest.TestCase):
    def setUp(self):
        self.miner = Miner()
        hotkeys, permits = ["validator", "miner"], [True, False]
        self.miner.update(SimpleNamespace(hotkeys=hotkeys, validator_permit=permits, S=[7.5, 9.0]))

    def test_numbers_are_added(self):
        for a, b, expected in ((1, 2, 3), (-5, 5, 0), (LARGEST, 1, -LARGEST - 1), (-LARGEST, -2, LARGEST)):
            answer = asyncio.run(self.miner.forward(request(a, b)))
            self.assertEqual((answer.a, answer.b, answer.sum), (a, b, expected))

    def test_callers_need_a_validator_permit(self):
        for hotkey, is_refused in (("validator", False), ("miner", True), ("stranger", True)):
            refused, _ = asyncio.run(self.miner.blacklist(request(1, 2, hotkey)))
            self.assertEqual(refused, is_refused, hotkey)

    def test_priority_is_stake(self):
        for hotkey, stake in (("validator", 7.5), ("stranger", 0.0)):
            self.assertEqual(asyncio.run(self.miner.priority(request(1, 2, hotkey))), stake)

    def test_protocol_matches_the_rust_package(self):
        self.assertEqual(Sum.__name__, "Sum")
        headers = Sum(a=20, b=-3).to_headers()
        # The same value as in the tests of taonet's kit.
        self.assertTrue(headers["computed_body_hash"].startswith("2df16034d493560f"))
        self.assertEqual(headers["bt_header_input_obj_a"], "MA==")


if __name__ == "__main__":
    unittest.main()
