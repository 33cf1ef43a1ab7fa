"""What becomes of a store that answers otherwise than it should, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from pypicached.errors import (
    BlobMissingError,
    StoreError,
    StoreRefusedError,
    StoreUnavailableError,
    WrongBytesError,
)
from pypicached.store import s3_client
from pypicached.store.bucket import Bucket, open_bucket
from pypicached.store.disk import DiskPool
from tests.s3.odd_store import OddStore, always, error, odd_store
from tests.s3.servers import ACCESS_KEY, SECRET_KEY, Endpoint

BODY = b"0123456789"
SHA256 = hashlib.sha256(BODY).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
LARGE = bytes(17 * 1024 * 1024)
LARGE_SHA256 = hashlib.sha256(LARGE).hexdigest()
MODIFIED = {"Content-Length": "10", "Last-Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}


@pytest.fixture
async def odd() -> AsyncIterator[OddStore]:
    async with odd_store() as made:
        yield made


@pytest.fixture
def disk() -> Iterator[DiskPool]:
    pool = DiskPool(2)
    yield pool
    pool.close()


@pytest.fixture
async def bucket(odd: OddStore, disk: DiskPool) -> AsyncIterator[Bucket]:
    """A bucket of the odd store; what it tries again it tries at once."""
    async with open_bucket(odd.endpoint.access(), disk) as made:
        made._pauses = (0.0, 0.0)
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(LARGE)
    return path


async def read(bucket: Bucket, offset: int = 0) -> bytes:
    """Return a whole blob."""
    async with bucket.get(SHA256, offset=offset) as stream:
        pieces = []
        while piece := await stream.read_some():
            pieces.append(piece)
        return b"".join(pieces)


async def walk(bucket: Bucket) -> list[object]:
    return [page async for page in bucket.walk()]


# ── errors of its own ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (503, "SlowDown", StoreUnavailableError, "the store answered SlowDown"),
        (503, "ServiceUnavailable", StoreUnavailableError, "answered ServiceUnavailable"),
        (500, "InternalError", StoreUnavailableError, "answered InternalError"),
        (507, "XStorageFull", StoreUnavailableError, "answered XStorageFull"),
        (429, "Whatever", StoreUnavailableError, "answered Whatever"),
        (400, "RequestTimeout", StoreUnavailableError, "answered RequestTimeout"),
        (400, "BadDigest", StoreUnavailableError, "answered BadDigest"),
        (409, "OperationAborted", StoreUnavailableError, "answered OperationAborted"),
        (403, "AccessDenied", StoreRefusedError, "denies access"),
        (403, "SignatureDoesNotMatch", StoreRefusedError, "our secret key is wrong"),
        (403, "InvalidAccessKeyId", StoreRefusedError, "does not know our access key"),
        (403, "RequestTimeTooSkewed", StoreRefusedError, "the clock of this host is wrong"),
        (403, "QuotaExceeded", StoreRefusedError, "is full: its quota is used up"),
        (403, "UserSuspended", StoreRefusedError, "has suspended our user"),
        (400, "ExpiredToken", StoreRefusedError, "our credentials have expired"),
        (301, "PermanentRedirect", StoreRefusedError, "is in another region"),
        (404, "NoSuchBucket", StoreRefusedError, "has no bucket of that name"),
        (418, "Teapot", StoreRefusedError, "refuses: Teapot"),
        (400, "<script>" * 30, StoreRefusedError, "refuses: 400"),
        (501, "NotImplemented", StoreRefusedError, "refuses: NotImplemented"),
    ],
)
async def test_answer__in_our_words(
    odd: OddStore,
    bucket: Bucket,
    file: Path,
    status: int,
    code: str,
    kind: type[StoreError],
    words: str,
) -> None:
    """An error says whether another time may do, in a short sentence; it is never absence."""
    odd.answer = always(lambda: error(status, code.replace("<", "&lt;")))
    for doing in (read(bucket), bucket.put(SHA256, file), bucket.refresh(SHA256), bucket.check()):
        with pytest.raises(kind, match=re.escape(words)) as caught:
            await doing
        assert type(caught.value) is kind
        assert len(caught.value.reason) < 80
        assert caught.value.reason.isascii()
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    assert len(odd.asked) == 4, "nothing is tried twice"


async def test_answer__of_something_else(odd: OddStore, bucket: Bucket, file: Path) -> None:
    """A 404 or 200 of a web server that is no S3 store is no absence, and nothing was stored."""
    page = "<html><body>not here</body></html>"
    odd.answer = always(lambda: web.Response(status=404, text=page, content_type="text/html"))
    for doing in (read(bucket), bucket.stat(SHA256), bucket.refresh(SHA256), bucket.check()):
        with pytest.raises((StoreRefusedError, StoreUnavailableError)):
            await doing
    odd.answer = always(lambda: web.Response(text=page[:-3], content_type="text/html"))
    with pytest.raises(StoreUnavailableError):
        await walk(bucket)
    # Nor is a 200 that says nothing of an object.
    odd.answer = always(web.Response)
    with pytest.raises(StoreUnavailableError, match="gave an answer that is none of S3's"):
        await bucket.stat(SHA256)


async def test_absence__of_a_blob(odd: OddStore, bucket: Bucket) -> None:
    """`NoSuchKey` is absence, whatever is asked for."""
    odd.answer = always(lambda: error(404, "NoSuchKey"))
    with pytest.raises(BlobMissingError):
        await read(bucket)
    assert await bucket.refresh(SHA256) is False


@pytest.mark.parametrize(
    ("head_bucket", "is_absent"), [(200, True), (403, True), (404, False), (503, False)]
)
async def test_absence__of_the_bucket(
    odd: OddStore, bucket: Bucket, head_bucket: int, is_absent: bool
) -> None:
    """HEAD gives a bare 404 for a missing bucket, too: it is looked at before that is believed."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404 if SHA256 in request.path else head_bucket)

    odd.answer = answer
    if is_absent:
        assert await bucket.stat(SHA256) is None
    else:
        with pytest.raises(StoreError):
            await bucket.stat(SHA256)
    assert len(odd.asked) == 2


