"""Expressions, row by row: what each one that is no expression is refused with, and which of two faults is told; the whole text.

Rows: docs/spec/dynamodb-api.md 4.1 to 4.6, 4.9. Where the document gives a rule and no example, the text is that of DynamoDB Local, which has
the service's own parser.
"""

import re

import pytest

from conftest import make_table
from raw_http import call, error_of
from wording import ONE, VALIDATION

T = "expressions"
KEY = {"pk": {"S": "k"}}
ITEM = KEY | {
    "a": {"S": "x"},
    "n": {"N": "1"},
    "m": {"M": {"x": {"S": "y"}}},
    "l": {"L": [{"S": "0"}, {"S": "1"}]},
    "ss": {"SS": ["a"]},
}
# The values that the rows name, by their type where it matters; `:u` and `:undefined` are none.
VALUES = {
    ":s": {"S": "x"}, ":s2": {"S": "a"}, ":n": {"N": "1"}, ":b": {"B": "AA=="}, ":t": {"BOOL": True}, ":z": {"NULL": True},
    ":m": {"M": {}}, ":l": {"L": []}, ":ss": {"SS": ["a"]}, ":ns": {"NS": ["1"]}, ":bs": {"BS": ["AA=="]}, ":T": {"S": "S"},
    ":x": {"S": "X"}, ":two": {"L": [{"S": "x"}]},
}
CONDITIONS = [
    # 4.1 syntax
    ("a", "Syntax error; token: \"<EOF>\", near: \"a\""),
    ("a =", "Syntax error; token: \"<EOF>\", near: \"=\""),
    ("= a", "Syntax error; token: \"=\", near: \"= a\""),
    ("a = ", "Syntax error; token: \"<EOF>\", near: \"= \""),
    ("a = :s AND", "Syntax error; token: \"<EOF>\", near: \"AND\""),
    ("a = :s OR OR a = :s", "Syntax error; token: \"OR\", near: \"OR OR a\""),
    ("(a = :s", "Syntax error; token: \"<EOF>\", near: \":s\""),
    ("a = :s)", "Syntax error; token: \")\", near: \":s)\""),
    ("()", "Syntax error; token: \")\", near: \"()\""),
    ("a == :s", "Syntax error; token: \"=\", near: \"== :s\""),
    ("a != :s", "Syntax error; token: \"!\", near: \"a !=\""),
    ("a < > :s", "Syntax error; token: \">\", near: \"< > :s\""),
    ("a =< :s", "Syntax error; token: \"<\", near: \"=< :s\""),
    ("a => :s", "Syntax error; token: \">\", near: \"=> :s\""),
    ("a = \"x\"", "Syntax error; token: \"\"\", near: \"= \"x\""),
    ("a = 'x'", "Syntax error; token: \"'\", near: \"= 'x\""),
    ("a = 5", "Syntax error; token: \"5\", near: \"= 5\""),
    ("5 = a", "Syntax error; token: \"5\", near: \"5 =\""),
    ("a. = :s", "Syntax error; token: \"=\", near: \". = :s\""),
    (".a = :s", "Syntax error; token: \".\", near: \".a\""),
    ("a..b = :s", "Syntax error; token: \".\", near: \"..b\""),
    ("l[01] = :s", "Syntax error; token: \"1\", near: \"01]\""),
    ("l[-1] = :s", "Syntax error; token: \"-\", near: \"[-1\""),
    ("l[a] = :s", "Syntax error; token: \"a\", near: \"[a]\""),
    ("l[:n] = :s", "Syntax error; token: \":n\", near: \"[:n]\""),
    ("l[0 = :s", "Syntax error; token: \"=\", near: \"0 = :s\""),
    ("_a = :s", "Syntax error; token: \"_\", near: \"_a\""),
    ("a-b = :s", "Syntax error; token: \"-\", near: \"a-b\""),
    ("a b", "Syntax error; token: \"b\", near: \"a b\""),
    ("a , b", "Syntax error; token: \",\", near: \"a , b\""),
    ("1a = :s", "Syntax error; token: \"1\", near: \"1a\""),
    ("#a. = :s", "Syntax error; token: \"=\", near: \". = :s\""),
    ("#a-b = :s", "Syntax error; token: \"-\", near: \"#a-b\""),
    (": = :s", "Syntax error; token: \":\", near: \": =\""),
    ("# = :s", "Syntax error; token: \"#\", near: \"# =\""),
    ("a = :", "Syntax error; token: \":\", near: \"= :\""),
    ("a = : s", "Syntax error; token: \":\", near: \"= : s\""),
    ("é = :s", "Syntax error; token: \"é\", near: \"é =\""),
    ("a = :s ; ", "Syntax error; token: \";\", near: \":s ; \""),
    ("a = :s", "Syntax error; token: \" \", near: \"a =\""),
    ("a$ = :s", "Syntax error; token: \"$\", near: \"a$ =\""),
    ("a@b = :s", "Syntax error; token: \"@\", near: \"a@b\""),
    ("a && b", "Syntax error; token: \"&\", near: \"a &&\""),
    ("a BETWEEN :s", "Syntax error; token: \"<EOF>\", near: \":s\""),
    ("a BETWEEN :s :s", "Syntax error; token: \":s\", near: \":s :s\""),
    ("a BETWEEN :s , :s", "Syntax error; token: \",\", near: \":s , :s\""),
    ("a IN ()", "Syntax error; token: \")\", near: \"()\""),
    ("a IN :s", "Syntax error; token: \":s\", near: \"IN :s\""),
    ("a IN (:s,)", "Syntax error; token: \")\", near: \",)\""),
    ("a IN (:s) AND a", "Syntax error; token: \"<EOF>\", near: \"a\""),
    ("a NOT IN (:s)", "Syntax error; token: \"NOT\", near: \"a NOT IN\""),
    ("attribute_exists()", "Syntax error; token: \")\", near: \"()\""),
    ("attribute_exists", "Syntax error; token: \"<EOF>\", near: \"attribute_exists\""),
    ("attribute_exists a", "Syntax error; token: \"a\", near: \"attribute_exists a\""),
    ("size() = :n", "Syntax error; token: \")\", near: \"() =\""),
    ("FOO", "Syntax error; token: \"<EOF>\", near: \"FOO\""),
    ("a = :s AND (a = :s", "Syntax error; token: \"<EOF>\", near: \":s\""),
    ("a = :s AND )", "Syntax error; token: \")\", near: \"AND )\""),
    ("AND", "Syntax error; token: \"AND\", near: \"AND\""),
    ("OR", "Syntax error; token: \"OR\", near: \"OR\""),
    ("NOT", "Syntax error; token: \"<EOF>\", near: \"NOT\""),
    ("NOT a", "Syntax error; token: \"<EOF>\", near: \"a\""),
    ("IN", "Syntax error; token: \"IN\", near: \"IN\""),
    ("BETWEEN", "Syntax error; token: \"BETWEEN\", near: \"BETWEEN\""),
    ("a BETWEEN :s AND :s AND :s", "Syntax error; token: \"<EOF>\", near: \":s\""),
    ("a = :s a = :s", "Syntax error; token: \"a\", near: \":s a =\""),
    ("a = :s,", "Syntax error; token: \",\", near: \":s,\""),
    ("", "The expression can not be empty;"),
    (" ", "Syntax error; token: \"<EOF>\", near: \" \""),
    ("  \n", "Syntax error; token: \"<EOF>\", near: \"  \n\""),
    ("a[0]b = :s", "Syntax error; token: \"b\", near: \"]b =\""),
    ("a.:s = :s", "Syntax error; token: \":s\", near: \".:s =\""),
    ("a[#a] = :s", "Syntax error; token: \"#a\", near: \"[#a]\""),
    ("true", "Syntax error; token: \"<EOF>\", near: \"true\""),
    # 4.1 limits
    ("l[99999999999] = :s", "List index is not within the allowable range; index: [99999999999]"),
    ("l[2147483648] = :s", "List index is not within the allowable range; index: [2147483648]"),
    # 4.2 reserved words
    ("size = :n", "Attribute name is a reserved keyword; reserved keyword: size"),
    ("name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("NAME = :s", "Attribute name is a reserved keyword; reserved keyword: NAME"),
    ("a.name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("a.size = :s", "Attribute name is a reserved keyword; reserved keyword: size"),
    ("abort = :s", "Attribute name is a reserved keyword; reserved keyword: abort"),
    ("name = :undefined", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("a = true", "Attribute name is a reserved keyword; reserved keyword: true"),
    ("a = NULL", "Attribute name is a reserved keyword; reserved keyword: NULL"),
    ("NULL = a", "Attribute name is a reserved keyword; reserved keyword: NULL"),
    ("a BETWEEN :s AND :s2 AND name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
    # 4.2 parentheses
    ("((a = :s))", "The expression has redundant parentheses;"),
    ("(((a = :s)))", "The expression has redundant parentheses;"),
    ("((a)) = :s", "The expression has redundant parentheses;"),
    ("a = ((:s))", "The expression has redundant parentheses;"),
    ("NOT ((a = :s))", "The expression has redundant parentheses;"),
    ("contains(((a)),:s)", "The expression has redundant parentheses;"),
    ("((attribute_exists(a)))", "The expression has redundant parentheses;"),
    ("((a)) BETWEEN :s2 AND :s", "The expression has redundant parentheses;"),
    ("a IN (((:s)))", "The expression has redundant parentheses;"),
    ("((name = :s))", "The expression has redundant parentheses;"),
    ("((a = :u))", "The expression has redundant parentheses;"),
    ("((a = :s)) AND foo(a)", "The expression has redundant parentheses;"),
    ("((a)) = name", "The expression has redundant parentheses;"),
    # 4.2 functions
    ("attribute_exists(a) = :t", "The function is not allowed to be used this way in an expression; function: attribute_exists"),
    ("Attribute_Exists(a)", "Invalid function name; function: Attribute_Exists"),
    ("size(a)", "The function is not allowed to be used this way in an expression; function: size"),
    ("foo(a)", "Invalid function name; function: foo"),
    ("foo(a) = :s", "Invalid function name; function: foo"),
    ("if_not_exists(a,:s) = :s", "The function is not allowed in a condition expression; function: if_not_exists"),
    ("list_append(a,a) = :s", "The function is not allowed in a condition expression; function: list_append"),
    ("if_not_exists(a,:s)", "The function is not allowed in a condition expression; function: if_not_exists"),
    ("foo(name)", "Invalid function name; function: foo"),
    ("foo(a) AND name = :s", "Invalid function name; function: foo"),
    ("a = :u AND foo(a)", "Invalid function name; function: foo"),
    ("size(a) AND name = :s", "The function is not allowed to be used this way in an expression; function: size"),
    ("#u = :s AND foo(a)", "Invalid function name; function: foo"),
    ("if_not_exists(a) = :s", "The function is not allowed in a condition expression; function: if_not_exists"),
    # 4.2 operands
    ("attribute_exists(a,b)", "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2"),
    ("attribute_exists(:s)", "Operator or function requires a document path; operator or function: attribute_exists"),
    ("attribute_exists(size(a))", "Operator or function requires a document path; operator or function: attribute_exists"),
    ("attribute_not_exists(:s)", "Operator or function requires a document path; operator or function: attribute_not_exists"),
    ("attribute_type(a)", "Incorrect number of operands for operator or function; operator or function: attribute_type, number of operands: 1"),
    ("begins_with(a)", "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1"),
    ("begins_with(a,:s,:s)", "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 3"),
    ("contains(a)", "Incorrect number of operands for operator or function; operator or function: contains, number of operands: 1"),
    ("size(a,b) = :n", "Incorrect number of operands for operator or function; operator or function: size, number of operands: 2"),
    ("contains(a) AND a = a", "Incorrect number of operands for operator or function; operator or function: contains, number of operands: 1"),
    # 4.2 operand types
    ("attribute_type(a,:s)", "Invalid attribute type name found; type: x, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"),
    ("attribute_type(a,:n)", "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N"),
    ("attribute_type(a,b)", "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}"),
    ("begins_with(a,:n)", "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N"),
    ("begins_with(a,:m)", "Incorrect operand type for operator or function; operator or function: begins_with, operand type: M"),
    ("begins_with(:n,a)", "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N"),
    ("size(:n) = :n", "Incorrect operand type for operator or function; operator or function: size, operand type: N"),
    ("size(:t) = :n", "Incorrect operand type for operator or function; operator or function: size, operand type: BOOL"),
    ("size(:z) = :n", "Incorrect operand type for operator or function; operator or function: size, operand type: NULL"),
    ("size(size(a)) = :n", "Incorrect operand type for operator or function; operator or function: size, operand type: N"),
    ("a < :t", "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL"),
    ("a < :z", "Incorrect operand type for operator or function; operator or function: <, operand type: NULL"),
    ("a < :m", "Incorrect operand type for operator or function; operator or function: <, operand type: M"),
    ("a < :l", "Incorrect operand type for operator or function; operator or function: <, operand type: L"),
    ("a < :ss", "Incorrect operand type for operator or function; operator or function: <, operand type: SS"),
    ("a < :ns", "Incorrect operand type for operator or function; operator or function: <, operand type: NS"),
    ("a < :bs", "Incorrect operand type for operator or function; operator or function: <, operand type: BS"),
    ("a <= :t", "Incorrect operand type for operator or function; operator or function: <=, operand type: BOOL"),
    ("a > :m", "Incorrect operand type for operator or function; operator or function: >, operand type: M"),
    ("a >= :l", "Incorrect operand type for operator or function; operator or function: >=, operand type: L"),
    ("a BETWEEN :t AND :t", "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: BOOL"),
    ("a BETWEEN :m AND :m", "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: M"),
    ("a BETWEEN :ss AND :ss", "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: SS"),
    ("attribute_type(a,:x)", "Invalid attribute type name found; type: X, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"),
    ("size(:n) = :u", "Incorrect operand type for operator or function; operator or function: size, operand type: N"),
    ("begins_with(:m, :m)", "Incorrect operand type for operator or function; operator or function: begins_with, operand type: M"),
    # 4.2 distinct operands
    ("a IN (a)", "The first operand must be distinct from the remaining operands for this operator or function; operator: IN, first operand: [a]"),
    ("a in (:s, a)", "The first operand must be distinct from the remaining operands for this operator or function; operator: IN, first operand: [a]"),
    ("attribute_type(a,a)", "The first operand must be distinct from the remaining operands for this operator or function; operator: attribute_type, first operand: [a]"),
    ("begins_with(a,a)", "The first operand must be distinct from the remaining operands for this operator or function; operator: begins_with, first operand: [a]"),
    ("contains(a,a)", "The first operand must be distinct from the remaining operands for this operator or function; operator: contains, first operand: [a]"),
    ("a = a", "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]"),
    ("a <> a", "The first operand must be distinct from the remaining operands for this operator or function; operator: <>, first operand: [a]"),
    ("a < a", "The first operand must be distinct from the remaining operands for this operator or function; operator: <, first operand: [a]"),
    ("m.x = m.x", "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [m, x]"),
    ("l[0] = l[0]", "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [l, [0]]"),
    ("a BETWEEN a AND :s", "The first operand must be distinct from the remaining operands for this operator or function; operator: BETWEEN, first operand: [a]"),
    ("a IN (:s, a)", "The first operand must be distinct from the remaining operands for this operator or function; operator: IN, first operand: [a]"),
    ("( a ) < ( a )", "The first operand must be distinct from the remaining operands for this operator or function; operator: <, first operand: [a]"),
    ("a = a AND a < :t", "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]"),
    ("a IN (:s) AND a = a", "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]"),
    ("begins_with(a, b) AND begins_with(a, a)", "The first operand must be distinct from the remaining operands for this operator or function; operator: begins_with, first operand: [a]"),
    # 4.2 BETWEEN
    ("a BETWEEN :s AND :s2", "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {S:x}, upper bound operand: AttributeValue: {S:a}"),
    ("a BETWEEN :s AND :n", "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {S:x}, upper bound operand: AttributeValue: {N:1}"),
    # 4.2 placeholders
    ("#u = :s", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    ("a = :undefined", "An expression attribute value used in expression is not defined; attribute value: :undefined"),
    ("#u = :undefined", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    ("a = :s AND #u = :undefined", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    ("a = :u AND contains(a)", "An expression attribute value used in expression is not defined; attribute value: :u"),
]
UPDATES = [
    # 4.1 syntax
    ("SET a = :s,", "Syntax error; token: \"<EOF>\", near: \",\""),
    ("SET", "Syntax error; token: \"<EOF>\", near: \"SET\""),
    ("SET a", "Syntax error; token: \"<EOF>\", near: \"a\""),
    ("SET a =", "Syntax error; token: \"<EOF>\", near: \"=\""),
    ("SET a = :s b = :s", "Syntax error; token: \"b\", near: \":s b =\""),
    ("SET n = n + :n + :n", "Syntax error; token: \"+\", near: \":n + :n\""),
    ("SET n = n * :n", "Syntax error; token: \"*\", near: \"n * :n\""),
    ("SET n = -:n", "Syntax error; token: \"-\", near: \"= -:n\""),
    ("SET n = n + -1", "Syntax error; token: \"-\", near: \"+ -1\""),
    ("SET n = +:n", "Syntax error; token: \"+\", near: \"= +:n\""),
    ("SET a = if_not_exists(a + n, :s)", "Syntax error; token: \"+\", near: \"a + n\""),
    ("REMOVE", "Syntax error; token: \"<EOF>\", near: \"REMOVE\""),
    ("REMOVE a b", "Syntax error; token: \"b\", near: \"a b\""),
    ("REMOVE :s", "Syntax error; token: \":s\", near: \"REMOVE :s\""),
    ("ADD", "Syntax error; token: \"<EOF>\", near: \"ADD\""),
    ("ADD n", "Syntax error; token: \"<EOF>\", near: \"n\""),
    ("ADD n n", "Syntax error; token: \"n\", near: \"n n\""),
    ("ADD n = :n", "Syntax error; token: \"=\", near: \"n = :n\""),
    ("ADD n (:n)", "Syntax error; token: \"(\", near: \"n (:n\""),
    ("ADD n :n + :n", "Syntax error; token: \"+\", near: \":n + :n\""),
    ("DELETE", "Syntax error; token: \"<EOF>\", near: \"DELETE\""),
    ("DELETE ss ss", "Syntax error; token: \"ss\", near: \"ss ss\""),
    ("FOO a = :s", "Syntax error; token: \"FOO\", near: \"FOO a\""),
    ("a = :s", "Syntax error; token: \"a\", near: \"a =\""),
    ("SET a = :s; REMOVE n", "Syntax error; token: \";\", near: \":s; REMOVE\""),
    ("SET 1a = :s", "Syntax error; token: \"1\", near: \"SET 1a\""),
    ("SET a == :s", "Syntax error; token: \"=\", near: \"== :s\""),
    ("SET a : :s", "Syntax error; token: \":\", near: \"a : :s\""),
    ("SET a = :s AND b1 = :s", "Syntax error; token: \"AND\", near: \":s AND b1\""),
    ("SET l[01] = :s", "Syntax error; token: \"1\", near: \"01]\""),
    ("SET l[-1] = :s", "Syntax error; token: \"-\", near: \"[-1\""),
    ("SET _a = :s", "Syntax error; token: \"_\", near: \"SET _a\""),
    ("", "The expression can not be empty;"),
    ("  ", "Syntax error; token: \"<EOF>\", near: \"  \""),
    ("SET (a) = :s", "Syntax error; token: \"(\", near: \"SET (a\""),
    ("REMOVE (a)", "Syntax error; token: \"(\", near: \"REMOVE (a\""),
    ("SET a = :s + ", "Syntax error; token: \"<EOF>\", near: \"+ \""),
    ("SET a = (n + :n) + :n", "Syntax error; token: \"+\", near: \") + :n\""),
    ("SET a = :n - (n + :n)", "Syntax error; token: \"+\", near: \"n + :n\""),
    ("SET a = :s, REMOVE n", "Syntax error; token: \"REMOVE\", near: \", REMOVE n\""),
    ("SET a = a = :s", "Syntax error; token: \"=\", near: \"a = :s\""),
    ("SET a = \"x\"", "Syntax error; token: \"\"\", near: \"= \"x\""),
    ("SET a = 5", "Syntax error; token: \"5\", near: \"= 5\""),
    ("SET a = :s WHERE n = :n", "Syntax error; token: \"WHERE\", near: \":s WHERE n\""),
    # 4.2 reserved words
    ("SET name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("REMOVE name", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("ADD name :n", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("SET a = name", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("SET size = :s", "Attribute name is a reserved keyword; reserved keyword: size"),
    ("SET name = :s SET a = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("SET a.b = :s, a = :s, name = :s", "Attribute name is a reserved keyword; reserved keyword: name"),
    # 4.2 parentheses
    ("SET n = ((n + :n))", "The expression has redundant parentheses;"),
    ("SET a = ((:s))", "The expression has redundant parentheses;"),
    # 4.2 functions
    ("SET l = list_append(l, list_append(:two, :two))", "The function is not allowed to be used this way in an expression; function: list_append"),
    ("SET a = size(a)", "The function is not allowed in an update expression; function: size"),
    ("SET a = contains(a, :s)", "The function is not allowed in an update expression; function: contains"),
    ("SET a = attribute_exists(a)", "The function is not allowed in an update expression; function: attribute_exists"),
    ("SET a = foo(a)", "Invalid function name; function: foo"),
    ("SET a = IF_NOT_EXISTS(a, :s)", "Invalid function name; function: IF_NOT_EXISTS"),
    ("SET a = foo(name)", "Invalid function name; function: foo"),
    ("SET a = foo(b1), a = :s", "Invalid function name; function: foo"),
    ("SET a = size(a), a = :s", "The function is not allowed in an update expression; function: size"),
    # 4.2 operands
    ("SET a = if_not_exists(:s, a)", "Operator or function requires a document path; operator or function: if_not_exists"),
    ("SET a = if_not_exists(a)", "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1"),
    ("SET a = if_not_exists(a, :s, :s)", "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 3"),
    ("SET l = list_append(l)", "Incorrect number of operands for operator or function; operator or function: list_append, number of operands: 1"),
    ("SET l = list_append(l, l, l)", "Incorrect number of operands for operator or function; operator or function: list_append, number of operands: 3"),
    # 4.2 operand types
    ("SET n = :n + :s", "Incorrect operand type for operator or function; operator or function: +, operand type: S"),
    ("SET n = :s + :n", "Incorrect operand type for operator or function; operator or function: +, operand type: S"),
    ("SET n = :s - :n", "Incorrect operand type for operator or function; operator or function: -, operand type: S"),
    ("SET l = list_append(l, :s)", "Incorrect operand type for operator or function; operator or function: list_append, operand type: S"),
    ("SET l = list_append(:s, l)", "Incorrect operand type for operator or function; operator or function: list_append, operand type: S"),
    ("ADD n :s", "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("ADD n :m", "Incorrect operand type for operator or function; operator: ADD, operand type: MAP, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("ADD n :l", "Incorrect operand type for operator or function; operator: ADD, operand type: LIST, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("ADD n :t", "Incorrect operand type for operator or function; operator: ADD, operand type: BOOLEAN, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("ADD n :z", "Incorrect operand type for operator or function; operator: ADD, operand type: NULL, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("ADD n :b", "Incorrect operand type for operator or function; operator: ADD, operand type: BINARY, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ("DELETE ss :s", "Incorrect operand type for operator or function; operator: DELETE, operand type: STRING, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
    ("DELETE ss :n", "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"),
    ("SET pk = :s, n = :s + :n", "Incorrect operand type for operator or function; operator or function: +, operand type: S"),
    # 4.2 placeholders
    ("SET a = :undefined", "An expression attribute value used in expression is not defined; attribute value: :undefined"),
    ("SET #u = :s", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    ("SET a = #u", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    ("SET a = :s REMOVE #u", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    ("SET a = :s, b1 = :undefined", "An expression attribute value used in expression is not defined; attribute value: :undefined"),
    ("SET n = :s + :u", "An expression attribute value used in expression is not defined; attribute value: :u"),
    ("SET pk = :s, a = :u", "An expression attribute value used in expression is not defined; attribute value: :u"),
    ("REMOVE #u SET a = :u", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    # 4.6 clauses
    ("SET a = :s SET n = :n", "The \"SET\" section can only be used once in an update expression;"),
    # 4.6 overlaps
    ("SET a = :s, a = :s", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"),
    ("SET a = :s REMOVE a", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"),
    ("SET m.x = :s, m = :m", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, x], path two: [m]"),
    ("SET m = :m, m.x = :s", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m], path two: [m, x]"),
    ("SET m.x = :s REMOVE m.x", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, x], path two: [m, x]"),
    ("SET m.x = :s, m[0] = :s", "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [m, x], path two: [m, [0]]"),
    ("SET l[0] = :s, l[0] = :s", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [l, [0]], path two: [l, [0]]"),
    ("SET l[0] = :s, l = :l", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [l, [0]], path two: [l]"),
    ("SET #a = :s, a = :s", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"),
    ("REMOVE a, a", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"),
    ("ADD n :n, n :n", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [n], path two: [n]"),
    ("SET n = :s + :n, n = :s", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [n], path two: [n]"),
    ("SET a = if_not_exists(a), a = :s", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"),
    ("ADD a :s, a :n", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"),
    ("SET m.x = :s, m.x.y = :s", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, x], path two: [m, x, y]"),
]
PROJECTIONS = [
    # 4.1 syntax
    ("a,", "Syntax error; token: \"<EOF>\", near: \",\""),
    ("a b", "Syntax error; token: \"b\", near: \"a b\""),
    ("a,,b1", "Syntax error; token: \",\", near: \",,b1\""),
    (",a", "Syntax error; token: \",\", near: \",a\""),
    ("l[01]", "Syntax error; token: \"1\", near: \"01]\""),
    ("l[-1]", "Syntax error; token: \"-\", near: \"[-1\""),
    ("(a)", "Syntax error; token: \"(\", near: \"(a\""),
    ("", "The expression can not be empty;"),
    ("  ", "Syntax error; token: \"<EOF>\", near: \"  \""),
    ("a.", "Syntax error; token: \"<EOF>\", near: \".\""),
    (".a", "Syntax error; token: \".\", near: \".a\""),
    ("a[", "Syntax error; token: \"<EOF>\", near: \"[\""),
    ("a[0", "Syntax error; token: \"<EOF>\", near: \"0\""),
    ("a]", "Syntax error; token: \"]\", near: \"a]\""),
    ("_a", "Syntax error; token: \"_\", near: \"_a\""),
    ("a-b", "Syntax error; token: \"-\", near: \"a-b\""),
    (":s", "Syntax error; token: \":s\", near: \":s\""),
    ("a = b", "Syntax error; token: \"=\", near: \"a = b\""),
    ("*", "Syntax error; token: \"*\", near: \"*\""),
    ("COUNT(a)", "Syntax error; token: \"(\", near: \"COUNT(a\""),
    ("a and b", "Syntax error; token: \"and\", near: \"a and b\""),
    ("a AND b", "Syntax error; token: \"AND\", near: \"a AND b\""),
    ("AND", "Syntax error; token: \"AND\", near: \"AND\""),
    ("aé", "Syntax error; token: \"é\", near: \"aé\""),
    # 4.2 reserved words
    ("name", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("a, name", "Attribute name is a reserved keyword; reserved keyword: name"),
    ("size", "Attribute name is a reserved keyword; reserved keyword: size"),
    # 4.2 placeholders
    ("#u", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    ("a.#u", "An expression attribute name used in the document path is not defined; attribute name: #u"),
    # 4.6 overlaps
    ("a, a", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"),
    ("a, a.b", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]"),
    ("a.b, a[0]", "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [0]]"),
    ("a.b, a", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a]"),
    ("l[0], l[0]", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [l, [0]], path two: [l, [0]]"),
    ("m.x, m.x.z", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, x], path two: [m, x, z]"),
    ("l, l[0]", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [l], path two: [l, [0]]"),
    ("#a.b, a.b", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, b]"),
]
PATH = "The document path provided in the update expression is invalid for update"
OPERAND = "An operand in the update expression has an incorrect data type"
MISSING = "The provided expression refers to an attribute that does not exist in the item"
KEY_CHANGED = "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key"
# 4.6 and 2.5: what only the item shows; without the words that stand before the others (4.9).
UPDATES_OF_THE_ITEM = [
    ("SET l = list_append(zz, :two)", MISSING),
    ("SET l = list_append(a, :two)", OPERAND),
    ("SET a = b1", MISSING),
    ("SET a = m.zz", MISSING),
    ("SET a = l[9]", MISSING),
    ("SET m.q.r = :s", PATH),
    ("SET a.b = :s", PATH),
    ("SET a[0] = :s", PATH),
    ("SET m[0] = :s", PATH),
    ("SET l.x = :s", PATH),
    ("SET pk = :s", KEY_CHANGED),
    ("SET pk.x = :s", KEY_CHANGED),
    ("REMOVE pk", KEY_CHANGED),
    ("REMOVE pk.x", KEY_CHANGED),
    ("ADD pk :n", KEY_CHANGED),
    ("REMOVE zz.y", PATH),
    ("REMOVE m.zz.y", PATH),
    ("REMOVE a.b", PATH),
    ("REMOVE a[0]", PATH),
    ("REMOVE l.x", PATH),
    ("ADD a :n", OPERAND),
    ("ADD n :ss", OPERAND),
    ("ADD ss :ns", OPERAND),
    ("ADD ss :n", OPERAND),
    ("ADD zz.y :n", PATH),
    ("ADD l[0] :n", OPERAND),
    ("DELETE ss :ns", OPERAND),
    ("DELETE n :ss", OPERAND),
    ("DELETE zz.y :ss", PATH),
    ("SET n = :n + m", OPERAND),
    ("SET n = a + :n", OPERAND),
    ("SET n = zz + :n", MISSING),
    ("SET m.x.y = :s", PATH),
    ("SET zz[0] = :s", PATH),
    ("SET a = list_append(n, n)", OPERAND),
]
# What is an expression.
GOOD_CONDITIONS = [
    "(a) = :s", "a = (:s)", "NOT a = :s", "NOT NOT a = :s", "NOT (NOT a = :s)", "a <> :s", "a = x", "a.b.c = :s", "l[0] = :s",
    "l[ 0 ] = :s", "l[2147483647] = :s", "#a = :s", "a\t=\n:s\r", "a = :s and a = :s", "a between :s and :s",
    "a BETWEEN :s2 AND :s", "a IN (:s)", "a IN (:s,:n)", "(a) IN (:s)", "attribute_exists(a)", "attribute_exists (a)",
    "attribute_type(a,:T)", "attribute_type(:s,:T)", "begins_with(a,:s)", "begins_with(a,:b)", "begins_with(:s,a)",
    "contains(a,:s)", "contains(:s,a)", "contains(:ss,:s)", "contains(a,:ss)", "contains(a,:m)", "contains(:n,:n)",
    "size(a) = :n", "size(a) > size(m)", "size(a) = size(a)", "size(:s) = :n", "size(:m) = :n", "NOT attribute_exists(a)",
    "a = :t", "a <> :m", "a < :b", ":s = :s", ":s = :n", ":s < :n", "m.a = a", "(a = :s) AND (a = :s)",
    "a = :s AND a = :s OR a = :s", "((a = :s) AND (a = :s))", "(a = :s AND a = :s)", "contains((a),:s)",
    "attribute_exists((a))", "size((a)) = :n", "(size(a)) = :n", "(attribute_exists(a))", "(a) BETWEEN (:s2) AND (:s)",
    "a IN ((:s))", "a.b[0].c = :s", "a[0][1] = :s", "a [0] = :s", "a . b = :s", "a.#a = :s", "#a.#a[0] = :s",
]
GOOD_UPDATES = [
    "SET a = :s", "set a = :s", "SET a = :s REMOVE n", "SET a = n + n", "SET n = n + :n", "SET n = n - :n",
    "SET n = (n + :n)", "SET n = (n) + (:n)", "SET a = if_not_exists(a, :s)",
    "SET a = if_not_exists(a, if_not_exists(b1, :s))", "SET n = if_not_exists(n, :n) + :n", "SET l = list_append(l, :two)",
    "SET l = list_append(:two, l)", "SET l = list_append(if_not_exists(zz, :l), :two)", "SET l[9] = :s", "REMOVE a",
    "REMOVE zz", "REMOVE m.zz", "REMOVE l[9]", "ADD n :n", "ADD ss :ss", "ADD m.c :n", "ADD l[9] :n", "DELETE ss :ss",
    "DELETE zz :ss", "DELETE m.zz :ss", "SET a = (:s)", "SET a = :s ADD n :n REMOVE m.x DELETE ss :ss", "SET n = n - n",
    "SET a = if_not_exists(m.zz, :s)", "SET a = if_not_exists(zz.y.x, :s)", "SET a = l", "ADD zz :n", "SET n = n+:n",
    "SET n=n-:n", "SET a=:s,b1=:s", "SET a = if_not_exists (a, :s)",
]
GOOD_PROJECTIONS = [
    "a", "a,b1", "m.x", "l[0]", "l[0], l[1]", "#a", "a[0].b.c[1]", "m.x, m.y",
]


@pytest.fixture(scope="module", autouse=True)
def expressions_table(dynamodb):
    make_table(dynamodb, T)
    dynamodb.put_item(TableName=T, Item=ITEM)
    yield
    dynamodb.delete_table(TableName=T)


def maps(expression, values=True):
    """The placeholders of an expression that are defined: all names but `#u`."""
    used = sorted(set(re.findall(r"[#:][A-Za-z0-9_]+", expression)))
    names = {name: "a" for name in used if name[0] == "#" and name != "#u"}
    given = {name: VALUES[name] for name in used if name in VALUES}
    return ({"ExpressionAttributeNames": names} if names else {}) | (
        {"ExpressionAttributeValues": given} if given and values else {}
    )


def put(expression, **members):
    """On another item than the one that is there."""
    return "PutItem", {"TableName": T, "Item": {"pk": {"S": "other"}}, "ConditionExpression": expression} | members


def update(expression, **members):
    return "UpdateItem", {"TableName": T, "Key": KEY, "UpdateExpression": expression} | members


def get(expression, **members):
    return "GetItem", {"TableName": T, "Key": KEY, "ProjectionExpression": expression} | members


def refused(server, request, message):
    assert error_of(call(server, *request)) == (400, VALIDATION, "message", message)


@pytest.mark.parametrize("expression, text", CONDITIONS)
def test_what_is_no_condition(shared_server, expression, text):
    refused(shared_server, put(expression, **maps(expression)), f"{ONE}Invalid ConditionExpression: {text}")


@pytest.mark.parametrize("expression, text", UPDATES)
def test_what_is_no_update(shared_server, expression, text):
    refused(shared_server, update(expression, **maps(expression)), f"{ONE}Invalid UpdateExpression: {text}")


@pytest.mark.parametrize("expression, text", PROJECTIONS)
def test_what_is_no_projection(shared_server, expression, text):
    refused(shared_server, get(expression, **maps(expression, values=False)), f"Invalid ProjectionExpression: {text}")


@pytest.mark.parametrize("expression, text", UPDATES_OF_THE_ITEM)
def test_what_the_item_cannot_take(shared_server, dynamodb, expression, text):
    refused(shared_server, update(expression, **maps(expression)), text)
    assert dynamodb.get_item(TableName=T, Key=KEY)["Item"] == ITEM, "nothing is done"


def test_what_is_an_expression(shared_server, dynamodb):
    for expression in GOOD_CONDITIONS:
        answer = call(shared_server, *put(expression, **maps(expression)))
        failed = answer.status == 400 and error_of(answer)[3] == "The conditional request failed"
        assert answer.status == 200 or failed, (expression, answer.text)
        dynamodb.delete_item(TableName=T, Key={"pk": {"S": "other"}})
    for expression in GOOD_UPDATES:
        answer = call(shared_server, *update(expression, **maps(expression)))
        assert answer.status == 200, (expression, answer.text)
        dynamodb.put_item(TableName=T, Item=ITEM)
    for expression in GOOD_PROJECTIONS:
        answer = call(shared_server, *get(expression, **maps(expression, values=False)))
        assert answer.status == 200, (expression, answer.text)


TRUE = "attribute_not_exists(zz)"
NAMES, GIVEN = "ExpressionAttributeNames", "ExpressionAttributeValues"
INVALID = "Invalid ConditionExpression: "
# 4.1: a bound is kept with the first of each, and broken with the second.
BOUNDS = [
    ("size", {"ConditionExpression": TRUE.ljust(4096)}, {"ConditionExpression": TRUE.ljust(4097)},
     f"{ONE}{INVALID}Expression size has exceeded the maximum allowed size;"),
    ("operators", {"ConditionExpression": " AND ".join(["zz<>z1"] * 150)}, {"ConditionExpression": " AND ".join(["zz<>z1"] * 151)},
     f"{ONE}{INVALID}The expression contains too many operators; operator count: 301"),
    ("operators, NOT and functions", {"ConditionExpression": "NOT " * 299 + "attribute_exists(zz)"},
     {"ConditionExpression": "NOT " * 300 + "attribute_exists(zz)"},
     f"{ONE}{INVALID}The expression contains too many operators; operator count: 301"),
    ("IN", {"ConditionExpression": f"NOT a IN ({','.join([':s'] * 100)})", GIVEN: {":s": {"S": "x"}}},
     {"ConditionExpression": f"NOT a IN ({','.join([':s'] * 101)})", GIVEN: {":s": {"S": "x"}}},
     f"{ONE}{INVALID}The IN operator is provided with too many operands; number of operands: 101"),
    ("depth", {"ConditionExpression": f"attribute_not_exists(a{'.b' * 31})"},
     {"ConditionExpression": f"attribute_not_exists(a{'.b' * 32})"},
     f"{ONE}{INVALID}The document path has too many nesting levels; nesting levels: 33"),
    ("length of a name's key", {"ConditionExpression": f"attribute_not_exists(#{'a' * 254})", NAMES: {"#" + "a" * 254: "zz"}},
     {"ConditionExpression": f"attribute_not_exists(#{'a' * 255})", NAMES: {"#" + "a" * 255: "zz"}},
     "ExpressionAttributeNames contains invalid key: The expression attribute map contains a key that is too long; size of key: 256"),
]


@pytest.mark.parametrize("kept, broken, message", [bound[1:] for bound in BOUNDS], ids=[bound[0] for bound in BOUNDS])
def test_expressions_have_bounds(shared_server, dynamodb, kept, broken, message):
    assert call(shared_server, *put("", **kept)).status == 200
    dynamodb.delete_item(TableName=T, Key={"pk": {"S": "other"}})
    refused(shared_server, put("", **broken), message)


ONLY = "can only be specified when using expressions"
BAD_NAME, BAD_VALUE = f"{NAMES} contains invalid key: ", f"{GIVEN} contains invalid key: "
NUMBER = "The parameter cannot be converted to a numeric value: x"
# 4.3 and 4.9, and two faults at once (2.5). `None`: there is no expression.
MAPS = [
    (None, {NAMES: {"#a": "a"}}, f"{ONE}{NAMES} {ONLY}"),
    (None, {GIVEN: {":a": {"S": "a"}}}, f"{ONE}{GIVEN} {ONLY}"),
    (TRUE, {NAMES: {}}, f"{ONE}{NAMES} must not be empty"),
    (TRUE, {GIVEN: {}}, f"{ONE}{GIVEN} must not be empty"),
    *[(TRUE, {NAMES: {key: "a"}}, f'{BAD_NAME}Syntax error; key: "{key}"') for key in ("a", "#", "#a-b", ":a", "#é")],
    *[(TRUE, {GIVEN: {key: {"S": "a"}}}, f'{BAD_VALUE}Syntax error; key: "{key}"') for key in ("a", ":", ":a-b", "#a")],
    (TRUE, {NAMES: {"": "a"}}, f"{BAD_NAME}The expression attribute map contains an empty key;"),
    (TRUE, {GIVEN: {"": {"S": "a"}}}, f"{BAD_VALUE}The expression attribute map contains an empty key;"),
    (TRUE, {NAMES: {"a": "a"}, GIVEN: {"a": {"S": "a"}}}, f'{BAD_NAME}Syntax error; key: "a"'),
    (TRUE, {NAMES: {"#a": ""}}, f"{NAMES} contains invalid value: Empty attribute name for key #a"),
    (TRUE, {NAMES: {"#a": "a", "#b": "b"}}, f"{ONE}Value provided in {NAMES} unused in expressions: keys: {{#a, #b}}"),
    (TRUE, {GIVEN: {":a": {"S": "a"}, ":b": {"S": "b"}}}, f"{ONE}Value provided in {GIVEN} unused in expressions: keys: {{:a, :b}}"),
    (TRUE, {NAMES: {"#a": "a"}, GIVEN: {":a": {"S": "a"}}}, f"{ONE}Value provided in {NAMES} unused in expressions: keys: {{#a}}"),
    (TRUE, {GIVEN: {":a": {"N": "x"}}}, f"{ONE}{NUMBER}"),
    ("zz <> :a", {GIVEN: {":a": {"N": "1" * 39}}}, f"{ONE}Attempting to store more than 38 significant digits in a Number"),
    ("zz <> :a", {GIVEN: {":a": {"SS": []}}},
     f"{ONE}{GIVEN} contains invalid value: One or more parameter values were invalid: An string set  may not be empty for key :a"),
    ("zz <> :a", {GIVEN: {":a": {"SS": ["a", "a"]}}},
     f'{ONE}One or more parameter values were invalid: Input collection ["a", "a"] contains duplicates.'),
    ("a =", {GIVEN: {":a": {"N": "x"}}}, f"{ONE}{NUMBER}"),
    ("", {NAMES: {"#a": "a"}}, f"{ONE}{INVALID}The expression can not be empty;"),
    ("#b = :b", {NAMES: {"#a": "a"}},
     f"{ONE}{INVALID}An expression attribute name used in the document path is not defined; attribute name: #b"),
    ("a =", {"ReturnValues": "ALL_NEW"}, f'{ONE}{INVALID}Syntax error; token: "<EOF>", near: "="'),
    (TRUE, {NAMES: {"#a": "a"}, "ReturnValues": "ALL_NEW"}, f"{ONE}Value provided in {NAMES} unused in expressions: keys: {{#a}}"),
    (TRUE, {"Expected": {"a": {"Exists": False}}},
     f"{ONE}Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {{Expected}} "
     "Expression parameters: {ConditionExpression}"),
]


@pytest.mark.parametrize("expression, members, message", MAPS)
def test_placeholders_and_parameters_beside_an_expression(shared_server, expression, members, message):
    refused(shared_server, put(expression, **members), message)


def test_an_empty_condition_is_told_before_an_empty_update(shared_server):
    empty = "Expression: The expression can not be empty;"
    refused(shared_server, update("", ConditionExpression=""), f"{ONE}Invalid Condition{empty}")
    bad = 'Invalid UpdateExpression: Syntax error; token: "<EOF>", near: "SET"'
    refused(shared_server, update("SET", ConditionExpression="a ="), f"{ONE}{bad}")


def test_expressions_are_read_before_the_table_is_looked_for(shared_server):
    request = update("SET a = :u", TableName="nobody")
    text = "An expression attribute value used in expression is not defined; attribute value: :u"
    refused(shared_server, request, f"{ONE}Invalid UpdateExpression: {text}")
