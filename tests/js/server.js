// Starts the real binary on a free loopback port for the tests of this folder.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";

const binary = process.env.TAILRACE_BINARY ?? new URL("../../target/debug/tailrace", import.meta.url).pathname;
const startMillisecondsMax = 90_000;

export async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

export async function startServer() {
  const folder = await mkdtemp(join(tmpdir(), "tailrace-js-"));
  const port = await freePort();
  const child = spawn(binary, ["serve", "--port", String(port), "--data-dir", join(folder, "data")], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const url = `http://127.0.0.1:${port}`;
  const end = Date.now() + startMillisecondsMax;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const ready = await fetch(`${url}/health/ready`).then((answer) => answer.ok, () => false);
    if (ready) break;
    if (Date.now() > end) throw new Error("the server did not become ready");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    options: {
      endpoint: url,
      region: "us-east-1",
      credentials: { accessKeyId: "tailrace", secretAccessKey: "tailrace" },
      maxAttempts: 1,
    },
    async stop() {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
      await rm(folder, { recursive: true });
      return child.exitCode;
    },
  };
}