async def test_absence__of_what_is_no_object(odd: OddStore, bucket: Bucket) -> None:
    """A list that is said not to be there is no missing blob: there is no such bucket."""
    odd.answer = always(lambda: error(404, "NoSuchKey"))
    for doing in (bucket.check(), bucket.now(), walk(bucket), bucket.abort_stale_uploads(0)):
        with pytest.raises(StoreRefusedError, match="has no bucket of that name, or is no S3"):
            await doing


async def test_absence__where_the_bucket_was_seen(odd: OddStore, bucket: Bucket) -> None:
    """A bucket that has just answered need not be looked at for each blob that is not in it."""
    odd.answer = always(lambda: web.Response(headers=MODIFIED))
    assert await bucket.stat(SHA256) is not None
    odd.answer = always(lambda: web.Response(status=404))
    assert await bucket.stat(OTHER) is None
    assert len(odd.asked) == 2


# ── bodies ───────────────────────────────────────────────────────────────────────────────────


async def test_get__cut(odd: OddStore, bucket: Bucket) -> None:
    """A body that breaks off is an error, never an end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"0123")
        assert request.transport is not None
        request.transport.close()
        return response

    odd.answer = answer
    with pytest.raises(StoreUnavailableError, match="broke off the connection"):
        await read(bucket)


async def test_get__stalls(odd: OddStore, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that stops in the midst of a body, or before it, is given up on."""
    told = asyncio.Event()

    async def in_the_midst(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"0123")
        await told.wait()
        return response

    odd.answer = in_the_midst
    async with bucket.get(SHA256) as stream:
        assert await stream.read_some() == b"0123"
        monkeypatch.setattr(s3_client, "READ_SECONDS", 0.2)
        with pytest.raises(StoreUnavailableError, match="did not answer in time"):
            await stream.read_some()

    async def before(_request: web.Request) -> web.StreamResponse:
        await told.wait()
        return web.Response()

    odd.answer = before
    with pytest.raises(StoreUnavailableError, match="did not answer in time"):
        await read(bucket)
    told.set()


async def test_get__range_ignored(odd: OddStore, bucket: Bucket) -> None:
    """A store that gives the whole where a part was asked for is not taken at its word."""
    odd.answer = always(lambda: web.Response(body=BODY))
    assert await read(bucket) == BODY
    with pytest.raises(StoreRefusedError, match="gives no parts of objects"):
        await read(bucket, offset=3)
    odd.answer = always(
        lambda: web.Response(status=206, body=BODY, headers={"Content-Range": "bytes 0-9/10"})
    )
    with pytest.raises(StoreRefusedError, match="gives no parts of objects"):
        await read(bucket, offset=3)


