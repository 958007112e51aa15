"""Where the values of tasks are kept: results, serializers, stores and the cache. Knows no flows and no engine."""

from headwater.results.address import Address, address_of, read_address
from headwater.results.cache import CacheQuery, CacheRule, CacheStore, MemoryCache, cache_key_of
from headwater.results.cache_entry import CacheEntry
from headwater.results.hashing import HashError, hash_inputs
from headwater.results.places import FsspecResult, LocalResult, S3Result
from headwater.results.result import (
    ConstantResult,
    InlineResult,
    MissingError,
    Result,
    StoreError,
    format_location,
)
from headwater.results.serializers import (
    CompressedSerializer,
    DateTimeSerializer,
    JSONSerializer,
    PandasSerializer,
    PickleSerializer,
    Serializer,
    SerializerError,
)
from headwater.results.store import Backoff, Store, store_at
from headwater.results.validators import (
    Validator,
    all_inputs,
    all_parameters,
    check_validator,
    duration_only,
    never_use,
    partial_inputs_only,
    partial_parameters_only,
)

__all__ = [
    "Address",
    "Backoff",
    "CacheEntry",
    "CacheQuery",
    "CacheRule",
    "CacheStore",
    "CompressedSerializer",
    "ConstantResult",
    "DateTimeSerializer",
    "FsspecResult",
    "HashError",
    "InlineResult",
    "JSONSerializer",
    "LocalResult",
    "MemoryCache",
    "MissingError",
    "PandasSerializer",
    "PickleSerializer",
    "Result",
    "S3Result",
    "Serializer",
    "SerializerError",
    "Store",
    "StoreError",
    "Validator",
    "address_of",
    "all_inputs",
    "all_parameters",
    "cache_key_of",
    "check_validator",
    "duration_only",
    "format_location",
    "hash_inputs",
    "never_use",
    "partial_inputs_only",
    "partial_parameters_only",
    "read_address",
    "store_at",
]
