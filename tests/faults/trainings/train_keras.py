"""A fit of Keras 3 or tf_keras over a dataset with two processes, or a generator. Prints its stream's and weights' digest."""

import itertools
import os

import numpy as np

from tests.faults import hurt

EPOCHS, BATCHES, ROWS = 3, 40, 4


def batch(index):
    noise = np.random.default_rng(index).normal(size=ROWS)
    x = np.stack([np.arange(ROWS) + ROWS * index, noise], axis=1).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def endless(fault, seen):
    for number in itertools.count():
        fault.serve(now=number == hurt.STEP)
        made = batch(number % BATCHES)
        if number < EPOCHS * BATCHES:  # what is only drawn ahead is no part of the training
            seen.batch(*made)
        yield made


def indexed(base, fault):
    class Points(base):
        def __len__(self):
            return BATCHES

        def __getitem__(self, index):
            fault.serve(now=index == hurt.STEP)
            return batch(index)

    return Points


def observer(keras, fault):
    class Observer(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            fault.epoch = epoch

        def on_train_batch_end(self, step, logs=None):
            fault.at(step)

    return Observer()


def main():
    given = hurt.arguments(framework="keras", source="dataset")
    if given.framework == "keras":
        import keras

        base = keras.utils.PyDataset
    else:
        import tf_keras as keras

        base = keras.utils.Sequence
    fault, seen = hurt.Fault(given.fault, given.folder), hurt.Seen()
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(1e-6), loss="mse")
    fault.begin()
    workers = {"workers": 2, "use_multiprocessing": True}
    of_fit = {} if given.framework == "keras" or given.source == "generator" else workers
    with hurt.audited(given) as wrap:
        if given.source == "generator":
            train = wrap(endless(fault, seen), "train")
        else:
            train = wrap(indexed(base, fault)(**({} if of_fit else workers)), "train")
        history = model.fit(
            train,
            epochs=EPOCHS,
            steps_per_epoch=BATCHES if given.source == "generator" else None,
            shuffle=False,
            verbose=0,
            callbacks=[observer(keras, fault)],
            **of_fit,
        )
    seen.batch(np.asarray(history.history["loss"]))
    seen.show([np.asarray(one) for one in model.get_weights()])


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    main()
