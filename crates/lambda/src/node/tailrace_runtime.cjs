// Runs a Node.js handler: asks the host for events, calls the handler, posts results and errors.
//
// Node's own modules only, one file, Node.js 18 and later. Usage: node tailrace_runtime.cjs path/module.function
// Handlers are async functions, functions with a callback, or functions that call context.done, succeed or fail; from
// nodejs24.x on they return their result, or a promise of it, as on AWS. Their modules are CommonJS, ES modules, or
// TypeScript where node strips types.

"use strict";

// Taken before the function's code runs: what it patches or mocks is its own matter.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const nodeModule = require("node:module");
const net = require("node:net");
const path = require("node:path");
const { Writable, finished } = require("node:stream");
const { pathToFileURL } = require("node:url");
const util = require("node:util");
const { exit, stdout } = process;
const Time = Date;
const now = Date.now;
const { parse, stringify } = JSON;

/** As much of an event as is read at once. */
const READ_BYTES = 1024 * 1024;
// How the lines of the console are written, and from which level on.
const LOGS_JSON = process.env.AWS_LAMBDA_LOG_FORMAT === "JSON";
const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const LEAST = Math.max(LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL ?? "INFO").toUpperCase()), 0);
const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
/** The function's runtime, whichever node runs it, is one in which handlers have neither callbacks nor context.done. */
const RETURNS_ALONE = Number(/nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV ?? "")?.[1] ?? 0) >= 24;

/** The invocation that is open, or was last; as AWS has it, `undefined` before the first, or a dash in the newer runtimes. */
let requestId = RETURNS_ALONE ? "-" : undefined;
/** What to do when nothing is left to be waited for: how a handler that never calls back ends. */
let onIdle = null;
/** Tells the host of an error that nobody caught, wherever the function is then. */
let onStray = null;

async function main() {
  const handlerName = process.argv[2] ?? process.env._HANDLER ?? "";
  const host = new Host(process.env.AWS_LAMBDA_RUNTIME_API);
  // Nobody reads any more: no reason to end.
  process.stdout.on("error", () => {});
  process.stderr.on("error", () => {});
  patchConsole();
  watchForStrays(host);
  addGlobal();
  addResolution();
  let handler;
  try {
    handler = await load(process.env.LAMBDA_TASK_ROOT ?? process.cwd(), handlerName);
  } catch (error) {
    showError("Init Error", error);
    await host.postError("init/error", error);
    exit(1);
  }
  onIdle = null;
  for (;;) {
    const { headers, body } = await host.next();
    await serve(host, handler, headers, body);
  }
}

/**
 * The host, over one kept-alive connection, one call after the other. Every answer there has a Content-Length. Events come by
 * the half megabyte: they are read into one large buffer, which node:http does not do. An idle connection does not keep the
 * event loop from being empty.
 */
class Host {
  constructor(address) {
    this.address = address;
    this.last = Promise.resolve();
    this.waiting = null;
    this.head = Buffer.alloc(0);
    this.answer = null;
    const [host, port] = address.split(":");
    const onread = { buffer: Buffer.allocUnsafe(READ_BYTES), callback: (count, buffer) => this.take(buffer.subarray(0, count)) };
    this.socket = net.connect({ host, port: Number(port), noDelay: true, onread });
    this.socket.on("connect", () => this.waiting ?? this.socket.unref());
    const end = (error) => this.waiting?.reject(error ?? new Error("it closed the connection"));
    this.socket.on("error", end);
    this.socket.on("close", () => end());
  }

