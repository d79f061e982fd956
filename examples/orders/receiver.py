"""Takes the messages of the sink `ping`: python3 examples/orders/receiver.py [PORT]

It looks at the signature as Standard Webhooks has it, passes over a message that it has already, and prints the others.
"""

import base64
import hashlib
import hmac
import http.server
import json
import sys
import time

SECRET = "whsec_dGFpbHJhY2UncyBleGFtcGxlIHNlY3JldA=="
AGE_SECONDS_MAX = 300
KNOWN_MAX = 10_000

known = {}


def is_signed(headers, body):
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    is_young = abs(time.time() - int(headers["webhook-timestamp"])) < AGE_SECONDS_MAX
    given = headers["webhook-signature"].split()
    return is_young and any(hmac.compare_digest(signature, expected) for signature in given)


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            status = 204 if is_signed(self.headers, body) else 401
        except (AttributeError, TypeError, ValueError):
            status = 401
        # A message may come twice, and then has the id that it had.
        if status == 204 and self.headers["webhook-id"] not in known:
            message = json.loads(body)
            print(message["timestamp"], message["type"], json.dumps(message["data"].get("new_image")), flush=True)
            known[self.headers["webhook-id"]] = True
            if len(known) > KNOWN_MAX:
                known.pop(next(iter(known)))
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Receiver)
print(f"ORDERS_HOOK=http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
