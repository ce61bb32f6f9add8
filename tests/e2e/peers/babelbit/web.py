"""An HTTP server that records protocol violations."""
import json
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        parts = urlsplit(target)
        self.path, self.query = parts.path, parse_qs(parts.query, keep_blank_values=True)

    def json(self):
        return json.loads(self.body)

    def bearer(self):
        """The bearer token of the request."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else None


class Service:
    """Routes, and the recorded violations."""

    def __init__(self):
        self.lock = threading.Lock()
        self.problems = []
        self.requests = []

    def routes(self):
        """Handlers by method and path; each takes a request and returns status, JSON, and optional headers."""
        raise NotImplementedError

    def hello(self):
        """Further fields of the startup line."""
        return {}

    def report(self):
        """Further fields of the final line."""
        return {}

    def check(self, holds, problem):
        if not holds:
            self.problems.append(problem)
        return holds

    def same(self, what, seen, expected):
        return self.check(seen == expected, f"{what}: {seen!r}, expected {expected!r}")

    def answer(self, request):
        route = self.routes().get((request.method, request.path))
        self.requests.append(f"{request.method} {request.path}")
        if not self.check(route is not None, f"{request.method} {request.path}: no such route"):
            return 404, {"detail": "no such route"}
        try:
            return route(request)
        except Exception:  # noqa: BLE001: a request that cannot be read is a problem like any other
            self.problems.append(f"{request.method} {request.path}: {traceback.format_exc()}")
            return 500, {"detail": "see the report"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    service = None

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def handle_request(self):
        request = Request(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, self.body())
        status, answer, *further = self.service.answer(request)
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        # A single write: split writes can be delayed by Nagle's algorithm.
        self._headers_buffer = []
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        for name, value in (further[0] if further else {}).items():
            self.send_header(name, value)
        head = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer = []
        self.wfile.write(head + text)

    do_GET = do_POST = handle_request

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # The maximum number of connections of a runner.
    request_queue_size = 128

    def handle_error(self, request, address):
        # Disconnecting callers are not an error.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)


def serve(service):
    handler = type("ServiceHandler", (Handler,), {"service": service})
    server = Server(("127.0.0.1", 0), handler)
    service.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    print(json.dumps({"url": url, **service.hello()}), flush=True)
    sys.stdin.read()
    server.shutdown()
    print(json.dumps({"problems": service.problems, "requests": service.requests, **service.report()}), flush=True)
