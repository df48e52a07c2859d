"""AgavePy's functions for people, which build their requests another way: forms in place of JSON."""

import contextlib
import io

from agavepy.agave import Agave  # type: ignore[import-not-found]  # it lives in an environment of its own

from .scene import SYSTEM, Facts, Scene

CONTENT = b"one line\r\nand \0 another \xff\n"


def people(scene: Scene) -> Facts:
    facts: Facts = {}
    tenant = scene.tenant
    shell = Agave(
        api_server=tenant["url"], username=tenant["users"][0]["username"], tenant_id=tenant["tenant"], proxies={}
    )
    shell.clients_create("at the prompt".replace(" ", "-"), "made at a prompt")
    shell.get_access_token()
    facts["signed in"] = all(isinstance(part, str) and part for part in (shell.api_key, shell.api_secret, shell.token))
    first = shell.token
    shell.created_at = str(int(shell.created_at) - int(shell.expires_in))
    shell.refresh_tokens()
    facts["refreshed"] = shell.token != first
    shell.files_mkdir(f"{SYSTEM}/prompt")  # its path is taken from the home: it names no folder in the URL
    local = scene.folder / "prompt.txt"
    local.write_bytes(CONTENT)
    shell.files_upload(str(local), f"{SYSTEM}//alice/prompt/")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        shell.files_list(f"{SYSTEM}//alice/prompt", long_format=True)
        shell.files_history(f"{SYSTEM}//alice/prompt/prompt.txt")
        shell.files_pems_update(f"{SYSTEM}//alice/prompt/prompt.txt", "bob", "READ")
        shell.files_pems_list(f"{SYSTEM}//alice/prompt/prompt.txt")
        shell.files_pems_delete(f"{SYSTEM}//alice/prompt/prompt.txt")
    facts["printed"] = printed.getvalue()
    shell.files_copy(f"{SYSTEM}//alice/prompt/prompt.txt", f"{SYSTEM}//alice/prompt/copy.txt")
    shell.files_move(f"{SYSTEM}//alice/prompt/copy.txt", f"{SYSTEM}//alice/prompt/moved.txt")
    shell.files_download(f"{SYSTEM}//alice/prompt/moved.txt", str(local))
    facts["same bytes"] = local.read_bytes() == CONTENT
    shell.files_import(f"agave://{SYSTEM}//alice/prompt/moved.txt", f"{SYSTEM}//alice/prompt/")
    shell.files_delete(f"{SYSTEM}//alice/prompt")
    shell.clients_delete("at-the-prompt")
    return facts
