"""Notifications: subscriptions to the events of all services, and their delivery.

`spec` reads a request, `subscriptions` keeps what is subscribed to. An event that somebody subscribed to becomes a row
of `deliveries` in the transaction that records it (`Notifications.heard`); `schedule` says whose turn it is, `post` and
`mail` bring it out of the house, and `policy` says whether and when it is tried again. `resources` knows what a uuid
stands for and what its subscriber may be told of it, `macros` what a URL may hold of that.
"""
