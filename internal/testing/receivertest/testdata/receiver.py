"""A receiver on Python's http.server: receiver.py FOLDER NAME. Its files and paths are those of receiver.js."""
import hashlib
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOLDER, NAME = sys.argv[1:3]
LOGIN = b'<html><title>Sign in</title><form method="post"><input type="password" name="p"></form></html>'
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def accepts(self, slot):
        der = self.connection.getpeercert(binary_form=True)
        if not der:
            return False
        with open(os.path.join(FOLDER, slot + ".accepted"), encoding="ascii") as f:
            return hashlib.sha256(der).hexdigest() in f.read().split("\n")

    def drain(self):
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return
        self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, body, content_type="text/plain", location=None):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self):
        parts = self.path.split("/")
        if len(parts) < 3:
            return self.answer(404, b"")
        way, slot = parts[1], parts[2]
        if self.accepts(slot):
            self.drain()
            with lock, open(os.path.join(FOLDER, NAME + ".taken"), "a", encoding="ascii") as f:
                f.write(self.headers.get("Idempotency-Key", "") + "\n")
            return self.answer(200, b"accepted\n")
        self.close_connection = True  # the body is not read
        if way == "close":
            return None
        if way == "login302":
            return self.answer(302, b"", location="/login")
        if way == "login200":
            return self.answer(200, LOGIN, "text/html")
        return self.answer(int(way), b"unknown client certificate\n")

    do_GET = do_HEAD = do_POST = do_DELETE = serve

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, client_address):
        try:
            request.do_handshake()
            super().finish_request(request, client_address)
        except (OSError, ValueError):
            pass

    def handle_error(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(FOLDER, "server.pem"))
context.load_verify_locations(os.path.join(FOLDER, "ca.pem"))
context.verify_mode = ssl.CERT_OPTIONAL
server = Server(("127.0.0.1", 0), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(os.path.join(FOLDER, NAME + ".new"), "w", encoding="ascii") as f:
    f.write(str(server.server_address[1]))
os.rename(os.path.join(FOLDER, NAME + ".new"), os.path.join(FOLDER, NAME + ".port"))
server.serve_forever()
