"""The one exception that a user meets: a sentence that says what is wrong with which file, and what to do."""


class MacrosplatError(Exception):
    """Bad input or an impossible request. The message is one sentence; the command line prints it and exits with 2."""
