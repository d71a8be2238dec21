"""A faster ``search_stream``, built on internals of google-ads and google-api-core.

This module alone uses these internals. Where one is missing, the client's own method is used.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pkgutil import resolve_name
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

CLIENT_INFO = "google.api_core.gapic_v1:client_info.ClientInfo"
ROUTING_HEADER = "google.api_core.gapic_v1:routing_header.to_grpc_metadata"
WRAP_METHOD = "google.api_core.gapic_v1:method.wrap_method"
PRIVATE_NAMES = (CLIENT_INFO, ROUTING_HEADER, WRAP_METHOD)
PATH = "/google.ads.googleads.{}.services.GoogleAdsService/SearchStream"

# Takes a customer id, GAQL and a timeout, and returns the responses.
OpenStream = Callable[[str, str, float], Any]
SelectFields = Callable[[Sequence[str]], OpenStream]

log = logging.getLogger(__name__)
_pool_lock = threading.Lock()  # a descriptor pool accepts each file only once


def api_version(service: Any) -> str:
    """Return the version of the API that a service calls, such as v26."""
    return str(type(service).__module__.split(".")[3])


def search_stream(client: Any, service: Any) -> SelectFields:
    """Return a function that takes fields and returns a ``search_stream`` for only these."""
    try:
        return projected_search_stream(client, service)
    except (ImportError, AttributeError) as error:
        log.warning(
            "this version of google-ads lacks an internal name (%s): fetching works, but more "
            "slowly; see adsfetch/google/gapic_adapter.py",
            error,
        )

    def with_all_fields(customer_id: str, gaql: str, timeout: float) -> Any:
        return service.search_stream(
            customer_id=customer_id, query=gaql, timeout=timeout, retry=None
        )

    return lambda _fields: with_all_fields


def projected_search_stream(client: Any, service: Any) -> SelectFields:
    """Return ``search_stream`` for selected fields, built from the internals of the client.

    A projection unpacks the responses. The calls use the client's channel, so that the client
    still adds its headers and raises its errors.
    """
    wrap_method = resolve_name(WRAP_METHOD)
    info = resolve_name(CLIENT_INFO)(client_library_version=version("google-ads"))
    routing_header = resolve_name(ROUTING_HEADER)
    start_stream = service.transport.grpc_channel.unary_stream
    request = type(client.get_type("SearchGoogleAdsStreamRequest"))
    response = client.get_type("SearchGoogleAdsStreamResponse").DESCRIPTOR

    def select_fields(fields: Sequence[str]) -> OpenStream:
        projection = project_message(response, [f"results.{field}" for field in fields])
        method = start_stream(
            PATH.format(api_version(service)),
            request_serializer=request.SerializeToString,
            response_deserializer=projection.FromString,
        )
        call = wrap_method(method, client_info=info)
        return lambda customer_id, gaql, timeout: call(
            request(customer_id=customer_id, query=gaql),
            metadata=[routing_header({"customer_id": customer_id})],
            timeout=timeout,
        )

    return select_fields


class FieldTree(dict[str, "FieldTree"]):
    """Fields by name, each with the selected fields in it; an empty tree means all of them."""


def project_message(message: Any, paths: Iterable[str]) -> Any:
    """Return a class that parses the bytes of a message, but only the fields at ``paths``.

    The API's own classes allocate all fields of each message part, 7 KB for a row of 125
    bytes. That takes several times as long as parsing the few selected ones.
    """
    tree, pool = field_tree(paths), message.file.pool
    digest = hashlib.sha256(f"{message.full_name} {tree}".encode()).hexdigest()
    package = f"adsfetch.s{digest}"
    name = f"{package}.{message.name}"
    with _pool_lock:
        try:
            projection = pool.FindMessageTypeByName(name)
        except KeyError:
            pool.AddSerializedFile(describe_file(package, message, tree).SerializeToString())
            projection = pool.FindMessageTypeByName(name)
    return message_factory.GetMessageClass(projection)


def describe_file(package: str, message: Any, tree: FieldTree) -> FileDescriptorProto:
    """Return a protobuf file with one message: the fields of a tree, with their own numbers."""
    # In proto2 every field has presence, like the optional fields of the API.
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    projection = file.message_type.add(name=message.name)
    imports = add_fields(projection, f".{package}.{message.name}", message, tree)
    file.dependency.extend(sorted(set(imports)))
    return file


def field_tree(paths: Iterable[str]) -> FieldTree:
    """Return paths as a tree; a path inside another selected one is left out."""
    selected, tree = set(paths), FieldTree()
    for path in sorted(selected):
        if not any(path.startswith(f"{other}.") for other in selected):
            branch = tree
            for part in path.split("."):
                branch = branch.setdefault(part, FieldTree())
    return tree


def add_fields(
    projection: DescriptorProto, scope: str, message: Any, tree: FieldTree
) -> Iterator[str]:
    """Add the fields of a tree to a message; yield the files of the messages used as they are."""
    for name, branch in tree.items():
        original = message.fields_by_name[name]
        field = projection.field.add(name=name, number=original.number, type=original.type)
        field.label = field.LABEL_REPEATED if original.is_repeated else field.LABEL_OPTIONAL
        if branch:
            part = projection.nested_type.add(name=f"{name}Part")
            field.type_name = f"{scope}.{part.name}"
            yield from add_fields(part, field.type_name, original.message_type, branch)
        elif original.message_type is not None:
            field.type_name = f".{original.message_type.full_name}"
            yield original.message_type.file.name
        elif original.enum_type is not None:
            field.type = field.TYPE_INT32  # the same bytes, and no enum to import
