"""Reads the tensors of TensorFlow and torch as NumPy arrays, without a copy where they lie in host memory.

The frameworks are never imported: a tensor can only be met once its framework is loaded, and is known by the
package that its class comes from. JAX's arrays need nothing here: they convert through `__array__`.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchaudit.capture.leaf_arrays import block, read_array
from batchaudit.capture.leaf_kinds import Block, Branch, Reading, Refused, Rows, is_loaded
from batchaudit.capture.leaf_sparse import read_ragged, read_sparse

_SYMBOLIC = (
    "it is symbolic and has no values: hash concrete batches, outside tf.function and outside Dataset.map "
    "(tf.numpy_function makes them concrete)"
)


def _tensorflow_array(tensor: Any) -> Any:
    """An eager tensor's memory as an array; None for a symbolic one, which has no such method.

    `numpy()` copies; `_numpy()` is what it copies from. A scalar string comes out as bytes.
    """
    direct = getattr(tensor, "_numpy", None) or getattr(tensor, "numpy", None)
    if direct is None:
        return None
    array = direct()
    if isinstance(array, np.ndarray):
        return array
    scalar = np.empty((), object if isinstance(array, bytes) else None)
    scalar[()] = array
    return scalar


def read_tensorflow(item: Any) -> Reading | None:
    """Reads a TensorFlow tensor (dense, ragged, sparse), variable or slices; None for anything else."""
    if is_loaded("tensorflow", "Variable", item):
        item = item.value()
    if is_loaded("tensorflow", "RaggedTensor", item):
        flat = _tensorflow_array(item.flat_values)
        splits = [_tensorflow_array(level) for level in item.nested_row_splits]
        return Refused(_SYMBOLIC) if flat is None else read_ragged(splits, flat)
    if is_loaded("tensorflow", "SparseTensor", item):
        parts = [_tensorflow_array(part) for part in (item.indices, item.values, item.dense_shape)]
        return Refused(_SYMBOLIC) if parts[0] is None else read_sparse(*parts)
    if is_loaded("tensorflow", "IndexedSlices", item):
        names = ("values", "indices", "dense_shape")
        return Branch("attributes", [(f".{name}", getattr(item, name)) for name in names])
    if is_loaded("tensorflow", "Tensor", item):
        array = _tensorflow_array(item)
        return Refused(_SYMBOLIC) if array is None else read_array(array)
    return None


@functools.cache
def _array_types() -> dict[Any, np.dtype[Any]]:
    """NumPy's dtype for each of torch's that NumPy has as well."""
    torch: Any = sys.modules["torch"]
    names = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64"
    names += " float16 float32 float64 complex64 complex128"
    return {getattr(torch, name): np.dtype(name) for name in names.split() if hasattr(torch, name)}


def plain_torch(item: Any) -> NDArray[Any] | None:
    """The memory of a plain torch tensor as an array, in the order and with the strides it has.

    Not through `Tensor.numpy()`, after which the user's tensor could not be resized any more.

    Args:
        item: any object; its class is compared and nothing else is asked of any other class.

    Returns:
        An array that keeps the tensor alive; None for what is no tensor, of a subclass of it, or what
        is not in memory as it is: other devices and layouts, conjugates, types that NumPy lacks.
    """
    # Its class has no __torch_function__ of its own.
    if type(item) is not getattr(sys.modules.get("torch"), "Tensor", None):
        return None
    dtype = _array_types().get(item.dtype)
    if dtype is None or not item.is_cpu or item.is_nested or item.layout is not sys.modules["torch"].strided:
        return None
    if item.is_neg() or (dtype.kind == "c" and item.is_conj()):
        return None
    shape = tuple(item.shape)
    size = item.numel() * dtype.itemsize
    if not size:
        return np.empty(shape, dtype)
    strides = None
    if not item.is_contiguous():
        strides = tuple(step * dtype.itemsize for step in item.stride())
        size = sum((count - 1) * step for count, step in zip(shape, strides, strict=True)) + dtype.itemsize
    address = item.data_ptr()
    if not address:  # a tensor of zeros that are nowhere, or whose memory was given back
        return None
    memory: Any = (ctypes.c_char * size).from_address(address)
    memory.owner = item
    return np.ndarray(shape, dtype, memory, strides=strides)


def _array(tensor: Any) -> NDArray[Any]:
    array = plain_torch(tensor)
    if array is None:
        array = tensor.numpy()
    return array


def _torch_bits(torch: Any, tensor: Any) -> Reading:
    """Reads a dense tensor on the host; types that NumPy lacks go by their bits."""
    tensor = tensor.resolve_conj().resolve_neg()
    token = str(tensor.dtype).removeprefix("torch.")
    if tensor.dtype == torch.complex32:
        return block(_array(torch.view_as_real(tensor).contiguous().view(torch.int16)), token)
    if token == "bfloat16":
        return block(_array(tensor.view(torch.int16)), token)
    if token.startswith("float") and tensor.dtype.itemsize == 1:
        return block(_array(tensor.view(torch.uint8)), token)
    return read_array(_array(tensor))


def _read_quantized(torch: Any, tensor: Any) -> Reading:
    children = [(".codes", tensor.int_repr())]
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        children += [(".scale", tensor.q_scale()), (".zero", tensor.q_zero_point())]
    else:
        scales, zeros = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
        # As bytes: the figures of each channel are no rows of samples.
        children += [(".scale", scales.numpy().tobytes()), (".zero", zeros.numpy().tobytes())]
        children += [(".axis", tensor.q_per_channel_axis())]
    return Branch(f"quantized {tensor.dtype}", children)


def _read_nested(tensors: list[Any]) -> Reading:
    """Reads a nested tensor: rows that differ in shape."""
    rows: list[bytes] = []
    tokens: set[str] = set()
    for tensor in tensors:
        reading = read_torch(tensor)
        if not isinstance(reading, Block):
            return Refused("its parts are no dense tensors")
        tokens.add(reading.token)
        rows.append(np.asarray(reading.shape, "<i8").tobytes() + reading.array.tobytes())
    return Rows(f"nested {'|'.join(sorted(tokens))}", (len(rows),), rows)


def read_torch(item: Any) -> Reading | None:
    """Reads a torch tensor: dense, sparse, quantized or nested, of any device; None for anything else."""
    if not is_loaded("torch", "Tensor", item):
        return None
    torch: Any = sys.modules["torch"]
    tensor = item.detach()
    if tensor.device.type == "meta":
        return Refused("it lies on the meta device and has no values")
    if tensor.is_nested:
        return _read_nested(list(tensor.unbind()))
    if tensor.layout != torch.strided:
        if tensor.layout != torch.sparse_coo:
            tensor = tensor.to_sparse()
        tensor = tensor.cpu().coalesce()
        values = _torch_bits(torch, tensor.values())
        if not isinstance(values, Block):
            return Refused(f"its values are {tensor.dtype}")
        axes = tensor.sparse_dim()
        return read_sparse(_array(tensor.indices()).T, values.array, tuple(tensor.shape)[:axes], values.token)
    tensor = tensor.cpu()
    return _read_quantized(torch, tensor) if tensor.is_quantized else _torch_bits(torch, tensor)
