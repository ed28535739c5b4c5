"""Messages that break parsers, sent to a real server (RFC 4475, RFC 5118)."""

import pytest

from tests.phone.wire import Response

from .caller import Caller
from .torture import ALL, Torture


def cases() -> list[object]:
    """Return the messages, each with the rows that it checks."""
    return [
        pytest.param(
            case,
            id=case.name,
            marks=[pytest.mark.requirement(row) for row in case.rows],
        )
        for case in ALL
    ]


@pytest.mark.parametrize("case", cases())
async def test_each_torture_message_gets_its_one_answer(
    caller: Caller, case: Torture
) -> None:
    """Send the message; the answer is the one that the table says, and the only one."""
    data = case.octets.replace(b"PORT", str(caller.local[1]).encode())
    if case.signed:
        await caller.log_in()
        data = caller.sign(data)

    caller.send(data)
    answers = await caller.so_far()

    responses = [message for message in answers if isinstance(message, Response)]
    assert [response.status for response in responses] == (
        [] if case.status is None else [case.status]
    )
    for response in responses:
        shown = response.raw.decode("latin-1")
        assert [text for text in case.says if text not in shown] == []


def test_every_message_of_the_table_has_its_own_name() -> None:
    """A name names one message."""
    names = [case.name for case in ALL]

    assert len(set(names)) == len(names)
