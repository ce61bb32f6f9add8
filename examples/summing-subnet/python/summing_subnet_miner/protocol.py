"""The protocol of the subnet, the same as `Sum` in `src/lib.rs`."""

from typing import ClassVar, Optional

import bittensor as bt


class Sum(bt.Synapse):
    """A request to add two numbers, and its response. Validators sign the fields in `required_hash_fields`."""

    a: int
    b: int
    sum: Optional[int] = None
    required_hash_fields: ClassVar[tuple[str, ...]] = ("a", "b")
