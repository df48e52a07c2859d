"""An actor written with AgavePy, as for the platform: it runs what it is sent, or tells of its context.

The test puts AgavePy's Python in front. It imports nothing of ours, and knows no path of a tenant's.
"""

import json
import os
from urllib.parse import urlsplit

import cloudpickle  # type: ignore[import-not-found]  # AgavePy's, not ours
from agavepy.actors import (  # type: ignore[import-not-found]  # it lives in an environment of its own
    get_binary_message,
    get_client,
    get_context,
    send_python_result,
)

context = get_context()
if context["_abaco_Content_Type"] == "application/octet-stream":
    call = cloudpickle.loads(get_binary_message())
    send_python_result(call["func"](*call["args"], **call["kwargs"]))
elif context["raw_message"] == "count":
    agave = get_client()
    agave.host = urlsplit(context["_abaco_api_server"]).hostname  # see the story: else nothing is signed
    agave.verify = os.environ.get("AGAVE_CA_CERT", True)  # nor is the certificate of a tenant known to it
    agave.refresh_aris()
    count = agave.actors.getState(actorId=context["actor_id"])["state"]["count"]
    agave.actors.updateState(actorId=context["actor_id"], body={"count": count + 1})
    print("counted to", count + 1)
else:
    names = ("raw_message", "username", "actor_id", "actor_dbid", "execution_id", "state", "SHADE")
    print(json.dumps({**{name: context[name] for name in names}, "message_dict": dict(context["message_dict"])}))
