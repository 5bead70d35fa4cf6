"""nginx as a gateway: plain, or asking an authentication server about each handshake (`auth_request`)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gateway.process import Gateway, announced_port, free_port, running, until_listening
from benchmarks.programs import program
from benchmarks.subject import CORE

ASKED = {
    "fastapi": ("benchmarks.gateway.auth_fastapi",),
    "small": ("benchmarks.gateway.auth_small",),
}
"""The authentication servers, as modules; each prints the port that it took."""

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 19500; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            {asking}
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $host;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
        {authentication}
    }}
}}
"""

UPSTREAM = "upstream authentication {{ server 127.0.0.1:{port}; keepalive 64; }}"

ASKING = """
            auth_request /authenticate;
            auth_request_set $subject $upstream_http_x_subject;
            proxy_set_header X-Subject $subject;
            proxy_set_header Authorization "";
"""

AUTHENTICATION = """
        location = /authenticate {
            internal;
            proxy_pass http://authentication/authenticate;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Original-URI $request_uri;
        }
"""


@contextmanager
def nginx(folder: Path, backend: int, asked: str = "") -> Iterator[Gateway]:
    """Run nginx in one process, and on the same core the authentication server that it asks, if any."""
    if not asked:
        with _nginx(folder, backend) as gateway:
            yield gateway
        return
    said = folder / "authentication.log"
    with running([sys.executable, "-m", *ASKED[asked]], CORE, said) as process:
        port = announced_port(process, said)
        with _nginx(folder, backend, port) as gateway:
            yield Gateway(gateway.port, (*gateway.pids, process.pid))


@contextmanager
def _nginx(folder: Path, backend: int, asked: int = 0) -> Iterator[Gateway]:
    port, config, said = free_port(), folder / "nginx.conf", folder / "nginx.log"
    config.write_text(
        CONFIG.format(
            folder=folder,
            port=port,
            backend=backend,
            upstream=UPSTREAM.format(port=asked) if asked else "",
            asking=ASKING if asked else "",
            authentication=AUTHENTICATION if asked else "",
        )
    )
    with running([program("nginx"), "-p", str(folder), "-c", str(config)], CORE, said) as process:
        until_listening(process, port, said)
        yield Gateway(port, (process.pid,))
