"""The field's words as annotated types.

A word says what a parameter means, where it stands in a request when the route does not say so, and which directory of
the tree lists its names: the client places arguments by it, the shell completes by it, help and reference describe by
it.
Imports `typing` alone, so that a shell command may use words at no cost.
"""

from typing import Annotated, Any, Literal, NamedTuple

Place = Literal["path", "query", "form", "file", "body", "unsent"]


class Word(NamedTuple):
    """What stands behind an annotated type.

    `place` holds where the route's path does not name the parameter; `unsent` is accepted and never sent. `lists` is
    the tree's directory whose names are its values; `choices` are its values where they are few. `spread` is said of a
    mapping whose items become query keys of their own.
    """

    help: str
    place: Place = "query"
    lists: str = ""
    choices: tuple[str, ...] = ()
    spread: bool = False


SystemId = Annotated[str, Word("id of a system", lists="/systems")]
AppId = Annotated[str, Word("id of an app: its name, a dash, its version", lists="/apps")]
JobId = Annotated[str, Word("id of a job", lists="/jobs")]
FilePath = Annotated[str, Word("path on the system; with a leading slash from its root, without one from the home")]
OutputPath = Annotated[str, Word("path below the output folder of a job")]
TreePath = Annotated[str, Word("path in the tree, or a URI", lists="tree")]
LocalPath = Annotated[str, Word("path on this machine", lists="local")]

ActorId = Annotated[str, Word("id or alias of an actor")]
ActorAliasName = Annotated[str, Word("another name for an actor")]
WorkerId = Annotated[str, Word("id of a worker of the actor")]
NonceId = Annotated[str, Word("id of a nonce of the actor")]
ExecutionId = Annotated[str, Word("id of an execution of the actor")]
Uuid = Annotated[str, Word("uuid of a record")]
Username = Annotated[str, Word("name of a user")]
InternalUsername = Annotated[str, Word("name of an internal user")]
CredentialType = Annotated[
    str, Word("which part of a system the credential opens", choices=("STORAGE", "LOGIN", "EXECUTION"))
]
ClientName = Annotated[str, Word("name of an OAuth client")]
Attribute = Annotated[str, Word("attribute to search by, with an operator behind a dot if not equality")]
Value = Annotated[str, Word("value to search for")]
PostItId = Annotated[str, Word("id of a postit")]
MonitorId = Annotated[str, Word("id of a monitor")]
CheckId = Annotated[str, Word("id of a check of the monitor")]
AppName = Annotated[str, Word("name of an app, without its version")]
Tag = Annotated[str, Word("tag of an app")]
OntologyTerm = Annotated[str, Word("term of an ontology that an app bears")]

Limit = Annotated[int, Word("at most so many items; the platform caps it without a word")]
Offset = Annotated[int, Word("items to skip")]
SystemType = Annotated[str, Word("kind of system", choices=("STORAGE", "EXECUTION"))]
OnlyDefault = Annotated[bool, Word("only the caller's default systems")]
OnlyPublic = Annotated[bool, Word("only public records")]
OnlyPrivate = Annotated[bool, Word("only private records")]
Query = Annotated[str, Word("query in the manner of MongoDB, as JSON text")]
Privileged = Annotated[bool, Word("for administrators: also what only that role shows")]
AssociatedUuid = Annotated[str, Word("uuid of the resource that is watched")]
Name = Annotated[str, Word("part of a person's name")]
Email = Annotated[str, Word("e-mail address")]
Status = Annotated[str, Word("status of the record")]
Active = Annotated[bool, Word("only monitors that run, or with False only those that do not")]
StartDate = Annotated[str, Word("nothing before this date")]
EndDate = Annotated[str, Word("nothing after this date")]
CheckResult = Annotated[str, Word("what came of a check", choices=("PASSED", "FAILED", "UNKNOWN"))]
Environment = Annotated[dict[str, Any], Word("variables of the actor's process, each a query key", spread=True)]

FileType = Annotated[str, Word("format of the file; the platform takes all as raw", place="form")]
CallbackUrl = Annotated[str, Word("URL or e-mail address told when the transfer ends", place="form")]
FileName = Annotated[str, Word("name of the new file", place="form")]
UrlToIngest = Annotated[str, Word("URL to import from", place="form")]
Notifications = Annotated[list[Any], Word("notifications on the transfer", place="form")]
FileToUpload = Annotated[Any, Word("a local path, an open binary file, bytes, or an async iterator", place="file")]

Unsent = Annotated[str, Word("in the documentation, but unknown to the platform: accepted, not sent", place="unsent")]
