//! What the configuration in a plan refers to: through variables and outputs of modules, up to resources.

use crate::node::Node;

/// References that are followed from one to the next, at most: modules are not nested so deep.
const DEPTH_MAX: usize = 32;

/// The configuration of a plan; a state has none.
pub(super) struct Configuration<'a> {
    root: Option<&'a Node>,
}

/// A module, with what stands in front of the addresses in it, and the one that calls it.
#[derive(Clone, Copy)]
struct Scope<'s, 'a> {
    module: &'a Node,
    /// Empty, or `module.x[0].`.
    prefix: &'s str,
    /// The call, and the scope that it is in.
    caller: Option<(&'a Node, &'s Scope<'s, 'a>)>,
}

impl<'a> Configuration<'a> {
    pub(super) fn of(document: &'a Node) -> Configuration<'a> {
        Configuration { root: document.get("configuration").and_then(|configuration| configuration.get("root_module")) }
    }

    /// The addresses of the resources that a property of the resource with this address refers to; those of several that one
    /// configuration makes lack their key where an expression computes it.
    pub(super) fn addresses(&self, address: &str, property: &str) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(module) = self.root {
            let scope = Scope { module, prefix: "", caller: None };
            descend(&scope, address, property, &mut found);
        }
        found
    }
}

/// Goes to the module in which the resource is, and gathers what its property refers to.
fn descend(scope: &Scope<'_, '_>, address: &str, property: &str, found: &mut Vec<String>) {
    let Some(inside) = address.strip_prefix("module.") else {
        let own = without_key(address);
        let resources = scope.module.get("resources").map_or(&[][..], Node::one_or_many);
        let is_own = |resource: &&Node| matches!(resource.get("address"), Some(Node::Text(name)) if name == own);
        let expressions = resources.iter().find(is_own).and_then(|resource| resource.get("expressions"));
        if let Some(expression) = expressions.and_then(|expressions| expressions.get(property)) {
            gather(scope, expression, found, 0);
        }
        return;
    };
    let (step, rest) = step_of(inside);
    let Some(call) = call_of(scope, without_key(step)) else { return };
    let Some(module) = call.get("module") else { return };
    let prefix = format!("{}module.{step}.", scope.prefix);
    let inner = Scope { module, prefix: &prefix, caller: Some((call, scope)) };
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

/// Gathers what an expression, or the expressions of a block, refer to.
fn gather(scope: &Scope<'_, '_>, expression: &Node, found: &mut Vec<String>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match expression {
        Node::List(list) => list.iter().for_each(|inner| gather(scope, inner, found, depth + 1)),
        Node::Map(pairs) => {
            for (name, node) in pairs {
                match (name.as_str(), node) {
                    ("references", Node::List(list)) => {
                        for one in list {
                            if let Node::Text(name) = one {
                                follow(scope, name, found, depth + 1);
                            }
                        }
                    }
                    ("constant_value", _) => {}
                    (_, inner) => gather(scope, inner, found, depth + 1),
                }
            }
        }
        _ => {}
    }
}

/// A reference: to a resource here, to a variable that the caller gives, or to an output of a module that is called here.
fn follow(scope: &Scope<'_, '_>, name: &str, found: &mut Vec<String>, depth: usize) {
    if let Some(variable) = name.strip_prefix("var.") {
        let (variable, _) = step_of(variable);
        let given = scope.caller.and_then(|(call, outer)| {
            let expression = call.get("expressions")?.get(without_key(variable))?;
            Some((expression, outer))
        });
        if let Some((expression, outer)) = given {
            gather(outer, expression, found, depth);
        }
    } else if let Some(inside) = name.strip_prefix("module.") {
        let (step, output) = step_of(inside);
        let (output, _) = step_of(output);
        let Some(call) = call_of(scope, without_key(step)) else { return };
        let Some(module) = call.get("module") else { return };
        let prefix = format!("{}module.{step}.", scope.prefix);
        let inner = Scope { module, prefix: &prefix, caller: Some((call, scope)) };
        let output = module.get("outputs").and_then(|outputs| outputs.get(without_key(output)));
        if let Some(expression) = output.and_then(|output| output.get("expression")) {
            gather(&inner, expression, found, depth);
        }
    } else if name.starts_with("aws_") {
        let (kind, rest) = step_of(name);
        let (resource, _) = step_of(rest);
        let address = format!("{}{kind}.{resource}", scope.prefix);
        if !found.contains(&address) {
            found.push(address);
        }
    }
}
