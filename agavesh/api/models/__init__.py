"""The platform's records as typed objects, a file per service."""
