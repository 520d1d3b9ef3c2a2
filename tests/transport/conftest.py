import pytest
import torch


@pytest.fixture
def gpu():
    """A GPU, or the test is skipped."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return torch.device("cuda")
