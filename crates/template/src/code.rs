//! Where the code of a function and the content of a layer come from, in every form that a template may say it.
//!
//! What it does not do: it looks at no disk. Whether a path is a directory, an archive or a file, and which file of this
//! machine an object of a bucket is, is found by who applies the plan.

use std::path::{Path, PathBuf};

use tailrace_core::code::CodeSource;

use crate::TemplateError;
use crate::node::Node;
use crate::properties::Properties;
use crate::terraform::NOT_KNOWN;
use crate::value::Value;

/// The bucket whose keys are paths of this machine.
const LOCAL_BUCKET: &str = "local-dir";

/// The scheme of an object's address.
const OBJECT_SCHEME: &str = "s3://";

/// A property that says where code is, and what the members of its map are called.
pub(crate) struct Form {
    property: &'static str,
    bucket: &'static str,
    key: &'static str,
    version: &'static str,
}

/// `CodeUri` of a SAM function.
pub(crate) const CODE_URI: Form = Form { property: "CodeUri", bucket: "Bucket", key: "Key", version: "Version" };
/// `ContentUri` of a SAM layer.
pub(crate) const CONTENT_URI: Form = Form { property: "ContentUri", ..CODE_URI };
/// `Code` of a function.
pub(crate) const CODE: Form = Form { property: "Code", bucket: "S3Bucket", key: "S3Key", version: "S3ObjectVersion" };
/// `Content` of a layer.
pub(crate) const CONTENT: Form = Form { property: "Content", ..CODE };

impl Form {
    /// What the property says; `None`: it is not there.
    pub(crate) fn source(
        &self,
        properties: &mut Properties<'_>,
        resource: &Node,
        runtime: &str,
        dir: &Path,
    ) -> Result<Option<CodeSource>, TemplateError> {
        let path = properties.at(self.property);
        let Some(node) = properties.node(self.property) else { return Ok(None) };
        // What the CDK and SAM write of an asset that lies beside the template: the bucket exists only after a deployment.
        if let Some(asset) = asset_path(resource, self.property) {
            return Ok(Some(CodeSource::Path(dir.join(asset))));
        }
        let node = properties.chosen(node, &path)?;
        if matches!(&node, Node::Map(pairs) if !crate::node::is_intrinsic(pairs)) {
            let mut code = Properties::new_in(properties, path, node)?;
            let source = self.of_map(&mut code, runtime)?;
            code.finish();
            return Ok(Some(source));
        }
        match properties.value_of(&node, &path)? {
            Value::Absent | Value::Null => Ok(None),
            value => {
                let text = value.as_literal();
                let wrong = || TemplateError::at(&path, format!("a path is expected, not {}", value.brief()));
                of_text(&text.ok_or_else(wrong)?, dir).map(Some).map_err(|why| TemplateError::at(&path, why))
            }
        }
    }

    fn of_map(&self, code: &mut Properties<'_>, runtime: &str) -> Result<CodeSource, TemplateError> {
        if let Some(source) = inline(code, "ZipFile", runtime)? {
            return Ok(source);
        }
        if let Some(why) = code.text(NOT_KNOWN)? {
            return Err(TemplateError::at(&code.path, why));
        }
        if code.node("ImageUri").is_some() {
            return Err(TemplateError::at(code.at("ImageUri"), NO_IMAGES));
        }
        code.without_effect(&[self.version, "SourceKMSKeyArn"]);
        let key = code.required_text(self.key)?;
        // It only tells objects apart, and is often a bucket that another stack makes: what cannot be resolved has a name.
        let at_bucket = code.node(self.bucket).ok_or_else(|| code.missing(self.bucket))?;
        let bucket = match code.value_of(&at_bucket, &code.at(self.bucket)) {
            // What the template makes, and what the user gives for it, goes by its logical id.
            Ok(value) if value.origin().is_none() && !code.is_given(&at_bucket) => value.as_literal(),
            _ => None,
        };
        let bucket = bucket.unwrap_or_else(|| name_of(&at_bucket));
        if bucket == LOCAL_BUCKET {
            return match Path::new(&key).is_absolute() {
                true => Ok(CodeSource::Path(PathBuf::from(key))),
                false => Err(TemplateError::at(code.at(self.key), "the key is no absolute path")),
            };
        }
        Ok(CodeSource::Object { bucket, key })
    }
}

/// Why an image does not run.
pub(crate) const NO_IMAGES: &str = "images are not supported; give the directory of the code";

/// A text that is the code: `InlineCode`, `ZipFile`. AWS writes it as `index`, with the ending of the runtime, and knows
/// such code for Python and Node.js only. Source: the documentation of AWS::Lambda::Function, Code.
pub(crate) fn inline(
    properties: &mut Properties<'_>,
    name: &str,
    runtime: &str,
) -> Result<Option<CodeSource>, TemplateError> {
    let Some(text) = properties.text(name)? else { return Ok(None) };
    let file_name = if runtime.starts_with("python") {
        "index.py"
    } else if runtime.starts_with("nodejs") {
        "index.js"
    } else {
        let message = format!("code in the template is for Python and Node.js, and the runtime is {runtime:?}");
        return Err(TemplateError::at(properties.at(name), message));
    };
    Ok(Some(CodeSource::Inline { file_name: file_name.to_owned(), text }))
}

/// A path, relative to the template, or an object's address.
fn of_text(text: &str, dir: &Path) -> Result<CodeSource, String> {
    of_address(text, dir).ok_or_else(|| format!("the code is at {text}: a path of this machine is expected"))
}

/// A path, relative to `dir`, or an object, by its address in either notation; `None`: it is somewhere else on the web.
pub(crate) fn of_address(text: &str, dir: &Path) -> Option<CodeSource> {
    if let Some(object) = text.strip_prefix(OBJECT_SCHEME) {
        return Some(object_of(object));
    }
    if let Some(url) = text.strip_prefix("https://") {
        let (host, path) = url.split_once('/')?;
        let (first, rest) = host.split_once('.')?;
        // `s3.<region>.amazonaws.com/<bucket>/<key>`, or `<bucket>.s3.<region>.amazonaws.com/<key>`.
        return match host.contains(".amazonaws.com") {
            true if first == "s3" || first.starts_with("s3-") => Some(object_of(path)),
            true if rest.starts_with("s3.") || rest.starts_with("s3-") => {
                Some(CodeSource::Object { bucket: first.to_owned(), key: path.to_owned() })
            }
            _ => None,
        };
    }
    if text.contains("://") {
        return None;
    }
    let relative = text.strip_prefix("./").unwrap_or(text);
    Some(CodeSource::Path(if relative.is_empty() || relative == "." { dir.to_owned() } else { dir.join(relative) }))
}

/// `bucket/key`.
fn object_of(text: &str) -> CodeSource {
    let (bucket, key) = text.split_once('/').unwrap_or((text, ""));
    CodeSource::Object { bucket: bucket.to_owned(), key: key.to_owned() }
}

/// Where the asset lies that a property of a resource is of.
pub(crate) fn asset_path<'a>(resource: &'a Node, property: &str) -> Option<&'a str> {
    let metadata = resource.get("Metadata")?;
    let text = |name: &str| match metadata.get(name) {
        Some(Node::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let is_of = text("aws:asset:property").is_none_or(|of| of == property || of.split('.').next() == Some(property));
    text("aws:asset:path").filter(|_| is_of)
}

/// What a bucket is called that cannot be resolved.
fn name_of(node: &Node) -> String {
    match node.pairs() {
        [(name, Node::Text(target))] if name == "Ref" => target.clone(),
        _ => node.brief(),
    }
}
