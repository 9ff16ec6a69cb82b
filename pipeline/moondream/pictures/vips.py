"""Whether libvips is here. A file of its own, as whoever only asks should not wait for torch."""


def has_vips() -> bool:
    """Whether libvips can be used here: its Python library may be there without it."""
    try:
        import pyvips  # noqa: F401 - asked whether it can be
    except (ImportError, OSError):
        return False
    return True
