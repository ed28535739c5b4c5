"""Programs that no one here wrote against the lower floors; see scripts/interop."""
