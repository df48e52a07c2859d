"""Jobs, from what a request asks for to the process that runs: records are taken through their life, step by step.

`spec` reads a request, `submission` makes a record of it. `life` moves a record from status to status, `steps` does
what each status names: `sources` are staged, `script` is made from the app's `wrapper`, `slots` says when it may run,
and a `runner`, a small process that outlives the tenant, runs it; `runs` is our side of that. `places` says where all
of it lies.
"""
