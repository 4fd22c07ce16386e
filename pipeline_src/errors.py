"""The one exception for what a user can cause and mend."""


class UserError(Exception):
    """A mistake in the input: the message is one sentence that says what is wrong, where, and what to do.

    Commands print it as ``error: …`` and exit with 1; every other exception is a bug and keeps its traceback.
    """
