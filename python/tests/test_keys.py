"""Keys, signatures and keyfiles, in both directions with Bittensor's wallet."""

import os
import pickle
import stat
import tempfile
import unittest
from pathlib import Path

import taonet
from bittensor_wallet import Keyfile, Keypair, Wallet
from sdk import keypair

PASSWORD = "a-Long-passw0rd!"
MNEMONIC = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
MESSAGES = [b"", b"hello", "hello", "0x00ff", "héllo τ", b"long " * 1000]


class Signatures(unittest.TestCase):
    def test_signatures_verify_in_both_implementations(self):
        ours, theirs = taonet.Keypair.from_uri("//Alice"), keypair("//Alice")
        self.assertEqual((ours.address, ours.public_key), (theirs.ss58_address, bytes(theirs.public_key)))
        for message in MESSAGES:
            with self.subTest(message=message[:20]):
                self.assertTrue(theirs.verify(message, ours.sign(message)))
                self.assertTrue(ours.verify(message, theirs.sign(message)))
                self.assertTrue(taonet.verify(ours.address, message, "0x" + theirs.sign(message).hex()))

    def test_ed25519_signatures_verify_in_both_implementations(self):
        ours, theirs = taonet.Keypair.from_uri("//Alice", crypto_type="ed25519"), Keypair.create_from_uri("//Alice", 0)
        self.assertEqual((ours.address, ours.crypto_type), (theirs.ss58_address, "ed25519"))
        self.assertTrue(theirs.verify(b"hello", ours.sign(b"hello")))
        self.assertTrue(taonet.verify(ours.address, b"hello", theirs.sign(b"hello"), crypto_type="ed25519"))
        self.assertFalse(taonet.verify(ours.address, b"hello", theirs.sign(b"hello")))

    def test_wrong_signatures_are_invalid(self):
        alice, bob = taonet.Keypair.from_uri("//Alice"), taonet.Keypair.from_uri("//Bob")
        signature = alice.sign(b"hello")
        for signer, message, signature in [
            (bob, b"hello", signature), (alice, b"hullo", signature), (alice, b"hello", signature[:63]),
            (alice, b"hello", "0xzz"), (alice, b"hello", b""), (alice, b"hello", bytes(64)),
        ]:
            self.assertFalse(taonet.verify(signer.address, message, signature))
            self.assertEqual(taonet.verify_batch([(signer.address, message, signature)]), [False])
        wrapped = alice.sign(b"<Bytes>hello</Bytes>")
        self.assertFalse(taonet.verify(alice.address, b"hello", wrapped))
        self.assertTrue(taonet.verify(alice.address, b"hello", wrapped, wrapped=True))

    def test_batch_equals_single_verification(self):
        pairs = [taonet.Keypair.from_uri(f"//{number}") for number in range(5)]
        items = [(pair.address, f"message {at}", pair.sign(f"message {at}")) for at in range(60) for pair in pairs]
        for at in (3, 150, 299):
            items[at] = (items[at][0], "another", items[at][2])
        items[200] = (*items[200][:2], "malformed")
        expected = [taonet.verify(*item) for item in items]
        self.assertEqual(expected.count(False), 4)
        self.assertEqual(taonet.verify_batch(items), expected)

    def test_malformed_arguments_are_errors(self):
        for call, error, message in [
            (lambda: taonet.verify("5Grw", b"", bytes(64)), ValueError, "address"),
            (lambda: taonet.Keypair.from_seed(b"short"), ValueError, "seed has 5 bytes, expected 32"),
            (lambda: taonet.Keypair.from_uri("//Alice", crypto_type="rsa"), ValueError, "unknown signature scheme"),
            (lambda: taonet.Keypair.from_uri("not a mnemonic"), taonet.WalletError, "mnemonic has 3 words"),
            (lambda: taonet.Keypair.from_uri("//Alice").sign("0xzz"), ValueError, "not hex"),
            (lambda: taonet.Keypair.from_uri("//Alice").sign(5), TypeError, "expected bytes or str, got int"),
            (lambda: taonet.Keypair.from_uri("//Alice").sign("\ud800"), UnicodeEncodeError, "surrogates"),
            (lambda: taonet.verify_batch([("bad", b"", b"")]), ValueError, r'items\[0\]: "bad": address has 3 bytes'),
            (lambda: taonet.generate_mnemonic(13), ValueError, "13 words"),
        ]:
            with self.assertRaisesRegex(error, message):
                call()

    def test_secrets_are_neither_shown_nor_pickled(self):
        pair = taonet.Keypair.from_uri(MNEMONIC)
        keyfile = taonet.Keyfile.from_mnemonic(MNEMONIC)
        self.assertEqual(repr(pair), f"Keypair({pair.address})")
        self.assertEqual(repr(keyfile), f"Keyfile({pair.address}, secret)")
        for secret in (pair, keyfile):
            self.assertRaises(TypeError, pickle.dumps, secret)
            self.assertFalse([name for name in dir(secret) if "secret" in name or "private" in name])
        with self.assertRaises(taonet.WalletError) as raised:
            taonet.Keypair.from_uri(MNEMONIC.replace("walk", "wolk"))
        self.assertNotIn("wolk", str(raised.exception))


class Keyfiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_sdk_wallet_decrypts_our_keyfile(self):
        path = self.folder / "coldkey"
        path.write_bytes(taonet.Keyfile.from_mnemonic(MNEMONIC).encrypt(PASSWORD))
        path.chmod(0o600)
        self.assertTrue(path.read_bytes().startswith(b"$NACL"))
        theirs = Keyfile(str(path)).get_keypair(PASSWORD)
        self.assertEqual(theirs.ss58_address, taonet.Keypair.from_uri(MNEMONIC).address)

    def test_our_wallet_decrypts_sdk_keyfile(self):
        path = self.folder / "coldkey"
        theirs = Keypair.create_from_mnemonic(MNEMONIC)
        Keyfile(str(path)).set_keypair(theirs, encrypt=True, password=PASSWORD)
        ours = taonet.Keyfile.read(path, PASSWORD)
        self.assertEqual(ours.address, theirs.ss58_address)
        self.assertTrue(theirs.verify(b"hello", ours.keypair.sign(b"hello")))
        with self.assertRaisesRegex(taonet.WrongPasswordError, "wrong password"):
            taonet.Keyfile.read(path, "another-Passw0rd?")
        with self.assertRaisesRegex(taonet.WalletError, "hint: provide the password"):
            taonet.Keyfile.read(path)

    def test_sdk_wallet_reads_our_wallet(self):
        wallet = taonet.Wallet("mine", "first", self.folder)
        coldkey = taonet.Keyfile.from_mnemonic(MNEMONIC)
        hotkey = taonet.Keyfile.from_mnemonic(taonet.generate_mnemonic())
        wallet.write_coldkey(coldkey, PASSWORD)
        wallet.write_hotkey(hotkey)
        self.assertEqual((wallet.coldkey_address, wallet.hotkey_address), (coldkey.address, hotkey.address))
        self.assertEqual(wallet.open_hotkey().address, hotkey.address)
        self.assertEqual(wallet.open_coldkey(PASSWORD).address, coldkey.address)
        theirs = Wallet("mine", "first", str(self.folder))
        self.assertEqual(theirs.hotkey.ss58_address, hotkey.address)
        self.assertEqual(theirs.coldkeypub.ss58_address, coldkey.address)
        file = self.folder / "mine" / "hotkeys" / "first"
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        with self.assertRaisesRegex(taonet.WalletError, "already exists"):
            wallet.write_hotkey(coldkey)
        wallet.write_hotkey(coldkey, overwrite=True)
        self.assertEqual(wallet.hotkey_address, coldkey.address)

    def test_weak_passwords_and_invalid_names_are_refused(self):
        with self.assertRaises(taonet.WalletError):
            taonet.Keyfile.from_mnemonic(MNEMONIC).encrypt("weak")
        with self.assertRaisesRegex(ValueError, "invalid wallet or hotkey name"):
            taonet.Wallet("../outside")
        with self.assertRaisesRegex(taonet.WalletError, "cannot read"):
            taonet.Wallet("none", path=self.folder).open_hotkey()
        damaged = self.folder / "damaged"
        damaged.write_bytes(b"\xff\xfe{")
        with self.assertRaisesRegex(taonet.WalletError, "not JSON"):
            taonet.Keyfile.read(damaged)


if __name__ == "__main__":
    unittest.main()
