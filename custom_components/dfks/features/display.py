"""What can be shown of a text that comes from outside."""


def decoded(text: str) -> str:
    """Return a text of a passed message, which is read octet by octet, as UTF-8.

    Names are that (RFC 3261 7.3.1).
    """
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def printable(text: str, length: int) -> str:
    """Return what can be shown of a text from outside, at most `length` characters.

    Neither control characters nor those that turn the direction of writing are left:
    a form shows it beside what others wrote.
    """
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    return text[:length].strip()
