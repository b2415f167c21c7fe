from tests.runtime.bundle.conftest import pairs as pairs
