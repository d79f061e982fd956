"""Receivers of messages, for tests: a web address that fails at random, and a mail server."""

import contextlib
import http.server
import pathlib
import random
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, SMTP

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from shared import free_port  # noqa: E402


class Receiver:
    """A web address. It keeps what it took: headers and body. `failures` of ten requests fail, half of them after they were taken."""

    def __init__(self, seed=1, failures=0, tls=None):
        self.taken, self.failures, self.statuses = [], failures, [500, 503, 429, 408]
        chance, lock = random.Random(seed), threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with lock:
                    fails = chance.randrange(10) < receiver.failures
                    is_taken = not fails or chance.random() < 0.5
                    hangs_up = chance.random() < 0.5
                    if is_taken:
                        receiver.taken.append((dict(self.headers), body))
                if fails and hangs_up:
                    self.close_connection = True
                    return
                self.send_response(chance.choice(receiver.statuses) if fails else 204)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if tls:
            self.scheme = "https"
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"{self.scheme}://localhost:{self.server.server_port}/hook"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextlib.contextmanager
def receiver(**options):
    one = Receiver(**options)
    try:
        yield one
    finally:
        one.stop()


class Letters:
    """What a mail server does with letters: it keeps them; `refused` are addresses that it never takes."""

    def __init__(self, refused=()):
        self.letters, self.refused = [], refused

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.letters.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content, session.authenticated))
        return "250 taken"


@contextlib.contextmanager
def mail_server(letters, chain, user, password):
    """A mail server that talks to nobody without STARTTLS and a password; it repeats one that is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*chain)

    def authenticate(server, session, envelope, mechanism, given):
        if (given.login, given.password) == (user.encode(), password.encode()):
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message=f"535 5.7.8 {given.password.decode()} is wrong")

    class Tls(Controller):
        def factory(self):
            return SMTP(
                self.handler, require_starttls=True, tls_context=context, auth_required=True, authenticator=authenticate,
                hostname="localhost",
            )

    # Its start tries the port that it was told.
    port = free_port()
    controller = Tls(letters, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()
