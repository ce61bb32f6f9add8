"""Metagraphs and the weight ledger on a development chain, compared with the SDK.

TAONET_TEST_CHAIN is the URL of a chain with subnet 59, where //validator has a permit and //miner//0 and //miner//1 are
registered.
"""

import json
import os
import tempfile
import time
import unittest
from pathlib import Path

import taonet
from sdk import bt
from test_types import fields

URL, NETUID = os.environ["TAONET_TEST_CHAIN"], 59
VALIDATOR = taonet.Keypair.from_uri("//validator")
MINERS = [taonet.Keypair.from_uri(f"//miner//{number}") for number in range(2)]


class Reads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = taonet.Client(URL)

    def test_metagraph_equals_the_sdk_metagraph(self):
        block = self.client.head(finalized=True).number
        ours = self.client.metagraph(NETUID, full=True, block=block)
        theirs = bt.Subtensor(network=URL).metagraph(NETUID, lite=False, block=block)
        self.assertEqual((ours.netuid, ours.n, ours.block.number), (NETUID, int(theirs.n), block))
        self.assertEqual((ours.hotkeys, ours.coldkeys), (theirs.hotkeys, theirs.coldkeys))
        for ours_column, theirs_column in [
            (ours.S, theirs.S), (ours.I, theirs.I), (ours.E, theirs.E), (ours.D, theirs.D), (ours.C, theirs.C),
            (ours.Tv, theirs.Tv),
        ]:
            for mine, other in zip(ours_column, theirs_column):
                self.assertAlmostEqual(mine, float(other), delta=1e-6 * max(1.0, abs(mine)))
        for neuron, permit, update in zip(ours.neurons, theirs.validator_permit, theirs.last_update):
            self.assertEqual((neuron.validator_permit, neuron.last_update), (bool(permit), int(update)))
        self.assertEqual(len(ours.weights), ours.n)

    def test_neurons_are_found_by_hotkey(self):
        graph = self.client.metagraph(NETUID)
        neuron = graph.neuron(VALIDATOR.address)
        self.assertEqual(neuron.uid, self.client.uid(NETUID, VALIDATOR.address))
        self.assertTrue(neuron.validator_permit)
        self.assertEqual(graph.neurons[neuron.uid].hotkey, VALIDATOR.address)
        self.assertIsNone(graph.neuron(taonet.Keypair.from_uri("//nobody").address))
        self.assertIsNone(self.client.uid(NETUID, taonet.Keypair.from_uri("//nobody").address))
        self.assertIsNone(graph.W)
        self.assertEqual(json.loads(json.dumps(graph.to_dict()))["netuid"], NETUID)
        standings = taonet.Standings()
        standings.update(graph)

    def test_weight_rules_have_the_fields_of_the_stubs(self):
        rules = self.client.weight_rules(NETUID)
        self.assertEqual((set(rules), set(rules["schedule"])), (fields("WeightRules"), fields("Schedule")))

    def test_errors_name_the_failure(self):
        with self.assertRaisesRegex(taonet.ChainError, "subnet 60000 does not exist") as raised:
            self.client.metagraph(60_000)
        self.assertFalse(raised.exception.retryable)
        with self.assertRaisesRegex(ValueError, "unknown network nowhere"):
            taonet.Client("nowhere")
        with self.assertRaisesRegex(taonet.ChainError, "no node responded") as raised:
            taonet.Client("ws://127.0.0.1:1")
        self.assertTrue(raised.exception.retryable)


class Ledger(unittest.TestCase):
    def test_weights_of_an_epoch_are_submitted_once(self):
        client = taonet.Client(URL)
        uids = [client.uid(NETUID, miner.address) for miner in MINERS]
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder) / "ledger"
            with taonet.WeightLedger(directory, client, VALIDATOR) as ledger:
                graph = client.metagraph(NETUID)
                # So that both submissions are in one epoch.
                self.wait_for_epoch(client)
                scores = {uids[0]: 0.75, uids[1]: 0.25}
                first = ledger.submit(NETUID, scores, state_block=graph.block.number)
                second = ledger.submit(NETUID, {uids[1]: 1.0}, state_block=graph.block.number)
                self.assertEqual(first.weights, [(uids[0], 65_535), (uids[1], 21_845)])
                self.assertEqual((second.epoch, second.weights), (first.epoch, first.weights))
                [extrinsic] = first.extrinsics
                self.assertEqual((extrinsic.step, extrinsic.error), ("submit", None))
                self.assertEqual(second.extrinsics[0].hash, extrinsic.hash)
                with self.assertRaisesRegex(taonet.LedgerError, "another process is using"):
                    taonet.WeightLedger(directory, client, VALIDATOR)
                until = time.monotonic() + 60
                while ledger.follow(NETUID, first.epoch).state != "done":
                    self.assertLess(time.monotonic(), until)
                    time.sleep(0.5)
                self.assertEqual(ledger.advance(), [])
                with self.assertRaisesRegex(taonet.LedgerError, "no weights for epoch 1000000"):
                    ledger.retry(NETUID, 1_000_000)
                with self.assertRaisesRegex(ValueError, "uid 999 is not on the subnet"):
                    ledger.submit(NETUID, {999: 1.0}, state_block=graph.block.number)
            with self.assertRaisesRegex(RuntimeError, "the weight ledger is closed"):
                ledger.advance()
            [recorded] = taonet.read_ledger(directory)
            self.assertEqual((recorded.state, recorded.weights), ("done", first.weights))
            self.assertEqual(recorded.extrinsics[0].state, "finalized")
        uid = client.uid(NETUID, VALIDATOR.address)
        row = dict(client.metagraph(NETUID, full=True).weights[uid])
        self.assertEqual(set(row), set(uids))
        self.assertAlmostEqual(row[uids[0]] / sum(row.values()), 0.75, delta=1e-4)
        weights = dict(bt.Subtensor(network=URL).weights(NETUID))
        self.assertEqual(dict(weights[uid]), row)

    def wait_for_epoch(self, client):
        epoch = client.weight_rules(NETUID)["schedule"]["epoch_index"]
        until = time.monotonic() + 60
        while client.weight_rules(NETUID)["schedule"]["epoch_index"] == epoch:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.2)


if __name__ == "__main__":
    unittest.main()
