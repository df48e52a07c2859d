"""What a job runs: its script, made from the app's wrapper, and how the runner is to start it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from agavesh.tenant.confine import environment
from agavesh.tenant.files.disk import Disk
from agavesh.tenant.jobs import wrapper
from agavesh.tenant.jobs.places import Job, incoming, run_of, short_name, system_of, work_folder
from agavesh.tenant.jobs.runner import MARK, Spec
from agavesh.tenant.limits import plain, seconds
from agavesh.tenant.refusal import Refusal

if TYPE_CHECKING:
    from agavesh.tenant.state import Tenant


def variables(tenant: Tenant, job: Job) -> dict[str, str]:
    """The job's own variables, as wrappers name them."""
    limit = seconds(job["maxRunTime"]) or 0
    archive = job["archive"]
    return {
        "AGAVE_JOB_NAME": short_name(job), "AGAVE_JOB_NAME_RAW": job["name"], "AGAVE_JOB_ID": job["id"],
        "AGAVE_JOB_APP_ID": job["appId"], "AGAVE_JOB_EXECUTION_SYSTEM": job["executionSystem"],
        "AGAVE_JOB_BATCH_QUEUE": job["batchQueue"], "AGAVE_JOB_BATCH_QUEUE_EFFECTIVE_NAME": job["batchQueue"],
        "AGAVE_JOB_SUBMIT_TIME": job["submitTime"], "AGAVE_JOB_ARCHIVE": "1" if archive else "",
        "AGAVE_JOB_ARCHIVE_SYSTEM": job["archiveSystem"] if archive else "",
        "AGAVE_JOB_ARCHIVE_PATH": job["archivePath"] if archive else "",
        "AGAVE_JOB_ARCHIVE_URL": f"agave://{job['archiveSystem']}/{job['_archive']}" if archive else "",
        "AGAVE_JOB_NODE_COUNT": str(job["nodeCount"]), "AGAVE_JOB_PROCESSORS_PER_NODE": str(job["processorsPerNode"]),
        "AGAVE_JOB_MEMORY_PER_NODE": plain(job["memoryPerNode"]), "AGAVE_JOB_MAX_RUNTIME": job["maxRunTime"],
        "AGAVE_JOB_MAX_RUNTIME_SECONDS": str(limit), "AGAVE_JOB_MAX_RUNTIME_MILLISECONDS": str(limit * 1000),
        "AGAVE_JOB_WORK_PATH": str(work_folder(tenant, job)),  # the path that programs of the job can use
        "AGAVE_JOB_OWNER": job["owner"], "AGAVE_JOB_TENANT": tenant.name, "AGAVE_BASE_URL": tenant.url,
        "IPLANT_JOB_NAME": short_name(job),
        "IPLANT_CORES_REQUESTED": str(job["processorsPerNode"] * job["nodeCount"]),
    }  # fmt: skip


def write_script(tenant: Tenant, job: Job) -> None:
    """Fill the wrapper, which was copied with the bundle, and put the script beside it."""
    work, app, name = work_folder(tenant, job), job["_app"], short_name(job)
    try:
        # a job that is run again may have put links into its folder: none leads out
        template = Path(Disk(work).at(app["templatePath"])).read_text(errors="surrogateescape")
    except OSError as trouble:
        raise Refusal(400, f"The wrapper {app['templatePath']} cannot be read: {trouble.strerror}") from None
    values = wrapper.values(app, job.get("_names", {}), job["parameters"])
    text = wrapper.script(
        wrapper.fill(template, {**values, **variables(tenant, job)}),
        title=f"job {job['id']} of the app {app['id']}",
        folder=str(work),
        callback_file=str(_told(tenant, job) / "callback"),
        modules=app["modules"],
        environment=system_of(tenant, job["executionSystem"]).get("environment") or "",
    )
    beside = incoming(tenant) / f"{job['id']}.script"
    beside.write_text(text, errors="surrogateescape")
    beside.chmod(0o755)
    beside.replace(work / f"{name}.ipcexe")


def spec(tenant: Tenant, job: Job) -> Spec:
    """How the script is started. Its environment holds nothing of the tenant's, which knows secrets."""
    work, name = work_folder(tenant, job), short_name(job)
    own = {
        MARK: job["id"], "AGAVE_JOB_NAME": name, "AGAVE_JOB_OWNER": job["owner"], "AGAVE_JOB_WORK_PATH": str(work),
        "USER": job["owner"], "LOGNAME": job["owner"],
    }  # fmt: skip
    readable = [_told(tenant, job)]
    if (certificate := tenant.root / "tls" / "ca.pem").exists():
        own["AGAVE_CA_CERT"] = str(certificate)
        readable.append(certificate)
    script = [shutil.which("bash") or "/bin/sh", f"{work}/{name}.ipcexe"]
    return {
        "argv": tenant.confinement.command(script, work=work, readable=readable),
        "nested": tenant.confinement.bwrap is not None,
        "cwd": str(work),
        "environment": environment(own, work=work),
        "pid": f"{work}/{name}.pid",
        "out": f"{work}/{name}.out",
        "err": f"{work}/{name}.err",
        "limit": float(seconds(job["maxRunTime"]) or 0),
        "memory": int(job.get("_memory", 0) * 2**30) * job["nodeCount"],  # all nodes are this machine
    }


def _told(tenant: Tenant, job: Job) -> Path:
    """The one part of the runner's folder that the script may read: files in it come and go, the folder stays."""
    return run_of(tenant, job["id"]).folder / "told"


def tell_address(tenant: Tenant, job: Job) -> None:
    """Write down where the script reaches this tenant: the next tenant of this folder may listen elsewhere."""
    folder = _told(tenant, job)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = folder / "callback.new"
    beside.touch(mode=0o600)
    beside.write_text(f"{tenant.url}/jobs/v2/trigger/job/{job['id']}/token/{job['_token']}\n")
    beside.replace(folder / "callback")  # the script may be reading it
