"""A receiver on aiohttp: receiver_aiohttp.py FOLDER NAME. Its files and paths are those of receiver.js."""
import asyncio
import hashlib
import os
import ssl
import sys

from aiohttp import web

FOLDER, NAME = sys.argv[1:3]
LOGIN = '<html><title>Sign in</title><form method="post"><input type="password" name="p"></form></html>'


def accepts(request, slot):
    tls = request.transport.get_extra_info("ssl_object")
    der = tls and tls.getpeercert(binary_form=True)
    if not der:
        return False
    with open(os.path.join(FOLDER, slot + ".accepted"), encoding="ascii") as f:
        return hashlib.sha256(der).hexdigest() in f.read().split("\n")


async def serve(request):
    parts = request.path.split("/")
    if len(parts) < 3:
        return web.Response(status=404)
    way, slot = parts[1], parts[2]
    if accepts(request, slot):
        async for _ in request.content.iter_any():
            pass
        with open(os.path.join(FOLDER, NAME + ".taken"), "a", encoding="ascii") as f:
            f.write(request.headers.get("Idempotency-Key", "") + "\n")
        return web.Response(text="accepted\n")
    if way == "close":
        request.transport.close()
        return web.Response(status=500)
    if way == "login302":
        return web.Response(status=302, headers={"Location": "/login"})
    if way == "login200":
        return web.Response(text=LOGIN, content_type="text/html")
    return web.Response(status=int(way), text="unknown client certificate\n")


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(FOLDER, "server.pem"))
    context.load_verify_locations(os.path.join(FOLDER, "ca.pem"))
    context.verify_mode = ssl.CERT_OPTIONAL
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    with open(os.path.join(FOLDER, NAME + ".new"), "w", encoding="ascii") as f:
        f.write(str(port))
    os.rename(os.path.join(FOLDER, NAME + ".new"), os.path.join(FOLDER, NAME + ".port"))
    await asyncio.Event().wait()


asyncio.run(main())
