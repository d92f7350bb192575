"""The one door that every candidate passes: proved, replayed where it differs, loaded."""
