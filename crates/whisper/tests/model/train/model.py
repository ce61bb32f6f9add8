"""Whisper's network, with a second output on the encoder (the letter heard in each frame) that only the training uses."""
import math

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, HEADS, ENCODER_LAYERS, DECODER_LAYERS, MELS, CHARACTERS = 192, 3, 4, 3, 80, " abcdefghijklmnopqrstuvwxyz'"
# Decoder layers in which head 0 is taught to look at the word that comes next.
GUIDED = (1, 2)


def sinusoids(length, width):
    rate = torch.exp(-math.log(10000) / (width // 2 - 1) * torch.arange(width // 2))
    turn = torch.arange(length)[:, None] * rate[None]
    return torch.cat([turn.sin(), turn.cos()], 1)


def attend(query, key, value, causal):
    """Attention by plain matrix products: on a CPU its backward pass is faster than that of PyTorch's fused kernel."""
    if not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    with torch.autocast("cpu", enabled=False):
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        if causal:
            scores = scores + torch.full(scores.shape[2:], -1e4, dtype=scores.dtype).triu(1)
        return scores.softmax(-1) @ value


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def split(self, x):
        return x.view(x.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2)

    def forward(self, x, memory=None, causal=False, weights=False):
        """Returns the output, and the attention of head 0 (`weights` True) or of all heads ("all")."""
        x = self.norm(x)
        source = x if memory is None else memory
        query, key, value = self.split(self.query(x)), self.split(self.key(source)), self.split(self.value(source))
        mixed = attend(query, key, value, causal)
        seen = None
        if weights:
            heads = slice(None) if weights == "all" else slice(0, 1)
            seen = (query[:, heads] @ key[:, heads].transpose(2, 3)).float() * (WIDTH // HEADS) ** -0.5
        return self.out(mixed.transpose(1, 2).reshape(x.shape)), seen


class Layer(nn.Module):
    def __init__(self, cross):
        super().__init__()
        self.attention = Attention()
        self.cross = Attention() if cross else None
        self.norm = nn.LayerNorm(WIDTH)
        self.expand = nn.Linear(WIDTH, 4 * WIDTH)
        self.contract = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, memory=None, weights=False):
        x = x + self.attention(x, causal=self.cross is not None)[0]
        seen = None
        if self.cross is not None:
            heard, seen = self.cross(x, memory, weights=weights)
            x = x + heard
        return x + self.contract(F.gelu(self.expand(self.norm(x)))), seen


class Whisper(nn.Module):
    def __init__(self, tokens):
        super().__init__()
        self.conv1 = nn.Conv1d(MELS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.register_buffer("positions", sinusoids(1500, WIDTH), persistent=False)
        self.encoder = nn.ModuleList(Layer(False) for _ in range(ENCODER_LAYERS))
        self.encoder_norm = nn.LayerNorm(WIDTH)
        self.characters = nn.Linear(WIDTH, len(CHARACTERS) + 1)
        self.embeddings = nn.Parameter(torch.randn(tokens, WIDTH) * 0.04)
        self.decoder_positions = nn.Parameter(torch.randn(448, WIDTH) * 0.02)
        self.decoder = nn.ModuleList(Layer(True) for _ in range(DECODER_LAYERS))
        self.decoder_norm = nn.LayerNorm(WIDTH)
        self.initialize()

    @torch.no_grad()
    def initialize(self):
        # Neighbouring times start with similar embeddings.
        self.embeddings[-1501:] = sinusoids(1501, WIDTH) * 0.057
        for layer in [*self.encoder, *self.decoder]:
            layer.contract.weight.mul_(0.3)
            for attention in filter(None, (layer.attention, layer.cross)):
                attention.out.weight.mul_(0.3)
        # The encoder's heads start by looking at a fixed distance: from a product of sines and cosines.
        half, size = WIDTH // 2, WIDTH // HEADS // 2
        rate = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half))
        for i, layer in enumerate(self.encoder):
            for head, distance in enumerate((-2 - i, 0, 2 + i)):
                first = 8 if head == 1 else 0
                for k in range(size):
                    row, f = head * 2 * size + k, first + k
                    cos, sin = math.cos(rate[f] * distance), math.sin(rate[f] * distance)
                    query, key = layer.attention.query.weight, layer.attention.key.weight
                    query[row, f] += 1.2
                    query[row + size, half + f] += 1.2
                    # sin and cos of the position minus the distance
                    key[row, f] += 1.2 * cos
                    key[row, half + f] -= 1.2 * sin
                    key[row + size, half + f] += 1.2 * cos
                    key[row + size, f] += 1.2 * sin

    def encode(self, mel):
        """Encodes features [batch, 80, frames]; the frames may be fewer than 3000."""
        x = F.gelu(self.conv1(mel))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.positions[:x.shape[1]].to(x.dtype)
        for layer in self.encoder:
            x, _ = layer(x)
        return self.encoder_norm(x)

    def decode(self, tokens, memory, weights=False):
        """Returns the logits, and attention scores per guided layer (or of all layers and heads: weights="all")."""
        x = F.embedding(tokens, self.embeddings) + self.decoder_positions[:tokens.shape[1]]
        x = x.to(memory.dtype)
        scores = []
        for i, layer in enumerate(self.decoder):
            x, seen = layer(x, memory, weights if weights == "all" or i in GUIDED else False)
            if seen is not None:
                scores.append(seen)
        return F.linear(self.decoder_norm(x), self.embeddings), scores
