"""The network: Whisper's encoder and decoder with the parameter names of the library transformers.

Training uses three things beyond the model itself, none of which is exported: a phoneme classifier on the encoder's output, the
cross-attention weights (guided to where each token is spoken), and encoder self-attention within blocks of 7.5 s.
"""
import math
import torch
import torch.nn as nn
import torch.nn.functional as F

WIDTH, HEADS, ENCODER_LAYERS, DECODER_LAYERS, POSITIONS, CONTEXT = 256, 4, 4, 3, 1500, 448
# where each encoder head looks at first, in frames of 20 ms: a stack of dilated convolutions to start from
OFFSETS = [(-3, -1, 1, 3), (-6, -2, 2, 6), (-10, -4, 4, 10), (-16, -6, 6, 16)]

POINTERS = [(0, 0, 3, 8), (5, 9, 2, 14), (5, 9, 0, 14)]


def sinusoids(length, channels):
    rate = torch.exp(-math.log(10000) / (channels // 2 - 1) * torch.arange(channels // 2))
    t = torch.arange(length)[:, None] * rate[None]
    return torch.cat([t.sin(), t.cos()], 1)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(d, d), nn.Linear(d, d, bias=False)
        self.v_proj, self.out_proj = nn.Linear(d, d), nn.Linear(d, d)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, memory=None, causal=False):
        m = x if memory is None else memory
        q, k, v = self.split(self.q_proj(x)), self.split(self.k_proj(m)), self.split(self.v_proj(m))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2))

    def weighed(self, x, memory, mask):
        """The same, with the attention weights [batch, heads, tokens, positions] beside it."""
        q, k, v = self.split(self.q_proj(x)), self.split(self.k_proj(memory)), self.split(self.v_proj(memory))
        s = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5)
        a = s.float().masked_fill(~mask[:, None, None], -1e4).softmax(-1)
        return self.out_proj((a.to(v.dtype) @ v).transpose(1, 2).flatten(2)), a

    @torch.no_grad()
    def look_at(self, offsets, gain):
        """Queries and keys begin as rotations of the sinusoids, so that head h attends around its offset."""
        d = self.q_proj.in_features
        size, half = d // self.heads, d // 2
        rate = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half))
        for h, offset in enumerate(offsets):
            for i, f in enumerate(range(0, size, 2)):
                row, turn = h * size + 2 * i, float(rate[f]) * offset
                for w in (self.q_proj.weight, self.k_proj.weight):
                    w[row:row + 2] *= 0.5
                self.q_proj.weight[row, f] += gain * math.cos(turn)
                self.q_proj.weight[row, half + f] += gain * math.sin(turn)
                self.q_proj.weight[row + 1, half + f] += gain * math.cos(turn)
                self.q_proj.weight[row + 1, f] -= gain * math.sin(turn)
                self.k_proj.weight[row, f] += gain
                self.k_proj.weight[row + 1, half + f] += gain


    @torch.no_grad()
    def pass_position(self, heads):
        """The values of these heads begin as the sinusoids that `look_at` reads, written back where they were read."""
        d = self.q_proj.in_features
        size, half = d // self.heads, d // 2
        for h in heads:
            for i, f in enumerate(range(0, size, 2)):
                for row, column in ((h * size + 2 * i, f), (h * size + 2 * i + 1, half + f)):
                    self.v_proj.weight[row, column] += 1.0 / len(heads)
                    self.out_proj.weight[column, row] += 1.0


