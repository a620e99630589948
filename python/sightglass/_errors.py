"""The exceptions of the package. Each is a value of the library's error codes."""


class Error(RuntimeError):
    """Something that the library could not do; the text says what, where, and what would help."""

    code = "internal"
    code_number = 9
    element: str = ""
    """Name of the element that it happened in; empty outside of one."""
    stream: str = ""


class InvalidArgument(Error, ValueError):
    """A value that the caller chose is wrong."""

    code, code_number = "invalid_argument", 0


class NotFound(Error, LookupError):
    """A file, element, model or name that does not exist."""

    code, code_number = "not_found", 1


class Unavailable(Error):
    """A device, library or plug-in that this machine lacks."""

    code, code_number = "unavailable", 2


class NotNegotiated(Error):
    """Formats that do not fit together."""

    code, code_number = "not_negotiated", 3


class Corrupt(Error):
    """Data that is damaged or lies about itself."""

    code, code_number = "corrupt", 4


class IOFailed(Error, OSError):
    """Reading or writing failed."""

    code, code_number = "io", 5


class Exhausted(Error):
    """Memory, slots or another limit."""

    code, code_number = "exhausted", 6


class Cancelled(Error):
    """Stopped on request."""

    code, code_number = "cancelled", 7


class Unsupported(Error):
    """Valid, but not something that the library does."""

    code, code_number = "unsupported", 8


_BY_NUMBER: list[type[Error]] = [
    InvalidArgument,
    NotFound,
    Unavailable,
    NotNegotiated,
    Corrupt,
    IOFailed,
    Exhausted,
    Cancelled,
    Unsupported,
    Error,
]


def exception_of(number: int) -> type[Error]:
    return _BY_NUMBER[number]
