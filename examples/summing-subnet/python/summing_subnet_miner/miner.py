"""What the miner answers, and to whom."""

from typing import Dict, Tuple

from .protocol import Sum


class Miner:
    """Adds the numbers of requests by neurons with a validator permit; those with more stake are served first."""

    def __init__(self) -> None:
        self.stakes: Dict[str, float] = {}

    def update(self, metagraph) -> None:
        """Replaces the permitted callers by those of a metagraph."""
        neurons = zip(metagraph.hotkeys, metagraph.validator_permit, metagraph.S)
        self.stakes = {hotkey: float(stake) for hotkey, permit, stake in neurons if permit}

    async def forward(self, synapse: Sum) -> Sum:
        """Answers a request. Work that takes long belongs in `await asyncio.to_thread(...)`: otherwise it delays all
        other requests.
        """
        # Wraps around as a 64-bit number does: a validator can send any numbers.
        synapse.sum = (synapse.a + synapse.b + 2**63) % 2**64 - 2**63
        return synapse

    # The SDK requires these signatures.
    async def blacklist(self, synapse: Sum) -> Tuple[bool, str]:
        """Refuses callers without a validator permit."""
        if synapse.dendrite.hotkey in self.stakes:
            return False, "validator permit"
        return True, "no validator permit"

    async def priority(self, synapse: Sum) -> float:
        """Orders waiting requests by the stake of their callers."""
        return self.stakes.get(synapse.dendrite.hotkey, 0.0)
