"""Types of the extension module. The package `taonet` exports its names."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Callable, Literal, Optional, TypedDict, Union, final

CryptoType = Literal["sr25519", "ed25519"]
Scheme = Union["DendriteScheme", "BtauthScheme", "BabelbitScheme"]
Path = Union[str, "PathLike[str]"]
# A response to a refused request: status, headers and body.
Refusal = tuple[int, list[tuple[bytes, bytes]], bytes]
# A row of weights or bonds: pairs (uid, value in parts of 65535).
Row = list[tuple[int, int]]

__version__: str

class Error(Exception):
    """Base class of the errors of this package."""

class WalletError(Error):
    """A key could not be read, created, encrypted or written."""

class WrongPasswordError(WalletError):
    """The password is wrong, or the keyfile is damaged."""

class SigningError(Error):
    """A request could not be signed."""

class CallError(Error):
    """A call to a neuron failed."""

    status: int
    """The status code that Bittensor's dendrite reports for this error, such as 408 for a timeout."""

class ChainError(Error):
    """A query of the chain failed."""

    retryable: bool
    """Whether the same query may succeed later."""

class LedgerError(Error):
    """Weights were not submitted, or the weight ledger is unusable."""

    retryable: bool
    """Whether the same call may succeed later."""

class ReplayLogError(Error):
    """The replay log could not be opened."""

@final
class Keypair:
    """An sr25519 or ed25519 key pair. Its secret is never shown, and wiped from memory when the object is freed."""

    @staticmethod
    def from_uri(uri: str, *, crypto_type: CryptoType = "sr25519") -> Keypair:
        """Derives a key pair from a URI such as `//Alice`, or from a mnemonic."""
    @staticmethod
    def from_seed(seed: bytes, *, crypto_type: CryptoType = "sr25519") -> Keypair:
        """Creates a key pair from a seed of 32 bytes."""
    @property
    def address(self) -> str:
        """The SS58 address of the public key."""
    @property
    def public_key(self) -> bytes:
        """The 32 bytes of the public key."""
    @property
    def crypto_type(self) -> CryptoType:
        """The signature scheme."""
    def sign(self, message: Union[bytes, str]) -> bytes:
        """Signs a message: bytes, the decoded hex digits of a text after `0x`, or any other text as UTF-8."""
    def verify(self, message: Union[bytes, str], signature: Union[bytes, str]) -> bool:
        """Whether this key signed exactly this message."""

def verify(
    signer: str,
    message: Union[bytes, str],
    signature: Union[bytes, str],
    *,
    crypto_type: CryptoType = "sr25519",
    wrapped: bool = False,
) -> bool:
    """Whether `signer`, an address, signed a message. A malformed signature is not valid; a malformed address is a
    `ValueError`. With `wrapped`, the message may also be signed as `<Bytes>…</Bytes>`, as browser wallets do."""

def verify_batch(items: Sequence[tuple[str, Union[bytes, str], Union[bytes, str]]]) -> list[bool]:
    """Verifies many sr25519 signatures, given as tuples (signer, message, signature). Returns one result for each,
    equal to that of `verify`, but faster."""

def generate_mnemonic(words: Literal[12, 15, 18, 21, 24] = 12) -> str:
    """Generates a mnemonic."""

@final
class Keyfile:
    """The content of a keyfile: a public key and, unless it is a public keyfile, its secret, which is never shown."""

    @staticmethod
    def from_mnemonic(mnemonic: str, *, crypto_type: CryptoType = "sr25519") -> Keyfile:
        """Creates a keyfile from a mnemonic, which the file will contain."""
    @staticmethod
    def from_keypair(keypair: Keypair) -> Keyfile:
        """Creates a keyfile from a key pair."""
    @staticmethod
    def from_bytes(content: bytes, password: Optional[str] = None) -> Keyfile:
        """Parses the content of a keyfile, encrypted or plain. The password is used only if it is encrypted."""
    @staticmethod
    def read(path: Path, password: Optional[str] = None) -> Keyfile:
        """Reads a keyfile, encrypted or plain."""
    def encrypt(self, password: str) -> bytes:
        """Encrypts the keyfile in the format of Bittensor's wallet. Takes seconds and 512 MiB of memory."""
    @property
    def address(self) -> str:
        """The SS58 address of the public key."""
    @property
    def keypair(self) -> Optional[Keypair]:
        """The key pair; `None` if the file has no secret."""

