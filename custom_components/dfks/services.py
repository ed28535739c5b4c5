"""The actions: OpenSIPS' management call, the question that goes with it, and claims.

All of them name lines by a target, as Home Assistant's own actions do, or by presentity.
Everything is checked for all lines before anything is changed, so that a mistake changes
nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from homeassistant.auth.permissions.const import (
    CAT_ENTITIES,
    POLICY_CONTROL,
    POLICY_READ,
)
from homeassistant.const import Platform
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, Unauthorized, UnknownUser
from homeassistant.helpers import config_validation as cv, entity_registry as er
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType
import voluptuous as vol

from .const import ATTR_FEATURE, ATTR_FORWARD_TO, ATTR_UNTIL, DOMAIN, FEATURE_KEYS
from .errors import invalid, refused
from .features.claims import names
from .features.model import (
    ChangeRefused,
    ChangeRequest,
    Feature,
    FeatureState,
    Hold,
    Origin,
    Refusal,
)
from .line_targets import TARGET_FIELDS, LineTarget, Selected, find_targets
from .scripting.variables import (
    FIELD_FORWARD_TO,
    FIELD_RING_COUNT,
    FIELDS,
    read_claim,
    read_duration,
    read_feature,
    read_rings,
    read_status,
    read_target,
    read_time,
    shown_claims,
    shown_time,
    shown_value,
)
from .settings import line_unique_id

if TYPE_CHECKING:
    from probatio import Schema

SERVICE_SET_FEATURE: Final = "set_feature"
SERVICE_GET_FEATURES: Final = "get_features"
SERVICE_RELEASE: Final = "release"

ATTR_CLAIM: Final = "claim"
ATTR_DURATION: Final = "duration"
ATTR_RING_COUNT: Final = "ring_count"
ATTR_ROUTE_PARAM: Final = "route_param"
ATTR_STATUS: Final = "status"
ATTR_VALUES: Final = "values"

# The plain fields that stand for values of OpenSIPS.
_ALIASES: Final = {
    ATTR_FORWARD_TO: FIELD_FORWARD_TO,
    ATTR_RING_COUNT: FIELD_RING_COUNT,
}


def _schema(fields: dict[vol.Marker, object]) -> Schema:
    """Return the schema of an action, which needs a line in any case."""
    needs_line = cv.has_at_least_one_key(*map(str, TARGET_FIELDS))
    # A type checker sees another schema here than Home Assistant does.
    return cast("Schema", vol.Schema(vol.All({**TARGET_FIELDS, **fields}, needs_line)))


GET_SCHEMA: Final = _schema({})

# What the values mean is checked where it can be told in the user's language.
SET_SCHEMA: Final = _schema(
    {
        vol.Optional(ATTR_FEATURE): cv.string,
        vol.Optional(ATTR_STATUS): vol.Any(bool, str, int, float),
        vol.Optional(ATTR_FORWARD_TO): vol.Any(str, int, float, None),
        vol.Optional(ATTR_RING_COUNT): vol.Any(str, int, float, None),
        vol.Optional(ATTR_UNTIL): object,
        vol.Optional(ATTR_DURATION): object,
        vol.Optional(ATTR_CLAIM): vol.Any(str, int, float),
        vol.Optional(ATTR_ROUTE_PARAM): object,
        vol.Optional(ATTR_VALUES): vol.Any(dict, list, str),
    }
)
RELEASE_SCHEMA: Final = _schema(
    {
        vol.Optional(ATTR_FEATURE): cv.string,
        vol.Required(ATTR_CLAIM): vol.Any(str, int, float),
    }
)

# A feature of a line that an action is about.
type _Subject = tuple[LineTarget, Feature]


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    hass.services.async_register(
        DOMAIN,
        SERVICE_SET_FEATURE,
        _async_set_feature,
        schema=SET_SCHEMA,
        supports_response=SupportsResponse.OPTIONAL,
    )
    hass.services.async_register(
        DOMAIN,
        SERVICE_GET_FEATURES,
        _async_get_features,
        schema=GET_SCHEMA,
        supports_response=SupportsResponse.ONLY,
    )
    hass.services.async_register(
        DOMAIN,
        SERVICE_RELEASE,
        _async_release,
        schema=RELEASE_SCHEMA,
        supports_response=SupportsResponse.OPTIONAL,
    )


async def _async_get_features(call: ServiceCall) -> ServiceResponse:
    """Return what is stored of all features of some lines."""
    targets = [selected.target for selected in find_targets(call.hass, call.data)]
    await _async_check_permission(
        call,
        POLICY_READ,
        ((target, feature) for target in targets for feature in target.line.assigned),
    )
    return {"lines": [_line_as_json(target) for target in targets]}


async def _async_set_feature(call: ServiceCall) -> ServiceResponse:
    """Change a feature of some lines and return what has become of it."""
    feature = _read_feature(call.data)
    subjects = list(_subjects(find_targets(call.hass, call.data), feature))
    wishes = {feature: _read_wish(feature, call) for _, feature in subjects}
    if not subjects and feature is not None:
        # A mistake is one, whether there is a line or not.
        _read_wish(feature, call)
    for target, feature in subjects:
        _check_change(target, wishes[feature])
    await _async_check_permission(call, POLICY_CONTROL, subjects)
    return await _async_make(
        [(target, wishes[feature]) for target, feature in subjects]
    )


async def _async_release(call: ServiceCall) -> ServiceResponse:
    """End a claim on some lines and return what has become of their features."""
    feature = _read_feature(call.data)
    claim = _read(read_claim, ATTR_CLAIM, call.data[ATTR_CLAIM])
    changes: list[tuple[LineTarget, ChangeRequest]] = []
    for selected in find_targets(call.hass, call.data):
        features = [feature] if feature is not None else selected.features
        changes += [
            (
                selected.target,
                ChangeRequest(
                    feature=each,
                    release=claim,
                    origin=Origin.ACTION,
                    context=call.context,
                ),
            )
            for each in features or selected.target.line.assigned
            # A feature that was taken from the line may still be claimed.
            if each in selected.target.line.assigned
            or each in selected.target.line.claimed
        ]
    await _async_check_permission(
        call, POLICY_CONTROL, ((target, change.feature) for target, change in changes)
    )
    return await _async_make(
        [
            (target, change)
            for target, change in changes
            if claim in names(target.line.claims(change.feature))
        ]
    )


async def _async_make(
    changes: Iterable[tuple[LineTarget, ChangeRequest]],
) -> ServiceResponse:
    """Make changes and return what has become of the features."""
    results: list[JsonObjectType] = []
    refusals: list[HomeAssistantError] = []
    for target, change in changes:
        feature = change.feature
        try:
            outcome = await target.listener.sync.change(target.line.id, change)
        except ChangeRefused as err:
            # One line's refusal is no reason to leave out the others.
            refusals.append(_refused(err, target, feature))
            continue
        results.append(
            {
                **target.as_json(),
                ATTR_FEATURE: feature.value,
                **_state_as_json(feature, outcome.state),
                **shown_claims(target.line.claims(feature)),
                "before": _state_as_json(feature, outcome.before),
                "told": outcome.told,
            }
        )
    if refusals:
        raise refusals[0]
    return {"lines": [*results]}


def _subjects(found: Iterable[Selected], feature: Feature | None) -> Iterable[_Subject]:
    """Yield the features to change; raises ServiceValidationError without one."""
    for selected in found:
        if feature is not None:
            yield selected.target, feature
            continue
        if selected.is_whole:
            raise invalid("feature_needed", line=selected.target.name)
        for each in selected.features:
            yield selected.target, each


def _read_feature(data: Mapping[str, Any]) -> Feature | None:
    """Return the feature that an action names. Raises ServiceValidationError."""
    if (name := data.get(ATTR_FEATURE)) is None:
        return None
    try:
        return read_feature(name)
    except ValueError as err:
        raise invalid("feature_unknown", feature=name) from err


def _read_wish(feature: Feature, call: ServiceCall) -> ChangeRequest:
    """Understand what is asked for. Raises ServiceValidationError."""
    data = call.data
    fields = _read_fields(feature, data)
    status = _read(read_status, ATTR_STATUS, data.get(ATTR_STATUS))
    return ChangeRequest(
        feature=feature,
        status=status,
        forward_to=_read(read_target, FIELD_FORWARD_TO, fields.get(FIELD_FORWARD_TO)),
        ring_count=_read(read_rings, FIELD_RING_COUNT, fields.get(FIELD_RING_COUNT)),
        hold=_read_hold(data, status),
        origin=Origin.ACTION,
        param=data.get(ATTR_ROUTE_PARAM),
        context=call.context,
    )


def _read_hold(data: Mapping[str, Any], status: bool | None) -> Hold | None:
    """Return how long a change is to last. Raises ServiceValidationError."""
    now = dt_util.utcnow().timestamp()
    claim = _read(read_claim, ATTR_CLAIM, data.get(ATTR_CLAIM))
    until = _read(read_time, ATTR_UNTIL, data.get(ATTR_UNTIL))
    duration = _read(read_duration, ATTR_DURATION, data.get(ATTR_DURATION))
    if claim is None and until is None and duration is None:
        return None
    if until is not None and duration is not None:
        raise invalid("given_twice", one=ATTR_UNTIL, other=ATTR_DURATION)
    if status is not True:
        raise invalid("only_while_on")
    if duration is not None:
        until = now + duration
    if until is not None and until <= now:
        raise invalid("until_in_past", value=shown_time(until))
    return Hold(claim or "", until)


def _read[T](reader: Callable[[object], T], field: str, value: object) -> T | None:
    """Read what was given for a field; None where it is to be kept."""
    if value is None:
        return None
    try:
        return reader(value)
    except ValueError as err:
        raise invalid("value_invalid", field=field, value=str(value)) from err


def _read_fields(feature: Feature, data: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the values by field: plain fields, a mapping or OpenSIPS' field/value."""
    values = data.get(ATTR_VALUES)
    fields: dict[str, object]
    if isinstance(values, dict):
        fields = {**values}
    else:
        fields = dict(_read_pair(str(pair)) for pair in cv.ensure_list(values))
    for plain, field in _ALIASES.items():
        if data.get(plain) is None:
            continue
        if fields.get(field) is not None:
            raise invalid("given_twice", one=plain, other=field)
        fields[field] = data[plain]
    for field in fields:
        if field not in FIELDS[feature]:
            raise invalid("field_unknown", field=str(field), feature=feature.value)
    return fields


