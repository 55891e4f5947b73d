"""A receiver on gunicorn: receiver_gunicorn.py FOLDER NAME. Its files and paths are those of receiver.js."""
import hashlib
import os
import socket
import ssl
import sys

from gunicorn.app.base import BaseApplication

FOLDER, NAME = sys.argv[1:3]
LOGIN = b'<html><title>Sign in</title><form method="post"><input type="password" name="p"></form></html>'


def accepts(environ, slot):
    der = environ["gunicorn.socket"].getpeercert(binary_form=True)
    if not der:
        return False
    with open(os.path.join(FOLDER, slot + ".accepted"), encoding="ascii") as f:
        return hashlib.sha256(der).hexdigest() in f.read().split("\n")


def serve(environ, start_response):
    def answer(status, body, content_type="text/plain", **headers):
        start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers.items()])
        return [body]

    parts = environ["PATH_INFO"].split("/")
    if len(parts) < 3:
        return answer("404 Not Found", b"")
    way, slot = parts[1], parts[2]
    if accepts(environ, slot):
        while environ["wsgi.input"].read(1 << 16):
            pass
        with open(os.path.join(FOLDER, NAME + ".taken"), "a", encoding="ascii") as f:
            f.write(environ.get("HTTP_IDEMPOTENCY_KEY", "") + "\n")
        return answer("200 OK", b"accepted\n")
    if way == "close":
        environ["gunicorn.socket"].shutdown(socket.SHUT_RDWR)
    if way == "login302":
        return answer("302 Found", b"", Location="/login")
    if way == "login200":
        return answer("200 OK", LOGIN, "text/html")
    return answer("403 Forbidden", b"unknown client certificate\n")


def when_ready(server):
    with open(os.path.join(FOLDER, NAME + ".new"), "w", encoding="ascii") as f:
        f.write(str(server.LISTENERS[0].sock.getsockname()[1]))
    os.rename(os.path.join(FOLDER, NAME + ".new"), os.path.join(FOLDER, NAME + ".port"))


class Receiver(BaseApplication):
    def load_config(self):
        for name, value in {
            "bind": "127.0.0.1:0", "worker_class": "gthread", "threads": 16, "loglevel": "critical",
            "certfile": os.path.join(FOLDER, "server.pem"), "keyfile": os.path.join(FOLDER, "server.pem"),
            "ca_certs": os.path.join(FOLDER, "ca.pem"), "cert_reqs": ssl.CERT_OPTIONAL, "when_ready": when_ready,
        }.items():
            self.cfg.set(name, value)

    def load(self):
        return serve


Receiver().run()
