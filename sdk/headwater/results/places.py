"""Results that are kept in a store: a folder, a bucket, whatever fsspec reaches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.core.errors import FlowError
from headwater.results.raw_stores import without_password
from headwater.results.result import Location, Result
from headwater.results.serializers import Serializer
from headwater.results.store import Backoff, Store, store_at

DEFAULT_FOLDER = "~/.headwater/results"


class LocalResult(Result):
    """A file in a folder, by default ~/.headwater/results; in pods, on a volume that they share.

    With *validate_dir* the folder becomes an absolute path now, else it is read anew in each process: a relative one
    then starts in that process's working directory. It is made when first written to.
    """

    def __init__(
        self,
        dir: str | Path | None = None,
        validate_dir: bool = True,
        *,
        value: Any = None,
        location: Location | None = None,
        serializer: Serializer | None = None,
    ) -> None:
        super().__init__(value, location, serializer)
        folder = str(dir or DEFAULT_FOLDER)
        if "://" in folder:
            raise FlowError(f'LocalResult takes a folder, not the URL "{folder}"; use FsspecResult for it.')
        if dir is not None and validate_dir:
            path = Path(folder).expanduser().absolute()
            if path.exists() and not path.is_dir():
                raise FlowError(f'LocalResult: "{path}" is a file; give a folder.')
            folder = str(path)
        self.dir = folder

    def store(self) -> Store:
        return store_at(self.dir)


class FsspecResult(Result):
    """An object under a URL that fsspec can reach: s3://bucket/prefix, gs://bucket, memory://name, file:///data.

    *storage_options* go to the filesystem, such as {"endpoint_url": "http://rustfs:9000"} for s3. They are pickled
    with the flow; keep secrets in the environment. The protocol's package (s3fs, gcsfs, ...) is needed where the
    result is read or written, not where the flow is built.
    """

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None = None,
        *,
        value: Any = None,
        location: Location | None = None,
        serializer: Serializer | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(value, location, serializer)
        if not isinstance(url, str) or "://" not in url:
            raise FlowError(
                f"{type(self).__name__}: {url!r} is no URL; give one such as s3://bucket/prefix, "
                "or use LocalResult for a folder."
            )
        self.url = url
        self.storage_options = dict(storage_options or {})
        self.backoff = backoff

    def store(self) -> Store:
        return store_at(self.url, self.storage_options, self.backoff)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.location!r} in {without_password(self.url)}>"


class S3Result(FsspecResult):
    """An object in an S3 bucket, under a prefix. Short for FsspecResult("s3://bucket/prefix"); needs s3fs."""

    def __init__(
        self, bucket: str, prefix: str = "", storage_options: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        if not bucket or "/" in bucket:
            raise FlowError(
                f'S3Result: "{bucket}" is no bucket; give its name alone, such as S3Result("results", prefix="etl").'
            )
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"), storage_options, **options)
