"""A PyTorch loop with two workers that goes on after an epoch that fails. Prints its stream's and weights' digest."""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from tests.faults import hurt

EPOCHS, BATCHES, ROWS = 3, 40, 4
HIT = hurt.STEP // 2  # how many batches worker 1 has made before it makes the one after that step


class Points(Dataset):
    def __init__(self, fault):
        self.fault = fault
        self.served = 0  # by this worker

    def __len__(self):
        return BATCHES * ROWS

    def __getitem__(self, index):
        # The batch after the one at which the training strikes: worker 0 makes those with even numbers.
        info = get_worker_info()
        self.fault.serve(now=info is not None and info.id == 1 and self.served == HIT * ROWS)
        self.served += 1
        noise = np.random.normal() + torch.randn(1).item()
        x = torch.tensor([index, noise], dtype=torch.float32)
        return x, x.sum(0, keepdim=True)


class Begin:
    def __init__(self, fault):
        self.fault = fault

    def __call__(self, number):
        self.fault.worker()


def as_arrays(samples):
    """Batches that reach the training through the workers' pipe, and need no descriptor of their own."""
    return [np.stack([one.numpy() for one in part]) for part in zip(*samples, strict=True)]


def main():
    given = hurt.arguments(start="fork", workers=2, arrays=0)
    fault, seen = hurt.Fault(given.fault, given.folder), hurt.Seen()
    torch.manual_seed(7)
    np.random.seed(7)
    torch.set_num_threads(1)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    if given.workers:
        fault.ready = torch.multiprocessing.get_context(given.start).Event()
    fault.begin()
    with hurt.audited(given) as wrap:
        loader = DataLoader(
            Points(fault),
            batch_size=ROWS,
            shuffle=True,
            num_workers=given.workers,
            multiprocessing_context=given.start if given.workers else None,
            worker_init_fn=Begin(fault),
            collate_fn=as_arrays if given.arrays else None,
        )
        train = wrap(loader, "train")
        for fault.epoch in range(EPOCHS):
            try:
                for step, (x, y) in enumerate(train):
                    x, y = torch.as_tensor(x), torch.as_tensor(y)
                    seen.batch(x.numpy(), y.numpy())
                    optimizer.zero_grad()
                    torch.nn.functional.mse_loss(model(x), y).backward()
                    optimizer.step()
                    fault.at(step)
            except (RuntimeError, MemoryError) as error:
                seen.raised(error)
    seen.show([one.detach().numpy() for one in model.parameters()])


if __name__ == "__main__":
    main()
