"""Apps: records, their inputs and parameters, permissions."""

from datetime import datetime
from typing import Any

from agavesh.api.models.shared import ACL
from agavesh.api.record import Record


class ApplicationSummary(Record, kw_only=True):
    """One line of the list of apps."""

    id: str  # name-version, or name-versionuN when public
    name: str | None = None
    version: str | None = None
    revision: int | None = None
    executionSystem: str | None = None
    shortDescription: str | None = None
    isPublic: bool | None = None
    label: str | None = None
    lastModified: datetime | None = None


class ApplicationInputValue(Record, kw_only=True):
    """What an input takes."""

    default: Any = None  # string or array of strings
    validator: str | None = None  # regular expression
    required: bool | None = None  # default: not visible
    visible: bool | None = None  # default true
    order: int | None = None  # >= 0
    enquote: bool | None = None  # default false


class ApplicationInputDetails(Record, kw_only=True):
    """How an input or parameter is shown and put on the command line."""

    label: str | None = None
    description: str | None = None
    argument: str | None = None
    showArgument: bool | None = None
    repeatArgument: bool | None = None


class ApplicationInputSemantics(Record, kw_only=True):
    """How many values an input takes, and of which kind."""

    minCardinality: int | None = None  # default 1 if required or hidden, else 0
    maxCardinality: int | None = None  # default 1, -1 no limit
    ontology: list[str] | None = None
    fileTypes: list[str] | None = None


class ApplicationInput(Record, kw_only=True):
    """An input: one or more files."""

    id: str
    value: ApplicationInputValue | None = None
    details: ApplicationInputDetails | None = None
    semantics: ApplicationInputSemantics | None = None


class ApplicationParameterValue(Record, kw_only=True):
    """What a parameter takes."""

    type: str | None = None  # string number enumeration bool flag
    default: Any = None
    validator: str | None = None  # not for enumeration
    enum_values: list[Any] | None = None  # of one-key objects {value: label}; enumeration only; enumValues also read
    required: bool | None = None  # default: not visible
    visible: bool | None = None  # default true
    order: int | None = None
    enquote: bool | None = None


class ApplicationParameterSemantics(Record, kw_only=True):
    """How many values a parameter takes."""

    minCardinality: int | None = None
    maxCardinality: int | None = None
    ontology: list[str] | None = None


class ApplicationParameter(Record, kw_only=True):
    """A parameter: one or more plain values."""

    id: str
    value: ApplicationParameterValue | None = None
    details: ApplicationInputDetails | None = None
    semantics: ApplicationParameterSemantics | None = None


class ApplicationOutput(Record, kw_only=True):
    """An output that the app is known to leave."""

    id: str
    value: dict[str, Any] | None = None  # validator, order, default
    details: dict[str, Any] | None = None  # label, description
    semantics: dict[str, Any] | None = None  # minCardinality, maxCardinality, ontology, fileTypes


class Application(Record, kw_only=True):
    """An app."""

    id: str  # name-version, public: name-version + u + revision
    uuid: str | None = None  # ...-005
    name: str | None = None
    version: str | None = None
    revision: int | None = None
    owner: str | None = None
    icon: str | None = None
    label: str | None = None
    shortDescription: str | None = None
    longDescription: str | None = None
    helpURI: str | None = None
    tags: list[str] | None = None  # of string
    ontology: list[str] | None = None  # of string
    isPublic: bool | None = None
    available: bool | None = None
    executionType: str | None = None  # HPC CLI CONDOR ATMOSPHERE
    parallelism: str | None = None  # SERIAL PARALLEL PTHREAD
    executionSystem: str | None = None
    deploymentSystem: str | None = None
    deploymentPath: str | None = None
    templatePath: str | None = None
    testPath: str | None = None
    checkpointable: bool | None = None
    lastModified: datetime | None = None
    modules: list[str] | None = None  # of string
    defaultQueue: str | None = None
    defaultNodeCount: int | None = None
    defaultProcessorsPerNode: int | None = None
    defaultMemoryPerNode: float | None = None  # GB
    defaultMaxRunTime: str | None = None  # hh:mm:ss or null
    inputs: list[ApplicationInput] | None = None  # of ApplicationInput
    parameters: list[ApplicationParameter] | None = None  # of ApplicationParameter
    outputs: list[ApplicationOutput] | None = None  # of ApplicationOutput


class ApplicationRequest(Record, kw_only=True):
    """What is registered."""

    name: str
    version: str  # digits and dots, e.g. 1.0 or 0.1.2
    parallelism: str  # SERIAL PARALLEL PTHREAD
    executionType: str  # HPC CLI CONDOR ATMOSPHERE
    executionSystem: str
    deploymentSystem: str | None = None  # default: the caller's default storage system
    deploymentPath: str
    templatePath: str  # relative to deploymentPath
    testPath: str
    label: str | None = None
    shortDescription: str | None = None
    longDescription: str | None = None
    helpURI: str | None = None
    icon: str | None = None
    tags: list[str] | None = None  # of string
    ontology: list[str] | None = None  # of string
    modules: list[str] | None = None  # of string
    checkpointable: bool | None = None  # default false
    available: bool | None = None  # default true
    defaultQueue: str | None = None  # must exist on the execution system
    defaultNodeCount: int | None = None  # default 1
    defaultProcessorsPerNode: int | None = None  # default 1
    defaultMemoryPerNode: float | str | None = None  # default 1; number of GB or text such as 4GB
    defaultMaxRunTime: str | None = None  # hh:mm:ss
    inputs: list[ApplicationInput] | None = None
    parameters: list[ApplicationParameter] | None = None
    outputs: list[ApplicationOutput] | None = None


class ApplicationOperationRequest(Record, kw_only=True):
    """An action on an app."""

    action: str  # case-insensitive; AgavePy lists publish, clone
    name: str | None = None  # publish, clone
    version: str | None = None  # publish, clone
    executionSystem: str | None = None  # publish, clone
    deploymentSystem: str | None = None  # clone; AgavePy says storageSystem
    deploymentPath: str | None = None  # clone


class ApplicationPermission(Record, kw_only=True):
    """What one user may do with an app."""

    username: str | None = None
    permission: ACL | None = None


class ApplicationPermissionRequest(Record, kw_only=True):
    """A grant; it replaces what the user had."""

    username: str | None = None  # required unless in the path
    permission: str  # READ WRITE EXECUTE READ_WRITE READ_EXECUTE WRITE_EXECUTE ALL NONE


class JobSubmissionForm(Record, kw_only=True):
    """A form for a web page that submits jobs of an app."""

    submitForm: str | None = None  # HTML
