"""A tf_keras training whose fit has workers, and that validates with a Sequence. Prints its weights' digest."""

import hashlib
import sys

import numpy as np
import tf_keras

EPOCHS = 3


class Points(tf_keras.utils.Sequence):
    """Batch i holds the points 4i to 4i+3, with noise that belongs to them."""

    def __init__(self, first, count):
        self.first, self.count = first, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        noise = np.random.default_rng(self.first + index).normal(size=4)
        x = np.stack([np.arange(4) + 4 * index + self.first, noise], axis=1).astype("float32")
        return x, x.sum(axis=1, keepdims=True)


def main():
    tf_keras.utils.set_random_seed(7)
    model = tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(4), tf_keras.layers.Dense(1)])
    model.compile(optimizer=tf_keras.optimizers.SGD(1e-4), loss="mse")
    train = Points(0, 8)
    holdout = Points(100, 2)
    history = model.fit(  # where fit is called
        train,
        validation_data=holdout,
        epochs=EPOCHS,
        workers=2,
        use_multiprocessing=sys.argv[1:] == ["processes"],
        verbose=0,
    )
    weights = b"".join(one.tobytes() for one in model.get_weights())
    print(
        hashlib.sha256(weights).hexdigest(),
        hashlib.sha256(repr(sorted(history.history.items())).encode()).hexdigest(),
    )


if __name__ == "__main__":
    main()
