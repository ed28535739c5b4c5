"""What hypothesis makes of the model's values."""

from hypothesis import strategies as st

from custom_components.dfks.features.model import (
    MAX_RING_COUNT,
    Feature,
    FeatureState,
    is_target,
)

targets = (
    st.text(max_size=40)
    | st.text(alphabet="&<>\"'];#éÿ€0+@:", max_size=40)
    | st.from_regex(r"[0-9*#+]{1,20}", fullmatch=True)
).filter(is_target)

features = st.sampled_from(list(Feature))
forwardings = st.sampled_from(list(Feature)[1:])
ring_counts = st.integers(0, MAX_RING_COUNT)

states = st.builds(
    FeatureState, status=st.booleans(), forward_to=targets, ring_count=ring_counts
)
