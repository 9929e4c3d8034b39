"""What can go wrong, as the program tells it."""


class InputError(Exception):
    """Bad input: the message says what was wrong, what was expected, what to do.

    The program prints it without a traceback and exits with code 2.
    """


class BusyError(InputError):
    """Another process is at work on a run."""


class DivergedError(Exception):
    """The training loss stopped being finite: the message says where.

    The program prints it without a traceback and exits with code 1.
    """
