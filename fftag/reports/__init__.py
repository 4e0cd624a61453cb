"""Questions to a catalogue, answered and written."""
