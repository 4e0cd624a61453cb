"""Why a label was given: heat maps over photos."""
