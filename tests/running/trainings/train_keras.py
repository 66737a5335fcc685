"""A Keras 3 training, on the backend that KERAS_BACKEND names: processes make the batches, arrays validate.

On torch the training itself makes them: there Keras 3.15 goes over a PyDataset with workers twice at once, and
which batches the model is given is a race, watched or not.

Prints its weights' digest and that of the figures of all epochs, which depend on every batch.
"""

import hashlib

import keras
import numpy as np

EPOCHS = 3


class Points(keras.utils.PyDataset):
    """Batch i holds the points 4i to 4i+3, with noise that belongs to them."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        noise = np.random.default_rng(index).normal(size=4)
        x = np.stack([np.arange(4) + 4 * index, noise], axis=1).astype("float32")
        return x, x.sum(axis=1, keepdims=True)


def main():
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile(optimizer=keras.optimizers.SGD(1e-4), loss="mse")
    workers = {} if keras.backend.backend() == "torch" else {"workers": 2, "use_multiprocessing": True}
    train = Points(max_queue_size=4, **workers)  # the training's
    x = np.arange(16, dtype="float32").reshape(8, 2)
    history = model.fit(  # where fit is called
        train, validation_data=(x, x.sum(axis=1, keepdims=True)), epochs=EPOCHS, batch_size=4, verbose=0
    )
    weights = b"".join(np.asarray(one).tobytes() for one in model.get_weights())
    figures = repr(sorted(history.history.items())).encode()
    print(hashlib.sha256(weights).hexdigest(), hashlib.sha256(figures).hexdigest())


if __name__ == "__main__":
    main()