  call(method, call, body, headers = {}) {
    const lines = [`${method} /2018-06-01/runtime/${call} HTTP/1.1`, `Host: ${this.address}`];
    lines.push(`User-Agent: tailrace-node/${process.versions.node}`);
    if (body !== undefined) lines.push(`Content-Length: ${body.length}`);
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
    const answered = this.last.then(
      () =>
        new Promise((resolve, reject) => {
          if (this.socket.destroyed) return reject(new Error("it closed the connection"));
          this.waiting = { resolve, reject };
          this.socket.ref();
          this.socket.cork();
          this.socket.write(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
          if (body !== undefined) this.socket.write(body);
          this.socket.uncork();
        }),
    );
    this.last = answered.catch(() => {});
    return answered;
  }

  /** Takes a piece of an answer; true: more may come. */
  take(bytes) {
    if (this.answer === null) {
      const head = this.head.length === 0 ? bytes : Buffer.concat([this.head, bytes]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) {
        // The buffer that it lies in is used again.
        this.head = Buffer.from(head);
        return true;
      }
      this.head = Buffer.alloc(0);
      this.answer = answerOf(head.toString("latin1", 0, end));
      bytes = head.subarray(end + 4);
    }
    const { answer } = this;
    answer.filled += bytes.copy(answer.body, answer.filled);
    if (answer.filled === answer.body.length) {
      this.answer = null;
      this.socket.unref();
      this.waiting?.resolve(answer);
      this.waiting = null;
    }
    return true;
  }

  async next() {
    const answer = await this.call("GET", "invocation/next").catch(lost);
    if (answer.status !== 200) lost(`it answered ${answer.status} to a request for the next event`);
    return answer;
  }

  async post(call, body, headers) {
    const answer = await this.call("POST", call, body, headers).catch(lost);
    if (answer.status !== 202) lost(`it answered ${answer.status}: ${answer.body}`);
  }

  postError(call, error) {
    const document = describe(error);
    const headers = {
      "Content-Type": "application/json",
      "Lambda-Runtime-Function-Error-Type": document.errorType.replace(/[^\x20-\x7e]/g, "?"),
    };
    return this.post(call, Buffer.from(stringify(document)), headers);
  }
}

/** An answer by its head, with room for its body. */
function answerOf(head) {
  const [statusLine, ...lines] = head.split("\r\n");
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  const body = Buffer.allocUnsafe(Number(headers["content-length"] ?? 0));
  return { status: Number(statusLine.split(" ")[1]), headers, body, filled: 0 };
}

function lost(why) {
  process.stderr.write(`the host is lost: ${why?.message ?? why}\n`);
  exit(1);
}

/** An error that has a name of the platform's. */
class RuntimeError extends Error {
  constructor(name, message, places = []) {
    super(message);
    this.name = `Runtime.${name}`;
    this.stack = [`${this.name}: ${message}`, ...places].join("\n");
  }
}

/** Whatever was thrown, as the document that Lambda makes of it. It cannot fail. */
function describe(error) {
  try {
    const hasAll = util.types.isNativeError(error) || (error && [error.name, error.message, error.stack].every(isText));
    if (!hasAll) return { errorType: typeof error, errorMessage: wellFormed(String(error)), trace: [] };
    const trace = isText(error.stack) ? error.stack.split("\n").filter((line) => !line.includes(__filename)) : [];
    return {
      errorType: wellFormed(String(error.name)),
      errorMessage: wellFormed(String(error.message)),
      trace: trace.map(wellFormed),
    };
  } catch {
    const message =
      "callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack";
    return { errorType: "handled", errorMessage: message, trace: [] };
  }
}

const isText = (value) => typeof value === "string" && value !== "";

/** Half of a character is no text for whoever reads it. */
const wellFormed = (text) => text.replace(/[\ud800-\udfff]/gu, "\ufffd");

/** console.log and the others write `time<tab>request id<tab>LEVEL<tab>text`, one line each, as on AWS, or JSON. */
function patchConsole() {
  const levels = { log: "INFO", info: "INFO", debug: "DEBUG", warn: "WARN", error: "ERROR", trace: "TRACE", fatal: "FATAL" };
  for (const [name, level] of Object.entries(levels)) {
    console[name] = LOGS_JSON && LEVELS.indexOf(level) < LEAST
      ? () => {}
      : (...values) => print(level, util.format(...values), values);
  }
}

/** A line; as JSON a single value is its message as it is. */
function print(level, text, values = [text]) {
  if (LOGS_JSON) {
    stdout.write(recordOf(level, text, values) + "\n");
    return;
  }
  // The host turns the inner breaks back.
  stdout.write(`${new Time().toISOString()}\t${requestId}\t${level}\t${text}`.replace(/\n/g, "\r") + "\n");
}

function recordOf(level, text, values) {
  const head = { timestamp: new Time().toISOString(), level, requestId };
  try {
    if (values.length === 1) return stringify({ ...head, message: values[0] }, errorsAsMembers);
    const error = values.find(isError);
    return stringify({ ...head, message: text, ...(error && membersOf(error)) });
  } catch {
    return stringify({ ...head, message: text });
  }
}

function isError(value) {
  try {
    return util.types.isNativeError(value) || value instanceof Error;
  } catch {
    // A proxy that lets nobody look.
    return false;
  }
}

/** An error as the log shows it: what it is called, says, and where it was made. */
function membersOf(error) {
  const { errorMessage, trace } = describe(error);
  return { errorType: error.constructor?.name ?? "UnknownError", errorMessage, stackTrace: trace };
}

/** Errors have no members that JSON sees: wherever they lie in a value, they are shown with these and their own. */
const errorsAsMembers = (_name, value) => (isError(value) ? { ...membersOf(value), ...value } : value);

/** Prints an error as AWS does: its document and its own members, as JSON. */
function showError(words, error) {
  // What is none is shown as one that says it.
  if (!isError(error)) error = new Error(describe(error).errorMessage);
  if (LOGS_JSON) {
    print("ERROR", words, [error]);
    return;
  }
  const { errorType, errorMessage, trace } = describe(error);
  let text;
  try {
    text = stringify({ errorType, errorMessage, code: error.code, ...error, stack: trace });
  } catch {
    text = stringify({ errorType, errorMessage, stack: trace });
  }
  print("ERROR", `${words} \t${text}`);
}

/**
 * What nobody catches ends the process, once the host knows of it; so does an event loop that runs dry. In the newer runtimes
 * nobody watches: node prints the error and ends with 1, or ends with 0 where nothing is left to be waited for.
 */
function watchForStrays(host) {
  if (RETURNS_ALONE) return;
  let ending = false;
  const end = (words, error, code) => {
    showError(words, error);
    if (ending) return;
    ending = true;
    if (onStray === null) exit(code);
    else onStray(error).then(() => exit(code));
  };
  onStray = (error) => host.postError("init/error", error);
  process.on("uncaughtException", (error) => end("Uncaught Exception", error, 129));
  process.on("unhandledRejection", (reason) => {
    const { stack } = Object(reason);
    const places = isText(stack) ? stack.split("\n").slice(1) : [];
    let words;
    try {
      words = String(reason);
    } catch {
      words = describe(reason).errorMessage;
    }
    end("Unhandled Promise Rejection", new RuntimeError("UnhandledPromiseRejection", words, places), 128);
  });
  // A module that waits at its top for what never comes: node's own code for that.
  onIdle = () => exit(13);
  process.on("beforeExit", () => {
    const act = onIdle;
    onIdle = null;
    act?.();
  });
}

/** The global `awslambda`: handlers that write their response to a stream are marked by it. A function may ask to be spared. */
function addGlobal() {
  if (["1", "true"].includes(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) return;
  globalThis.awslambda = {
    streamifyResponse(handler) {
      handler[STREAMING] = "response";
      return handler;
    },
    HttpResponseStream: {
      from(stream, prelude) {
        stream.setContentType("application/vnd.awslambda.http-integration-response");
        stream.write(stringify(prelude));
        stream.write(Buffer.alloc(8));
        return stream;
      },
    },
  };
}

/**
 * TypeScript files import each other without an ending, or with that of the compiled file, as compilers allow; and ES
 * modules find packages along NODE_PATH, as `require` does. Before Node.js 18.19 there is no door for this.
 */
function addResolution() {
  const roots = (process.env.NODE_PATH ?? "").split(path.delimiter).filter((root) => root.endsWith("/node_modules"));
  // Node walks upwards from a file: from one beside the folder it finds the folder.
  const parents = roots.map((root) => pathToFileURL(path.join(root, "../beside.cjs")).href);
  if (!nodeModule.registerHooks) {
    addResolutionAside(parents);
    return;
  }
  const resolve = (specifier, context, next) => {
    try {
      return next(specifier, context);
    } catch (error) {
      for (const other of alternatives(specifier, error, parents)) {
        try {
          return next(other.specifier, { ...context, ...other.context });
        } catch {
          // The next one may be there; if none is, the first error says what was asked for.
        }
      }
      throw error;
    }
  };
  nodeModule.registerHooks({ resolve });
}

/**
 * The same for a node that has such hooks in a thread of their own alone: they are a module without a file, made of the
 * functions here. A thread is some milliseconds of a start: none is made where nothing would come of it.
 */
function addResolutionAside(parents) {
  if (!nodeModule.register || (parents.length === 0 && !stripsTypes())) return;
  const hooks = `
    let parents;
    export const initialize = (given) => { parents = given; };
    ${isNotFound}
    ${typed}
    ${alternatives}
    export async function resolve(specifier, context, next) {
      try {
        return await next(specifier, context);
      } catch (error) {
        for (const other of alternatives(specifier, error, parents)) {
          try {
            return await next(other.specifier, { ...context, ...other.context });
          } catch {}
        }
        throw error;
      }
    }`;
  nodeModule.register(`data:text/javascript,${encodeURIComponent(hooks)}`, { data: parents });
}

/** What an import that was not found may mean, likeliest first. Like what it calls, it uses nothing of this module but functions. */
function alternatives(specifier, error, parents) {
  if (!isNotFound(error) && error?.code !== "ERR_UNSUPPORTED_DIR_IMPORT") return [];
  if (/^\.{0,2}\//.test(specifier)) return typed(specifier).map((other) => ({ specifier: other, context: {} }));
  return parents.map((parentURL) => ({ specifier, context: { parentURL } }));
}

/** The TypeScript files that an import may mean. */
function typed(specifier) {
  const compiled = /^(.*)\.([mc]?)js$/.exec(specifier);
  if (compiled) return [`${compiled[1]}.${compiled[2]}ts`];
  return [`${specifier}.ts`, `${specifier}.mts`, `${specifier}.cts`, `${specifier}/index.ts`];
}

function isNotFound(error) {
  return error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND";
}

/** The handler function of `path/module.function`; the function may lie in an object: `module.object.function`. */
async function load(root, handlerName) {
  if (handlerName.includes("..")) {
    const message = `'${handlerName}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`;
    throw new RuntimeError("MalformedHandlerName", message);
  }
  const name = path.basename(handlerName);
  const folder = handlerName.slice(0, handlerName.length - name.length);
  const dot = name.indexOf(".");
  if (dot < 0) throw new RuntimeError("MalformedHandlerName", "Bad handler");
  ownScope(root);
  const namespace = await loadModule(root, folder, name.slice(0, dot));
  const members = name.slice(dot + 1).split(".");
  const within = (module) => members.reduce((inner, member) => inner?.[member], module);
  const handler = within(namespace) || (RETURNS_ALONE && within(namespace?.default));
  if (!handler) throw new RuntimeError("HandlerNotFound", `${handlerName} is undefined or not exported`);
  if (typeof handler !== "function") throw new RuntimeError("HandlerNotFound", `${handlerName} is not a function`);
  if (RETURNS_ALONE && handler.length >= 3 && !handler[STREAMING]) {
    const words = "ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.";
    throw new RuntimeError("CallbackHandlerDeprecated", words);
  }
  return handler;
}

async function loadModule(root, folder, name) {
  const file = findModule(path.resolve(root, folder, name), root, folder, name);
  try {
    return await loadFile(file);
  } catch (error) {
    if (error instanceof SyntaxError || util.types.isNativeError(error) && error.name === "SyntaxError") {
      const places = [...placeOf(file, error), ...(error.stack ?? "").split("\n")];
      throw new RuntimeError("UserCodeSyntaxError", `${error}${compileHint(file, error)}`, places);
    }
    if (isNotFound(error)) {
      const places = (error.stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
      throw new RuntimeError("ImportModuleError", `Error: ${error.message}${packageHint(root, error)}${compileHint(file, error)}`, places);
    }
    throw error;
  }
}

/** Where a syntax error is. For an ES module node keeps it to itself, and says it only when it checks the file. */
function placeOf(file, error) {
  if (!error.stack?.startsWith("SyntaxError")) return [];
  const { stderr } = spawnSync(process.execPath, ["--check", file], { encoding: "utf8", timeout: 5000 });
  const lines = (stderr ?? "").split("\n");
  const end = lines.indexOf("");
  return /:\d+$/.test(lines[0]) ? lines.slice(0, end) : [];
}

/** The file of a module: as it is named, or with an ending, or a package, or a folder with an index. */
function findModule(base, root, folder, name) {
  const isFile = (file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() === true;
  const found = ["", ".js", ".mjs", ".cjs"].map((ending) => base + ending).find(isFile);
  if (found) return found;
  const typescript = [".ts", ".mts", ".cts"].map((ending) => base + ending).find(isFile);
  if (typescript && stripsTypes()) return typescript;
  if (typescript) {
    const why = `${typescript} is TypeScript, which ${process.execPath} (${process.version}) does not run`;
    throw new RuntimeError("ImportModuleError", `Error: Cannot find module '${folder}${name}': ${why}${esbuild(typescript)}`);
  }
  try {
    return require.resolve(folder || fs.existsSync(base) ? base : name, { paths: [root, path.join(root, folder)] });
  } catch {
    const where = path.dirname(base);
    const message = `Error: Cannot find module '${folder}${name}'\nthere is no ${name}.js, ${name}.mjs or ${name}.cjs in ${where}`;
    throw new RuntimeError("ImportModuleError", message);
  }
}

/** Whether this node runs TypeScript: by itself, or because it was told to. */
function stripsTypes() {
  return Boolean(process.features.typescript) || process.execArgv.includes("--experimental-strip-types");
}

async function loadFile(file) {
  const kind = path.extname(file).slice(1);
  const url = pathToFileURL(file).href;
  if (/^m[jt]s$/.test(kind) || (/^[jt]s$/.test(kind) && isModulePackage(path.dirname(file)))) return import(url);
  let loaded;
  try {
    loaded = require(file);
  } catch (error) {
    // Another node than AWS's reads an ES module out of its syntax; so it is here.
    if (error?.code !== "ERR_REQUIRE_ESM" && error?.code !== "ERR_REQUIRE_ASYNC_MODULE") throw error;
    loaded = await import(url);
  }
  if (kind === "js" && util.types.isModuleNamespaceObject(loaded)) {
    print("WARN", `${file} is an ES module; AWS takes it for one only as .mjs, or with "type": "module" in package.json`);
  }
  return loaded;
}

/** Whether the nearest package.json, up to the folder `last`, says `"type": "module"`. `undefined`: there is none. */
function moduleType(folder, last) {
  for (let at = folder; ; at = path.dirname(at)) {
    if (path.basename(at) === "node_modules") return undefined;
    try {
      return parse(fs.readFileSync(path.join(at, "package.json"), "utf8")).type === "module";
    } catch (error) {
      if (error?.code !== "ENOENT") return false;
    }
    if (at === last || at === path.dirname(at)) return undefined;
  }
}

/** Whether a file is an ES module by its package.json. On AWS there is nothing above the code, so nothing above it counts. */
let isModulePackage = (folder) => moduleType(folder) === true;

/** Has the code of a function be as alone as on AWS: a project's package.json above it does not make its `.js` ES modules. */
function ownScope(root) {
  root = fs.realpathSync(root);
  const isInside = (folder) => folder === root || folder.startsWith(root + path.sep);
  const bound = (folder) => (isInside(folder) ? root : undefined);
  isModulePackage = (folder) => moduleType(folder, bound(folder)) === true;
  if (moduleType(root, root) !== undefined || !moduleType(path.dirname(root))) return;
  const extensions = nodeModule._extensions;
  const asNodeDoes = extensions[".js"];
  extensions[".js"] = (module, file) => {
    const folder = path.dirname(file);
    if (!isInside(folder) || moduleType(folder, root) !== undefined) return asNodeDoes(module, file);
    return module._compile(fs.readFileSync(file, "utf8").replace(/^\uFEFF/, ""), file);
  };
}

/** For a package that is missing: the command that brings it. */
function packageHint(root, error) {
  const wanted = /Cannot find (?:module|package) '([^']+)'/.exec(String(error))?.[1];
  if (!wanted || /^[./]|^node:|^file:/.test(wanted)) return "";
  const name = wanted.split("/", wanted.startsWith("@") ? 2 : 1).join("/");
  const why = /^(@aws-sdk\/|@smithy\/|aws-sdk$)/.test(name)
    ? "on AWS the SDK is a part of the runtime; here it is installed with the function"
    : "the package is not installed";
  return `\n${why}: npm install ${name} (in ${placeOfPackages(root)})`;
}

/** Where a package is found by this function: what was unpacked is ours, and goes when the code changes. */
function placeOfPackages(root) {
  if (!/\/functions\/packages\/[^/]+$/.test(root)) return `${root}, or in a directory above it`;
  const roots = (process.env.NODE_PATH ?? "").split(path.delimiter);
  const isOfLayer = (folder) => /\/nodejs(\/node\d+)?\/node_modules$/.test(folder);
  const places = roots.filter((folder) => folder.endsWith("/node_modules") && !isOfLayer(folder)).map((folder) => path.dirname(folder));
  return places.join(", or in ") || "the directory of the template";
}

/** For TypeScript that node cannot run as it is: the command that makes JavaScript of it. */
function compileHint(file, error) {
  const isTyped = /\.[mc]?ts$/.test(file) || /\.[mc]?tsx?['"]?/.test(String(error?.stack).split("\n")[0]);
  return isTyped ? esbuild(file) : "";
}

function esbuild(file) {
  const compiled = file.replace(/\.([mc]?)ts$/, ".$1js");
  const format = compiled.endsWith(".mjs") || (compiled.endsWith(".js") && isModulePackage(path.dirname(file))) ? "esm" : "cjs";
  return `\ncompile it: npx esbuild ${file} --bundle --platform=node --format=${format} --outfile=${compiled}`;
}

/** Runs one invocation and posts what comes of it. */
async function serve(host, handler, headers, body) {
  requestId = headers["lambda-runtime-aws-request-id"];
  if (headers["lambda-runtime-trace-id"]) process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
  else delete process.env._X_AMZN_TRACE_ID;
  const call = `invocation/${requestId}/`;
  const echoed = headers["lambda-runtime-invocation-id"];
  const echo = echoed === undefined ? {} : { "Lambda-Runtime-Invocation-Id": echoed };
  onStray = (error) => host.postError(`${call}error`, error);
  const run = handler[STREAMING] ? runStreaming : RETURNS_ALONE ? runReturning : runBuffered;
  const { error, failed, result, type = "application/json" } = await run(handler, headers, body);
  // From here on an error that nobody catches belongs to no invocation.
  onStray = null;
  onIdle = null;
  if (failed) {
    showError("Invoke Error", error);
    await host.postError(`${call}error`, error);
  } else {
    await host.post(`${call}response`, result, { "Content-Type": type, ...echo });
  }
}

function runBuffered(handler, headers, body) {
  return new Promise((resolve) => {
    let decided = false;
    let waits = true;
    const decide = (act) => {
      if (decided) return;
      decided = true;
      act();
    };
    const fail = (error) => decide(() => resolve({ failed: true, error: error ?? "handled" }));
    const answer = (result) => {
      try {
        resolve({ result: Buffer.from(stringify(result) ?? "null") });
      } catch (error) {
        resolve({ failed: true, error: new Error("Unable to stringify response body", { cause: error }) });
      }
    };
    const succeed = (result) => decide(() => answer(result));
    const done = (error, result) => (error === undefined || error === null ? succeed(result) : fail(error));
    const callback = (error, result) => {
      if ((error !== undefined && error !== null) || !waits) return done(error, result);
      decide(() => {
        onIdle = () => answer(result);
      });
    };
    // A handler that never calls back, with nothing left to be waited for.
    onIdle = () => {
      if (handler.constructor.name !== "AsyncFunction") return succeed(null);
      const words = "The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise that was never settled.";
      fail(new RuntimeError("NodeJsExit", words));
    };
    try {
      const context = contextOf(headers);
      Object.defineProperty(context, "callbackWaitsForEmptyEventLoop", {
        enumerable: true,
        get: () => waits,
        set: (value) => (waits = Boolean(value)),
      });
      const returned = handler(parse(body.toString()), Object.assign(context, { done, succeed, fail }), callback);
      if (typeof returned?.then === "function") returned.then(succeed, fail);
    } catch (error) {
      fail(error);
    }
  });
}

/** A handler whose result is what it returns, or what its promise becomes. */
function runReturning(handler, headers, body) {
  return new Promise((resolve) => {
    const fail = (error) => resolve({ failed: true, error });
    const answer = (result) => {
      try {
        resolve({ result: Buffer.from(stringify(result) ?? "null") });
      } catch {
        fail(new RuntimeError("JSONStringifyError", "Unable to stringify response body"));
      }
    };
    try {
      Promise.resolve(handler(parse(body.toString()), contextOf(headers))).then(answer, fail);
    } catch (error) {
      fail(error);
    }
  });
}

/** A handler that writes its response to a stream: what it has written when it ends it is the response. */
async function runStreaming(handler, headers, body) {
  const chunks = [];
  const stream = new Writable({
    write(chunk, _encoding, written) {
      chunks.push(chunk);
      written();
    },
  });
  let type = "application/octet-stream";
  stream.setContentType = (value) => (type = String(value));
  const ended = new Promise((resolve, reject) => finished(stream, (error) => (error ? reject(error) : resolve())));
  ended.catch(() => {});
  try {
    const context = Object.assign(contextOf(headers), { callbackWaitsForEmptyEventLoop: true });
    const returned = handler(parse(body.toString()), stream, context);
    const wrong = (words) => (RETURNS_ALONE ? new Error(words) : words);
    if (typeof returned?.then !== "function") throw wrong("Streaming does not support non-async handlers.");
    await returned;
    if (!stream.writableEnded) throw wrong("Response stream is not finished.");
    await ended;
    return { result: Buffer.concat(chunks), type: type.replace(/[^\x20-\x7e]/g, "?") };
  } catch (error) {
    return { failed: true, error };
  }
}

/** The second argument of a handler. */
function contextOf(headers) {
  const { env } = process;
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const object = (name) => {
    if (!headers[name]) return undefined;
    // Header values come as Latin-1.
    return parse(Buffer.from(headers[name], "latin1").toString());
  };
  const clientContext = object("lambda-runtime-client-context");
  return {
    ...(RETURNS_ALONE && traceOf(headers, clientContext)),
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext,
    identity: object("lambda-runtime-cognito-identity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    tenantId: headers["lambda-runtime-aws-tenant-id"],
    getRemainingTimeInMillis: () => deadline - now(),
  };
}

/** The trace of an invocation, and the trace context that the caller handed on in its client context, which loses it. */
function traceOf(headers, clientContext) {
  const given = clientContext?.w3c;
  if (given !== undefined) delete clientContext.w3c;
  const names = ["traceparent", "tracestate", "baggage"].filter((name) => typeof given?.[name] === "string");
  const fields = Object.freeze(Object.fromEntries(names.map((name) => [name, given[name]])));
  return { xRayTraceId: headers["lambda-runtime-trace-id"], w3c: () => fields };
}

main().catch((error) => lost(error));
