"""The one exception a user sees, and the exit codes of the command line."""

DONE = 0
FAILED = 1
WRONG_USAGE = 2
SOME_FILES_FAILED = 3
TOO_MANY_FAILED = 4
INTERRUPTED = 130


class FftagError(Exception):
    """A problem the user can mend: one line that says what is wrong and what to do.

    Attributes:
        exit_code: what the process ends with when nobody catches it.
    """

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def first_line(error: Exception) -> str:
    """What another library's exception says, in one line; its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
