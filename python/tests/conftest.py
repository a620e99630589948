import os
from pathlib import Path

import numpy as np
import pytest

import sightglass as sg


@pytest.fixture(scope="session")
def models():
    """The tiny models of tests/models."""
    folder = os.environ.get("SIGHTGLASS_TEST_MODELS")
    if not folder:
        pytest.skip("SIGHTGLASS_TEST_MODELS is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def data():
    folder = os.environ.get("SIGHTGLASS_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no test data (SIGHTGLASS_TEST_DATA)")
    return Path(folder)


@pytest.fixture
def picture():
    """A grey picture with a red object, which the tiny detectors call a person."""
    array = np.full((64, 96, 3), 60, np.uint8)
    array[24:40, 40:52] = (0, 0, 255)
    return array


@pytest.fixture
def frame(picture):
    return sg.Frame.from_numpy(picture, "BGR", pts=0)
