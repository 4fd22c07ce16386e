"""The part of Kubernetes' API that Snakemake's executor calls, on the loopback: it notes the jobs, and runs none."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONFIG = """
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: me, user: {{}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
"""


@dataclass
class Api:
    """What has been asked of the server.

    Attributes:
        config: the file that KUBECONFIG names.
        jobs: that were made, each of which fails.
        secrets: that were made.
    """

    config: Path
    jobs: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def started(folder: Path) -> Iterator[Api]:
    """Start the server, and end it at the end of the block.

    Args:
        folder: for the file of the client.
    """
    api = Api(folder / "kubeconfig")

    class Handler(BaseHTTPRequestHandler):
        """Answers a request."""

        def do_POST(self) -> None:
            """Note what is to be made, and say that it is."""
            made = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            (api.secrets if self.path.endswith("/secrets") else api.jobs).append(made)
            self._answer(made)

        def do_GET(self) -> None:
            """Say that there are no pods, and that a job has failed."""
            self._answer({"items": []} if "/pods" in self.path else {"status": {"failed": 1}})

        def do_DELETE(self) -> None:
            """Say that it is done."""
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer({"status": "Success"})

        def _answer(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.config.write_text(CONFIG.format(port=server.server_port))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
