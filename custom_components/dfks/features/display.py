"""What can be shown of a text that comes from outside."""


def printable(text: str, length: int) -> str:
    """Return what can be shown of a text from outside, at most `length` characters.

    Neither control characters nor those that turn the direction of writing are left:
    a form shows it beside what others wrote.
    """
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    return text[:length].strip()
