"""Tensors in and out: by numpy, DLPack and the CUDA array interface."""

import gc
import threading
import weakref

import numpy as np
import pytest

import sightglass as sg

DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_goes_both_ways_without_a_copy(dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    tensor = sg.Tensor.from_numpy(array)
    assert tensor.shape == (2, 3, 4) and tensor.dtype == dtype and tensor.strides == array.strides
    view = tensor.numpy()
    assert view.ctypes.data == array.ctypes.data and view.dtype == array.dtype
    assert np.array_equal(view, array)
    assert np.array_equal(np.from_dlpack(tensor), array)


def test_views_are_read_only_unless_asked_for():
    array = np.zeros((2, 2), np.float32)
    tensor = sg.Tensor.from_numpy(array)
    with pytest.raises(ValueError):
        tensor.numpy()[0, 0] = 1
    tensor.numpy(writable=True)[0, 0] = 1
    assert array[0, 0] == 1


def test_memory_of_a_read_only_array_is_not_handed_out_for_writing():
    array = np.zeros(4, np.uint8)
    array.flags.writeable = False
    tensor = sg.Tensor.from_numpy(array)
    assert tensor.numpy().sum() == 0
    with pytest.raises(sg.InvalidArgument, match="read-only"):
        tensor.numpy(writable=True)


def test_gaps_between_rows_are_kept():
    array = np.arange(48, dtype=np.uint8).reshape(6, 8)[::2, 1:5]
    tensor = sg.Tensor.from_numpy(array)
    assert tensor.strides == (16, 1)
    assert np.array_equal(tensor.numpy(), array)
    assert tensor.copy().strides == (4, 1) and np.array_equal(tensor.copy().numpy(), array)


@pytest.mark.parametrize(
    "array, error, reason",
    [
        (np.zeros((4, 4))[::-1], ValueError, "negative stride"),
        (np.zeros((4, 4))[:, ::-1], ValueError, "ascontiguousarray"),
        (np.broadcast_to(np.zeros(4), (3, 4)), ValueError, "stride 0"),
        (np.zeros(4, dtype=">f4"), TypeError, "byte order"),
        (np.zeros(4, dtype=complex), TypeError, "complex128"),
        (np.array(["a", "b"]), TypeError, "<U1"),
        (np.array([object()]), TypeError, "object"),
        (np.zeros(2, dtype=[("a", "f4")]), TypeError, "not supported"),
        (np.zeros((0, 3)), ValueError, "empty"),
        (np.zeros((1,) * 9), ValueError, "9 axes"),
        ("text", TypeError, "str"),
        (b"bytes", TypeError, "numpy"),
        (None, TypeError, "NoneType"),
        ([1, 2, 3], TypeError, "list"),
    ],
)
def test_what_cannot_be_shared_is_refused_with_the_reason(array, error, reason):
    with pytest.raises(error, match=reason):
        sg.Tensor.from_numpy(array)


def test_misaligned_elements_are_refused():
    raw = np.zeros(17, np.uint8)
    with pytest.raises((ValueError, TypeError)):
        sg.Tensor.from_numpy(raw[1:].view(np.float32))


def test_a_view_outlives_tensor_and_array():
    tensor = sg.Tensor.empty((1000, 1000), "float32")
    view = tensor.numpy(writable=True)
    view[:] = 7
    del tensor
    gc.collect()
    assert view.sum() == 7e6


def test_an_array_lives_as_long_as_a_tensor_shares_it():
    class Array(np.ndarray):
        pass

    array = np.ones((100, 100)).view(Array)
    gone = weakref.ref(array)
    tensor = sg.Tensor.from_numpy(array)
    view = tensor.numpy()
    del array, tensor
    gc.collect()
    assert gone() is not None and view.sum() == 10000
    del view
    gc.collect()
    assert gone() is None


def test_the_array_protocol_converts_where_asked():
    tensor = sg.Tensor.from_numpy(np.arange(4, dtype=np.int32))
    assert np.asarray(tensor).dtype == np.int32
    assert np.asarray(tensor, dtype=np.float32).dtype == np.float32
    assert np.array(tensor, copy=True).flags.writeable
    with pytest.raises(ValueError):
        np.asarray(tensor, dtype=np.float32, copy=False)


def test_bfloat16_is_shown_by_its_bits():
    tensor = sg.Tensor.from_numpy(np.array([0x3F80, 0x4000], np.uint16)).as_type("bfloat16")
    assert tensor.dtype == "bfloat16"
    with pytest.raises(TypeError, match="as_type"):
        tensor.numpy()
    assert tensor.as_type("uint16").numpy().tolist() == [0x3F80, 0x4000]
    with pytest.raises(ValueError, match="same size"):
        tensor.as_type("float32")


def test_torch_shares_the_memory_both_ways():
    torch = pytest.importorskip("torch", reason="python3-torch is not installed")
    tensor = sg.Tensor.empty((2, 3), "float32")
    tensor.numpy(writable=True)[:] = 1
    theirs = torch.from_dlpack(tensor)
    assert theirs.data_ptr() == tensor.numpy().ctypes.data
    back = sg.Tensor.from_dlpack(theirs * 2)
    assert back.numpy().tolist() == [[2, 2, 2], [2, 2, 2]]
    half = sg.Tensor.from_dlpack(torch.ones(3, dtype=torch.bfloat16))
    assert half.dtype == "bfloat16" and torch.from_dlpack(half).sum() == 3


def test_dlpack_says_where_the_memory_lies():
    tensor = sg.Tensor.empty((2,), "uint8")
    assert tensor.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError):
        tensor.__dlpack__(dl_device=(2, 0))
    tensor.numpy(writable=True)[:] = 3
    copy = np.from_dlpack(tensor, copy=True)
    assert copy.ctypes.data != tensor.numpy().ctypes.data and copy.tolist() == [3, 3]


def test_only_cuda_memory_has_a_cuda_array_interface():
    assert not hasattr(sg.Tensor.empty((2,), "uint8"), "__cuda_array_interface__")


def test_a_capsule_that_nobody_takes_is_freed():
    tensor = sg.Tensor.empty((1 << 20,), "uint8")
    for _ in range(200):
        tensor.__dlpack__()
    assert tensor.numpy() is not None


def test_wrong_sizes_and_names():
    with pytest.raises(ValueError, match="float33"):
        sg.Tensor.empty((2,), "float33")
    with pytest.raises(ValueError):
        sg.Tensor.empty((-1,), "uint8")
    with pytest.raises(sg.Error):
        sg.Tensor.empty((1 << 40, 1 << 20), "float64")


def test_many_threads_look_at_one_tensor():
    tensor = sg.Tensor.from_numpy(np.arange(1000))
    sums, errors = [], []

    def work():
        try:
            for _ in range(300):
                sums.append(int(tensor.numpy().sum()))
                sg.Tensor.from_numpy(np.ones(10)).numpy()
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and set(sums) == {499500}
