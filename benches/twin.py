"""What both PyTorch twins share: arguments, measuring, the projector. Knows no stage."""

import argparse
import resource
import statistics
import time

import torch
from safetensors.torch import load_file
from torch import nn


def projector(path, dropout):
    tensors = load_file(path)
    layers, names = [], ("fc1", "ln1", "fc2", "ln2", "fc3")
    for name in names:
        weight = tensors[f"{name}.weight"]
        layer = nn.LayerNorm(weight.shape[0]) if weight.dim() == 1 else nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight, "bias": tensors[f"{name}.bias"]})
        layers.append(layer)
        if name.startswith("ln"):
            layers += [nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def arguments(extra=lambda parser: None):
    parser = argparse.ArgumentParser()
    parser.add_argument("dir")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--losses", action="store_true")
    extra(parser)
    return parser.parse_args()


def measure(args, step, *libraries):
    versions = ", ".join(f"{library.__name__} {library.__version__}" for library in (torch, *libraries))
    print(f"with {versions}, {torch.get_num_threads()} threads")
    times = []
    for n in range(args.warmup + args.steps):
        start = time.perf_counter()
        loss = step(n)
        if n >= args.warmup:
            times.append((time.perf_counter() - start) * 1e3)
        if args.losses:
            print(f"loss {loss:.9f}")
    print(f"median_ms {statistics.median(times):.4f}")
    print(f"min_ms {min(times):.4f}")
    # In KiB on Linux.
    print(f"peak_mib {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f}")
