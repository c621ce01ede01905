"""Saving that leaves a whole file or none."""

import os
from pathlib import Path


class AtomicSaving:
    """Mixed into a `keras.Model`: what `save` leaves is the whole model, or what was there."""

    def save(self, filepath, overwrite: bool = True, **kwargs) -> None:
        """Saves the whole model to one `.keras` file, all of it or nothing.

        The file is written beside its destination under another name and then renamed, so
        whatever happens meanwhile (a kill, a full disk), an earlier file of that name stays.
        Arguments are those of `keras.Model.save`.
        """
        path = Path(filepath)
        is_wrong = not path.parent.is_dir() or (path.exists() and not overwrite)
        if path.suffix != ".keras" or is_wrong:
            return super().save(filepath, overwrite=overwrite, **kwargs)  # Keras says what is wrong
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.keras")
        try:
            super().save(temporary, **kwargs)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
