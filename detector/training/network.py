"""Train the network of circles:2: `python -m detector.training.network`.

Writes network.onnx and its card network.md. It learns from rendered scenes alone: what it says of any
photograph is what it says of one it has never seen. The same bytes from the same scenes, processor, threads
and libraries.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional

from detector.training.views import BATCH, Batches, Seen, of_number
from detector.v2.network import BINS, FILE, MULTIPLE

SCENES = 18000
STEPS = 8000
WIDTHS = (12, 16, 32, 48, 64)
"""Planes at a half, a fourth, ... a 32nd of the picture's side."""
RATE = 3e-3
LIBRARIES = ("numpy", "opencv-contrib-python-headless", "torch")
THREADS = 2


class Step(nn.Module):  # type: ignore[misc]
    """A convolution of 3 by 3, its outputs brought to one scale, none below 0."""

    def __init__(self, planes: int, out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(planes, out, 3, stride, dilation, dilation, bias=False)
        self.scale = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.scale(self.convolution(x)))


class Residual(nn.Module):  # type: ignore[misc]
    """Two steps whose result is added to what went in (He and others 2016)."""

    def __init__(self, planes: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = Step(planes, planes, 1, dilation)
        self.second = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.scale = nn.BatchNorm2d(planes)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.scale(self.second(self.first(x))))


class Network(nn.Module):  # type: ignore[misc]
    """Down to a 32nd, where it sees the whole picture, and up again to an eighth (Lin and others 2017)."""

    def __init__(self) -> None:
        super().__init__()
        half, fourth, eighth, small, least = WIDTHS
        self.eighth = nn.Sequential(
            Step(3, half, 2), Step(half, fourth, 2), Step(fourth, fourth),
            Step(fourth, eighth, 2), Residual(eighth),
        )  # fmt: skip
        self.small = nn.Sequential(Step(eighth, small, 2), Residual(small))
        self.least = nn.Sequential(Step(small, least, 2), Residual(least, 2))
        self.from_least, self.at_small = nn.Conv2d(least, small, 1), Step(small, small)
        self.from_small = nn.Conv2d(small, eighth, 1)
        self.at_eighth = nn.Sequential(Step(eighth, eighth), Step(eighth, eighth))
        self.said = nn.Conv2d(eighth, 4 * BINS, 1)
        with torch.no_grad():
            self.said.bias.zero_()
            self.said.bias[:BINS] = -4.0  # discs are rare

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4 * BINS, H / CELL, W / CELL) of (n, 3, H, W): log odds and three offsets for each radius."""
        eighth = self.eighth(x)
        small = self.small(eighth)
        least = self.least(small)
        small = self.at_small(small + doubled(self.from_least(least)))
        return self.said(self.at_eighth(eighth + doubled(self.from_small(small))))


def doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def loss(said: Tensor, likely: Tensor, offsets: Tensor, told: Tensor, unsaid: Tensor) -> Tensor:
    """Focal loss with a soft surround (Law and Deng 2018, "CornerNet"), and the mean error of offsets."""
    said = said.float().unflatten(1, (4, BINS))
    p = torch.sigmoid(said[:, 0]).clamp(1e-5, 1 - 1e-5)
    here = (likely == 1).float()
    missed = here * (1 - p) ** 2 * torch.log(p)
    counted = (1 - here) * (1 - unsaid * (likely < 0.3).float())
    false = counted * (1 - likely) ** 4 * p**2 * torch.log(1 - p)
    error = (told.unsqueeze(1) * (said[:, 1:] - offsets).abs()).sum() / told.sum().clamp(min=1)
    return error - (missed + false).sum() / here.sum().clamp(min=1)


def trained(scenes: Sequence[Seen], steps: int) -> Network:
    """A network, its weights the moving mean of those of the last steps."""
    torch.manual_seed(1)
    torch.set_num_threads(THREADS)
    network = Network().train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.03)
    mean = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    batches = torch.utils.data.DataLoader(Batches(scenes, steps), None, num_workers=1, prefetch_factor=4)
    lately = 0.0
    for step, (pictures, *truth) in enumerate(track(batches, "training", steps)):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = network(pictures)
        error = loss(said, *truth)
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        rate.step()
        mean.update_parameters(network)
        lately += (error.item() - lately) / min(step + 1, 100)
        if (step + 1) % 250 == 0:
            print(f"step {step + 1}: {lately:.3f}", flush=True)
    best: Network = mean.module.eval()
    return best


def write(network: Network, path: Path, scenes: int, steps: int) -> None:
    """The network, and its card beside it."""
    sides = {2: "height", 3: "width"}
    torch.onnx.export(
        network, torch.zeros(1, 3, 8 * MULTIPLE, 10 * MULTIPLE), path, opset_version=13, dynamo=False,
        input_names=["picture"], output_names=["said"], dynamic_axes={"picture": sides, "said": sides},
    )  # fmt: skip
    weights = sum(parameter.numel() for parameter in network.parameters())
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    path.with_suffix(".md").write_text(f"""# The network of circles:2

A convolutional network of {weights:,} weights, which guesses where discs are (`detector/v2/network.py`). It
is one source of candidates, and what it says of each candidate is one of the things the scorer weighs.

- Trained on {scenes:,} rendered scenes (`detector/scenes`) and on no photograph, {steps:,} times on
  {BATCH} of them, varied: `python -m detector.training.network --scenes {scenes} --steps {steps}`, with what
  detector/training/requirements.lock names (`make network` installs it).
- {path.name} has SHA-256 `{sha256(path.read_bytes()).hexdigest()}`,
  and comes out the same again with {libraries}
  on the same kind of processor with {THREADS} threads.
""")


def main() -> None:
    parser = argparse.ArgumentParser("python -m detector.training.network", description=__doc__)
    parser.add_argument("--scenes", type=int, default=SCENES, help="rendered scenes to learn from")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"batches of {BATCH} varied scenes")
    parser.add_argument("--out", type=Path, default=FILE, help="where the file goes")
    options = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        numbers = range(options.scenes)
        scenes = list(track(pool.map(of_number, numbers, chunksize=8), "scenes", len(numbers)))
    write(trained(scenes, options.steps), options.out, options.scenes, options.steps)


if __name__ == "__main__":
    main()
