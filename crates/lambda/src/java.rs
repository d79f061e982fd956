//! How a Java virtual machine is started for a function: its options and its class path. Source: docs/spec/lambda-runtime.md
//! 7.6.
//!
//! The client is a jar that `cargo xtask java-client` makes of the sources beside this file, so that a function runs where there
//! is no compiler and no network; `cargo xtask test` sees that it is what its sources make.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tailrace_core::function::FunctionConfig;

/// Our Java client.
pub(crate) const CLIENT: &[u8] = include_bytes!("java/tailrace-runtime.jar");

/// Its main class.
pub(crate) const MAIN: &str = "tailrace.runtime.Main";

/// The variable whose options the virtual machine adds to those that it is given.
const OPTIONS_VARIABLE: &str = "JAVA_TOOL_OPTIONS";

/// The first version that warns of each native library that is loaded, AWS's client's among them.
const NATIVE_WARNING_MAJOR_MIN: u32 = 24;

/// The options of the virtual machine: as on AWS a heap within the function's memory, the plain collector and the quick
/// compiler alone, each unless the function has its own; and no file of the user's home or of the machine's `/tmp`.
pub(crate) fn options(config: &FunctionConfig, major: u32, temporary: &Path) -> Vec<OsString> {
    let own = config.environment.get(OPTIONS_VARIABLE).map_or("", String::as_str);
    let has_own = |is_same: &dyn Fn(&str) -> bool| own.split_whitespace().any(is_same);
    let mut options: Vec<OsString> = Vec::new();
    if !has_own(&|word| word.starts_with("-Xmx") || word.contains("MaxHeapSize") || word.contains("RAMPercentage")) {
        // The rest is for what is not on the heap.
        let heap_kb = u64::from(config.memory_mb) * 1024 * 85 / 100;
        options.push(format!("-XX:MaxHeapSize={heap_kb}k").into());
    }
    if !has_own(&|word| word.starts_with("-XX:+Use") && word.ends_with("GC")) {
        options.push("-XX:+UseSerialGC".into());
    }
    if !has_own(&|word| word.contains("TieredStopAtLevel")) {
        options.push("-XX:TieredStopAtLevel=1".into());
    }
    options.push("-XX:-UsePerfData".into());
    if major >= NATIVE_WARNING_MAJOR_MIN {
        options.push("--enable-native-access=ALL-UNNAMED".into());
    }
    for (property, value) in [("java.io.tmpdir", temporary), ("user.home", temporary)] {
        let mut option = OsString::from(format!("-D{property}="));
        option.push(value);
        options.push(option);
    }
    options
}

/// The class path: the code's directory, the jars of its `lib`, those of the layers' `java/lib` (the later layer first), and
/// our client last, so that what the function brings of AWS's interfaces counts. It looks at the disk: at a few directories.
///
/// # Errors
/// A path with a colon in its name, which a class path cannot hold.
pub(crate) fn class_path(config: &FunctionConfig, code_dir: &Path, client: PathBuf) -> Result<OsString, PathBuf> {
    let mut entries = vec![code_dir.to_owned()];
    entries.extend(jars(&code_dir.join("lib")));
    for layer in config.layers.iter().rev() {
        let found = jars(&layer.join("java/lib"));
        // A layer without the places of any runtime: its jars stand for themselves.
        entries.extend(if found.is_empty() { jars(layer) } else { found });
    }
    entries.push(client);
    match entries.iter().find(|entry| entry.as_os_str().as_encoded_bytes().contains(&b':')) {
        Some(entry) => Err(entry.clone()),
        None => Ok(entries.iter().map(|entry| entry.as_os_str()).collect::<Vec<_>>().join(":".as_ref())),
    }
}

/// The jars of a directory, by name.
fn jars(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut jars: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.extension() == Some("jar".as_ref())).collect();
    jars.sort();
    jars
}

#[cfg(test)]
mod tests {
    use tailrace_core::FunctionArn;

    use super::*;

    fn config() -> FunctionConfig {
        FunctionConfig::new("f", FunctionArn::new("arn:f"), "java21", "a.B::c", "/code")
    }

    /// docs/spec/lambda-runtime.md 7.6: the order in which classes are looked for.
    #[test]
    fn the_functions_own_classes_come_first_and_the_later_layer_before_the_earlier() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in [
            "code/lib/b.jar",
            "code/lib/a.jar",
            "code/lib/note.txt",
            "one/java/lib/x.jar",
            "two/java/lib/x.jar",
            "raw/y.jar",
        ] {
            std::fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            std::fs::write(at(path), "").unwrap();
        }
        let mut config = config();
        config.layers = vec![at("raw"), at("one"), at("two")];
        let path = class_path(&config, &at("code"), at("client.jar")).unwrap();
        let seen: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let expected = [
            "code",
            "code/lib/a.jar",
            "code/lib/b.jar",
            "two/java/lib/x.jar",
            "one/java/lib/x.jar",
            "raw/y.jar",
            "client.jar",
        ];
        assert_eq!(seen, expected.map(at));
        assert_eq!(class_path(&config, &at("a:b"), at("client.jar")), Err(at("a:b")));
    }

    #[test]
    fn the_virtual_machine_is_as_on_aws_unless_the_function_says_otherwise() {
        let options_with = |own: &str| {
            let mut config = config();
            config.memory_mb = 512;
            config.environment.insert(OPTIONS_VARIABLE.into(), own.into());
            let options = options(&config, 21, Path::new("/tmp/t"));
            options
                .into_iter()
                .map(|option| option.into_string().unwrap())
                .filter(|option| !option.starts_with("-D"))
                .collect::<Vec<_>>()
        };
        let (heap, collector, compiler) = ("-XX:MaxHeapSize=445644k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1");
        assert_eq!(options_with(""), [heap, collector, compiler, "-XX:-UsePerfData"]);
        assert_eq!(options_with("-Xmx64m"), [collector, compiler, "-XX:-UsePerfData"]);
        assert_eq!(options_with("-XX:MaxRAMPercentage=50 -XX:TieredStopAtLevel=4"), [collector, "-XX:-UsePerfData"]);
        assert_eq!(options_with("-XX:+UseG1GC -XX:+UseStringDeduplication"), [heap, compiler, "-XX:-UsePerfData"]);
        let has_native = |major| {
            options(&config(), major, Path::new("/t"))
                .iter()
                .any(|option| *option == *"--enable-native-access=ALL-UNNAMED")
        };
        assert!(has_native(25) && !has_native(21), "an option that 11 does not know");
    }
}
