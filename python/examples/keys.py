"""Creates a wallet in a temporary directory, and signs and verifies with its hotkey."""

import tempfile

import taonet

with tempfile.TemporaryDirectory() as folder:
    wallet = taonet.Wallet("example", "default", folder)
    wallet.write_hotkey(taonet.Keyfile.from_mnemonic(taonet.generate_mnemonic()))
    hotkey = wallet.open_hotkey()

signature = hotkey.sign("hello")
assert taonet.verify(hotkey.address, "hello", signature)
assert not taonet.verify(hotkey.address, "something else", signature)

messages = [f"message {number}" for number in range(1_000)]
results = taonet.verify_batch([(hotkey.address, message, hotkey.sign(message)) for message in messages])
print(f"{hotkey.address} signed {sum(results)} messages")
