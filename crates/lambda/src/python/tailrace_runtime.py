"""Runs a Python handler: asks the host for events, calls the handler, posts results and errors.

Standard library only, one file, Python 3.8 and later. Usage: python -u tailrace_runtime.py module.function
Where the interpreter can import awslambdaric, that client is preferred (TAILRACE_PYTHON_CLIENT: auto, own,
awslambdaric).
"""

import os
import sys

# Where compiled files are kept, so that the code's own directory stays as it is. What the interpreter has compiled of its
# own and of its packages is used where it is; one that came without, and may have no place for it, has all in ours.
CACHE = os.environ.pop("TAILRACE_PYTHON_CACHE", None)
COMPILED = os.path.join(os.path.dirname(os.__file__), "__pycache__", "traceback.%s.pyc" % sys.implementation.cache_tag)
if sys.pycache_prefix is not None:
    # The function says where.
    CACHE = None
elif CACHE and not os.path.exists(COMPILED):
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = CACHE
    CACHE = None

# Everything that this file and the client beside it use is imported here, before the function's directory is on the
# path: a types.py or json.py of the function must not stand in for the standard library's. Some are used only by other
# modules, and only when an error is described.
import ast  # noqa: F401
import decimal
import importlib
import importlib.machinery
import json
import linecache  # noqa: F401
import logging
import re
import socket
import time
import tokenize  # noqa: F401
import traceback

OWN_DIRECTORY = sys.path[0]
LOGS_JSON = os.environ.get("AWS_LAMBDA_LOG_FORMAT") == "JSON"


def main():
    # The script's own directory must not shadow the modules of the function.
    if sys.path and sys.path[0] == OWN_DIRECTORY:
        del sys.path[0]
    choice = os.environ.pop("TAILRACE_PYTHON_CLIENT", "own")
    handler = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("_HANDLER", "")
    if choice == "awslambdaric" or (choice == "auto" and can_import_awslambdaric()):
        import concurrent.futures.thread  # noqa: F401
        import http.client  # noqa: F401
        import runpy

        # If it was asked for and is not there, what follows says so.
        can_import_awslambdaric()
        add_task_root()
        sys.argv = ["awslambdaric", handler]
        runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
        return
    # Connecting imports modules, too.
    host = Host(os.environ["AWS_LAMBDA_RUNTIME_API"])
    add_task_root()
    serve(host, handler)


def add_task_root():
    """From here on the function's modules are found, here and in the Python processes that it starts."""
    task_root = os.environ.get("LAMBDA_TASK_ROOT") or os.getcwd()
    own = os.environ.pop("TAILRACE_PYTHON_PATH", "")
    path = [task_root] + [entry for entry in own.split(os.pathsep) if entry]
    sys.path[:0] = [entry for entry in path if entry not in sys.path]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    if CACHE:
        keep_compiled_files_in(CACHE, path)