def _read_pair(pair: str) -> tuple[str, str]:
    field, slash, value = pair.partition("/")
    if not slash:
        raise invalid("value_without_field", value=pair)
    return field.strip(), value.strip()


def _check_change(target: LineTarget, change: ChangeRequest) -> None:
    """Raise ServiceValidationError for what the line cannot do."""
    feature = change.feature
    if feature not in target.line.assigned:
        raise invalid("feature_not_assigned", feature=feature.value, line=target.name)
    try:
        target.listener.sync.check(target.line, change)
    except ChangeRefused as err:
        raise _refused(err, target, feature) from err


def _refused(
    err: ChangeRefused, target: LineTarget, feature: Feature
) -> HomeAssistantError:
    """Return the error to raise for a change of a line that was refused."""
    if err.refusal is Refusal.TARGET_MISSING:
        return invalid("target_needed", feature=feature.value, line=target.name)
    return refused(err, target.name, feature.value)


async def _async_check_permission(
    call: ServiceCall, policy: str, concerned: Iterable[_Subject]
) -> None:
    """Let a user do with a feature what the user may do with its switch."""
    if call.context.user_id is None:
        return
    user = await call.hass.auth.async_get_user(call.context.user_id)
    if user is None:
        raise UnknownUser(context=call.context, permission=policy)
    if user.permissions.access_all_entities(policy):
        return
    registry = er.async_get(call.hass)
    for target, feature in concerned:
        unique_id = (
            f"{line_unique_id(target.entry, target.line.id)}_{FEATURE_KEYS[feature]}"
        )
        entity_id = registry.async_get_entity_id(Platform.SWITCH, DOMAIN, unique_id)
        if entity_id is None or not user.permissions.check_entity(entity_id, policy):
            raise Unauthorized(
                context=call.context,
                entity_id=entity_id,
                permission=policy,
                perm_category=CAT_ENTITIES,
            )


def _line_as_json(target: LineTarget) -> JsonObjectType:
    line = target.line
    return {
        **target.as_json(),
        "name": target.name,
        "connected": line.connected,
        "watchers": line.watchers,
        "features": {
            feature.value: {
                **(
                    {"status": None, "value": {}}
                    if feature in line.unknown
                    else _state_as_json(feature, line.state(feature))
                ),
                **shown_claims(line.claims(feature)),
            }
            for feature in line.assigned
        },
    }


def _state_as_json(feature: Feature, state: FeatureState) -> JsonObjectType:
    return {"status": state.status, "value": {**shown_value(feature, state)}}
