"""A script of AgavePy: postits and monitors, which its documentation leaves out."""

import os
import urllib.request

from agavepy.agave import Agave

agave = Agave(
    api_server=os.environ["API"],
    username=os.environ["USERNAME"],
    password=os.environ["PASSWORD"],
    api_key=os.environ["KEY"],
    api_secret=os.environ["SECRET"],
    verify=os.environ["CA"],
)

postit = agave.postits.create(body={"url": os.environ["API"] + "/profiles/v2/me?naked=true&filter=email", "maxUses": 2})
print("postit", postit["creator"], postit["method"], postit["remainingUses"], postit["noauth"])
print("listed", [one["postit"] == postit["postit"] for one in agave.postits.list()])
os.environ["SSL_CERT_FILE"] = os.environ["CA"]
with urllib.request.urlopen(os.environ["API"] + "/postits/v2/" + postit["postit"]) as answer:
    print("redeemed", answer.status, answer.read())
print("left", [one["remainingUses"] for one in agave.postits.list()])
print("revoked", agave.postits.delete(uuid=postit["postit"]), len(agave.postits.list()))

monitor = agave.monitors.add(body={"target": "run.demo", "frequency": 10, "active": False})
print("monitor", monitor["target"], monitor["frequency"], monitor["active"], monitor["updateSystemStatus"])
check = agave.monitors.runCheck(monitorId=monitor["id"])
print("checked", check["result"], check["type"], check["message"])
print("checks", [one["type"] for one in agave.monitors.listChecks(monitorId=monitor["id"])])
print("one", agave.monitors.getCheck(monitorId=monitor["id"], checkId=check["id"])["id"] == check["id"])
print("passed", len(agave.monitors.listChecks(monitorId=monitor["id"], result="FAILED")))
print("off", [one["target"] for one in agave.monitors.list(active="false")], len(agave.monitors.list(active="true")))
print("now", agave.monitors.get(monitorId=monitor["id"])["lastCheck"]["result"])
print("deleted", agave.monitors.delete(monitorId=monitor["id"]), len(agave.monitors.list()))