class Layer(nn.Module):
    def __init__(self, d, heads, cross):
        super().__init__()
        self.self_attn, self.self_attn_layer_norm = Attention(d, heads), nn.LayerNorm(d)
        if cross:
            self.encoder_attn, self.encoder_attn_layer_norm = Attention(d, heads), nn.LayerNorm(d)
        self.fc1, self.fc2, self.final_layer_norm = nn.Linear(d, 4 * d), nn.Linear(4 * d, d), nn.LayerNorm(d)

    def forward(self, x, memory=None, mask=None, drop=0.0):
        p = drop if self.training else 0.0
        x = x + F.dropout(self.self_attn(self.self_attn_layer_norm(x), causal=memory is not None), p)
        a = None
        if memory is not None:
            y, a = self.encoder_attn.weighed(self.encoder_attn_layer_norm(x), memory, mask)
            x = x + F.dropout(y, p)
        return x + F.dropout(self.fc2(F.gelu(self.fc1(self.final_layer_norm(x)))), p), a


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(80, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(POSITIONS, WIDTH)
        self.layers = nn.ModuleList(Layer(WIDTH, HEADS, False) for _ in range(ENCODER_LAYERS))
        self.layer_norm = nn.LayerNorm(WIDTH)
        self.embed_positions.weight.data = sinusoids(POSITIONS, WIDTH)
        self.embed_positions.weight.requires_grad = False
        for layer, offsets in zip(self.layers, OFFSETS):
            layer.self_attn.look_at(offsets, 1.45)

    def forward(self, mel, blocks=None, drop=0.0):
        """mel [windows, 3000, 80]; `blocks` tells how many blocks of 7.5 s of each window to encode, apart from each other."""
        if blocks is not None:
            k = int(blocks.max())
            mel = mel[:, :k * 2 * POSITIONS // 4]
        x = F.gelu(self.conv1(mel.transpose(1, 2)))
        x = F.gelu(self.conv2(x)).transpose(1, 2)
        x = x + self.embed_positions.weight[:x.shape[1]]
        if blocks is not None:
            b, n, d = x.shape
            used = (torch.arange(k, device=x.device)[None] < blocks[:, None]).flatten()
            x = x.reshape(b * k, n // k, d)[used]
        for layer in self.layers:
            x, _ = layer(x, drop=drop)
        x = self.layer_norm(x)
        if blocks is not None:
            y = x.new_zeros(b * k, n // k, d)
            y[used] = x
            x = y.reshape(b, n, d)
        return x


class Decoder(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embed_tokens, self.embed_positions = nn.Embedding(vocabulary, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList(Layer(WIDTH, HEADS, True) for _ in range(DECODER_LAYERS))
        self.layer_norm = nn.LayerNorm(WIDTH)
        nn.init.normal_(self.embed_tokens.weight, std=0.05)
        nn.init.normal_(self.embed_positions.weight, std=0.02)
        # a pointer to start from: timestamps are sinusoids of their position in the encoder's output, the first layer finds where the
        # input token was spoken and passes that position on, the others look behind it for the next token
        with torch.no_grad():
            self.embed_tokens.weight[-POSITIONS - 1:-1] += 0.1 * sinusoids(POSITIONS, WIDTH)
            self.embed_tokens.weight[-1] += 0.1 * sinusoids(POSITIONS + 1, WIDTH)[-1]
        for layer, offsets in zip(self.layers, POINTERS):
            layer.encoder_attn.look_at(offsets, 1.6)
        self.layers[0].encoder_attn.pass_position((0, 1))

    def forward(self, tokens, memory, mask, drop=0.0):
        x = self.embed_tokens(tokens) + self.embed_positions.weight[:tokens.shape[1]]
        weights = []
        for layer in self.layers:
            x, a = layer(x, memory, mask, drop)
            weights.append(a)
        return F.linear(self.layer_norm(x), self.embed_tokens.weight), weights


class Whisper(nn.Module):
    def __init__(self, vocabulary, phonemes):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder(vocabulary)
        self.phonemes = nn.Linear(WIDTH, phonemes)

    def forward(self, mel, tokens, blocks=None, drop=0.0):
        memory = self.encoder(mel, blocks, drop)
        if blocks is None:
            mask = memory.new_ones(memory.shape[:2], dtype=torch.bool)
        else:
            mask = torch.arange(memory.shape[1], device=memory.device)[None] < (blocks * (POSITIONS // 4))[:, None]
        logits, weights = self.decoder(tokens, memory, mask, drop)
        return logits, self.phonemes(memory), weights
