"""Trains on real images with PyTorch and says whether the batches were what they should be."""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, get_worker_info

import batchaudit as ba


class Digits(Dataset):
    """Handwritten digits with a little noise, from a generator that the dataset holds."""

    def __init__(self, images, labels, noise=0.0):
        self.images, self.labels, self.noise = images, labels, noise
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index] + self.noise * self.rng.standard_normal(64, dtype="float32")
        return image, self.labels[index]


def seed_worker(worker_id):
    """Gives each worker a generator of its own: the dataset's is copied into all of them."""
    info = get_worker_info()
    info.dataset.rng = np.random.default_rng(info.seed)


def main(folder="runs/digits-torch"):
    """Trains for three epochs and prints accuracy and report."""
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    train = DataLoader(
        Digits(images[:1280], labels[:1280], noise=0.1),
        batch_size=32,
        shuffle=True,
        num_workers=2,
        worker_init_fn=seed_worker,
    )
    val = DataLoader(Digits(images[1280:], labels[1280:]), batch_size=32)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    with ba.Audit(folder) as audit:
        train, val = audit.wrap(train, name="train"), audit.wrap(val, name="val")
        for epoch in range(3):
            for inputs, targets in train:
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(inputs), targets).backward()
                optimizer.step()
            with torch.no_grad():
                right = sum((model(inputs).argmax(1) == targets).sum().item() for inputs, targets in val)
            print(f"epoch {epoch}: accuracy {right / len(val.dataset):.3f}")
    print(audit.report())


if __name__ == "__main__":
    main(*sys.argv[1:])