async def test_put__not_read(
    odd: OddStore, bucket: Bucket, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes a body and never says so is given up on."""
    for name in ("CONNECT_SECONDS", "WRITTEN_SECONDS"):
        monkeypatch.setattr(s3_client, name, 0.1)
    told = asyncio.Event()

    async def answer(_request: web.Request) -> web.StreamResponse:
        await told.wait()
        return web.Response()

    odd.answer = answer
    with pytest.raises(StoreUnavailableError, match="did not answer in time"):
        await bucket.put(SHA256, file)
    told.set()


async def test_put__says_what_it_sends(odd: OddStore, bucket: Bucket, file: Path) -> None:
    """A body goes with its MD5 and its SHA-256, signed, so that a store can compare them."""
    await bucket.put(SHA256, file)
    (asked,) = odd.asked
    assert (asked.method, asked.body) == ("PUT", BODY)
    assert asked.headers["Content-MD5"] == "eB5eJF1ptWaXm4bijSPyxw=="
    assert asked.headers["X-Amz-Content-SHA256"] == SHA256
    assert asked.headers["Content-Length"] == "10"
    assert "x-amz-content-sha256" in asked.headers["Authorization"]
    assert "content-md5" in asked.headers["Authorization"]
    # Nothing else is to be awaited before the body.
    assert "Expect" not in asked.headers


# ── uploads in parts ─────────────────────────────────────────────────────────────────────────

CREATED = "<r><UploadId>up1</UploadId></r>"
COMPLETED = '<r><ETag>"e"</ETag></r>'


class Uploads:
    """Answers uploads in parts; `fails` says for each part that is sent whether it is lost."""

    def __init__(self, fails: Callable[[int], web.Response | None]) -> None:
        self._fails = fails
        self._sent = itertools.count(1)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        if request.method == "PUT":
            lost = self._fails(next(self._sent))
            number = request.query["partNumber"]
            return lost or web.Response(headers={"ETag": f'"{number}"'})
        if request.method == "POST":
            text = COMPLETED if "uploadId" in request.query else CREATED
            return web.Response(text=text, content_type="application/xml")
        return web.Response(status=204)


async def test_upload__goes_on(odd: OddStore, bucket: Bucket, large: Path) -> None:
    """Parts that are lost are sent again, and only those; then the object is there."""
    odd.answer = Uploads(lambda number: error(503, "SlowDown") if number in (1, 3) else None)
    await bucket.put(LARGE_SHA256, large)
    assert odd.methods.count("PUT") == 3 + 2
    assert odd.methods.count("POST") == 2
    assert "DELETE" not in odd.methods
    numbers = re.findall(rb"<PartNumber>(\d)</PartNumber>", odd.asked[-1].body)
    assert numbers == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("code", "kind", "tries"),
    [(503, StoreUnavailableError, 3), (403, StoreRefusedError, 1), (404, StoreUnavailableError, 1)],
)
async def test_upload__given_up(
    odd: OddStore,
    bucket: Bucket,
    large: Path,
    code: int,
    kind: type[StoreError],
    tries: int,
) -> None:
    """An upload that does not come to its end is taken back, and no object was completed."""
    names = {503: "SlowDown", 403: "AccessDenied", 404: "NoSuchUpload"}
    odd.answer = Uploads(lambda _: error(code, names[code]))
    with pytest.raises(kind):
        await bucket.put(LARGE_SHA256, large)
    # Two at a time; the first that fails for good ends the other.
    assert tries <= odd.methods.count("PUT") <= 2 * tries
    assert odd.methods.count("POST") == 1
    assert odd.methods[-1] == "DELETE"


async def test_upload__wrong_bytes(odd: OddStore, bucket: Bucket, large: Path) -> None:
    """Bytes that are not those of the digest are found before the object comes into being."""
    odd.answer = Uploads(lambda _: None)
    with pytest.raises(WrongBytesError):
        await bucket.put(OTHER, large)
    assert odd.methods.count("POST") == 1
    assert odd.methods[-1] == "DELETE"


async def test_upload__cancelled(odd: OddStore, bucket: Bucket, large: Path) -> None:
    """A caller that goes away takes its upload back."""
    sent, told = asyncio.Event(), asyncio.Event()
    uploads = Uploads(lambda _: None)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            sent.set()
            await told.wait()
        return await uploads(request)

    odd.answer = answer
    putting = asyncio.ensure_future(bucket.put(LARGE_SHA256, large))
    await sent.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert odd.methods[-1] == "DELETE"
    told.set()


# ── deleting and listing ─────────────────────────────────────────────────────────────────────


async def test_delete__one_by_one(odd: OddStore, bucket: Bucket) -> None:
    """Where a store cannot delete many at once, they go one by one, and each has its answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return error(501, "NotImplemented")
        return error(403, "AccessDenied") if OTHER in request.path else web.Response(status=204)

    odd.answer = answer
    assert await bucket.delete([SHA256, OTHER]) == {OTHER: "the store denies access"}
    assert sorted(odd.methods) == ["DELETE", "DELETE", "POST"]


async def test_delete__not_tried_again(odd: OddStore, bucket: Bucket) -> None:
    """A store that does not let us is not asked a thousand times."""
    odd.answer = always(lambda: error(403, "AccessDenied"))
    with pytest.raises(StoreRefusedError, match="denies access"):
        await bucket.delete([SHA256, OTHER])
    assert odd.methods == ["POST"]


async def test_delete__some_are_kept(odd: OddStore, bucket: Bucket) -> None:
    """Blobs that stay are told with why; one that is not there is gone."""
    entries = "".join(
        f"<Error><Key>{bucket.key_of(sha256)}</Key><Code>{code}</Code></Error>"
        for sha256, code in ((SHA256, "NoSuchKey"), (OTHER, "InternalError"))
    )
    text = f"<DeleteResult>{entries}</DeleteResult>"
    odd.answer = always(lambda: web.Response(text=text, content_type="application/xml"))
    assert await bucket.delete([SHA256, OTHER]) == {OTHER: "the store refuses: InternalError"}


async def test_walk__tries_a_page_again(odd: OddStore, bucket: Bucket) -> None:
    """A walk of a thousand pages survives that one of them fails now and then."""
    page = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    answers = iter([error(500, "InternalError"), error(503, "SlowDown")])

    async def answer(_request: web.Request) -> web.StreamResponse:
        return next(answers, web.Response(text=page, content_type="application/xml"))

    odd.answer = answer
    assert await walk(bucket) == []
    assert len(odd.asked) == 3


async def test_open__plain_http(odd: OddStore, disk: DiskPool) -> None:
    """TLS towards a store that speaks none is told from a certificate that is not trusted."""
    url = odd.endpoint.url.replace("http://", "https://")
    async with open_bucket(Endpoint(url).access(), disk) as bucket:
        with pytest.raises(StoreUnavailableError, match="perhaps it speaks plain http there"):
            await bucket.check()


# ── no store, no key ─────────────────────────────────────────────────────────────────────────


async def test_open__nobody_listens(disk: DiskPool, file: Path) -> None:
    """Opening asks nothing; asking where nobody listens fails in a sentence."""
    async with open_bucket(Endpoint("http://127.0.0.1:9").access(), disk) as bucket:
        for doing in (read(bucket), bucket.stat(SHA256), bucket.put(SHA256, file)):
            with pytest.raises(StoreUnavailableError, match="the store cannot be reached"):
                await doing


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Take away whatever key this host may have."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


async def test_key__none(odd: OddStore, disk: DiskPool, no_key: pytest.MonkeyPatch) -> None:
    """Without any key nothing is asked, and it is said what is missing."""
    access = odd.endpoint.access(access_key_id=None, secret_access_key=None)
    async with open_bucket(access, disk) as bucket:
        with pytest.raises(StoreRefusedError, match="needs credentials, and none were found"):
            await bucket.check()
        with pytest.raises(StoreRefusedError, match="needs credentials"):
            await bucket.sign(SHA256, "GET", 60)
    assert odd.asked == []


async def test_key__of_the_environment(
    odd: OddStore, disk: DiskPool, no_key: pytest.MonkeyPatch
) -> None:
    """A key that no setting gives may stand in the environment."""
    no_key.setenv("AWS_ACCESS_KEY_ID", "FROMENV")
    no_key.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    access = odd.endpoint.access(access_key_id=None, secret_access_key=None)
    odd.answer = always(lambda: web.Response(headers=MODIFIED))
    async with open_bucket(access, disk) as bucket:
        assert await bucket.stat(SHA256) is not None
    assert "Credential=FROMENV/" in odd.asked[0].headers["Authorization"]


async def test_key__profile_gone(odd: OddStore, disk: DiskPool, no_key: pytest.MonkeyPatch) -> None:
    """A profile that is named and not there is said at once."""
    no_key.setenv("AWS_PROFILE", "gone")
    access = odd.endpoint.access(access_key_id=None, secret_access_key=None)
    with pytest.raises(StoreRefusedError, match="their file cannot be used"):
        async with open_bucket(access, disk):
            pass


async def test_open__bad_endpoint(disk: DiskPool) -> None:
    """An endpoint that cannot be one is refused when it is opened."""
    with pytest.raises(StoreRefusedError, match="cannot be at such an endpoint_url"):
        async with open_bucket(Endpoint("http://exa mple").access(), disk):
            pass


async def test_secret__stays_in(
    odd: OddStore, disk: DiskPool, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither key nor signature reaches the log, however much of it there is."""
    caplog.set_level("DEBUG")
    odd.answer = always(lambda: error(403, "SignatureDoesNotMatch"))
    async with open_bucket(odd.endpoint.access(), disk) as bucket:
        with pytest.raises(StoreRefusedError):
            await bucket.check()
        await bucket.sign(SHA256, "GET", 60)
    assert SECRET_KEY not in caplog.text
    assert ACCESS_KEY not in caplog.text
    assert "Signature=" not in caplog.text
