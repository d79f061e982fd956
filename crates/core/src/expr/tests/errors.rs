//! The exact texts of everything that can be wrong with an expression. Rows of docs/spec/dynamodb-api.md 4.1, 4.2, 4.5, 4.6;
//! the order in which several faults are reported was compared with DynamoDB Local.

use super::*;

fn check(kind: ExprKind, rows: &[(&str, &str)]) {
    for &(text, expected) in rows {
        let fault = match kind {
            ExprKind::Update => fault(kind, update(text)),
            ExprKind::Projection => fault(kind, projection(text)),
            _ => fault(kind, condition(text)),
        };
        assert_eq!(fault, expected, "{text}");
    }
}

#[test]
fn a_faulty_condition_names_its_first_fault() {
    check(
        ExprKind::Condition,
        &[
            ("(a)", r#"Syntax error; token: "<EOF>", near: ")""#),
            ("(a) AND b = :v", r#"Syntax error; token: "AND", near: ") AND b""#),
            ("((a)) = :v", "The expression has redundant parentheses;"),
            ("(a = :v) = :v", r#"Syntax error; token: "=", near: ") = :v""#),
            ("((a = :v))", "The expression has redundant parentheses;"),
            ("( ( a = :v ) )", "The expression has redundant parentheses;"),
            ("(a) = (:v)", "ok"),
            ("((a = :v) AND b = :v)", "ok"),
            ("(a = :v) AND (b = :v)", "ok"),
            ("a = ((:v))", "The expression has redundant parentheses;"),
            ("((a)) = = :v", "The expression has redundant parentheses;"),
            ("a = = ((:v))", r#"Syntax error; token: "=", near: "= = (""#),
            ("  = :v", r#"Syntax error; token: "=", near: "  = :v""#),
            ("(size((a))) = :n", "ok"),
            ("(a BETWEEN (:m) AND (:n))", "ok"),
            ("NOT NOT a = :v", "ok"),
            ("NOT (NOT (a = :v))", "ok"),
            ("a", r#"Syntax error; token: "<EOF>", near: "a""#),
            ("a b ", r#"Syntax error; token: "b", near: "a b ""#),
            ("a = :v) ", r#"Syntax error; token: ")", near: ":v) ""#),
            ("n == :v", r#"Syntax error; token: "=", near: "== :v""#),
            ("n != :v", r#"Syntax error; token: "!", near: "n !=""#),
            ("foo(a", r#"Syntax error; token: "<EOF>", near: "a""#),
            ("_a = :v", r#"Syntax error; token: "_", near: "_a""#),
            ("__ = :v", r#"Syntax error; token: "_", near: "__""#),
            ("a = :v AND _b = :v", r#"Syntax error; token: "_", near: "AND _b""#),
            ("a._b = :v", r#"Syntax error; token: "_", near: "._b""#),
            ("_size(a) = :n", r#"Syntax error; token: "_", near: "_size""#),
            ("a_ = :v AND b__c = :v", "ok"),
            ("#_a = :v", "An expression attribute name used in the document path is not defined; attribute name: #_a"),
            ("a = :_v", "An expression attribute value used in expression is not defined; attribute value: :_v"),
            ("a[01] = :v", r#"Syntax error; token: "1", near: "01]""#),
            ("a[-1]=:v", r#"Syntax error; token: "-", near: "[-1""#),
            (".a=:v", r#"Syntax error; token: ".", near: ".a""#),
            ("a.=:v", r#"Syntax error; token: "=", near: ".=:v""#),
            ("a..b=:v", r#"Syntax error; token: ".", near: "..b""#),
            ("a = :v OR", r#"Syntax error; token: "<EOF>", near: "OR""#),
            ("a = :v AND AND", r#"Syntax error; token: "AND", near: "AND AND""#),
            ("AND", r#"Syntax error; token: "AND", near: "AND""#),
            ("= :v", r#"Syntax error; token: "=", near: "= :v""#),
            ("a BETWEEN :v OR :v", r#"Syntax error; token: "OR", near: ":v OR :v""#),
            ("a IN ()", r#"Syntax error; token: ")", near: "()""#),
            ("a IN (:v,)", r#"Syntax error; token: ")", near: ",)""#),
            ("a IN :v", r#"Syntax error; token: ":v", near: "IN :v""#),
            ("a NOT IN (:v)", r#"Syntax error; token: "NOT", near: "a NOT IN""#),
            ("é = :v", r#"Syntax error; token: "é", near: "é =""#),
            ("a = 'x'", r#"Syntax error; token: "'", near: "= 'x""#),
            ("a = 5", r#"Syntax error; token: "5", near: "= 5""#),
            ("a + b = :v", r#"Syntax error; token: "+", near: "a + b""#),
            ("(a = :v", r#"Syntax error; token: "<EOF>", near: ":v""#),
            ("()", r#"Syntax error; token: ")", near: "()""#),
            ("(())", r#"Syntax error; token: ")", near: "())""#),
            ("#", "Syntax error; token: \"#\", near: \"#\""),
            ("a = :", r#"Syntax error; token: ":", near: "= :""#),
            ("a >< b", r#"Syntax error; token: "<", near: ">< b""#),
            ("a <= = b", r#"Syntax error; token: "=", near: "<= = b""#),
            ("set = :v", r#"Syntax error; token: "set", near: "set =""#),
            ("size() = :n", r#"Syntax error; token: ")", near: "() =""#),
            ("select = :v", "Attribute name is a reserved keyword; reserved keyword: select"),
            ("a.Select = :v", "Attribute name is a reserved keyword; reserved keyword: Select"),
            ("size = :v", "Attribute name is a reserved keyword; reserved keyword: size"),
            ("foo(a) = :v", "Invalid function name; function: foo"),
            ("foo(select)", "Invalid function name; function: foo"),
            ("Attribute_Exists(a)", "Invalid function name; function: Attribute_Exists"),
            (
                "if_not_exists(a,:v) = :v",
                "The function is not allowed in a condition expression; function: if_not_exists",
            ),
            ("size(a)", "The function is not allowed to be used this way in an expression; function: size"),
            (
                "a = attribute_exists(b)",
                "The function is not allowed to be used this way in an expression; function: attribute_exists",
            ),
            ("foo(select) AND ((a = :v))", "The expression has redundant parentheses;"),
            (
                "size(a) AND select = :v",
                "The function is not allowed to be used this way in an expression; function: size",
            ),
            ("select = :v AND foo(b)", "Attribute name is a reserved keyword; reserved keyword: select"),
            ("#ux = :v AND select = :v", "Attribute name is a reserved keyword; reserved keyword: select"),
            ("#ux = :zz", "An expression attribute name used in the document path is not defined; attribute name: #ux"),
            ("a = :zz", "An expression attribute value used in expression is not defined; attribute value: :zz"),
            (
                "contains(a,:zz,b)",
                "An expression attribute value used in expression is not defined; attribute value: :zz",
            ),
            (
                "contains(a)",
                "Incorrect number of operands for operator or function; operator or function: contains, number of operands: 1",
            ),
            (
                "size(a,b) = :n",
                "Incorrect number of operands for operator or function; operator or function: size, number of operands: 2",
            ),
            (
                "attribute_exists(:v)",
                "Operator or function requires a document path; operator or function: attribute_exists",
            ),
            (
                "attribute_exists(size(a))",
                "Operator or function requires a document path; operator or function: attribute_exists",
            ),
            (
                "size(size(a)) = :n",
                "Incorrect operand type for operator or function; operator or function: size, operand type: N",
            ),
            ("size(:v) = :n", "ok"),
            (
                "begins_with(a,:n)",
                "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
            ),
            (
                "begins_with(:n,a)",
                "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
            ),
            (
                "attribute_type(a,:v)",
                "Invalid attribute type name found; type: x, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
            ),
            (
                "attribute_type(a,b)",
                "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}",
            ),
            (
                "attribute_type(a,:n)",
                "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N",
            ),
            ("attribute_type(a,:type)", "ok"),
            (
                "a < :bool",
                "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
            ),
            ("a < :l", "Incorrect operand type for operator or function; operator or function: <, operand type: L"),
            (
                "a BETWEEN b AND :bool",
                "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: BOOL",
            ),
            (
                "a = a",
                "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]",
            ),
            (
                "a = #a",
                "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]",
            ),
            (
                "m.a[0] IN (b, m . a[ 0 ])",
                "The first operand must be distinct from the remaining operands for this operator or function; operator: IN, first operand: [m, a, [0]]",
            ),
            (":v = :v", "ok"),
            ("size(a) = size(a)", "ok"),
            (
                "a BETWEEN :n AND :m",
                "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {N:0}",
            ),
            (
                "a BETWEEN :n AND :v",
                "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {S:x}",
            ),
            (
                "a[99999999999] = :v AND select = :v",
                "List index is not within the allowable range; index: [99999999999]",
            ),
            ("a[2147483648] = :v", "List index is not within the allowable range; index: [2147483648]"),
            ("a[2147483647] = :v", "ok"),
        ],
    );
}

#[test]
fn a_faulty_update_names_its_first_fault() {
    check(
        ExprKind::Update,
        &[
            ("SET a", r#"Syntax error; token: "<EOF>", near: "a""#),
            ("FOO a = :v", r#"Syntax error; token: "FOO", near: "FOO a""#),
            ("SET a = :v b = :v", r#"Syntax error; token: "b", near: ":v b =""#),
            ("SET a = :v + :v + :v", r#"Syntax error; token: "+", near: ":v + :v""#),
            ("SET a = (:n + :n)", "ok"),
            ("SET a = (:n + :n) + :n", r#"Syntax error; token: "+", near: ") + :n""#),
            ("SET a = ((:n + :n))", "The expression has redundant parentheses;"),
            ("set _something = :v", r#"Syntax error; token: "_", near: "set _something""#),
            ("REMOVE a, _b", r#"Syntax error; token: "_", near: ", _b""#),
            ("SET a = -:n", r#"Syntax error; token: "-", near: "= -:n""#),
            ("SET a = list_append(b + :n, :l)", r#"Syntax error; token: "+", near: "b + :n""#),
            ("SET a = :n, SET b = :n", r#"Syntax error; token: "SET", near: ", SET b""#),
            ("SET (a) = :v", r#"Syntax error; token: "(", near: "SET (a""#),
            ("ADD a b", r#"Syntax error; token: "b", near: "a b""#),
            ("ADD a (:n)", r#"Syntax error; token: "(", near: "a (:n""#),
            ("REMOVE", r#"Syntax error; token: "<EOF>", near: "REMOVE""#),
            ("SET a = foo(b)", "Invalid function name; function: foo"),
            ("SET a = size(b)", "The function is not allowed in an update expression; function: size"),
            (
                "SET a = list_append(:l,:l) + :n",
                "The function is not allowed to be used this way in an expression; function: list_append",
            ),
            (
                "SET a = if_not_exists(b, list_append(:l,:l))",
                "The function is not allowed to be used this way in an expression; function: list_append",
            ),
            ("SET a = if_not_exists(b, if_not_exists(c,:v))", "ok"),
            ("SET a = :v SET b = :v", r#"The "SET" section can only be used once in an update expression;"#),
            (
                "SET a=:n REMOVE b SET c=:n REMOVE e",
                r#"The "SET" section can only be used once in an update expression;"#,
            ),
            ("SET a = :v SET b = foo(c)", "Invalid function name; function: foo"),
            (
                "SET a = :v SET b = :v REMOVE select",
                r#"The "SET" section can only be used once in an update expression;"#,
            ),
            ("SET a = foo(b) SET b = :v", "Invalid function name; function: foo"),
            ("SET select = :v SET b = :v", "Attribute name is a reserved keyword; reserved keyword: select"),
            (
                "set a = :v remove a",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
            ),
            (
                "SET m.a = :v, m = :v",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, a], path two: [m]",
            ),
            (
                "SET m.a = :v, m[0] = :v",
                "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [m, a], path two: [m, [0]]",
            ),
            (
                "SET a = :v, a = :zz",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
            ),
            (
                "SET a = :v, b = :v, a = :n, b = :n",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [b], path two: [b]",
            ),
            (
                "SET a = list_append(:v)",
                "Incorrect number of operands for operator or function; operator or function: list_append, number of operands: 1",
            ),
            (
                "SET a = list_append(:v,:l)",
                "Incorrect operand type for operator or function; operator or function: list_append, operand type: S",
            ),
            (
                "SET a = :v + :n",
                "Incorrect operand type for operator or function; operator or function: +, operand type: S",
            ),
            (
                "SET a = :n - :v",
                "Incorrect operand type for operator or function; operator or function: -, operand type: S",
            ),
            (
                "SET a = if_not_exists(:v,:v)",
                "Operator or function requires a document path; operator or function: if_not_exists",
            ),
            (
                "SET a = if_not_exists(a, a)",
                "The first operand must be distinct from the remaining operands for this operator or function; operator: if_not_exists, first operand: [a]",
            ),
            (
                "ADD a :v",
                "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
            ),
            (
                "ADD a :bool",
                "Incorrect operand type for operator or function; operator: ADD, operand type: BOOLEAN, typeSet: ALLOWED_FOR_ADD_OPERAND",
            ),
            (
                "DELETE a :n",
                "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND",
            ),
            (
                "SET b = :v + :n ADD a :v",
                "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
            ),
            (
                "SET a = #ux + :zz",
                "An expression attribute name used in the document path is not defined; attribute name: #ux",
            ),
        ],
    );
}

#[test]
fn a_faulty_projection_names_its_first_fault() {
    check(
        ExprKind::Projection,
        &[
            ("a,", r#"Syntax error; token: "<EOF>", near: ",""#),
            ("a b", r#"Syntax error; token: "b", near: "a b""#),
            ("a, _b", r#"Syntax error; token: "_", near: ", _b""#),
            ("size(a)", r#"Syntax error; token: "(", near: "size(a""#),
            (
                "a, a",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
            ),
            (
                "a.b, a",
                "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a]",
            ),
            (
                "a.b, a[0]",
                "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [0]]",
            ),
            ("a, select, a", "Attribute name is a reserved keyword; reserved keyword: select"),
            ("#ux", "An expression attribute name used in the document path is not defined; attribute name: #ux"),
            ("a[0].b[1], #dots", "ok"),
        ],
    );
}

#[test]
fn limits_on_size_operators_and_operands_are_exact() {
    let kind = ExprKind::Condition;
    let check = |text: &str, expected: &str| assert_eq!(fault(kind, condition(text)), expected);
    check("", "The expression can not be empty;");
    check("  ", "Syntax error; token: \"<EOF>\", near: \"  \"");
    check(&format!("a = :v{}", " ".repeat(4090)), "ok");
    check(&format!("a = :v{}", " ".repeat(4091)), "Expression size has exceeded the maximum allowed size;");
    let sized = check_size(ExprKind::Filter, &"x".repeat(4097), true).unwrap_err();
    assert_eq!(
        sized.text,
        "Invalid FilterExpression: Expression size has exceeded the maximum allowed size; expression size: 4097"
    );
    check(&vec!["a=:v"; 150].join(" AND "), "ok");
    check(
        &format!("NOT {} AND NOT b=:v", vec!["a=:v"; 149].join(" AND ")),
        "The expression contains too many operators; operator count: 301",
    );
    check(&vec!["a=:v"; 200].join(" AND "), "The expression contains too many operators; operator count: 301");
    check(&format!("a IN ({})", vec![":v"; 100].join(",")), "ok");
    check(
        &format!("a IN ({})", vec![":v"; 101].join(",")),
        "The IN operator is provided with too many operands; number of operands: 101",
    );
    check(&format!("a{} = :v", ".b".repeat(31)), "ok");
    check(&format!("a{} = :v", ".b".repeat(32)), "The document path has too many nesting levels; nesting levels: 33");
    check(&format!("{}a = :v{}", "(NOT ".repeat(299), ")".repeat(299)), "ok");
}

/// Any nesting gets the answer of DynamoDB Local, on a thread with less of a stack than a server's has.
#[test]
fn a_text_that_nests_deep_has_the_fault_of_any_other() {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let unclosed = r#"Syntax error; token: "<EOF>", near: "(""#;
    let many = "The expression contains too many operators; operator count: 301";
    let redundant = "The expression has redundant parentheses;";
    let size = "Incorrect operand type for operator or function; operator or function: size, operand type: N";
    let conditions = [
        ("(".repeat(4096), unclosed),
        ("size(".repeat(800), unclosed),
        ("NOT(".repeat(1000), unclosed),
        ("a=:v AND (".repeat(400), unclosed),
        (nested("(", "a = :v", ")", 2000), redundant),
        (nested("(", "a = = :v", ")", 2000), r#"Syntax error; token: "=", near: "= = :v""#),
        (nested("NOT(", "a=:v", ")", 800), many),
        (nested("(a=:v OR ", "a=:v", ")", 400), many),
        (format!("{} = :n", nested("size(", "a", ")", 600)), size),
        (format!("{} = :n", nested("f(", "a", ")", 1300)), "Invalid function name; function: f"),
        (format!("{} = :n", nested("size((", "a", "))", 500)), size),
    ];
    let updates = [
        (format!("SET a = {}", "(".repeat(4000)), unclosed),
        (format!("SET a = {}", nested("(", ":v", ")", 2000)), redundant),
        (format!("SET a = {}", nested("if_not_exists(a,", ":v", ")", 230)), "ok"),
        (format!("SET a = {}", nested("f(", ":v", ")", 1300)), "Invalid function name; function: f"),
    ];
    let check = move || {
        for (text, expected) in conditions {
            assert_eq!(fault(ExprKind::Condition, condition(&text)), expected, "{text}");
        }
        for (text, expected) in updates {
            assert_eq!(fault(ExprKind::Update, update(&text)), expected, "{text}");
        }
    };
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(check).unwrap().join().unwrap();
}

#[test]
fn placeholder_maps_are_checked() {
    let names = |key: &str, name: &str| Some(BTreeMap::from([(key.to_owned(), name.to_owned())]));
    let values = |key: &str| Some(BTreeMap::from([(key.to_owned(), s("x"))]));
    let check = |result: Result<Placeholders, ExprError>, text: &str, enveloped: bool| {
        assert_eq!(result.unwrap_err(), ExprError { text: text.to_owned(), enveloped, classic: None });
    };
    check(Placeholders::new(Some(BTreeMap::new()), None), "ExpressionAttributeNames must not be empty", true);
    check(Placeholders::new(None, Some(BTreeMap::new())), "ExpressionAttributeValues must not be empty", true);
    for key in ["a", "#", "#a-b", "#é", ":a"] {
        let text = format!("ExpressionAttributeNames contains invalid key: Syntax error; key: \"{key}\"");
        check(Placeholders::new(names(key, "a"), None), &text, false);
    }
    let empty = |map: &str| format!("{map} contains invalid key: The expression attribute map contains an empty key;");
    check(Placeholders::new(names("", "a"), None), &empty("ExpressionAttributeNames"), false);
    check(Placeholders::new(None, values("")), &empty("ExpressionAttributeValues"), false);
    check(
        Placeholders::new(None, values("a")),
        "ExpressionAttributeValues contains invalid key: Syntax error; key: \"a\"",
        false,
    );
    check(
        Placeholders::new(names("#a", ""), None),
        "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a",
        false,
    );
    check(
        Placeholders::new(names("#a", &"ä".repeat(32_768)), None),
        "ExpressionAttributeNames contains invalid value: Attribute name is too large, must be less than 65536 bytes \
         for key #a",
        false,
    );
    let long = Placeholders::new(names(&"a".repeat(1_000_000), "a"), None).unwrap_err().text;
    assert!((4096..4300).contains(&long.len()), "{} bytes", long.len());
    assert!(Placeholders::new(names(&format!("#{}", "a".repeat(254)), "a"), None).is_ok());
    check(
        Placeholders::new(names(&format!("#{}", "a".repeat(255)), "a"), None),
        "ExpressionAttributeNames contains invalid key: The expression attribute map contains a key that is too long; \
         size of key: 256",
        false,
    );
    assert!(Placeholders::new(None, values(&format!(":{}", "a".repeat(254)))).is_ok());
    check(
        Placeholders::new(None, values(&format!(":{}", "a".repeat(255)))),
        "ExpressionAttributeValues contains invalid key: The expression attribute map contains a key that is too long;",
        false,
    );
}

#[test]
fn the_placeholder_maps_hold_two_megabytes_together() {
    const MAX: usize = 2 * 1024 * 1024;
    let names_of = |mut bytes: usize| {
        let mut names = BTreeMap::new();
        while bytes > 0 {
            let key = format!("#{}", names.len());
            let length = (bytes - key.len()).min(60_000);
            bytes -= key.len() + length;
            names.insert(key, "x".repeat(length));
        }
        names
    };
    let maps = |names: Option<usize>, values: Option<usize>| {
        let names = names.map(names_of);
        let values = values.map(|bytes| BTreeMap::from([(":a".to_owned(), s(&"x".repeat(bytes - 2)))]));
        Placeholders::new(names, values).map_or_else(|error| error.text, |_| "ok".to_owned())
    };
    assert_eq!(maps(Some(MAX), None), "ok");
    assert_eq!(maps(Some(MAX + 1), None), "ExpressionAttributeNames exceeds max size");
    assert_eq!(maps(None, Some(MAX)), "ok");
    assert_eq!(maps(None, Some(MAX + 1)), "ExpressionAttributeValues exceeds max size");
    assert_eq!(maps(Some(3), Some(MAX - 3)), "ok");
    let combined = "Combined size of ExpressionAttributeNames and ExpressionAttributeValues exceeds max size";
    assert_eq!(maps(Some(3), Some(MAX - 2)), combined);
    assert_eq!(maps(Some(3), Some(MAX + 1)), "ExpressionAttributeValues exceeds max size");
    assert_eq!(maps(Some(MAX + 1), Some(MAX + 1)), "ExpressionAttributeNames exceeds max size");
}

#[test]
fn placeholders_that_nothing_used_are_named() {
    let names = ["#b", "#a"].map(|key| (key.to_owned(), key[1..].to_owned()));
    let values = [":b", ":a"].map(|key| (key.to_owned(), s("x")));
    let mut both = Placeholders::new(Some(names.into()), Some(values.into())).unwrap();
    let unused = |placeholders: &Placeholders| placeholders.finish().unwrap_err().text;
    assert_eq!(unused(&both), "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #b}");
    Projection::parse("#a, #b", &mut both).unwrap();
    assert_eq!(unused(&both), "Value provided in ExpressionAttributeValues unused in expressions: keys: {:a, :b}");
    Condition::parse(ExprKind::Filter, "x = :a", &mut both).unwrap();
    assert_eq!(unused(&both), "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}");
    Update::parse("SET x = :b", &mut both).unwrap();
    assert_eq!(both.finish(), Ok(()));
    let many = (0..10_000).map(|i| (format!("#{i}"), "a".to_owned())).collect();
    let text = unused(&Placeholders::new(Some(many), None).unwrap());
    assert!((4096..4300).contains(&text.len()), "{} bytes", text.len());
}

#[test]
fn an_envelope_stands_only_where_the_operation_and_the_text_have_one() {
    let message = |error: ExprError, enveloped| error.into_api(enveloped).message.unwrap();
    let error = condition("a").unwrap_err();
    let text = "Invalid ConditionExpression: Syntax error; token: \"<EOF>\", near: \"a\"";
    assert_eq!(message(error.clone(), true), format!("1 validation error detected: {text}"));
    assert_eq!(message(error, false), text);
    let bare = update("SET a = zz").unwrap().apply(&Item::new()).unwrap_err();
    assert_eq!(message(bare, true), "The provided expression refers to an attribute that does not exist in the item");
}
