//! What is refused, with the text. Source: docs/spec/dynamodb-api.md 7.3.

use super::{n, read, s};

#[track_caller]
fn refused(text: &str, expected: &str) {
    match read(text, &[s("p"), n(1)]) {
        Ok(statement) => panic!("{text} was accepted: {statement:?}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
    }
}

#[test]
fn texts_that_are_no_statement_say_where_the_reading_ended() {
    let refused = |text: &str, detail: &str| {
        refused(text, &format!("Statement wasn't well formed, can't be processed: {detail}"));
    };
    refused("", "Unexpected term");
    refused("   ", "Unexpected term");
    refused("SELECT", "Unexpected term");
    refused("SELECT FROM t", "Unexpected keyword");
    refused("SELECT pk", "Expected FROM keyword");
    refused("SELECT pk FROM", "Unexpected term");
    refused("SELECT pk, * FROM t", "Unexpected operator");
    refused("SELECT *, pk FROM t", "Expected FROM keyword");
    refused("SELECT pk FROM t WHERE", "Unexpected term");
    refused("SELECT pk FROM my.table", "Expected identifier for simple path");
    refused("SELECT pk FROM t WHERE n == 1", "Unexpected operator");
    refused("SELECT pk FROM t WHERE n = 1 AND", "Missing right-hand side expression of infix operator");
    refused("SELECT pk FROM t WHERE AND n = 1", "Unexpected operator");
    refused("SELECT pk FROM t WHERE n = 1 n = 2", "Unexpected token after expression");
    refused("SELECT pk FROM t WHERE n = 1)", "Unexpected token after expression");
    refused("SELECT pk FROM t WHERE (n = 1", "Expected ,");
    refused("SELECT pk FROM t WHERE n IN ()", "Unexpected term");
    refused("SELECT pk FROM t WHERE n = 1;;", "Unexpected token after semicolon. (Only one query is allowed.)");
    refused("SELECT pk FROM t WHERE n = 1; SELECT", "Unexpected token after semicolon. (Only one query is allowed.)");
    refused("SELECT pk FROM t WHERE s = 'a", "Unexpected end of statement");
    refused("SELECT pk FROM t WHERE date = 1", "Unexpected keyword");
    refused("SELECT # FROM t", "Unexpected character");
    refused("UPDATE t", "Expected data manipulation");
    refused("UPDATE t WHERE pk = 'a'", "Expected data manipulation");
    refused("UPDATE", "Expected identifier for simple path");
    refused("UPDATE t SET WHERE pk = 'a'", "Expected identifier for simple path");
    refused("UPDATE t SET n WHERE pk = 'a'", "Expected =");
    refused("UPDATE t SET 'n' = 1", "Expected identifier for simple path");
    refused("UPDATE t REMOVE k, j", "Unexpected token after expression");
    refused("UPDATE t SET n = 1 WHERE pk = 'a' LIMIT 1", "Unexpected token after expression");
    refused("UPDATE t ADD n 1 WHERE pk = 'a'", "Expected data manipulation");
    refused("DELETE t WHERE pk = 'a'", "Expected FROM keyword");
    refused("INSERT t VALUE {'pk': 'a'}", "Expected INTO keyword");
    refused("INSERT INTO t", "Unexpected term");
    refused("INSERT INTO t VALUE {'pk': 'a'", "Expected ,");
    refused("INSERT INTO t VALUE {'pk': 'a'} WHERE pk = 'a'", "Unexpected token after expression");
    refused("FROM t SET n = 1 WHERE pk = 'a'", "Unexpected token after expression");
}

#[test]
fn what_is_no_statement_on_items_is_not_supported() {
    for (text, what) in [
        ("foo", "Id"),
        ("t.a", "Path"),
        ("1", "Lit"),
        ("'a'", "Lit"),
        ("[1]", "List"),
        ("<<1>>", "Bag"),
        ("{'a': 1}", "Struct"),
        ("?", "Parameter"),
        ("CREATE TABLE x", "CreateTable"),
        ("DROP TABLE x", "DropTable"),
        ("EXEC foo", "Exec"),
        ("INSERT INTO t <<{'pk': 'd'}>>", "InsertOp"),
        ("INSERT INTO t VALUES ({'pk': 'd'})", "InsertOp"),
    ] {
        refused(text, &format!("Unsupported operation: {what}"));
    }
}

#[test]
fn parts_of_a_query_that_are_not_supported_are_named_with_their_place() {
    refused("SELECT count(*) FROM t", "Unexpected path component at 1:8:5");
    refused("SELECT size(s) FROM t", "Unexpected path component at 1:8:4");
    refused("SELECT 'a' FROM t", "Unexpected path component at 1:8:3");
    refused("SELECT n+1 FROM t", "Unexpected path component at 1:9:1");
    for text in ["SELECT n AS k FROM t", "SELECT n k FROM t", "SELECT n FROM t k", "SELECT n FROM t AS k"] {
        refused(text, "Aliasing is not supported");
    }
    refused("UPDATE t AS h SET n = 1", "Aliasing is not supported");
    refused("SELECT DISTINCT pk FROM t", "Unsupported token in expression: DISTINCT");
    refused("SELECT VALUE pk FROM t", "Select projection doesn't support value or pivot keywords");
    refused("SELECT pk FROM t, u", "Only select from a single table or index is supported.");
    refused("SELECT pk FROM t JOIN u ON true", "Only select from a single table or index is supported.");
    refused("SELECT pk FROM t GROUP BY pk", "Unsupported clause: GROUP BY");
    refused("SELECT pk FROM t HAVING pk = 1", "Unsupported clause: HAVING at 1:28:1");
    refused("SELECT pk FROM t LIMIT 1", "Unsupported clause: LIMIT at 1:24:1");
    refused("SELECT pk FROM 't'", "Unexpected from source");
    refused("SELECT pk FROM a.b.c", "A path may contain at most 2 components in the FROM clause");
    refused("SELECT m.* FROM t", "Changing item's hierarchy while reading isn't supported");
    refused("SELECT pk, pk FROM t", "Duplicate identifiers in select clause: pk");
    refused("SELECT m.pk, pk FROM t", "Duplicate identifiers in select clause: pk");
    refused(
        "SELECT m, m.x FROM t",
        "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, x], path \
         two: [m]",
    );
    refused(
        "SELECT pk FROM t WHERE pk = 'a' ORDER BY n + 1",
        "Argument to ORDER BY must be of type VariableReference. Type: +",
    );
    refused("SELECT pk FROM t WHERE COUNT(n) = 1", "Unsupported token in expression: count at 1:24:5");
    refused("SELECT pk FROM t WHERE CAST(n AS INT) = 1", "Unsupported token in expression: cast at 1:24:4");
    refused("SELECT pk FROM t WHERE CASE", "Unsupported token in expression: CASE at 1:24:4");
    refused("SELECT pk FROM t WHERE EXISTS(SELECT * FROM t)", "Unsupported token in expression: SELECT at 1:31:6");
}

#[test]
fn conditions_that_are_none_are_refused() {
    refused("SELECT pk FROM t WHERE foo(n)", "Unrecognized function: foo at 1:24:3");
    refused("SELECT pk FROM t\nWHERE\n foo(n) = 1", "Unrecognized function: foo at 3:2:3");
    let boolean = "WHERE clause must contain an expression that resolves to a boolean";
    for text in ["n", "1", "true", "size(s)"] {
        refused(&format!("SELECT pk FROM t WHERE {text}"), boolean);
    }
    refused("SELECT pk FROM t WHERE n = 1 AND b", "The arguments to AND/OR must be Expressions");
    refused("SELECT pk FROM t WHERE NOT b", "The argument to NOT must be a Type or Expression");
    refused("SELECT pk FROM t WHERE n = MISSING", "MISSING must be compared using IS operator");
    refused("SELECT pk FROM t WHERE n <> MISSING", "MISSING must be compared using IS operator");
    refused("SELECT pk FROM t WHERE n + 1 = 2", "Unsupported operator in Condition Expression. Operator: +");
    refused("SELECT pk FROM t WHERE s LIKE 'a%'", "Unsupported operator in Condition Expression. Operator: like");
    refused("SELECT pk FROM t WHERE s || 'a' = 'b'", "Unsupported operator in Condition Expression. Operator: ||");
    let seq = "IN operator must have a left hand argument of type Variable Reference and right hand argument of type Seq \
               with at least one member";
    for text in ["n IN []", "n IN 1", "n IN ss", "n IN ?"] {
        refused(&format!("SELECT pk FROM t WHERE {text}"), seq);
    }
    refused(
        "SELECT pk FROM t WHERE n IS INT",
        "Unsupported data type for IS operator: INTEGER. Supported data types are [MISSING, NULL, BOOLEAN, BLOB, STRING, \
         NUMERIC, STRUCT, TUPLE, LIST] at 1:26:2",
    );
    refused(
        "SELECT pk FROM t WHERE size(s) IS NUMERIC",
        "The left hand side argument to IS must be a Variable Reference, Literal, or Path",
    );
    refused(
        "SELECT pk FROM t WHERE n = n",
        "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first \
         operand: [n]",
    );
    refused(
        "SELECT pk FROM t WHERE n < true",
        "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
    );
    refused(
        "SELECT pk FROM t WHERE contains(s)",
        "Incorrect number of operands for operator or function; operator or function: contains, number of operands: 1",
    );
    refused(
        "SELECT pk FROM t WHERE n BETWEEN 2 AND 1",
        "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: \
         AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}",
    );
    refused("SELECT pk FROM t WHERE l[-1] = 1", "List index is not within the allowable range; index: [-1] at 1:27:1");
    refused(
        "SELECT pk FROM t WHERE list_append(a, b)",
        "The function is not allowed in a condition expression; function: list_append",
    );
}

#[test]
fn limits_of_operators_and_candidates_are_those_of_expressions() {
    let ones = |count: usize| vec!["1"; count].join(", ");
    read(&format!("SELECT pk FROM t WHERE n IN [{}]", ones(100)), &[]).unwrap();
    refused(
        &format!("SELECT pk FROM t WHERE n IN [{}]", ones(101)),
        "The IN operator is provided with too many operands; number of operands: 101",
    );
    let conditions = |count: usize| vec!["n = 1"; count].join(" AND ");
    read(&format!("SELECT pk FROM t WHERE {}", conditions(150)), &[]).unwrap();
    refused(
        &format!("SELECT pk FROM t WHERE {}", conditions(151)),
        "The expression contains too many operators; operator count: 301",
    );
}

#[test]
fn values_that_are_none_are_refused_with_their_place() {
    refused("SELECT pk FROM t WHERE s = <<>>", "Empty bags are not supported");
    refused("SELECT pk FROM t WHERE s = <<'a', 'a'>>", "Input collection contains duplicates");
    let bag = "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags";
    refused("SELECT pk FROM t WHERE s = <<true>>", &format!("{bag} at 1:30:4"));
    refused("SELECT pk FROM t WHERE s = <<1, 'a'>>", &format!("{bag} at 1:33:3"));
    let format = "Unsupported format in item expression. Please use struct format {...} to express item values for insert \
                  statement. at 1:21:1";
    refused("INSERT INTO t VALUE 1", format);
    refused("INSERT INTO t VALUE ?", format);
    refused("INSERT INTO t VALUE {'pk': n}", "Unsupported data type: Id under key root at 1:28:1");
    refused("INSERT INTO t VALUE {'pk': MISSING}", "Unsupported data type: MISSING under key root at 1:28:7");
    refused("INSERT INTO t VALUE {'pk': 1, 'pk': 2}", "Duplicate keys in tuple. Key: pk under root at 1:31:4");
    refused("INSERT INTO t VALUE {pk: 1}", "Tuple keys must be of type String. Actual type: Id under root at 1:22:2");
    refused("INSERT INTO t VALUE {'pk': {'a': [n]}}", "Unsupported data type: Id under key root.a.0 at 1:35:1");
    refused("INSERT INTO t VALUE {'pk': `abc`}", "Ion Literals are not supported: SYMBOL under key root at 1:28:5");
    refused(
        "INSERT INTO t VALUE {'pk': `2020T`}",
        "Ion Literals are not supported: TIMESTAMP under key root at 1:28:7",
    );
    refused("INSERT INTO t VALUE {'': 1}", "Empty attribute name");
    refused("INSERT INTO t VALUE {'pk': 1} RETURNING ALL OLD *", "RETURNING is not supported in INSERT");
    refused(
        "INSERT INTO t VALUE {'pk': 1e200}",
        "Number overflow. Attempting to store a number with magnitude larger than supported range",
    );
    let nested = |levels: usize| format!("INSERT INTO t VALUE {{'pk': {}1{}}}", "[".repeat(levels), "]".repeat(levels));
    read(&nested(31), &[]).unwrap();
    let text = read(&nested(32), &[]).unwrap_err().to_string();
    assert!(text.starts_with("Nesting Levels have exceeded supported limits"), "{text}");
}

#[test]
fn updates_that_cannot_be_are_refused() {
    refused("UPDATE t SET n = n * 2", "Unsupported operator in Update Expression. Operator: *");
    refused("UPDATE t SET n = n = 1", "Unsupported operator in Update Expression. Operator: =");
    refused(
        "UPDATE t SET n = -n",
        "Incorrect number of operands for operator or function; operator or function: -, number of operands: 1",
    );
    refused(
        "UPDATE t SET n = n + 'a'",
        "Incorrect operand type for operator or function; operator or function: +, operand type: S",
    );
    refused(
        "UPDATE t SET l = list_append(l, 7)",
        "Incorrect operand type for operator or function; operator or function: list_append, operand type: N",
    );
    refused("UPDATE t SET n = foo(1)", "Unrecognized function: foo at 1:18:3");
    refused("UPDATE t SET n = size(s)", "The function is not allowed in an update expression; function: size");
    refused("UPDATE t SET k = set_add(s, <<'z'>>)", "The first argument to SET_ADD must equal the assignment value");
    refused(
        "UPDATE t SET s = set_add(s, ['z'])",
        "The second argument to SET_ADD must be a value with type SET at 1:26:1",
    );
    refused(
        "UPDATE t SET s = set_delete(s, 1)",
        "The second argument to SET_DELETE must be a value with type SET at 1:29:1",
    );
    refused("UPDATE t SET n = MISSING", "MISSING must be compared using IS operator");
    refused(
        "UPDATE t SET n = 1 SET n = 2",
        "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [n], path two: [n]",
    );
    refused(
        "UPDATE t SET m.x = 1 REMOVE m[0]",
        "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [m, [0]], path \
         two: [m, x]",
    );
    refused(
        "UPDATE t SET n = 1 RETURNING ALL NEW pk",
        "Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause",
    );
    refused(
        "UPDATE t SET n = 1 RETURNING ALL NEW *, ALL OLD *",
        "Invalid syntax with multiple returning elements in RETURNING clause",
    );
    refused(
        "DELETE FROM t RETURNING MODIFIED OLD *",
        "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
    );
    refused("UPDATE t SET n = ? SET m = ? SET o = ?", "Number of parameters in request and statement don't match.");
}
