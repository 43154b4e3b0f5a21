"""A small HTTP server that gives the answers of a test, in the place of Ray's dashboard."""

import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def answering(answers: Mapping[str, Any], status: int = 200) -> Iterator[str]:
    """Serve on a free port of the loopback interface, and yield the address.

    answers: path -> what is answered to a GET, as JSON; other paths get a 404.
    status: of the answers.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.path in answers
            self.send_response(status if is_known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