@final
class Wallet:
    """A wallet on disk: a coldkey and its hotkeys, in the layout of Bittensor's tools."""

    def __new__(cls, name: str = "default", hotkey: str = "default", path: Optional[Path] = None) -> Wallet:
        """Names a wallet, which need not exist yet. The default path is `~/.bittensor/wallets`."""
    @property
    def coldkey_address(self) -> str:
        """The address of the coldkey, from its public file."""
    @property
    def hotkey_address(self) -> str:
        """The address of the hotkey, from its public file or a plain keyfile."""
    def open_coldkey(self, password: Optional[str] = None) -> Keypair:
        """Reads the coldkey. Decryption takes seconds and 512 MiB of memory."""
    def open_hotkey(self, password: Optional[str] = None) -> Keypair:
        """Reads the hotkey."""
    def write_coldkey(self, keyfile: Keyfile, password: Optional[str], *, overwrite: bool = False) -> None:
        """Writes the coldkey and its public file, encrypted unless `password` is `None`. With `overwrite`, a backup of
        the old key is kept."""
    def write_hotkey(self, keyfile: Keyfile, password: Optional[str] = None, *, overwrite: bool = False) -> None:
        """Writes the hotkey and its public file, encrypted if a password is given."""

@final
class SynapseClass:
    """A message class of the SDK 10: its name, its signed fields and its fields without a default."""

    def __new__(
        cls, name: str, *, hash_fields: Sequence[str] = (), required: Optional[dict[str, Any]] = None
    ) -> SynapseClass:
        """`hash_fields` are those of the class's `required_hash_fields`, in the same order. `required` has the fields
        without a default, each with the empty value of its type."""
    @property
    def name(self) -> str:
        """The name of the class."""

@final
class DendriteScheme:
    """The signed headers of the SDK 10's dendrite, for these message classes and the base class `Synapse`."""

    def __new__(cls, classes: Sequence[SynapseClass] = ()) -> DendriteScheme: ...

@final
class BtauthScheme:
    """`btauth/1`, the scheme of the SDK 11: the signature covers method, path, body, sender and receiver."""

    def __new__(cls, *, accept_unbound: bool = False) -> BtauthScheme:
        """With `accept_unbound`, a server also accepts requests that name no receiver. Any server that gets such a
        request can forward it to another one."""

@final
class BabelbitScheme:
    """The signed headers of Babelbit's validators. A server accepts both of their forms."""

    def __new__(cls, *, sign_body: bool = False) -> BabelbitScheme:
        """With `sign_body`, a client signs the body's hash, as the arena's gateway does for managed miners; otherwise
        no body is signed."""

@final
class Peer:
    """The hotkey and address of a neuron to call."""

    def __new__(cls, hotkey: str, host: str, port: int) -> Peer: ...
    @property
    def hotkey(self) -> str:
        """The neuron's hotkey."""
    @property
    def host(self) -> str:
        """The IP address or host name."""
    @property
    def port(self) -> int:
        """The port."""
    def url(self, path: str) -> str:
        """Returns `http://host:port/path`."""
    def __hash__(self) -> int: ...

@final
class Signer:
    """Creates the signed headers of requests, for any HTTP client. Create one signer per key and process: its nonces
    increase strictly."""

    def __new__(cls, keypair: Keypair, scheme: Scheme, *, external_ip: str = "0.0.0.0") -> Signer: ...
    def headers(
        self,
        peer: Peer,
        path: str,
        body: Union[bytes, str] = "",
        *,
        method: str = "POST",
        name: Optional[str] = None,
        timeout: float = 12.0,
    ) -> list[tuple[str, str]]:
        """Returns the headers of one request, whose body must be sent unchanged. `name` is the message class of
        `DendriteScheme`, by default the path."""
    @property
    def hotkey(self) -> str:
        """The hotkey that signs."""

