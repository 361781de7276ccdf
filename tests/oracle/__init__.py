"""Plain-Python twins of native rooms, slow and obvious, to compare with."""
