"""What each rule of `product.yaml` sees (`ruleid`), and what it lets pass (`ok`); nothing runs it."""
# ruleid: token-of-chance
import random
# ok: token-of-chance
import secrets

# ruleid: code-from-text
eval(text)
# ruleid: code-from-text
exec(text)
# ruleid: code-from-text
pickle.loads(text)
# ruleid: code-from-text
os.popen(text)
# ok: code-from-text
json.loads(text)

# ruleid: shell
subprocess.run(text, shell=True)
# ok: shell
subprocess.run([text])

# ruleid: trust-of-anybody
context.verify_mode = ssl.CERT_NONE
# ruleid: trust-of-anybody
httpx.get(url, verify=False)
# ok: trust-of-anybody
httpx.get(url, verify=context)

# ruleid: redirect
httpx.AsyncClient(follow_redirects=True)
# ok: redirect
httpx.AsyncClient(follow_redirects=False)

# ruleid: weak-hash
hashlib.md5(text)
# ok: weak-hash
hashlib.sha1(text, usedforsecurity=False)
# ok: weak-hash
hashlib.sha256(text)

# ruleid: compared-digest
same = token.sha256 == digest(shown)
# ruleid: compared-digest
same = shown == digest(token)
# ruleid: compared-digest
same = other != hashed.hexdigest()
# ok: compared-digest
same = hmac.compare_digest(token.sha256, digest(shown))
# ok: compared-digest
same = service.lower() == other

# ruleid: secret-in-log
log.info("came in", shown)
# ruleid: secret-in-log
log.warning(f"refused {request.authorization} at the door")
# ok: secret-in-log
log.info(f"{token.id} came in")


def answered(error):
    # ruleid: inside-in-answer
    return traceback.format_exception(error)


# ruleid: route-for-anybody
@router.get("/counts")
async def counts(context: Context) -> Response:
    return context.counts()


# ok: route-for-anybody
@router.get("/plan")
async def plan(context: Context, principal: Reader) -> Response:
    return context.plan(principal)


# ok: route-for-anybody
@router.get("/health")
async def health() -> Response:
    return Response()


@router.get("/records/{name}")
async def record(context: Context, principal: Reader, name: str) -> Response:
    # ruleid: request-on-disk
    path = context.folder / name
    # ok: request-on-disk
    return context.records.get(name)
