"""The probe language: one text states a way in, a way out and what they share."""
