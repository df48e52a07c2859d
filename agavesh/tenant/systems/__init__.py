"""Systems as records: what a request for one must hold, how it is kept, and its credentials. Bytes are in `files`."""
