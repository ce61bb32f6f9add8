"""Wallets of development keys, as SDK 10 writes them."""
import tempfile

from bittensor_wallet import Keypair, Wallet


def wallet(coldkey, hotkey):
    """Writes a wallet with the keys of URIs such as //Alice to a temporary directory."""
    made = Wallet(name=coldkey.strip("/"), hotkey=hotkey.strip("/"), path=tempfile.mkdtemp())
    cold = Keypair.create_from_uri(coldkey)
    made.set_coldkey(cold, encrypt=False, overwrite=True)
    made.set_coldkeypub(cold, encrypt=False, overwrite=True)
    made.set_hotkey(Keypair.create_from_uri(hotkey), encrypt=False, overwrite=True)
    return made
