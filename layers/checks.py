"""The checks that the constructors of several layers share."""


def check_positive_integers(**sizes: int) -> None:
    """Raises a ValueError that names the first of `sizes` that is no positive integer."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={size!r}.")


def check_wavelength(max_wavelength: float) -> None:
    """Raises a ValueError unless max_wavelength > 1."""
    if max_wavelength <= 1:
        raise ValueError(
            f"`max_wavelength` must be above 1. Received: max_wavelength={max_wavelength!r}."
        )


def check_dropout(dropout: float) -> None:
    """Raises a ValueError unless 0 <= dropout < 1."""
    if not 0 <= dropout < 1:
        raise ValueError(
            f"`dropout` must be at least 0 and below 1. Received: dropout={dropout!r}."
        )
