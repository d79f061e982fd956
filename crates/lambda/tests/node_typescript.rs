//! TypeScript handlers: node's own stripping of types where it has that, else an error with the command of a compiler.
//! docs/spec/lambda-runtime.md 7.3.
//!
//! What is seen depends on the node in PATH, or the one that `NODE` names: both ways are tested where both are.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

mod common;

use common::Bench;
use tailrace_lambda::FunctionErrorKind;

/// Whether the node of the tests strips types, with an option or without.
fn node_strips_types() -> bool {
    let node = std::env::var_os("NODE").unwrap_or_else(|| "node".into());
    let output = std::process::Command::new(node).args(["-p", "process.versions.node"]).output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    let mut numbers = version.trim().split('.').map(|number| number.parse::<u32>().unwrap());
    let (major, minor) = (numbers.next().unwrap(), numbers.next().unwrap());
    (major, minor) >= (22, 6)
}

const ANNOTATED: &str = "interface Event { n: number }\n\
                         export const handler = async (event: Event): Promise<number> => add(event.n, 1);\n";

#[tokio::test]
async fn a_typescript_handler_runs_where_node_strips_types() {
    for (file, package, import) in [
        ("app.ts", None, "import { add } from './lib/add.ts';"),
        ("app.ts", Some(r#"{"type":"module"}"#), "import { add } from './lib/add.ts';"),
        // As compilers allow it, and most projects have it: without the ending, or with that of the compiled file.
        ("app.mts", None, "import { add } from './lib/add';"),
        ("app.ts", Some(r#"{"type":"module"}"#), "import { add } from './lib/add.js';"),
        ("app.ts", Some(r#"{"type":"module"}"#), "import { add } from './lib';"),
    ] {
        let bench = Bench::new();
        bench.write("lib/add.ts", "export const add = (a: number, b: number): number => a + b;\n");
        bench.write("lib/index.ts", "export * from './add.ts';\n");
        if let Some(package) = package {
            bench.write("package.json", package);
        }
        bench.put_node(file, &format!("{import}\n{ANNOTATED}"));
        if node_strips_types() {
            assert_eq!(bench.result(r#"{"n":1}"#).await, "2", "{file} {import}");
        } else {
            let (document, kind, _) = bench.error("{}").await;
            assert_eq!((kind, &document["errorType"]), (FunctionErrorKind::Init, &"Runtime.ImportModuleError".into()));
            let message = document["errorMessage"].as_str().unwrap();
            let compiled = file.replace("ts", "js");
            for part in ["is TypeScript, which /", "npx esbuild /", "--bundle --platform=node", &format!("/{compiled}")]
            {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
        bench.stop().await;
    }
}

/// A compiled file beside the source is what runs.
#[tokio::test]
async fn compiled_code_goes_before_its_source() {
    let bench = Bench::new();
    bench.write("app.ts", "export const handler = async (): Promise<string> => 'source';\n");
    bench.put_node("app.js", "exports.handler = async () => 'compiled';\n");
    assert_eq!(bench.result("{}").await, "\"compiled\"");
    bench.stop().await;
}

/// Stripping is no compiling: what needs a compiler names one.
#[tokio::test]
async fn typescript_that_has_to_be_compiled_names_the_command() {
    let bench = Bench::new();
    bench.put_node("app.ts", "enum Kind { A }\nexport const handler = async (): Promise<number> => Kind.A;\n");
    let (document, kind, _) = bench.error("{}").await;
    assert_eq!(kind, FunctionErrorKind::Init);
    assert!(document["errorMessage"].as_str().unwrap().contains("npx esbuild "), "{document}");
    bench.stop().await;
}
