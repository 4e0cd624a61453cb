"""The app: photos tagged, the catalogue looked at and corrected, trends, models, data."""
