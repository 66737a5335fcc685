from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("PIL")

from batchaudit.demo.images import IMAGE_SIZE, MOST_IMAGES, image_files, read_batch, write_images


def test_the_digits_come_back_with_their_labels_and_no_two_are_equal(tmp_path):
    from sklearn.datasets import load_digits

    write_images(tmp_path, 64)
    files = image_files(tmp_path)
    images, labels = read_batch(files)
    assert images.shape == (64, IMAGE_SIZE, IMAGE_SIZE, 1)
    assert images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    assert len({image.tobytes() for image in images}) == 64
    numbers = [int(path.stem) for path in files]
    assert sorted(numbers) == list(range(64))
    np.testing.assert_array_equal(labels, load_digits().target[numbers])


def test_files_are_listed_in_one_order_whatever_the_order_of_writing(tmp_path):
    for name in ("9/0001.png", "0/0003.png", "0/0002.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = [path.relative_to(tmp_path).as_posix() for path in image_files(tmp_path)]
    assert listed == ["0/0002.png", "0/0003.png", "9/0001.png"]


def test_writing_again_leaves_the_same_files(tmp_path):
    write_images(tmp_path, 8)
    before = {path: path.read_bytes() for path in image_files(tmp_path)}
    write_images(tmp_path, 8)
    assert {path: path.read_bytes() for path in image_files(tmp_path)} == before


@pytest.mark.parametrize("count", [0, -1, MOST_IMAGES + 1])
def test_a_count_that_cannot_be_is_refused(tmp_path, count):
    with pytest.raises(ValueError, match="digits"):
        write_images(tmp_path, count)