def keep_compiled_files_in(cache, path):
    """Modules below these directories, and whatever else is not the interpreter's, are compiled into the cache, here and in
    the Python processes that the function starts."""
    os.environ["PYTHONPYCACHEPREFIX"] = cache
    interpreters = {sys.prefix, sys.base_prefix}

    def is_below(directory, roots):
        return any(os.path.join(directory, "").startswith(os.path.join(root, "")) for root in roots)

    def in_cache(file):
        """Where PYTHONPYCACHEPREFIX puts a compiled file; another file is itself."""
        directory, name = os.path.split(file)
        around, last = os.path.split(directory)
        return os.path.join(cache, around.lstrip(os.sep), name) if last == "__pycache__" else file

    machinery = importlib.machinery

    class Loader(machinery.SourceFileLoader):
        def get_data(self, path):
            return super().get_data(in_cache(path))

        def set_data(self, path, data, **options):
            super().set_data(in_cache(path), data, **options)

    finder = machinery.FileFinder.path_hook(
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (Loader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )

    def hook(directory):
        if not is_below(directory, path) and is_below(directory, interpreters):
            raise ImportError("the interpreter's own")
        return finder(directory)

    sys.path_hooks.insert(0, hook)
    for entry in path:
        sys.path_importer_cache.pop(entry, None)


def can_import_awslambdaric():
    try:
        import awslambdaric.bootstrap  # noqa: F401
    except Exception:
        return False
    return True


class Fault(Exception):
    """An error of the function that has a name of the platform's and needs no trace of ours."""

    def __init__(self, error_type, message, trace=()):
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.trace = list(trace)


class Host:
    """One kept-alive HTTP/1.1 connection to the host. Every answer there has a Content-Length."""

    PREFIX = "/2018-06-01/runtime/"

    def __init__(self, address):
        self.address = address
        host, _, port = address.partition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb", 65536)

    def call(self, method, path, body=None, headers=()):
        lines = ["%s %s%s HTTP/1.1" % (method, self.PREFIX, path), "Host: " + self.address]
        lines.append("User-Agent: tailrace-python/%d.%d.%d" % sys.version_info[:3])
        if body is not None:
            lines.append("Content-Length: %d" % len(body))
        # A class may be called anything; no name ends a header.
        lines.extend("%s: %s" % (name, re.sub(r"[\0-\x1f\x7f]", "?", value)) for name, value in headers)
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if body is None or len(body) < 65536:
            self.socket.sendall(head + (body or b""))
        else:
            self.socket.sendall(head)
            self.socket.sendall(body)
        return self.answer()

    def answer(self):
        status_line = self.reader.readline(65536).split(None, 2)
        if len(status_line) < 2:
            raise ConnectionError("the host closed the connection")
        status = int(status_line[1])
        headers = {}
        while True:
            line = self.reader.readline(65536)
            if line in (b"\r\n", b"\n"):
                break
            if not line:
                raise ConnectionError("the host closed the connection")
            name, _, value = line.decode("utf-8", "replace").partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        body = self.reader.read(length) if length else b""
        if len(body) != length:
            raise ConnectionError("the host closed the connection")
        if status == 100:
            return self.answer()
        return status, headers, body

    def post(self, path, body, headers=()):
        status, _, answer = self.call("POST", path, body, headers)
        if status != 202:
            raise ConnectionError("the host answered %d: %s" % (status, answer.decode("utf-8", "replace")))


class Attributes:
    """The members of a JSON object as attributes; a missing one is None."""

    def __init__(self, members):
        self.__dict__.update(members or {})

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return None

    def __repr__(self):
        return "%s(%r)" % (type(self).__name__, self.__dict__)


class CognitoIdentity(Attributes):
    """The caller's identity."""


class ClientContext:
    """What a client application says about itself."""

    def __init__(self, members):
        self.custom, self.env = members.get("custom"), members.get("env")
        client = members.get("client")
        self.client = None if client is None else Client(client)

    def __repr__(self):
        return "ClientContext(%r)" % (self.__dict__,)


class Client:
    """The client application."""

    NAMES = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")

    def __init__(self, members):
        for name in self.NAMES:
            setattr(self, name, members.get(name))

    def __repr__(self):
        return "Client(%r)" % (self.__dict__,)


class LambdaContext:
    """The second argument of a handler."""

    def __init__(self, headers, environ):
        self.aws_request_id = headers.get("lambda-runtime-aws-request-id", "")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn", "")
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self.identity = CognitoIdentity({"cognito_identity_id": None, "cognito_identity_pool_id": None})
        identity = self.parse(headers, "lambda-runtime-cognito-identity", "Cognito Identity")
        if identity:
            self.identity.cognito_identity_id = identity.get("cognitoIdentityId")
            self.identity.cognito_identity_pool_id = identity.get("cognitoIdentityPoolId")
        self.client_context = None
        client = self.parse(headers, "lambda-runtime-client-context", "Client Context")
        trace = client.pop("w3c", None) if isinstance(client, dict) else None
        trace = trace if isinstance(trace, dict) else {}
        self._w3c = {name: trace[name] for name in ("traceparent", "tracestate", "baggage") if isinstance(trace.get(name), str)}
        if client is not None:
            self.client_context = ClientContext(client)
        self._deadline_ms = int(headers.get("lambda-runtime-deadline-ms", "0") or 0)

    @staticmethod
    def parse(headers, name, words):
        if not headers.get(name):
            return None
        try:
            return json.loads(headers[name])
        except Exception as error:
            raise Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (words, error))

    def get_remaining_time_in_millis(self):
        return max(self._deadline_ms - int(time.time() * 1000), 0)

    def w3c(self):
        """The trace context that the caller handed on in its client context."""
        return dict(self._w3c)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        shown = ("aws_request_id", "function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb",
                 "log_group_name", "log_stream_name", "client_context", "identity", "tenant_id")
        return "LambdaContext([%s])" % ",".join("%s=%s" % (name, getattr(self, name)) for name in shown)


