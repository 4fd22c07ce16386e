"""What can be wrong with a file."""


class UnreadableError(Exception):
    """A file is broken, or not what it seems: the message is what is wrong, and what to do, without the file's name."""


def shown(name: object) -> str:
    """Return a name that stands in a file as a message may print it: printable, and not too long."""
    text = str(name)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 100 else f"{text[:100]}…"
