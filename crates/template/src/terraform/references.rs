//! What the configuration in a plan refers to: through variables and outputs of modules, up to resources.
//!
//! A plan says of `for_each` what it refers to, and not which key has what. So `each.value` is followed to the one resource of a type that
//! it can be, and to none of several.

use crate::node::Node;

/// References that are followed from one to the next, at most: modules are not nested so deep.
const DEPTH_MAX: usize = 32;

/// What references begin with that a plan does not resolve.
const UNTOLD: [&str; 2] = ["local.", "data."];

/// The names of locals that say whether something is made, as those of the modules of terraform-aws-modules do: no value of a resource is
/// in one.
const SWITCHES: [&str; 2] = ["local.create", "local.enabled"];

/// The configuration of a plan; a state has none.
pub(super) struct Configuration<'a> {
    root: Option<&'a Node>,
    /// The addresses of the resources that there are.
    addresses: Vec<&'a str>,
}

/// A resource that is referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Referred {
    /// Its address: of several that one configuration makes, without a key where an expression computes it.
    pub address: String,
    /// Its type.
    kind: String,
    /// It is what `each.value` is for this key: of several, the one with the same.
    pub each: Option<String>,
    /// Besides, `each.value` may be something that a plan does not tell: then only one with the key is it for certain.
    pub is_vague: bool,
}

/// A module, with what stands in front of the addresses in it, and the one that calls it.
#[derive(Clone, Copy)]
struct Scope<'s, 'a> {
    module: &'a Node,
    /// The addresses of the resources that there are.
    addresses: &'s [&'a str],
    /// Empty, or `module.x[0].`.
    prefix: &'s str,
    /// The call, and the scope that it is in.
    caller: Option<(One<'s, 'a>, &'s Scope<'s, 'a>)>,
}

/// A resource, or a call of a module, whose expressions are followed: one of several, if it has a key.
#[derive(Clone, Copy)]
struct One<'s, 'a> {
    configuration: &'a Node,
    key: Option<&'s str>,
}

impl<'a> Configuration<'a> {
    /// That of a document with resources of these addresses.
    pub(super) fn of(document: &'a Node, addresses: impl Iterator<Item = &'a str>) -> Configuration<'a> {
        let root = document.get("configuration").and_then(|configuration| configuration.get("root_module"));
        Configuration { root, addresses: addresses.collect() }
    }

    /// The resources that a property of the resource with this address refers to.
    pub(super) fn referred(&self, address: &str, property: &str) -> Vec<Referred> {
        let mut found = Vec::new();
        if let Some(module) = self.root {
            let scope = Scope { module, addresses: &self.addresses, prefix: "", caller: None };
            descend(&scope, address, property, &mut found);
        }
        found
    }
}

/// Goes to the module in which the resource is, and gathers what its property refers to.
fn descend(scope: &Scope<'_, '_>, address: &str, property: &str, found: &mut Vec<Referred>) {
    let Some(inside) = address.strip_prefix("module.") else {
        let own = without_key(address);
        let resources = scope.module.get("resources").map_or(&[][..], Node::one_or_many);
        let is_own = |resource: &&Node| matches!(resource.get("address"), Some(Node::Text(name)) if name == own);
        let Some(configuration) = resources.iter().find(is_own) else { return };
        let one = One { configuration, key: key_of(address) };
        if let Some(expression) = configuration.get("expressions").and_then(|expressions| expressions.get(property)) {
            gather(scope, Some(one), expression, found, 0);
        }
        return;
    };
    let (step, rest) = step_of(inside);
    let Some(call) = call_of(scope, without_key(step)) else { return };
    let Some(module) = call.get("module") else { return };
    let prefix = format!("{}module.{step}.", scope.prefix);
    let one = One { configuration: call, key: key_of(step) };
    let inner = Scope { module, prefix: &prefix, caller: Some((one, scope)), ..*scope };
    descend(&inner, rest, property, found);
}

fn call_of<'a>(scope: &Scope<'_, 'a>, name: &str) -> Option<&'a Node> {
    scope.module.get("module_calls").and_then(|calls| calls.get(name))
}