@final
class Call:
    """A request before it is addressed and signed."""

    def __new__(
        cls,
        path: str,
        body: Union[bytes, str] = "",
        *,
        method: str = "POST",
        name: Optional[str] = None,
        headers: Sequence[tuple[str, str]] = (),
        timeout: float = 12.0,
        retry: Literal["never", "unsent", "idempotent"] = "unsent",
        max_response_bytes: Optional[int] = None,
    ) -> Call:
        """`retry` is "never", "unsent" (only if the peer cannot have received the request) or "idempotent" (also after
        lost connections and the statuses 502, 503 and 504)."""

@final
class Response:
    """A complete response, with any status."""

    @property
    def status(self) -> int:
        """The HTTP status code."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers, with names in lower case."""
    @property
    def body(self) -> bytes:
        """The body; unless the status is 2xx, at most its first 16 KiB."""
    def header(self, name: str) -> Optional[str]:
        """Returns the first header of this name; `None` if there is none."""
    def json(self) -> Any:
        """Parses the body as JSON."""

@final
class Reply:
    """The result of one of several calls: a response or an error."""

    @property
    def peer(self) -> Peer:
        """The neuron that was called."""
    @property
    def response(self) -> Optional[Response]:
        """The response; `None` after an error."""
    @property
    def error(self) -> Optional[CallError]:
        """The error; `None` if there is a response."""
    @property
    def code(self) -> str:
        """The name of Bittensor's return code, such as "Success" or "Timeout"."""
    @property
    def seconds(self) -> float:
        """The duration of the call, in seconds."""

@final
class ResponseStream(Iterator[bytes]):
    """A streaming response: an iterator over the chunks of its body, within the call's timeout."""

    @property
    def status(self) -> int:
        """The HTTP status code."""
    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers, with names in lower case."""
    def __next__(self) -> bytes: ...

@final
class SignedClient:
    """A client that signs its requests and reuses its connections. Its methods may be called from several threads."""

    def __new__(
        cls,
        keypair: Keypair,
        scheme: Scheme,
        *,
        external_ip: str = "0.0.0.0",
        max_response_bytes: int = 16_777_216,
        public_only: bool = False,
    ) -> SignedClient:
        """With `public_only`, peers must have public addresses: use it if the addresses come from the chain."""
    def call(self, peer: Peer, call: Call) -> Response:
        """Calls a peer and returns the complete response with any status."""
    def call_all(self, calls: Sequence[tuple[Peer, Call]], *, at_once: int = 256) -> list[Reply]:
        """Calls many peers concurrently, at most `at_once` at a time. Returns one reply per call, in the order of the
        calls."""
    def stream(self, peer: Peer, call: Call) -> ResponseStream:
        """Calls a peer and returns its response as soon as its head arrives."""
    @property
    def hotkey(self) -> str:
        """The hotkey that signs."""

@final
class Standings:
    """Stakes and validator permits by hotkey, shared by a policy and the code that updates them."""

    def __new__(cls) -> Standings: ...
    def update(self, metagraph: Metagraph) -> None:
        """Replaces all standings by those of a metagraph."""
    def replace(self, standings: Mapping[str, tuple[int, bool]]) -> None:
        """Replaces all standings by these tuples (stake in rao, validator permit)."""

@final
class Policy:
    """The access policy: which callers with a valid signature may call. By default, all of them."""

    def __new__(
        cls,
        *,
        allowed: Optional[Sequence[str]] = None,
        blocked: Sequence[str] = (),
        standings: Optional[Standings] = None,
        registered_only: bool = False,
        min_stake: int = 0,
        validators_only: bool = False,
    ) -> Policy: ...

@final
class Limits:
    """The limits on each request, and on all of them together."""

    def __new__(
        cls,
        *,
        body_bytes: int = 1_048_576,
        large_bodies_bytes: int = 67_108_864,
        body_timeout: float = 10.0,
        answer_timeout: float = 300.0,
        header_bytes: int = 16_384,
        rate: Optional[int] = None,
        burst: Optional[int] = None,
        running: Optional[int] = None,
        waiting: int = 1024,
        patience: float = 10.0,
    ) -> Limits:
        """Times are in seconds. `large_bodies_bytes` is the memory for all bodies together, of which the first 64 KiB
        of each do not count. `rate` is the number of requests per second of one hotkey, `burst` the capacity of its
        bucket; `running` is the number of concurrent requests, and `waiting` that of queued ones. A request waits in
        the queue for at most `patience`."""

@final
class Caller:
    """The verified sender of a request."""

    @property
    def hotkey(self) -> str:
        """The hotkey that signed the request."""
    @property
    def nonce(self) -> int:
        """The time of signing, in nanoseconds since the Unix epoch."""
    @property
    def uuid(self) -> Optional[str]:
        """The calling process, in schemes with a process UUID."""
    @property
    def stake(self) -> int:
        """The hotkey's stake in rao; 0 without standings."""
    @property
    def validator_permit(self) -> bool:
        """Whether the hotkey has a validator permit."""

