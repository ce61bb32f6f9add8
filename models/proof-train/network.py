"""A few layers with their gradients, in numpy, and Adam: enough to train the three shipped networks in a minute."""

import numpy as np


class Dense:
    """A matrix product of flattened inputs."""

    def __init__(self, rng, inputs, outputs):
        self.weight = rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
        self.bias = np.zeros(outputs)

    def forward(self, x):
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        return self.x @ self.weight.T + self.bias

    def backward(self, gradient):
        self.gradients = gradient.T @ self.x, gradient.sum(0)
        return (gradient @ self.weight).reshape(self.shape)


class Conv:
    """A convolution without padding, stride 1."""

    def __init__(self, rng, inputs, outputs, size):
        self.size = size
        self.weight = rng.normal(0, np.sqrt(2 / (inputs * size * size)), (outputs, inputs, size, size))
        self.bias = np.zeros(outputs)

    def forward(self, x):
        windows = np.lib.stride_tricks.sliding_window_view(x, (self.size, self.size), (2, 3))
        self.shape = x.shape
        self.columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(len(x), -1, self.weight[0].size)
        self.rows = windows.shape[2]
        out = self.columns @ self.weight.reshape(len(self.weight), -1).T + self.bias
        return out.transpose(0, 2, 1).reshape(len(x), len(self.weight), self.rows, -1)

    def backward(self, gradient):
        flat = gradient.reshape(len(gradient), len(self.weight), -1)
        weight = np.einsum("bop,bpk->ok", flat, self.columns, optimize=True).reshape(self.weight.shape)
        self.gradients = weight, flat.sum((0, 2))
        padded = np.pad(gradient, ((0, 0), (0, 0), (self.size - 1,) * 2, (self.size - 1,) * 2))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.size, self.size), (2, 3))
        flipped = self.weight[:, :, ::-1, ::-1]
        return np.einsum("bohwyx,ocyx->bchw", windows, flipped, optimize=True)


class AveragePool:
    """Means of 2×2 squares."""

    def forward(self, x):
        batch, channels, height, width = x.shape
        return x.reshape(batch, channels, height // 2, 2, width // 2, 2).mean((3, 5))

    def backward(self, gradient):
        return gradient.repeat(2, 2).repeat(2, 3) / 4


class Relu:
    """The positive part."""

    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, gradient):
        return gradient * self.positive


def run(layers, x):
    for layer in layers:
        x = layer.forward(x)
    return x


def train(layers, x, y, loss_gradient, rng, epochs, rate=2e-3, batch=32, decay=1e-4):
    """Trains in place with Adam and a rate that falls to zero. `loss_gradient(outputs, y)` is the mean loss's gradient."""
    trained = [layer for layer in layers if hasattr(layer, "weight")]
    moments = [[np.zeros_like(p), np.zeros_like(p)] for layer in trained for p in (layer.weight, layer.bias)]
    steps, step = epochs * (len(x) // batch), 0
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            rows = order[start : start + batch]
            gradient = loss_gradient(run(layers, x[rows]), y[rows])
            for layer in reversed(layers):
                gradient = layer.backward(gradient)
            step += 1
            pairs = [(p, g) for layer in trained for p, g in zip((layer.weight, layer.bias), layer.gradients)]
            for (parameter, gradient), moment in zip(pairs, moments):
                moment[0] += 0.1 * (gradient - moment[0])
                moment[1] += 0.001 * (gradient**2 - moment[1])
                mean, square = moment[0] / (1 - 0.9**step), moment[1] / (1 - 0.999**step)
                size = rate * (1 - step / steps)
                parameter -= size * (mean / (np.sqrt(square) + 1e-8) + decay * parameter)
