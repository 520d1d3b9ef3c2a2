"""What the library's own checks say once the annotations are not checked first, as for a user."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def as_a_user() -> Iterator[None]:
    """Turn the checking of annotations off, so that a bad argument meets the library's own error."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
