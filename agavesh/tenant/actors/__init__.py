"""Actors: functions that answer messages, each answer a process of this machine.

`spec` reads what is registered, `images` finds the program behind a name, `messages` takes a message from a request.
`queue` keeps messages and what became of them, `workers` take them from there one by one, `execution` is the folder of
one of them, and `stage` the program that stands between a job's runner and the actor's own. `nonces` and `aliases` are
other ways to an actor, `levels` what a user may do there, `access` whether a caller may; `records` is how all of it is
told.
"""