def load(handler):
    """The handler function of `package/module.function`."""
    module_name, dot, function_name = handler.rpartition(".")
    if not dot:
        message = "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % handler
        raise Fault("Runtime.MalformedHandlerName", message)
    if module_name.split(".")[0] in sys.builtin_module_names:
        message = "Cannot use built-in module %s as a handler module" % module_name
        raise Fault("Runtime.BuiltInModuleConflict", message)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, words(error)))
    except SyntaxError as error:
        place = '  File "%s" Line %s\n    %s' % (error.filename, error.lineno, error.text)
        raise Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, words(error)), [place])
    try:
        return getattr(module, function_name)
    except AttributeError:
        message = "Handler '%s' missing on module '%s'" % (function_name, module_name)
        raise Fault("Runtime.HandlerNotFound", message)


def describe(error, request_id):
    """The error document of an exception. It cannot fail, whatever the exception's own methods do."""
    if isinstance(error, Fault):
        return document(error.message, error.error_type, error.trace, request_id)
    try:
        frames = list(traceback.extract_tb(error.__traceback__))
        while len(frames) > 1 and frames[0].filename == __file__:
            del frames[0]
        # As tuples they have no columns: two lines a frame, without marks below the code.
        trace = traceback.format_list([(frame.filename, frame.lineno, frame.name, frame.line) for frame in frames])
    except Exception:
        trace = []
    return document(words(error), type(error).__name__, trace, request_id)


def words(error):
    """What an exception says of itself; what Python prints where it says nothing."""
    try:
        return str(error)
    except Exception:
        return "<exception str() failed>"


def document(message, error_type, trace, request_id):
    members = {"errorMessage": text(message), "errorType": text(error_type), "requestId": request_id}
    return dict(members, stackTrace=[text(entry) for entry in trace])


def text(value):
    """A lone surrogate is no text for whoever reads the error; nor is a subclass of str with ideas of its own."""
    return str.encode(value, "utf-8", "backslashreplace").decode("utf-8")


def show(error):
    """Prints an error as one line whose inner breaks are carriage returns, as Lambda's own client does; or as JSON."""
    if LOGS_JSON:
        try:
            sys.stdout.write(json_line(dict({"timestamp": second(time.time()), "level": "ERROR"}, **error)) + "\n")
        except Exception:
            pass
        return
    lines = ["[ERROR] %s: %s" % (error["errorType"], error["errorMessage"]) if error["errorMessage"]
             else "[ERROR] %s" % error["errorType"], "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:
        for line in entry.splitlines():
            text = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(text)) + text)
    try:
        sys.stdout.write("\r".join(lines) + "\n")
    except Exception:
        # The function has closed or replaced it. The error still reaches the host.
        pass


