"""Datasets for fits, and models that do nothing but note what they are given."""

from __future__ import annotations


def keras_of(case):
    """The Keras that a case is for."""
    if case["family"].startswith("tf_keras"):
        import tf_keras

        return tf_keras
    import keras

    return keras


def dataset(case, data):
    """A PyDataset or Sequence."""
    keras = keras_of(case)
    is_three = keras.__name__ == "keras"
    base = keras.utils.PyDataset if is_three else keras.utils.Sequence

    class Batches(base):
        def __len__(self):
            return case["batches"]

        def __getitem__(self, index):
            return data.batch(index)

    of_keras_three = {"workers": case["workers"] or 1, "use_multiprocessing": case["processes"]}
    return Batches(**(of_keras_three if is_three else {}))


def fit(case, source, note):
    """Fits a model that calls `note(batch)` for each step."""
    keras = keras_of(case)

    class Model(keras.Model):
        def call(self, x):
            return x

        def train_step(self, batch):
            note(batch)
            return {"loss": 0.0}

    model = Model()
    model.built = True
    model.compile(run_eagerly=True, **({"jit_compile": False} if keras.__name__ == "keras" else {}))
    options = {}
    if keras.__name__ == "tf_keras":
        options = {"workers": case["workers"] or 1, "use_multiprocessing": case["processes"]}
    endless = case["family"].endswith("generator")
    model.fit(
        source,
        epochs=case["epochs"],
        steps_per_epoch=case["batches"] if endless else None,
        shuffle=False,
        verbose=0,
        **options,
    )
