"""The bytes and what is said of them: where a path points, who may what, uploads, copies, listings, downloads.

`handlers/files.py` answers the requests; what it asks for stands here. The other rooms (`jobs`, `apps`) use it too.
"""