def encoder(execution_env):
    """A function from a result to JSON bytes: exact Decimals; from Python 3.12 on, text beyond ASCII stays as it is."""
    minor = execution_env.rpartition("python3.")[2]
    keep_text = minor.isdigit() and int(minor) >= 12
    # The json module cannot write a number digit by digit, so a Decimal travels as a marked string whose quotes are
    # taken off afterwards. The mark is random: no result can hold it by chance or on purpose.
    mark = "decimal:%s:" % os.urandom(16).hex()
    marked = re.compile('"%s([^"]*)"' % mark)

    class Encoder(json.JSONEncoder):
        has_decimals = False

        def default(self, value):
            if isinstance(value, decimal.Decimal):
                self.has_decimals = True
                return mark + ("NaN" if value.is_nan() else str(value))
            if isinstance(value, bytes):
                return value.decode("utf-8")
            members = members_of(value)
            return super().default(value) if members is None else plain(members)

    def encode(value):
        json_encoder = Encoder(ensure_ascii=not keep_text)
        text = json_encoder.encode(plain(value))
        if json_encoder.has_decimals:
            text = marked.sub(r"\1", text)
        return text.encode("utf-8")

    return encode


def as_dict_of(value):
    """The `_asdict` of a named tuple, or of whatever else has one."""
    as_dict = None if isinstance(value, type) else getattr(value, "_asdict", None)
    return as_dict if callable(as_dict) else None


def members_of(value):
    """What that gives; None: there is none."""
    as_dict = as_dict_of(value)
    if as_dict is None:
        return None
    members = as_dict()
    if not isinstance(members, dict):
        raise TypeError("_asdict() must return a dict, not %s" % type(members).__name__)
    return members


def plain(value):
    """What the json module takes as Lambda's own client takes it: named tuples are objects, keys of bytes are text. What
    needs neither is itself. Without recursion: a value is as deep as the encoder lets it be, and its loops are left to that.
    """
    if not needs_change(value):
        return value
    made = {}
    todo = []

    def part(inner, depth):
        if depth > sys.getrecursionlimit():
            raise RecursionError("maximum recursion depth exceeded")
        if not isinstance(inner, (dict, list, tuple)):
            return inner
        if id(inner) not in made:
            members = None if isinstance(inner, list) else members_of(inner)
            # What `_asdict` made is kept with the rest: its id must not pass to another object.
            source = inner if members is None else members
            made[id(inner)] = ({} if isinstance(source, dict) else [], source, inner, depth + 1)
            todo.append(made[id(inner)])
        return made[id(inner)][0]

    top = part(value, 0)
    while todo:
        new, source, _, depth = todo.pop()
        if isinstance(source, dict):
            for key, inner in source.items():
                new[key.decode("utf-8") if isinstance(key, bytes) else key] = part(inner, depth)
        else:
            new.extend(part(inner, depth) for inner in source)
    return top


PLAIN = {dict, list, tuple}


def needs_change(value):
    """Whether there is a named tuple, or a key of bytes, anywhere in lists, tuples and dicts."""
    seen = set()
    todo = [[value]]
    while todo:
        # Large results are mostly what has no parts: that is passed over fast.
        for inner in [part for part in todo.pop() if isinstance(part, (dict, list, tuple))]:
            if id(inner) in seen:
                continue
            seen.add(id(inner))
            if type(inner) not in PLAIN and not isinstance(inner, list) and as_dict_of(inner) is not None:
                return True
            if isinstance(inner, dict):
                if bytes in map(type, inner):
                    return True
                todo.append(inner.values())
            else:
                todo.append(inner)
    return False


def json_line(members):
    """A line of the log: text beyond ASCII as it is, and half of a character, which cannot be, escaped."""
    return text(json.dumps(members, ensure_ascii=False, default=str))


