"""A home of Keras for the tests alone."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def make_keras_home() -> str:
    """A temporary folder for `KERAS_HOME`, for what is fetched and cached is kept there.

    The user's keras.json is copied into it: it may choose the backend to test.
    """
    home = tempfile.mkdtemp(prefix="keras-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    settings = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    if settings.exists():
        shutil.copy(settings, home)
    return home
