"""The platform's services as typed signatures, a file per service."""
