"""The embedded tenant: a small platform of one's own, with the paths, answers and errors of Agave v2.

A request comes in by `server` and `app`, finds its function in `handlers` by `routes`, and is given a `context`.
What a service does beyond its handlers has a room: `files`, `systems`, `apps`, `jobs`. All that lasts is in the
`store` (records) and in `files.disk` (bytes); `state` holds one running tenant together. `demo` fills a fresh one.
"""
