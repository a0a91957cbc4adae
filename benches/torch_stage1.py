"""The PyTorch twin of `bioverse-benches stage1`: the same step from the same numbers. Prints the same lines."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from twin import arguments, measure, projector

TEMPERATURE = 0.07
STRIDE = 2731


def main():
    args = arguments(lambda parser: parser.add_argument("--batch", type=int, default=256))
    torch.manual_seed(1)
    vectors = load_file(f"{args.dir}/vectors.safetensors")
    bio, text = vectors["bio"], vectors["text"]
    model = projector(f"{args.dir}/projector.safetensors", args.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    diagonal = torch.arange(args.batch)

    def step(n):
        chosen = (n * args.batch + torch.arange(args.batch)) * STRIDE % bio.shape[0]
        u = F.normalize(model(bio[chosen]), dim=1)
        v = F.normalize(text[chosen], dim=1)
        logits = u @ v.T / TEMPERATURE
        loss = (F.cross_entropy(logits, diagonal) + F.cross_entropy(logits.T, diagonal)) / 2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    measure(args, step)


if __name__ == "__main__":
    main()
