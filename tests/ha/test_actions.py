"""The actions dfks.set_feature and dfks.get_features."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from homeassistant.auth.models import User
from homeassistant.auth.permissions.const import POLICY_CONTROL, POLICY_READ
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import ServiceValidationError, Unauthorized, UnknownUser
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    label_registry as lr,
)
import pytest
import voluptuous as vol

from custom_components.dfks.const import DOMAIN
from custom_components.dfks.listener import DfksListener
from tests import phone as desk

from .common import (
    ALWAYS,
    ALWAYS_TARGET,
    CONNECTED,
    DND,
    NO_ANSWER,
    NO_ANSWER_TARGET,
    RECEPTION,
    RECEPTION_DATA,
    RINGS,
    WORKSHOP,
    WORKSHOP_DATA,
    WORKSHOP_DND,
    device_of,
    line_data,
    listener_entry,
    set_up,
    state_of,
    turn,
    write_number,
    write_text,
)
from .conftest import OpenPhone
from .scripts import answer, load_scripts, nothing_told, script

RECEPTION_SIP = "sip:201@homeassistant"
WORKSHOP_SIP = "sip:202@homeassistant"


async def call(
    hass: HomeAssistant, action: str, data: dict[str, object], context: Context | None
) -> list[dict[str, Any]]:
    """Call an action and return what it says of each line."""
    response = await hass.services.async_call(
        DOMAIN, action, data, blocking=True, return_response=True, context=context
    )
    assert isinstance(response, dict)
    lines: Any = response["lines"]
    return list(lines)


async def set_feature(
    hass: HomeAssistant, context: Context | None = None, /, **data: object
) -> list[dict[str, Any]]:
    """Call the action that changes a feature."""
    return await call(hass, "set_feature", data, context)


async def get_features(
    hass: HomeAssistant, context: Context | None = None, /, **data: object
) -> list[dict[str, Any]]:
    """Call the action that tells all features."""
    return await call(hass, "get_features", data, context)


def stored(listener: DfksListener) -> Mapping[str, object]:
    """Return all that is stored of all lines."""
    return {key: line.states() for key, line in listener.sync.lines.items()}


class TestSetFeature:
    """Changing a feature."""

    async def test_answers_what_was_stored_and_who_was_told(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """Every watcher hears of it, and entities follow."""
        phones = [await open_phone(), await open_phone(transport="tcp")]
        lines = await set_feature(
            hass,
            device_id=device_of(hass).id,
            feature="CallForwardingNoAnswer",
            status=1,
            values={"forwardTo": "sip:bob@10.0.0.11", "ringCount": 4},
        )

        assert lines == [
            {
                "line": device_of(hass).id,
                "presentity": RECEPTION_SIP,
                "feature": "CallForwardingNoAnswer",
                "status": True,
                "value": {"forwardTo": "sip:bob@10.0.0.11", "ringCount": 4},
                "until": None,
                "claims": [],
                "before": {
                    "status": False,
                    "value": {"forwardTo": "", "ringCount": 3},
                },
                "told": 2,
            }
        ]
        for phone in phones:
            lamp = desk.Lamp(True, "sip:bob@10.0.0.11", 4)
            assert (await phone.notification()).features == {desk.NO_ANSWER: lamp}
        assert state_of(hass, NO_ANSWER) == "on"
        assert state_of(hass, NO_ANSWER_TARGET) == "sip:bob@10.0.0.11"
        assert state_of(hass, RINGS) == "4"

    async def test_works_without_anybody_who_watches(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """And without a response."""
        await hass.services.async_call(
            DOMAIN,
            "set_feature",
            {"presentity": RECEPTION_SIP, "feature": "DoNotDisturb", "status": True},
            blocking=True,
        )
        (line,) = await set_feature(
            hass, presentity=RECEPTION_SIP, feature="DoNotDisturb"
        )

        assert state_of(hass, DND) == "on"
        assert (line["status"], line["value"], line["told"]) == (True, {}, 0)

    async def test_tells_all_even_if_nothing_changes(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """The way to set every lamp right."""
        phone = await open_phone()
        (line,) = await set_feature(
            hass, presentity=RECEPTION_SIP, feature="DoNotDisturb", status=0
        )

        assert line["told"] == 1
        assert (await phone.notification()).features == {desk.DND: desk.Lamp(False)}

    async def test_values_that_are_not_given_are_kept(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """And so is the status."""
        await write_text(hass, NO_ANSWER_TARGET, "2424")
        await write_number(hass, RINGS, 7)
        feature = {"presentity": RECEPTION_SIP, "feature": "CallForwardingNoAnswer"}
        (line,) = await set_feature(hass, **feature, status="on")
        assert line["value"] == {"forwardTo": "2424", "ringCount": 7}

        (line,) = await set_feature(hass, **feature, values={"ringCount": "5"})
        assert line["status"] is True
        assert line["value"] == {"forwardTo": "2424", "ringCount": 5}

        (line,) = await set_feature(hass, **feature, values={"forwardTo": None})
        assert line["value"] == {"forwardTo": "2424", "ringCount": 5}

    async def test_clearing_the_target_turns_off(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """As it does in the text entity."""
        feature = {"presentity": RECEPTION_SIP, "feature": "CallForwardingAlways"}
        await set_feature(hass, **feature, status=1, values={"forwardTo": 300})
        assert (state_of(hass, ALWAYS), state_of(hass, ALWAYS_TARGET)) == ("on", "300")

        (line,) = await set_feature(hass, **feature, values={"forwardTo": ""})
        assert (line["status"], line["value"]) == (False, {"forwardTo": ""})

    @pytest.mark.parametrize(
        "values",
        [
            ["forwardTo/sip:bob@10.0.0.11;x=a/b", "ringCount/4"],
            {"forwardTo": "sip:bob@10.0.0.11;x=a/b", "ringCount": 4},
        ],
    )
    async def test_takes_values_as_opensips_does(
        self, hass: HomeAssistant, listener: DfksListener, values: object
    ) -> None:
        """As field/value, or as a mapping."""
        (line,) = await set_feature(
            hass,
            presentity=RECEPTION_SIP,
            feature="CallForwardingNoAnswer",
            values=values,
        )

        assert line["value"] == {
            "forwardTo": "sip:bob@10.0.0.11;x=a/b",
            "ringCount": 4,
        }

    async def test_takes_a_single_value(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Without the list around it."""
        (line,) = await set_feature(
            hass,
            presentity=RECEPTION_SIP,
            feature="call_forwarding_busy",
            values="forwardTo/2424",
        )

        assert line["feature"] == "CallForwardingBusy"
        assert line["value"] == {"forwardTo": "2424"}

    async def test_several_lines_at_once(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Each once, however it is named."""
        lines = await set_feature(
            hass,
            device_id=[device_of(hass).id, device_of(hass, WORKSHOP).id],
            presentity="SIP:201@HomeAssistant",
            feature="DoNotDisturb",
            status=1,
        )

        presentities = [line["presentity"] for line in lines]
        assert presentities == [RECEPTION_SIP, WORKSHOP_SIP]
        assert state_of(hass, DND) == state_of(hass, WORKSHOP_DND) == "on"

    async def test_a_target_names_devices_too(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """As in other actions."""
        await hass.services.async_call(
            DOMAIN,
            "set_feature",
            {"feature": "DoNotDisturb", "status": 1},
            target={"device_id": device_of(hass).id},
            blocking=True,
        )

        assert state_of(hass, DND) == "on"

    async def test_change_is_the_callers(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """In the logbook."""
        context = Context()
        await set_feature(
            hass,
            context,
            presentity=RECEPTION_SIP,
            feature="DoNotDisturb",
            status=1,
        )

        state = hass.states.get(DND)
        assert state is not None
        assert state.context is context


class TestPlainFields:
    """Target and rings by names of their own, beside OpenSIPS'."""

    async def test_are_what_the_values_are(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Numbers as text or as a template makes them."""
        (line,) = await set_feature(
            hass,
            presentity=RECEPTION_SIP,
            feature="call_forwarding_no_answer",
            status=True,
            forward_to=2424,
            ring_count="4",
        )

        assert line["value"] == {"forwardTo": "2424", "ringCount": 4}

    async def test_of_another_feature_are_a_mistake(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """As the values are."""
        with pytest.raises(ServiceValidationError, match="has no field ringCount"):
            await set_feature(
                hass,
                presentity=RECEPTION_SIP,
                feature="call_forwarding_busy",
                ring_count=4,
            )


class TestTargets:
    """Lines named as in Home Assistant's own actions."""

    @pytest.fixture
    def places(self, hass: HomeAssistant, listener: DfksListener) -> None:
        """Put Reception into an area on a floor, and a label on Workshop."""
        floor = fr.async_get(hass).async_create("Ground floor")
        hall = ar.async_get(hass).async_create("Hall", floor_id=floor.floor_id)
        lr.async_get(hass).async_create("Quiet")
        ar.async_get(hass).async_create("Attic")
        devices = dr.async_get(hass)
        devices.async_update_device(device_of(hass).id, area_id=hall.id)
        workshop = device_of(hass, WORKSHOP)
        devices.async_update_device(workshop.id, labels={"quiet"})

    @pytest.mark.usefixtures("places")
    @pytest.mark.parametrize(
        ("target", "lines"),
        [
            ({"area_id": "hall"}, [RECEPTION_SIP]),
            ({"floor_id": "ground_floor"}, [RECEPTION_SIP]),
            ({"label_id": "quiet"}, [WORKSHOP_SIP]),
            ({"entity_id": CONNECTED}, [RECEPTION_SIP]),
            (
                {"entity_id": WORKSHOP_DND, "area_id": "hall"},
                [WORKSHOP_SIP, RECEPTION_SIP],
            ),
        ],
    )
    async def test_places_labels_and_entities(
        self, hass: HomeAssistant, target: dict[str, str], lines: list[str]
    ) -> None:
        """Each stands for the lines there; each line comes once."""
        changed = await hass.services.async_call(
            DOMAIN,
            "set_feature",
            {"feature": "do_not_disturb", "status": True},
            target=target,
            blocking=True,
            return_response=True,
        )
        asked = await get_features(hass, **target)

        assert isinstance(changed, dict)
        named: Any = changed["lines"]
        assert [line["presentity"] for line in named] == lines
        assert [line["presentity"] for line in asked] == lines

    @pytest.mark.usefixtures("places")
    @pytest.mark.parametrize(
        ("target", "place"),
        [
            ({"area_id": ["hall", "attic"]}, "Attic"),
            ({"floor_id": "cellar"}, "cellar"),
            ({"label_id": "loud"}, "loud"),
        ],
    )
    async def test_a_place_without_a_line_is_an_error(
        self, hass: HomeAssistant, target: dict[str, object], place: str
    ) -> None:
        """By its name where it has one; nothing is changed elsewhere."""
        with pytest.raises(ServiceValidationError) as error:
            await set_feature(hass, **target, feature="do_not_disturb", status=True)

        assert str(error.value) == f"There is no phone line in {place}"
        assert state_of(hass, DND) == "off"

    @pytest.mark.usefixtures("places")
    async def test_an_entity_that_was_moved_stands_for_its_line(
        self, hass: HomeAssistant
    ) -> None:
        """In the area of its own, and with a label of its own."""
        er.async_get(hass).async_update_entity(
            WORKSHOP_DND, area_id="attic", labels={"loud"}
        )
        lr.async_get(hass).async_create("Loud")
        for target in ({"area_id": "attic"}, {"label_id": "loud"}):
            (line,) = await get_features(hass, **target)
            assert line["presentity"] == WORKSHOP_SIP

    async def test_the_entity_of_a_feature_names_the_feature(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Several of them several; its target or rings name it as well."""
        await write_text(hass, ALWAYS_TARGET, "300")
        lines = await set_feature(
            hass, entity_id=[DND, WORKSHOP_DND, ALWAYS_TARGET], status=True
        )

        assert [(line["presentity"], line["feature"]) for line in lines] == [
            (RECEPTION_SIP, "DoNotDisturb"),
            (RECEPTION_SIP, "CallForwardingAlways"),
            (WORKSHOP_SIP, "DoNotDisturb"),
        ]

    async def test_a_feature_that_is_given_counts(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """Then the entity only names its line."""
        (line,) = await set_feature(
            hass, entity_id=DND, feature="call_forwarding_busy", forward_to="1"
        )

        assert line["feature"] == "CallForwardingBusy"

    async def test_other_entities_of_a_line_name_no_feature(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """The message says what to do."""
        with pytest.raises(ServiceValidationError) as error:
            await set_feature(hass, entity_id=CONNECTED, status=True)

        assert str(error.value) == (
            "Name the feature of Reception to change, or choose one of its feature "
            "entities as the target"
        )

    async def test_a_group_stands_for_its_members(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """As in other actions."""
        hass.states.async_set("group.quiet", "off", {"entity_id": [DND, WORKSHOP_DND]})
        lines = await set_feature(hass, entity_id="group.quiet", status=True)

        assert [line["feature"] for line in lines] == ["DoNotDisturb"] * 2


GOOD: Mapping[str, object] = {
    "presentity": [RECEPTION_SIP, WORKSHOP_SIP],
    "feature": "CallForwardingBusy",
    "status": 1,
    "values": {"forwardTo": "2424"},
}

MISTAKES: dict[str, tuple[Mapping[str, object], str]] = {
    "presentity": (
        {"presentity": [RECEPTION_SIP, "sip:209@homeassistant"]},
        "sip:209@homeassistant is not a phone line",
    ),
    "other domain": (
        {"presentity": "sip:201@elsewhere"},
        "sip:201@elsewhere is not a phone line",
    ),
    "device": ({"device_id": "abc"}, "abc is not a phone line"),
    "feature": ({"feature": "Hoteling"}, "Hoteling is not a feature"),
    "feature of one line": (
        {"feature": "DoNotDisturb", "values": {}},
        "Workshop does not have the feature DoNotDisturb",
    ),
    "field": (
        {"values": {"forwardTo": "1", "colour": "red"}},
        "CallForwardingBusy has no field colour",
    ),
    "field of another feature": (
        {"values": ["forwardTo/1", "ringCount/4"]},
        "CallForwardingBusy has no field ringCount",
    ),
    "no field": ({"values": ["2424"]}, "2424 does not have the form field/value"),
    "status": ({"status": "perhaps"}, "perhaps is not a valid value for status"),
    "target": (
        {"values": {"forwardTo": "unavailable"}},
        "unavailable is not a valid value for forwardTo",
    ),
    "words for a target": (
        {"values": {"forwardTo": "hello world"}},
        "hello world is not a valid value for forwardTo",
    ),
    "no feature": (
        {"feature": None},
        "Name the feature of Reception to change",
    ),
    "value twice": (
        {"forward_to": "300"},
        "Give either forward_to or forwardTo, not both",
    ),
    "entity of something else": (
        {"entity_id": ["sun.sun"]},
        "sun.sun is not a phone line",
    ),
    "area without lines": (
        {"area_id": ["attic"]},
        "There is no phone line in attic",
    ),
    "end twice": (
        {"until": "18:00", "duration": "01:00:00"},
        "Give either until or duration, not both",
    ),
    "end that is over": (
        {"until": "2020-01-01 18:00:00"},
        "2020-01-01T18:00:00-08:00 is already over",
    ),
    "end that is none": (
        {"until": "teatime"},
        "teatime is not a valid value for until",
    ),
    "duration that is none": (
        {"duration": "a while"},
        "a while is not a valid value for duration",
    ),
    "end of what is off": (
        {"status": 0, "until": "18:00"},
        "An end or a claim can only be given when the feature is turned on",
    ),
    "claim without a status": (
        {"status": None, "claim": "Meeting"},
        "An end or a claim can only be given when the feature is turned on",
    ),
    "claim without a name": (
        {"claim": " "},
        "  is not a valid value for claim",
    ),
    "rings": (
        {"feature": "CallForwardingNoAnswer", "values": {"ringCount": 101}},
        "101 is not a valid value for ringCount",
    ),
    "no target": (
        {"values": {}},
        "CallForwardingBusy of Reception has no target yet",
    ),
    "no target on purpose": (
        {"values": {"forwardTo": " "}},
        "CallForwardingBusy of Reception has no target yet",
    ),
}


class TestMistakes:
    """What is told to whoever made one."""

    @pytest.fixture
    async def listener(self, hass: HomeAssistant, port: int) -> DfksListener:
        """Return a listener whose line Workshop has no DoNotDisturb."""
        data = {
            **RECEPTION_DATA,
            "user": "202",
            "features": RECEPTION_DATA["features"][1:],
        }
        lines = [
            line_data(RECEPTION, "Reception", RECEPTION_DATA),
            line_data(WORKSHOP, "Workshop", data),
        ]
        return await set_up(hass, listener_entry(port, lines))

    @pytest.mark.parametrize("mistake", MISTAKES)
    async def test_says_what_is_wrong_and_changes_nothing(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        open_phone: OpenPhone,
        mistake: str,
    ) -> None:
        """On no line, not even on those where all is right."""
        changed, message = MISTAKES[mistake]
        phone = await open_phone()
        data = {k: v for k, v in {**GOOD, **changed}.items() if v is not None}
        with pytest.raises(ServiceValidationError) as error:
            await set_feature(hass, **data)

        assert str(error.value).startswith(message)
        assert stored(listener) == {RECEPTION: {}, WORKSHOP: {}}
        await nothing_told(listener, phone)

    async def test_a_line_is_needed(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """All else may be left out."""
        data = {key: value for key, value in GOOD.items() if key != "presentity"}
        with pytest.raises(vol.Invalid):
            await set_feature(hass, **data)

    async def test_no_line_is_no_mistake(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """A template may find none."""
        data = {key: value for key, value in GOOD.items() if key != "presentity"}
        assert await set_feature(hass, device_id=[], **data) == []

    async def test_the_set_script_may_supply_the_target(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """As in OpenSIPS; where it does not, the target is missing all the same."""
        await load_scripts(
            hass,
            dfks_set=script(
                {
                    "condition": "template",
                    "value_template": "{{ 'sip:201@' in presentity }}",
                },
                *answer(value={"forwardTo": "300"}),
            ),
        )
        turn_on = {"feature": "CallForwardingAlways", "status": 1}
        (line,) = await set_feature(hass, presentity=RECEPTION_SIP, **turn_on)
        assert (line["status"], line["value"]) == (True, {"forwardTo": "300"})

        with pytest.raises(ServiceValidationError, match="of Workshop has no target"):
            await set_feature(hass, presentity=WORKSHOP_SIP, **turn_on)

    async def test_without_a_listener_there_are_no_lines(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """The actions are there, so that automations are valid."""
        await hass.config_entries.async_unload("dfks_entry")
        with pytest.raises(ServiceValidationError, match="is not loaded"):
            await set_feature(hass, **GOOD)
        with pytest.raises(ServiceValidationError, match="is not loaded"):
            await get_features(hass, presentity=RECEPTION_SIP)


class TestRefusals:
    """What the set script refuses."""

    async def test_one_lines_refusal_leaves_the_others_alone(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """The refusal is told all the same."""
        await load_scripts(
            hass,
            dfks_set=script(
                *answer(refuse=f"{{{{ 'no' if presentity == '{RECEPTION_SIP}' }}}}")
            ),
        )
        with pytest.raises(ServiceValidationError) as error:
            await set_feature(
                hass,
                presentity=[RECEPTION_SIP, WORKSHOP_SIP],
                feature="DoNotDisturb",
                status=1,
            )

        assert str(error.value) == "The change of Reception was refused: no"
        assert (state_of(hass, DND), state_of(hass, WORKSHOP_DND)) == ("off", "on")

    async def test_response_has_what_the_script_made_of_it(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """And that nobody was told, if the script says so."""
        await load_scripts(
            hass, dfks_set=script(*answer(status=0, notify="{{ param != 'quiet' }}"))
        )
        phone = await open_phone()
        wish = {"presentity": RECEPTION_SIP, "feature": "DoNotDisturb", "status": 1}
        (line,) = await set_feature(hass, **wish, route_param="quiet")
        assert (line["status"], line["told"]) == (False, 0)
        await nothing_told(listener, phone)

        (line,) = await set_feature(hass, **wish)
        assert (line["status"], line["told"]) == (False, 1)


class TestGetFeatures:
    """Asking for all features."""

    async def test_answers_everything_of_each_line(
        self, hass: HomeAssistant, listener: DfksListener, open_phone: OpenPhone
    ) -> None:
        """Whether a phone is there, too."""
        phone = await open_phone()
        await phone.set_forward("no-answer", True, "2424", 5)
        await turn(hass, WORKSHOP_DND, "on")
        lines = await get_features(
            hass, device_id=device_of(hass, WORKSHOP).id, presentity=RECEPTION_SIP
        )

        unclaimed: dict[str, object] = {"until": None, "claims": []}
        off = {"status": False, "value": {"forwardTo": ""}, **unclaimed}
        assert lines == [
            {
                "line": device_of(hass, WORKSHOP).id,
                "presentity": WORKSHOP_SIP,
                "name": "Workshop",
                "connected": False,
                "watchers": 0,
                "features": {
                    "DoNotDisturb": {"status": True, "value": {}, **unclaimed},
                    "CallForwardingAlways": off,
                    "CallForwardingBusy": off,
                    "CallForwardingNoAnswer": {
                        "status": False,
                        "value": {"forwardTo": "", "ringCount": 3},
                        **unclaimed,
                    },
                },
            },
            {
                "line": device_of(hass).id,
                "presentity": RECEPTION_SIP,
                "name": "Reception",
                "connected": True,
                "watchers": 1,
                "features": {
                    "DoNotDisturb": {"status": False, "value": {}, **unclaimed},
                    "CallForwardingAlways": off,
                    "CallForwardingBusy": off,
                    "CallForwardingNoAnswer": {
                        "status": True,
                        "value": {"forwardTo": "2424", "ringCount": 5},
                        **unclaimed,
                    },
                },
            },
        ]

    async def test_leaves_out_what_is_not_assigned(
        self, hass: HomeAssistant, port: int
    ) -> None:
        """As the documents do."""
        data = {**RECEPTION_DATA, "features": ["do_not_disturb"]}
        await set_up(
            hass, listener_entry(port, [line_data(RECEPTION, "Reception", data)])
        )
        (line,) = await get_features(hass, presentity=RECEPTION_SIP)

        assert list(line["features"]) == ["DoNotDisturb"]

    async def test_needs_a_response(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """It does nothing else."""
        with pytest.raises(ServiceValidationError):
            await hass.services.async_call(
                DOMAIN, "get_features", {"presentity": RECEPTION_SIP}, blocking=True
            )


class TestUsers:
    """A user may do what the user may do with the switch."""

    @pytest.fixture
    def context(self, hass_read_only_user: Any) -> Context:
        """Return a call of one who may see Reception's DND and change Workshop's."""
        hass_read_only_user.mock_policy(
            {
                "entities": {
                    "entity_ids": {
                        DND: {POLICY_READ: True},
                        WORKSHOP_DND: {POLICY_CONTROL: True},
                    }
                }
            }
        )
        return Context(user_id=hass_read_only_user.id)

    @pytest.mark.parametrize(
        ("presentities", "allowed"),
        [
            ([WORKSHOP_SIP], True),
            ([RECEPTION_SIP], False),
            ([WORKSHOP_SIP, RECEPTION_SIP], False),
        ],
    )
    async def test_changing_needs_control_of_every_line(
        self,
        hass: HomeAssistant,
        listener: DfksListener,
        context: Context,
        presentities: list[str],
        allowed: bool,
    ) -> None:
        """Else nothing is changed."""
        with nullcontext() if allowed else pytest.raises(Unauthorized):
            await set_feature(
                hass,
                context,
                presentity=presentities,
                feature="DoNotDisturb",
                status=1,
            )

        assert state_of(hass, WORKSHOP_DND) == ("on" if allowed else "off")
        assert state_of(hass, DND) == "off"

    async def test_a_feature_without_an_entity_is_for_nobody_but_admins(
        self, hass: HomeAssistant, listener: DfksListener, context: Context
    ) -> None:
        """A switch that was removed from the registry takes its permission along."""
        er.async_get(hass).async_remove(WORKSHOP_DND)

        with pytest.raises(Unauthorized):
            await set_feature(
                hass,
                context,
                presentity=[WORKSHOP_SIP],
                feature="DoNotDisturb",
                status=1,
            )

        assert stored(listener) == {RECEPTION: {}, WORKSHOP: {}}

    async def test_reading_needs_all_features_of_the_line(
        self, hass: HomeAssistant, port: int, context: Context
    ) -> None:
        """All that it would tell."""
        only_dnd = {**RECEPTION_DATA, "features": ["do_not_disturb"]}
        lines = [
            line_data(RECEPTION, "Reception", only_dnd),
            line_data(WORKSHOP, "Workshop", WORKSHOP_DATA),
        ]
        await set_up(hass, listener_entry(port, lines))
        (line,) = await get_features(hass, context, presentity=RECEPTION_SIP)
        assert list(line["features"]) == ["DoNotDisturb"]

        with pytest.raises(Unauthorized):
            await get_features(hass, context, presentity=WORKSHOP_SIP)

    async def test_admins_may_do_all(
        self, hass: HomeAssistant, listener: DfksListener, hass_admin_user: User
    ) -> None:
        """Without a look at each entity."""
        context = Context(user_id=hass_admin_user.id)
        await set_feature(hass, context, **GOOD)
        lines = await get_features(hass, context, presentity=RECEPTION_SIP)

        assert lines[0]["features"]["CallForwardingBusy"]["status"] is True

    async def test_unknown_users_may_do_nothing(
        self, hass: HomeAssistant, listener: DfksListener
    ) -> None:
        """One who was removed, say."""
        with pytest.raises(UnknownUser):
            await set_feature(hass, Context(user_id="gone"), **GOOD)

        assert stored(listener) == {RECEPTION: {}, WORKSHOP: {}}
