"""Writes the PyTorch checkpoints of crates/bioverse-nn/tests/files: small ones, in the forms that training programs save.

    python tests/python/make_checkpoints.py crates/bioverse-nn/tests/files     (torch 2.15)
"""

import collections
import os
import sys

import torch

out = sys.argv[1]
tensors = collections.OrderedDict(
    a=torch.arange(6.0).reshape(2, 3),
    b=torch.tensor([1.5, -2.0]).half(),
    c=torch.tensor([0.5, 3.0]).bfloat16(),
    d=torch.tensor([0.25], dtype=torch.float64),
    n=torch.tensor(3),
    turned=torch.arange(6.0).reshape(2, 3).t(),
)


class Dangerous:
    """What unpickling it would run."""

    def __reduce__(self):
        return (os.system, ("touch it_ran",))


def save(name, value, **options):
    torch.save(value, os.path.join(out, name), **options)


save("nested.pt", {"model_state_dict": tensors, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]}, "epoch": 3})
save("legacy.pt", tensors, _use_new_zipfile_serialization=False)
save("wrapped.pt", {"module." + name: torch.nn.Parameter(t) for name, t in tensors.items() if t.is_floating_point()})
save("dangerous.pt", {"a": tensors["a"], "x": Dangerous()})
