"""Answer nginx's `auth_request` with FastAPI and PyJWT on uvicorn, as people write it; prints its port."""

from typing import Annotated

import jwt
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Response

from benchmarks.apps.settings import AUDIENCE, ISSUER, SECRET
from benchmarks.gateway.listener import announced

app = FastAPI()


@app.get("/authenticate", status_code=204)
async def authenticate(response: Response, authorization: Annotated[str | None, Header()] = None) -> None:
    """Answer 204 with the subject, or 401."""
    if authorization is None or not authorization.startswith("Bearer "):
        raise HTTPException(status_code=401)
    token = authorization.removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.InvalidTokenError:
        raise HTTPException(status_code=401) from None
    response.headers["X-Subject"] = claims["sub"]


if __name__ == "__main__":
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[announced()])
