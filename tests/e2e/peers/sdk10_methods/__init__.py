"""Operations on every public method of `bittensor.Subtensor` and `bittensor.AsyncSubtensor`, once for both classes."""
import contextlib
import inspect
import threading

from bittensor.core.types import ExtrinsicResponse
from bittensor.utils.balance import Balance
from localnet_answers import expect
from sdk10_wallet import wallet

# Name and function of each operation, in the order of execution.
OPERATIONS = []
# Set while an operation waits for blocks.
WAITING = threading.Event()


@contextlib.contextmanager
def blocks():
    """Lets the chain produce blocks steadily. It otherwise produces them for extrinsics only, so that two reads in a
    row are of the same state."""
    WAITING.set()
    try:
        yield
    finally:
        WAITING.clear()


def operation(name):
    """Adds an operation: a coroutine function of a `Client`, which fails if an effect is missing."""

    def add(work):
        OPERATIONS.append((name, work))
        return work

    return add


def tao(amount, netuid=0):
    return Balance.from_tao(amount).set_unit(netuid)


async def rows(found):
    """The entries of a storage map, which the classes iterate over in different ways."""
    return [row async for row in found] if hasattr(found, "__aiter__") else list(found)


def cold(who):
    return who.coldkeypub.ss58_address


def hot(who):
    return who.hotkey.ss58_address


class Client:
    """Calls the methods of a client of the SDK by name, synchronous or not, and records those that succeeded."""

    def __init__(self, subtensor, netuid, block_seconds):
        self.subtensor, self.netuid, self.block_seconds = subtensor, netuid, block_seconds
        # Methods that returned a result other than a failed response, and methods that the SDK itself rejects.
        self.working, self.rejected = set(), set()
        self.alice, self.bob = wallet("//Alice", "//AliceHotkey"), wallet("//Bob", "//BobHotkey")
        self.charlie, self.dave = wallet("//Charlie", "//CharlieHotkey"), wallet("//Dave", "//DaveHotkey")
        # Owner of the subnet and of its first neuron.
        self.owner = wallet("//Alice", "//Alice_hk")

    def __getattr__(self, name):
        method = getattr(self.subtensor, name)

        async def call(*arguments, **options):
            result = method(*arguments, **options)
            if inspect.isawaitable(result):
                result = await result
            if not isinstance(result, ExtrinsicResponse) or result.success:
                self.working.add(name)
            return result

        return call

    async def write(self, name, *arguments, **options):
        """Calls a method that submits an extrinsic, and returns its response if the extrinsic succeeded."""
        response = await getattr(self, name)(*arguments, **options)
        if not response.success:
            raise RuntimeError(f"{name}: {response.message} {response.error or ''}")
        return response

    async def rejects(self, error, name, *arguments, **options):
        """Calls a method that the SDK rejects with this error on every chain, before it builds an extrinsic."""
        response = await getattr(self, name)(*arguments, **options)
        expect(not response.success and error in f"{response.message}" and response.extrinsic is None, response)
        self.rejected.add(name)

    async def rpc(self, method, *parameters):
        """Sends a JSON-RPC request, such as those that control a development chain."""
        answer = self.subtensor.substrate.rpc_request(method, list(parameters))
        return (await answer if inspect.isawaitable(answer) else answer)["result"]

    def forget_nonces(self, who):
        """Clears the nonce of a coldkey after a shielded extrinsic, of which the asynchronous SDK counts one of two."""
        if clear := getattr(self.subtensor.substrate, "clear_nonce_cache_for_account", None):
            clear(cold(who))

    async def set_storage(self, pallet, item, keys, value):
        """Sets a storage item to encoded bytes."""
        key = self.subtensor.substrate.create_storage_key(pallet, item, keys)
        key = await key if inspect.isawaitable(key) else key
        await self.rpc("dev_setStorage", [[key.to_hex(), "0x" + value.hex()]])

    async def mine(self, blocks):
        await self.rpc("dev_mine", blocks)

    async def submit(self, who, module, function, parameters, **options):
        call = await self.compose_call(module, function, parameters)
        return await self.write("sign_and_send_extrinsic", call, who, **options)

    async def sudo(self, module, function, **parameters):
        """Makes a call as root, and fails if it failed."""
        call = await self.compose_call(module, function, parameters)
        receipt = (await self.submit(self.alice, "Sudo", "sudo", {"call": call})).extrinsic_receipt
        events = receipt.triggered_events
        for event in await events if inspect.isawaitable(events) else events:
            if event["event"]["event_id"] == "Sudid":
                expect("Ok" in str(event["event"]["attributes"]), f"{function}: {event['event']['attributes']}")

    async def block_of(self, response):
        """Number of the block that contains an extrinsic."""
        number = self.subtensor.substrate.get_block_number(response.extrinsic_receipt.block_hash)
        return await number if inspect.isawaitable(number) else number

    async def uid(self, who):
        return await self.get_uid_for_hotkey_on_subnet(hot(who), self.netuid)

    async def stake(self, who, netuid=None, hotkey=None):
        return (await self.get_stake(cold(who), hotkey or hot(who), self.netuid if netuid is None else netuid)).rao
