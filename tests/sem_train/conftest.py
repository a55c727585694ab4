"""What tests of training share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Sums in one order: results are the same bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def denormals():
    """Trainings let denormal numbers count as zero in their process; what comes after them here has them again."""
    torch.set_flush_denormal(False)