def second(seconds):
    """The time of a line of JSON, which has no parts of seconds in Python."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON, with what `extra` gave it: its members as Lambda's own client has them."""

    # The name of a task of asyncio is shown.
    OWN = set(logging.makeLogRecord({}).__dict__) - {"taskName"} | {"aws_request_id"}

    def format(self, record):
        message = record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage()
        # A level between those of the module is called as the next one below it.
        level = logging.getLevelName(min(logging.CRITICAL, max(logging.NOTSET, record.levelno)) // 10 * 10)
        members = {"timestamp": second(record.created), "level": level, "message": message, "logger": record.name,
                   "stackTrace": None, "errorType": None, "errorMessage": None, "requestId": record.aws_request_id,
                   "location": None}
        if record.exc_info and record.exc_info[1] is not None:
            kind, error, trace = record.exc_info
            members.update(stackTrace=self.trace(trace), errorType=kind.__name__, errorMessage=words(error),
                           location="%s:%s:%s" % (record.pathname, record.funcName, record.lineno))
        # What `extra` gives takes the place of nothing.
        extra = {name: value for name, value in record.__dict__.items() if name not in self.OWN and name not in members}
        members = {name: value for name, value in {**members, **extra}.items() if value is not None}
        try:
            return json_line(members)
        except (TypeError, ValueError):
            # Keys that JSON has not, or a loop.
            return json_line({name: str(value) for name, value in members.items()})

    @staticmethod
    def trace(trace):
        """As Python prints it, with the marks below the code that an uncaught error is told without."""
        try:
            return traceback.format_tb(trace)
        except Exception:
            return []


def set_up_logging():
    """The root logger writes `[LEVEL]<tab>time<tab>request id<tab>message`, as handlers expect from Lambda, or JSON."""
    current = {"request_id": ""}

    class Handler(logging.Handler):
        def emit(self, record):
            record.aws_request_id = current["request_id"]
            sys.stdout.write(self.format(record) + self.terminator)

        terminator = "\n" if LOGS_JSON else ""

    logging.Formatter.converter = time.gmtime
    handler = Handler()
    layout = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
    handler.setFormatter(JsonFormatter() if LOGS_JSON else logging.Formatter(layout, "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(handler)
    if LOGS_JSON:
        level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO").upper()
        # There is no TRACE here.
        logging.getLogger().setLevel(getattr(logging, "DEBUG" if level == "TRACE" else level, logging.INFO))
    return current


def serve(host, handler):
    current = set_up_logging()
    encode = encoder(os.environ.get("AWS_EXECUTION_ENV", ""))
    try:
        function = load(handler)
    except Exception as error:
        fault = describe(error, "")
        show(fault)
        headers = [("Content-Type", "application/json"), ("Lambda-Runtime-Function-Error-Type", fault["errorType"])]
        host.post("init/error", encode(fault), headers)
        sys.exit(1)
    while True:
        status, headers, body = host.call("GET", "invocation/next")
        if status != 200:
            sys.exit("the host answered %d to a request for the next event" % status)
        request_id = headers["lambda-runtime-aws-request-id"]
        current["request_id"] = request_id
        if "lambda-runtime-trace-id" in headers:
            os.environ["_X_AMZN_TRACE_ID"] = headers["lambda-runtime-trace-id"]
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        run(host, function, encode, request_id, headers, body)


def run(host, function, encode, request_id, headers, body):
    echo = [("Content-Type", "application/json")]
    if "lambda-runtime-invocation-id" in headers:
        echo.append(("Lambda-Runtime-Invocation-Id", headers["lambda-runtime-invocation-id"]))
    try:
        context = LambdaContext(headers, os.environ)
        try:
            event = json.loads(body)
        except Exception as error:
            raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)
        result = function(event, context)
        if isinstance(result, bytes):
            echo[0] = ("Content-Type", "application/unknown")
        else:
            try:
                result = encode(result)
            except Exception as error:
                raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % words(error))
    except Exception as error:
        fault = describe(error, request_id)
        show(fault)
        echo.append(("Lambda-Runtime-Function-Error-Type", fault["errorType"]))
        host.post("invocation/%s/error" % request_id, encode(fault), echo)
    else:
        host.post("invocation/%s/response" % request_id, result, echo)


if __name__ == "__main__":
    main()