/// The name of a module with its key, and what stands behind it: a key may have dots.
fn step_of(text: &str) -> (&str, &str) {
    let mut in_quotes = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            '.' if !in_quotes => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// An address, or a part of one, without the key of one of several.
fn without_key(address: &str) -> &str {
    match address.find('[') {
        Some(at) if address.ends_with(']') => &address[..at],
        _ => address,
    }
}

/// The key of one of several: `0`, `"a"`.
pub(super) fn key_of(address: &str) -> Option<&str> {
    let (_, key) = address.strip_suffix(']')?.rsplit_once('[')?;
    Some(key)
}

/// Gathers what an expression, or the expressions of a block, refer to; `one`: whose they are.
fn gather(scope: &Scope<'_, '_>, one: Option<One<'_, '_>>, expression: &Node, found: &mut Vec<Referred>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match expression {
        Node::List(list) => list.iter().for_each(|inner| gather(scope, one, inner, found, depth + 1)),
        Node::Map(pairs) => {
            for (name, node) in pairs {
                match (name.as_str(), node) {
                    ("references", Node::List(list)) => {
                        for reference in list {
                            if let Node::Text(name) = reference {
                                follow(scope, one, name, found, depth + 1);
                            }
                        }
                    }
                    ("constant_value", _) => {}
                    (_, inner) => gather(scope, one, inner, found, depth + 1),
                }
            }
        }
        _ => {}
    }
}

/// A reference: to a resource here, to a variable that the caller gives, to an output of a module that is called here, or to what there is
/// one of for each.
fn follow(scope: &Scope<'_, '_>, one: Option<One<'_, '_>>, name: &str, found: &mut Vec<Referred>, depth: usize) {
    if name == "each.value" {
        if let Some(one) = one {
            follow_each(scope, one, found, depth);
        }
    } else if let Some(variable) = name.strip_prefix("var.") {
        let (variable, _) = step_of(variable);
        let given = scope.caller.and_then(|(call, outer)| {
            let expression = call.configuration.get("expressions")?.get(without_key(variable))?;
            Some((call, expression, outer))
        });
        if let Some((call, expression, outer)) = given {
            gather(outer, Some(call), expression, found, depth);
        }
    } else if let Some(inside) = name.strip_prefix("module.") {
        let (step, output) = step_of(inside);
        let (output, _) = step_of(output);
        let Some(call) = call_of(scope, without_key(step)) else { return };
        let Some(module) = call.get("module") else { return };
        let prefix = format!("{}module.{step}.", scope.prefix);
        let call = One { configuration: call, key: key_of(step) };
        let inner = Scope { module, prefix: &prefix, caller: Some((call, scope)), ..*scope };
        let output = module.get("outputs").and_then(|outputs| outputs.get(without_key(output)));
        if let Some(expression) = output.and_then(|output| output.get("expression")) {
            gather(&inner, None, expression, found, depth);
        }
    } else if let Some((data, name)) = archive_or_resource(name) {
        let (kind, rest) = step_of(name);
        let (resource, _) = step_of(rest);
        let address = format!("{}{data}{kind}.{resource}", scope.prefix);
        add(found, Referred { address, kind: kind.to_owned(), each: None, is_vague: false });
    }
}

/// What stands in front of the type of a resource of AWS, or of an archive, and the rest; `None`: it is neither.
fn archive_or_resource(name: &str) -> Option<(&'static str, &str)> {
    let (data, own) = name.strip_prefix("data.").map_or(("", name), |own| ("data.", own));
    (own.starts_with("archive_file.") || (data.is_empty() && own.starts_with("aws_"))).then_some((data, own))
}

/// What `each.value` of a resource, or of a call of a module, can be.
fn follow_each(scope: &Scope<'_, '_>, one: One<'_, '_>, found: &mut Vec<Referred>, depth: usize) {
    let (Some(key), Some(expression)) = (one.key, one.configuration.get("for_each_expression")) else { return };
    let mut all = Vec::new();
    gather(scope, None, expression, &mut all, depth);
    let is_vague = expression.get("references").is_some_and(|references| {
        let is_told = |name: &str| SWITCHES.contains(&name) || !UNTOLD.iter().any(|kind| name.starts_with(kind));
        let is_untold = |name: &Node| matches!(name, Node::Text(name) if !is_told(name));
        references.one_or_many().iter().any(is_untold)
    });
    // A module that makes one of two resources refers to both.
    let is_there = |referred: &Referred| {
        let is_it = |own: &&str| {
            own.strip_prefix(referred.address.as_str()).is_some_and(|key| key.is_empty() || key.starts_with('['))
        };
        scope.addresses.iter().any(is_it)
    };
    all.retain(is_there);
    for mut referred in all.clone() {
        let is_another = |other: &&Referred| {
            let is_one = without_key(&other.address) == without_key(&referred.address);
            // Of several that one configuration makes, each key is one of its own.
            let have_keys = [&other.address, &referred.address].into_iter().all(|all| without_key(all) != all.as_str());
            other.kind == referred.kind && other.address != referred.address && (!is_one || have_keys)
        };
        if !all.iter().any(|other| is_another(&other)) {
            referred.each.get_or_insert_with(|| key.to_owned());
            referred.is_vague |= is_vague;
            add(found, referred);
        }
    }
}

fn add(found: &mut Vec<Referred>, referred: Referred) {
    if !found.contains(&referred) {
        found.push(referred);
    }
}