@final
class Verifier:
    """The checks of requests to one hotkey, for `taonet.SignedMiddleware`."""

    def __new__(
        cls,
        hotkey: str,
        scheme: Scheme,
        *,
        policy: Optional[Policy] = None,
        limits: Optional[Limits] = None,
        replay_log: Optional[Path] = None,
    ) -> Verifier: ...
    @property
    def body_timeout(self) -> float: ...
    @property
    def answer_timeout(self) -> float: ...
    def request(
        self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> Optional[Request]: ...

@final
class Request:
    """One request while it is checked, for `taonet.SignedMiddleware`."""

    def begin(self) -> Optional[Refusal]: ...
    def feed(self, chunk: bytes) -> Optional[Refusal]: ...
    def finish(self) -> Optional[Refusal]: ...
    def enter(self, done: Callable[[], object]) -> bool: ...
    def entered(self) -> Optional[Refusal]: ...
    def timed_out(self, part: Literal["body", "answer"]) -> Refusal: ...
    def take_body(self) -> bytes: ...
    def complete(self, status: int) -> list[tuple[bytes, bytes]]: ...
    def close(self) -> None: ...
    @property
    def caller(self) -> Optional[Caller]: ...

@final
class Block:
    """A block, identified by height and hash."""

    @property
    def number(self) -> int:
        """The block height."""
    @property
    def hash(self) -> str:
        """The hash of the block header, as `0x` and 64 hex digits."""
    def __hash__(self) -> int: ...

class Schedule(TypedDict):
    """The epoch schedule of a subnet."""

    tempo: int
    last_epoch: int
    pending_epoch: Optional[int]
    epoch_index: int

class CommitReveal(TypedDict):
    """The commit-reveal parameters of a subnet."""

    period_epochs: int
    version: int

class WeightRules(TypedDict):
    """A subnet's limits on weights and its epoch schedule."""

    neurons: int
    min_allowed_weights: int
    max_weights_limit: int
    version_key: int
    rate_limit_blocks: int
    commit_reveal: Optional[CommitReveal]
    mechanisms: int
    schedule: Schedule

@final
class Client:
    """A client of a Subtensor node. Every read releases the GIL, and ends within two block times."""

    def __new__(cls, network: str = "finney") -> Client:
        """Connects to the first node that responds: "finney", "test", "archive", "local", or WebSocket URLs separated
        by commas."""
    @property
    def genesis(self) -> str:
        """The genesis hash, which identifies the chain."""
    def head(self, *, finalized: bool = False) -> Block:
        """Returns the newest block, or the newest finalized one."""
    def metagraph(self, netuid: int, *, mech: int = 0, full: bool = False, block: Optional[int] = None) -> Metagraph:
        """Returns a subnet and its neurons; with `full`, also their weights and bonds."""
    def uid(self, netuid: int, hotkey: str, *, block: Optional[int] = None) -> Optional[int]:
        """Returns the uid of a hotkey; `None` if it is not registered on the subnet."""
    def weight_rules(self, netuid: int, *, block: Optional[int] = None) -> WeightRules:
        """Returns a subnet's limits on weights and its epoch schedule."""

@final
class Metagraph:
    """A subnet and its neurons at one block. Neuron `i` has uid `i`."""

    @property
    def netuid(self) -> int:
        """The subnet's netuid."""
    @property
    def mech(self) -> int:
        """The mechanism whose incentives, weights and bonds are listed."""
    @property
    def block(self) -> Block:
        """The block at which the metagraph was read."""
    @property
    def name(self) -> str:
        """The subnet's name."""
    @property
    def tempo(self) -> int:
        """The number of blocks between two epochs."""
    @property
    def n(self) -> int:
        """The number of neurons."""
    @property
    def neurons(self) -> list[Neuron]:
        """The neurons, in the order of their uids."""
    @property
    def hotkeys(self) -> list[str]:
        """The neurons' hotkeys."""
    @property
    def coldkeys(self) -> list[str]:
        """The neurons' coldkeys."""
    def neuron(self, hotkey: str) -> Optional[Neuron]:
        """Returns the neuron with this hotkey; `None` if it is not registered."""
    @property
    def S(self) -> list[float]:
        """The stake weights: alpha plus weighted TAO, in TAO."""
    @property
    def I(self) -> list[float]:
        """The incentives: shares of the miners' emission."""
    @property
    def E(self) -> list[float]:
        """The emissions in the last epoch, in alpha."""
    @property
    def C(self) -> list[float]:
        """The consensus weights."""
    @property
    def Tv(self) -> list[float]:
        """The validator trust values."""
    @property
    def D(self) -> list[float]:
        """The dividends: shares of the validators' emission."""
    @property
    def W(self) -> Optional[list[list[float]]]:
        """The weight matrix, each row with a sum of 1; `None` unless read with `full`."""
    @property
    def B(self) -> Optional[list[list[float]]]:
        """The bond matrix, in 0..=1; `None` unless read with `full`."""
    @property
    def weights(self) -> Optional[list[Row]]:
        """The weights as pairs (uid, parts of 65535) by uid; `None` unless read with `full`."""
    @property
    def bonds(self) -> Optional[list[Row]]:
        """The bonds as pairs (uid, parts of 65535) by uid; `None` unless read with `full`."""
    def to_dict(self) -> dict[str, Any]:
        """Returns the metagraph as a dictionary that can be written as JSON."""
    def __len__(self) -> int: ...

@final
class Neuron:
    """A neuron at one block. Amounts are in rao; shares are parts of 65535."""

    @property
    def uid(self) -> int:
        """The neuron's uid."""
    @property
    def hotkey(self) -> str:
        """The neuron's hotkey."""
    @property
    def coldkey(self) -> str:
        """The coldkey that owns the hotkey."""
    @property
    def active(self) -> bool:
        """Whether the neuron set weights recently."""
    @property
    def validator_permit(self) -> bool:
        """Whether the neuron has a validator permit."""
    @property
    def axon(self) -> Optional[tuple[str, int]]:
        """The published address, as a tuple (IP address, port); `None` if the neuron publishes none."""
    @property
    def is_public(self) -> bool:
        """Whether the published address is one of the public internet."""
    @property
    def total_stake(self) -> int:
        """The stake weight: alpha plus weighted TAO."""
    @property
    def alpha_stake(self) -> int:
        """The alpha staked on the neuron."""
    @property
    def tao_stake(self) -> int:
        """The TAO staked on the neuron on the root network."""
    @property
    def consensus(self) -> int:
        """The consensus weight."""
    @property
    def incentive(self) -> int:
        """The share of the miners' emission."""
    @property
    def dividends(self) -> int:
        """The share of the validators' emission."""
    @property
    def validator_trust(self) -> int:
        """The share of the neuron's weights that remains after clipping to consensus."""
    @property
    def emission(self) -> int:
        """The emission in the last epoch, in the smallest unit of alpha."""
    @property
    def last_update(self) -> int:
        """The block at which the neuron last set weights."""
    @property
    def registered_at(self) -> int:
        """The block of the neuron's registration."""

@final
class WeightLedger:
    """Submits the weights of one hotkey, once per epoch, even after a crash. Only one process at a time can open the
    ledger of a directory."""

    def __new__(cls, directory: Path, client: Client, keypair: Keypair) -> WeightLedger:
        """Opens the ledger in a directory, which is created if it is missing, for the hotkey `keypair`."""
    def submit(
        self, netuid: int, scores: Mapping[int, float], *, state_block: int, version_key: int = 0, mech: int = 0
    ) -> Submission:
        """Submits scores by uid as weights within the subnet's limits, in the current epoch. `state_block` is the block
        of the state that they are based on. A second call in the same epoch returns the first submission."""
    def advance(self) -> list[Union[Submission, LedgerError]]:
        """Advances all unfinished submissions: call it after a start and after every block. Returns the result of each,
        a `Submission` or a `LedgerError`."""
    def follow(self, netuid: int, epoch: int, *, mech: int = 0) -> Submission:
        """Advances the submission of an epoch and returns it."""
    def retry(self, netuid: int, epoch: int, *, mech: int = 0) -> Submission:
        """Signs again after a refusal by the chain, such as a rate limit, if at most one of the two can take effect."""
    def close(self) -> None:
        """Closes the ledger, so that another process can open it."""
    def __enter__(self) -> WeightLedger: ...
    def __exit__(
        self,
        _type: Optional[type[BaseException]],
        _value: Optional[BaseException],
        _traceback: Optional[TracebackType],
    ) -> None: ...

def read_ledger(directory: Path, limit: int = 20) -> list[Submission]:
    """Reads the latest submissions of the ledger in a directory, newest first, even while another process uses it."""

@final
class Submission:
    """The weights of one epoch, and the extrinsics that submit them."""

    @property
    def netuid(self) -> int: ...
    @property
    def mech(self) -> int: ...
    @property
    def epoch(self) -> int:
        """The index of the subnet's epoch."""
    @property
    def weights(self) -> Row:
        """The weights as pairs (uid, weight)."""
    @property
    def state(self) -> Literal["open", "done", "missed"]:
        """Whether the submission is unfinished, in a finalized block, or too late."""
    @property
    def is_refused(self) -> bool:
        """Whether the chain refused the latest extrinsic, in which case only `retry` signs again."""
    @property
    def extrinsics(self) -> list[Extrinsic]:
        """The extrinsics of the submission: the weights or a commit to them, then a reveal if one is required."""

@final
class Extrinsic:
    """A signed extrinsic of a submission."""

    @property
    def step(self) -> Literal["submit", "reveal"]:
        """What the extrinsic does."""
    @property
    def hash(self) -> str:
        """The hash of the extrinsic, as `0x` and 64 hex digits."""
    @property
    def state(self) -> str:
        """The state, such as "sent", "included", "finalized" or "failed"."""
    @property
    def block(self) -> Optional[int]:
        """The height of the block that includes the extrinsic; `None` if no block does."""
    @property
    def error(self) -> Optional[str]:
        """Why the chain refused the extrinsic or its call; `None` if it did not."""

class _EpochInput(TypedDict):
    n: int
    block: int
    tempo: int
    activity_cutoff: int
    emission: int
    stake: list[int]
    stake_threshold: int
    max_validators: int
    validator_permit: list[bool]
    last_update: list[int]
    block_at_registration: list[int]
    weights: Sequence[Sequence[Sequence[int]]]
    bonds: Sequence[Sequence[Sequence[int]]]
    kappa: int
    bonds_penalty: int
    bonds_moving_average: int
    yuma3: bool
    liquid_alpha: bool
    alpha_low: int
    alpha_high: int
    alpha_sigmoid_steepness: int

class EpochInput(_EpochInput, total=False):
    """The state of one mechanism of a subnet at its epoch. Every list has one item per neuron, ordered by uid."""

    last_mechanism_step: int
    owner_uid: Optional[int]
    commit_blocks: Optional[list[Optional[int]]]
    liquid_alpha_consensus: Optional[list[int]]

class EpochOutput(TypedDict):
    """The result of an epoch. Every list has one item per neuron; shares are parts of 65535, amounts rao."""

    active: list[bool]
    stake_weight: list[int]
    new_validator_permit: list[bool]
    consensus: list[int]
    validator_trust: list[int]
    incentive: list[int]
    dividends: list[int]
    server_emission: list[int]
    validator_emission: list[int]
    emission: list[int]
    bonds: list[Row]

def yuma(epoch: EpochInput, *, dense: bool = False) -> EpochOutput:
    """Computes one epoch of Yuma consensus, bit for bit as the chain does. With `dense`, it follows the chain's dense
    path."""
