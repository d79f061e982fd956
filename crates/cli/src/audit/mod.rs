//! `tailrace audit`: looks at audit trails, without a server: verifies every byte of one, shows its entries, and makes the keys that heads
//! are signed with.

mod against;
mod show;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use tailrace_core::rng::Rng;
use tailrace_server::Code;
use tailrace_server::clock::SystemRng;
use tailrace_sinks::audit::bucket::Bucket;
use tailrace_sinks::audit::directory::Directory;
use tailrace_sinks::audit::place::Place;
use tailrace_sinks::audit::sign;
use tailrace_sinks::objects::S3Config;

use crate::say::say;
use crate::{Failure, Outcome};

/// `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Read a whole trail again, and name what is not as it was written; ends with 1 if anything is
    Verify(verify::VerifyArgs),
    /// Show the entries of a trail: all, or those of a table or of an item
    Show(show::ShowArgs),
    /// Make a key that heads are signed with: FILE has the private one, FILE.pub the public one
    Keygen {
        /// The file; it must not be there yet. Keep it where neither the data directory nor the trail is
        file: PathBuf,
    },
}

/// Runs the command.
pub async fn run(args: AuditArgs) -> Outcome {
    match args.command {
        AuditCommand::Verify(args) => verify::run(args).await,
        AuditCommand::Show(args) => show::run(args).await,
        AuditCommand::Keygen { file } => keygen(&file),
    }
}

/// Where a trail lies.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// Where the trail lies: a directory, or s3://BUCKET/PREFIX with the environment's credentials
    place: String,
    /// The address of a store that speaks S3, for anything but AWS
    #[arg(long, value_name = "URL")]
    s3_endpoint: Option<String>,
}

impl PlaceArgs {
    /// Its name, as the server that writes there has it.
    fn name(&self) -> String {
        match self.place.starts_with("s3://") {
            true => format!("{}/", self.place.trim_end_matches('/')),
            false => std::path::absolute(&self.place).map_or(self.place.clone(), |path| path.display().to_string()),
        }
    }

    fn open(&self) -> Result<Arc<dyn Place>, Failure> {
        let path = Path::new(&self.place);
        if self.place.starts_with("s3://") {
            let s3 = S3Config { endpoint: self.s3_endpoint.clone(), ..S3Config::default() };
            let bucket = Bucket::new(&self.place, &s3, None).map_err(|error| Failure::new(Code::Setting, error))?;
            return Ok(Arc::new(bucket));
        }
        if !path.is_dir() {
            return Err(Failure::new(Code::Setting, format_args!("{} is no directory", self.place)));
        }
        match &trails_below(path)[..] {
            [] => Ok(Arc::new(Directory::new(path.to_owned()))),
            [one] => Err(Failure::new(Code::Setting, format_args!("{} is no trail; {one} is one", self.place))),
            several => {
                let several = several.join(", ");
                Err(Failure::new(Code::Setting, format_args!("{} is no trail; {several} are some", self.place)))
            }
        }
    }
}

/// Whether a directory has folders that a trail has.
fn is_trail(dir: &Path) -> bool {
    ["control", "tables"].iter().any(|folder| dir.join(folder).is_dir())
}

/// Trails right below a directory that is none itself, in the order of their names: whoever names such a one most often means one of these, whose
/// folders would look like chains in a wrong place.
fn trails_below(dir: &Path) -> Vec<String> {
    if is_trail(dir) {
        return Vec::new();
    }
    // Whoever reads the trail says that it cannot be read.
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let mut trails: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| is_trail(path))
        .map(|path| path.display().to_string())
        .collect();
    trails.sort();
    trails
}

fn keygen(file: &Path) -> Outcome {
    let mut seed = [0; sign::KEY_BYTES];
    SystemRng::open().map_err(|error| Failure::new(Code::System, error))?.fill(&mut seed);
    let public = file.with_added_extension("pub");
    write_new(file, &sign::private_pem(&seed), PRIVATE_MODE)?;
    write_new(&public, &sign::Signer::of_seed(&seed).public_pem(), PUBLIC_MODE)?;
    say(format_args!("{} signs heads; {} verifies them", file.display(), public.display()));
    Ok(ExitCode::SUCCESS)
}

/// For its owner alone.
const PRIVATE_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| Failure::new(Code::Setting, format_args!("{}: {error}", path.display())))
}

/// The place itself cannot be read.
fn unreadable(place: &str, error: &std::io::Error) -> Failure {
    Failure::new(Code::Setting, format_args!("the trail in {place} cannot be read: {error}"))
}
