"""Keras' image iterators, over real images: scikit-learn's digits, written as PNG files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from batchaudit.capture.recorder import Recorder
from batchaudit.sources import kind_of, watch
from batchaudit.sources.kinds import Kind
from tests.loaders import content

pytest.importorskip("tensorflow")
pytest.importorskip("scipy")
image = pytest.importorskip("PIL.Image")
sklearn = pytest.importorskip("sklearn.datasets")

COUNT = 22
SETTINGS = {"rotation_range": 30, "width_shift_range": 2}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    pixels, labels = sklearn.load_digits(return_X_y=True)
    for number in range(COUNT):
        (folder / str(labels[number] % 3)).mkdir(exist_ok=True)
        picture = image.fromarray((pixels[number].reshape(8, 8) * 15).astype(np.uint8))
        picture.save(folder / str(labels[number] % 3) / f"{number:02d}.png")
    return folder


def generator_of(framework):
    if framework == "tf_keras":
        from tf_keras.preprocessing.image import ImageDataGenerator
    else:
        from keras.src.legacy.preprocessing.image import ImageDataGenerator
    return ImageDataGenerator(**SETTINGS)


def from_folder(framework, digits, **options):
    return generator_of(framework).flow_from_directory(
        digits, target_size=(8, 8), batch_size=5, color_mode="grayscale", **options
    )


def from_array(framework, digits, **options):
    rows = np.arange(COUNT * 64, dtype=np.float32).reshape(COUNT, 8, 8, 1)
    return generator_of(framework).flow(rows, np.arange(COUNT), batch_size=5, **options)


MAKERS = [from_folder, from_array]
FRAMEWORKS = ["keras", "tf_keras"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("options", [{"seed": 3}, {"shuffle": True}, {"shuffle": False}], ids=str)
def test_watched_and_unwatched_are_equal(framework, make, options, digits, recorder, events):
    def stream(wrap):
        np.random.seed(1)
        source = wrap(make(framework, digits, **options))
        indexed = [source[index] for index in range(len(source))]
        source.on_epoch_end()
        followed = [next(source) for _ in range(2 * len(source))]
        return [content(item) for item in indexed + followed], np.random.random()

    assert stream(lambda it: watch(it, recorder)) == stream(lambda it: it)
    assert len(events.produced) == 15


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("make", MAKERS)
def test_the_ids_are_the_indices_of_the_images(framework, make, digits, recorder, events):
    watched = watch(make(framework, digits, shuffle=True), recorder)
    batches = [next(watched) for _ in range(len(watched))]
    ids = np.concatenate([event.ids for event in events.produced])
    assert sorted(ids) == list(range(COUNT))
    assert list(ids) != sorted(ids)
    labels = np.concatenate([labels for _, labels in batches])
    expected = np.eye(3)[watched.classes[ids]] if make is from_folder else ids
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_asked_by_index_it_has_the_same_ids(framework, digits, recorder, events):
    watched = watch(from_array(framework, digits, shuffle=True, seed=1), recorder)
    for index in (3, 0):
        _, labels = watched[index]
        assert (events[-1].index, list(events[-1].ids)) == (index, list(labels))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_users_key_goes_before_the_indices(framework, digits, events):
    watched = watch(from_array(framework, digits, shuffle=False), Recorder(events, lambda item: item[1] * 10))
    watched[1]
    assert list(events[-1].ids) == [50, 60, 70, 80, 90]


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("make", MAKERS)
def test_it_keeps_its_type_state_and_picklability(framework, make, digits, recorder):
    source = make(framework, digits)
    watched = watch(source, recorder)
    assert isinstance(watched, type(source))
    assert (kind_of(watched), len(watched), watched.n) == (Kind.INDEXED, 5, COUNT)
    watched.batch_index = 3
    assert source.batch_index == 3

    def outcome(it):
        try:
            return len(pickle.loads(pickle.dumps(it)))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            return type(error), str(error)

    assert outcome(watched) == outcome(source)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_reset_starts_the_pass_over(framework, digits, recorder):
    watched = watch(from_array(framework, digits, shuffle=False), recorder)
    first = next(watched)[1]
    watched.reset()
    np.testing.assert_array_equal(next(watched)[1], first)
