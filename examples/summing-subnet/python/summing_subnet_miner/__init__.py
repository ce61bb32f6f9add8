"""A miner of the subnet in Python, with the Bittensor SDK 10. Its protocol is that of the Rust package beside it:
change `protocol.py` together with `src/lib.rs`.
"""

from .miner import Miner
from .protocol import Sum

__all__ = ["Miner", "Sum"]
