"""Splits a stream into messages (RFC 3261 18.3)."""

# A message on a stream, in octets: head and body.
MAX_STREAM_MESSAGE = 65_535

# Digits of a Content-Length; one of so many is over the limit.
MAX_DIGITS = 9


class FramingError(ValueError):
    """A stream that cannot be split into messages any further.

    `head` is the head of the message that could not be framed, as far as it came;
    `too_large` says that this is all that is wrong with it.
    """

    def __init__(self, reason: str, head: bytes, *, too_large: bool = False) -> None:
        """Say what is wrong."""
        super().__init__(reason)
        self.head = head
        self.too_large = too_large


class Framer:
    """Splits a stream into messages by Content-Length (RFC 3261 18.3).

    Takes time linear in what it is fed, at whatever octet the stream is cut.
    """

    def __init__(self) -> None:
        """Start at the beginning of a message."""
        self._buffer = bytearray()
        self._searched = 0
        self._size: int | None = None
        self._after_break = False

    @property
    def inside(self) -> bool:
        """Whether a message has begun that is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """Return the messages that are complete, and the number of pings between them.

        A ping is a double CRLF (RFC 5626 4.4.1). Raises FramingError.
        """
        self._buffer += data
        messages = []
        pings = 0
        while self._buffer:
            if self._size is None:
                pings += self._skip_line_ends()
                if not self._find_size():
                    break
            if self._size is None or len(self._buffer) < self._size:
                break
            messages.append(bytes(self._buffer[: self._size]))
            del self._buffer[: self._size]
            self._size, self._searched = None, 0
        return messages, pings

    def _skip_line_ends(self) -> int:
        """Drop line ends before a start line (RFC 3261 7.5); return the pings in them."""
        buffer = self._buffer
        length = len(buffer)
        end = self._searched
        if end:
            return 0
        while end < length and buffer[end] in b"\r\n":
            end += 1
        if not end:
            # What came before was the line end before this message, no half of a ping.
            self._after_break = False
            return 0
        breaks = buffer.count(b"\n", 0, end) + self._after_break
        # Half a ping may still be on its way.
        self._after_break = end == length and breaks % 2 == 1
        del buffer[:end]
        return breaks // 2

    def _find_size(self) -> bool:
        """Find the end of the head and with it the size of the message."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0:
            self._searched = len(buffer)
            if len(buffer) > MAX_STREAM_MESSAGE:
                raise FramingError("Header Too Large", bytes(buffer), too_large=True)
            return False
        head = bytes(buffer[:end])
        self._size = end + 4 + self._content_length(head)
        if self._size > MAX_STREAM_MESSAGE:
            raise FramingError("Message Too Large", head, too_large=True)
        return True

    @staticmethod
    def _content_length(head: bytes) -> int:
        """Return the Content-Length of a head; none counts as 0, as phones mean it."""
        found = None
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() not in (b"content-length", b"l"):
                continue
            value = value.strip()
            # More digits than any size needs are not read, only counted.
            size = int(value[:MAX_DIGITS]) if value.isdigit() else None
            if size is None or found not in (None, size):
                raise FramingError("Content-Length does not fit", head)
            found = size
        return found or 0
